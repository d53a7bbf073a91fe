//! Generations that are renamed and compressed while the folder is looked at, without a pause: each line is read once, and nothing
//! is taken for lost.
use super::*;
use crate::{
    ahead::{Step, Work},
    file::follow::Follow,
};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
};

const ROTATIONS: u32 = 20;

/// Writes a generation, shifts all, and so on; a generation is compressed as soon as it is rotated if `packs` says so.
fn rotate(dir: &Path, packs: fn(u32) -> bool) {
    let path = |nth: u32, end: &str| -> PathBuf {
        dir.join(if nth == 0 { format!("app.log{end}") } else { format!("app.log.{nth}{end}") })
    };
    for round in 0..ROTATIONS {
        append(&path(0, ""), &format!("{round} a\n{round} b\n{round} c\n"));
        std::thread::sleep(Duration::from_millis(15)); // rotations are further apart than a file system's clock ticks
        for nth in (0..=round).rev() {
            for end in ["", ".gz"] {
                fs::rename(path(nth, end), path(nth + 1, end)).ok();
            }
        }
        append(&path(0, ""), "");
        if packs(round) {
            fs::write(path(1, ".gz"), gzip(&fs::read(path(1, "")).unwrap())).unwrap();
            fs::remove_file(path(1, "")).unwrap();
        }
    }
}

#[test]
// A writer that the machine stops within a shift leaves a gap that looks like a loss.
#[ignore = "a stress test of half a minute: make test-long"]
fn what_is_renamed_during_a_look_is_read_once() {
    let never: fn(u32) -> bool = |_| false;
    let most: fn(u32) -> bool = |round| round % 3 > 0;
    for (what, packs, others) in [("renamed", never, 0), ("among others", never, 300), ("compressed", most, 0)] {
        let dir = tempfile::tempdir().unwrap();
        for other in 0..others {
            append(&dir.path().join(format!("other-{other}.txt")), "");
        }
        append(&dir.path().join("app.log"), "");
        let source = source(&dir.path().join("app.log*"), json!({"follow": true, "pollInterval": "50ms"}));
        let mut work = Follow::new(source, &context(), Positions::new()).unwrap();
        let (done, mut read, mut idle) = (AtomicBool::new(false), Vec::new(), 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                rotate(dir.path(), packs);
                done.store(true, Ordering::Release);
            });
            while idle < 500 {
                let was_done = done.load(Ordering::Acquire);
                match work.step() {
                    Ok(Step::Records(records)) => {
                        idle = 0;
                        read.push(*records);
                    }
                    Ok(Step::Idle(_)) => {
                        std::thread::sleep(Duration::from_millis(1)); // more looks than there would be
                        idle += u32::from(was_done);
                    }
                    Ok(Step::End) => panic!("a followed file has no end"),
                    Err(error) => panic!("{what}: {error}"),
                }
            }
        });
        assert!(read.iter().all(|batch| batch.lost.is_none()), "{what}: nothing was lost");
        let mut read = texts(&read);
        read.sort_by_key(|line| (line.len(), line.clone()));
        let mut lines: Vec<_> = (0..ROTATIONS).flat_map(|n| ["a", "b", "c"].map(|at| format!("{n} {at}"))).collect();
        lines.sort_by_key(|line| (line.len(), line.clone()));
        assert_eq!(read, lines, "{what}");
    }
}
