//! After a kill during an append, every append that was reported as applied is there, and each log is dense.
#![allow(clippy::unwrap_used)]
use dataflow_core::{id::Seq, shard::ShardId};
use dataflow_journal::{
    Journal,
    testing::{
        contract::Owner,
        samples::{lifecycle, pipeline, progress},
    },
};
use dataflow_journal_sqlite::Sqlite;
use futures::future::join_all;
use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

const SHARDS: std::ops::Range<u8> = 0..8;
const FILE: &str = "JOURNAL_OF_THE_KILLED";

#[test]
fn what_was_applied_outlives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.db");
    let mut applied = [0_u64; 8];
    for round in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "the_killed", "--nocapture", "--test-threads=1"])
            .env(FILE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut note = |line: &str| {
            let words: Vec<_> = line.split(' ').collect();
            // "." ends a complete line.
            if let ["applied", shard, seq, "."] = words[..] {
                applied[shard.parse::<usize>().unwrap()] = seq.parse().unwrap();
            }
        };
        for _ in 0..100 + round * 37 {
            note(&lines.next().expect("it lives"));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        lines.for_each(|line| note(&line));
        check(&path, &applied);
    }
}

fn check(path: &Path, applied: &[u64; 8]) {
    let journal = Journal::new(Arc::new(Sqlite::open(path).unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        for shard in SHARDS {
            let run = journal.read(ShardId(shard), Seq(1), usize::MAX >> 1).await.unwrap();
            let told = applied[usize::from(shard)];
            assert!(run.next.0 > told, "shard {shard}: {told} was applied, the log ends before {}", run.next);
            assert_eq!(run.entries.len() as u64, run.next.0 - 1, "shard {shard} is dense");
            assert_eq!(run.entries.len() % 3, 0, "appends are all or none");
        }
    });
}

#[test]
#[ignore = "run by what_was_applied_outlives_kill_9, which kills it"]
fn the_killed() {
    let Some(path) = std::env::var_os(FILE) else { return };
    let journal = Journal::new(Arc::new(Sqlite::open(Path::new(&path)).unwrap()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(join_all(SHARDS.map(async |shard| {
        let mut owner = Owner::claim(&journal, ShardId(shard)).await;
        let name = pipeline(ShardId(shard), 0);
        loop {
            let events =
                [(name.clone(), lifecycle("1")), (name.clone(), progress("2", 1)), (name.clone(), lifecycle("3"))];
            owner.append(&events).await;
            // One write, so that a line is complete or cut, never mixed.
            std::io::stdout().write_all(format!("applied {shard} {} .\n", owner.next.0 - 1).as_bytes()).unwrap();
        }
    })));
}
