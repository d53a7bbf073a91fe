//! Finds the process that holds a lock on a file, from `/proc/locks` (see `proc_locks(5)`), so that a waiting process
//! can name it.
use std::{
    ffi::OsString,
    fs,
    io::{self, Read},
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

/// Names who is writing to a SQLite database, if anybody is; in doubt somebody is. It may also be one that moves the write-ahead log into
/// the file. Whoever is in another container, or on another machine, is not seen.
pub fn database_writer(path: &Path) -> Option<String> {
    let files = database_files(path);
    match locks() {
        Ok(locks) => writer(&files, &locks).map(|pid| name(Some(pid))),
        Err(_) => Some(name(None)),
    }
}

/// How often the list of locks is read that is longer than what the kernel gives at once.
const PASSES: u32 = 4;

/// The list of all locks. The kernel gives a page of it at a time, and passes over a lock when one before it is let go of between two
/// pages: so what any of several passes has counts. (`read_to_string` begins with 32 bytes, and was seen to miss a lock in 31 of 5,000
/// times.)
fn locks() -> io::Result<String> {
    let (mut list, mut page) = (Vec::new(), vec![0; 1 << 16]);
    for _ in 0..PASSES {
        let (mut file, mut pages) = (fs::File::open("/proc/locks")?, 0);
        while let read @ 1.. = file.read(&mut page)? {
            list.extend_from_slice(&page[..read]);
            pages += 1;
        }
        if pages <= 1 {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&list).into_owned())
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
    writer(paths, &locks().ok()?)
}

fn writer(paths: &[PathBuf], locks: &str) -> Option<u32> {
    let files: Vec<(u64, u64)> =
        paths.iter().filter_map(|path| fs::metadata(path).ok()).map(|file| (file.dev(), file.ino())).collect();
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
    fn nobody_writes_to_a_database_that_is_only_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.db");
        let beside = database_files(&path)[2].clone();
        fs::write(&beside, "").unwrap();
        assert_eq!(database_writer(&path), None);
        let file = fs::File::open(&beside).unwrap();
        file.lock_shared().unwrap();
        assert_eq!(database_writer(&path), None, "a reader");
        file.unlock().unwrap();
        file.lock().unwrap();
        assert_eq!(database_writer(&path).as_deref(), Some(THIS_PROCESS));
    }

    /// A lock that is held all the time is there in every list, whatever is done to others.
    #[test]
    fn a_lock_is_not_passed_over_while_others_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.db");
        let held = fs::File::create(&path).unwrap();
        held.lock().unwrap();
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for nth in 0..3 {
                let (done, others) = (&done, folder.path().join(format!("{nth}")));
                scope.spawn(move || {
                    let others: Vec<_> = (0..4).map(|_| fs::File::create(&others).unwrap()).collect();
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        for other in &others {
                            other.lock_shared().unwrap();
                        }
                        for other in &others {
                            other.unlock().unwrap();
                        }
                    }
                });
            }
            let missed = (0..2_000).filter(|_| database_writer(&path).is_none()).count();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(missed, 0);
        });
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
