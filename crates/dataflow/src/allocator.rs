//! glibc's allocator, told how to treat large buffers (docs/adr/0007-system-allocator.md).
use std::{env, os::unix::process::CommandExt, process::Command, thread::available_parallelism};

/// From 8 MiB on a buffer goes back to the kernel when it is free, and up to 32 MiB of smaller ones are kept to be used
/// again. Left to itself, glibc raises the first limit to 32 MiB, and then keeps several times what is in use.
const SETTINGS: [(&str, &str); 2] = [("MALLOC_MMAP_THRESHOLD_", "8388608"), ("MALLOC_TRIM_THRESHOLD_", "33554432")];
/// As many arenas as cores: each keeps what is free in it. Left to itself, glibc makes eight times as many.
const ARENAS: &str = "MALLOC_ARENA_MAX";

/// Starts this program anew, in its place, with these settings: glibc reads them before anything else runs. Whoever has
/// set any of them knows better. If it fails, the program runs as it is.
pub fn tune() {
    let known = SETTINGS.iter().map(|(name, _)| *name).chain([ARENAS, "GLIBC_TUNABLES"]);
    if !cfg!(target_env = "gnu") || known.into_iter().any(|name| env::var_os(name).is_some()) {
        return;
    }
    let (Ok(program), mut arguments) = (env::current_exe(), env::args_os()) else { return };
    let Some(name) = arguments.next() else { return };
    let arenas = available_parallelism().map_or(2, usize::from).to_string();
    let error = Command::new(program).arg0(name).args(arguments).envs(SETTINGS).env(ARENAS, arenas).exec();
    drop(error);
}
