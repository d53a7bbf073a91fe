//! Finds the process that holds a lock on a file, from `/proc/locks` (see `proc_locks(5)`), so that a waiting process
//! can name it.
use std::{
    ffi::OsString,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Names the holder of a lock that this process holds itself.
pub const THIS_PROCESS: &str = "another writer of this node";

/// Names the holder of a lock on a file: "process 123 (tail)", [`THIS_PROCESS`], or "another process" if it can't be
/// found.
pub fn holder(path: &Path) -> String {
    name(pid(&[path.to_owned()]))
}

/// Names the holder of a lock on a SQLite database, which is on the file itself or, in WAL mode, on the one beside it.
pub fn database_holder(path: &Path) -> String {
    name(pid(&database_files(path)))
}

/// A database, its write-ahead log, and the log's index.
pub fn database_files(path: &Path) -> [PathBuf; 3] {
    let beside = |suffix: &str| {
        let mut name = OsString::from(path);
        name.push(suffix);
        PathBuf::from(name)
    };
    [path.into(), beside("-wal"), beside("-shm")]
}

/// The process that holds a write lock on one of these files.
fn pid(paths: &[PathBuf]) -> Option<u32> {
    let files: Vec<(u64, u64)> =
        paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|file| (file.dev(), file.ino())).collect();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let held = locks.lines().filter_map(|line| {
        // "1: POSIX  ADVISORY  WRITE 1234 08:01:5678 0 EOF"; a waiting process has "->" after the number.
        let mut words = line
            .split_whitespace()
            .skip(1)
            .skip_while(|word| matches!(*word, "POSIX" | "FLOCK" | "OFDLCK" | "ADVISORY"));
        let mode = words.next()?;
        let pid: u32 = words.next()?.parse().ok()?;
        let inode: u64 = words.next()?.rsplit(':').next()?.parse().ok()?;
        (mode == "WRITE" && files.iter().any(|(_, known)| *known == inode)).then_some(pid)
    });
    // With overlays the device there may differ from the file's, so only the inode is compared, and that alone is not
    // enough.
    held.into_iter().find(|pid| *pid == std::process::id() || has_open(*pid, &files))
}

/// Whether a process has one of these files open; true if that is unknown.
fn has_open(pid: u32, files: &[(u64, u64)]) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return true };
    open.flatten().any(|entry| fs::metadata(entry.path()).is_ok_and(|file| files.contains(&(file.dev(), file.ino()))))
}

fn name(pid: Option<u32>) -> String {
    match pid {
        Some(pid) if pid == std::process::id() => THIS_PROCESS.into(),
        Some(pid) => match fs::read_to_string(format!("/proc/{pid}/comm")) {
            Ok(name) => format!("process {pid} ({})", name.trim()),
            Err(_) => format!("process {pid}"),
        },
        None => "another process".into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_holder_is_named_and_none_made_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = fs::File::create(&path).unwrap();
        assert_eq!(holder(&path), "another process", "nobody holds it");
        file.lock().unwrap();
        assert_eq!(holder(&path), "another writer of this node");
        assert_eq!(holder(&folder.path().join("none")), "another process");
    }

    #[test]
    fn another_process_is_named_by_its_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.db");
        let beside = database_files(&path)[2].clone();
        fs::write(&beside, "").unwrap();
        let mut other = std::process::Command::new("flock")
            .arg(&beside)
            .args(["--command", "echo locked; read line"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = [0; 6];
        std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut line).unwrap();
        let holder = database_holder(&path);
        drop(other.stdin.take());
        other.wait().unwrap();
        assert_eq!(holder, format!("process {} (flock)", other.id()));
    }
}
