//! Measures the SQLite log against the disk: appends per second and their latencies for 1, 100 and 1,000 pipelines that
//! append concurrently, and the disk's own `fdatasync`s.
//!
//! `cargo run -p dataflow-journal-sqlite --example throughput -- [FOLDER] [SECONDS]` prints a line of JSON for each.
use dataflow_core::{id::PipelineId, shard::ShardId};
use dataflow_journal::{Appended, Holder, Journal, testing::samples};
use dataflow_journal_sqlite::Sqlite;
use serde_json::json;
use std::{
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::Mutex, task::JoinSet};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let seconds = arguments.next().map_or(Ok(3), |text| text.parse())?;
    let folder = folder.join(format!("dataflow-throughput-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let measured = measure(&folder, Duration::from_secs(seconds));
    std::fs::remove_dir_all(&folder)?;
    measured
}

fn measure(folder: &Path, time: Duration) -> Result<(), Failure> {
    report("the disk alone: 4 KiB and fdatasync", time, disk(&folder.join("disk"), time)?);
    let runtime = tokio::runtime::Runtime::new()?;
    for pipelines in [1, 100, 1_000] {
        let journal = Journal::new(Arc::new(Sqlite::open(&folder.join(format!("journal-{pipelines}.db")))?));
        let took = runtime.block_on(appends(&journal, pipelines, time))?;
        let plural = if pipelines == 1 { "" } else { "s" };
        report(&format!("checkpoints of {pipelines} pipeline{plural}"), time, took);
    }
    Ok(())
}

fn report(what: &str, time: Duration, mut took: Vec<Duration>) {
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let rate = took.len() as f64 / time.as_secs_f64();
    let (p50, p99, max) = (at(0.5), at(0.99), at(1.0));
    println!("{}", json!({"what": what, "per_second": rate, "p50_ms": p50, "p99_ms": p99, "max_ms": max}));
}

fn disk(path: &Path, time: Duration) -> Result<Vec<Duration>, Failure> {
    let mut file = std::fs::File::create(path)?;
    let begun = Instant::now();
    let mut took = Vec::new();
    while begun.elapsed() < time {
        let before = Instant::now();
        file.write_all(&[7; 4_096])?;
        file.sync_data()?;
        took.push(before.elapsed());
    }
    Ok(took)
}

/// Each pipeline appends one checkpoint after the other. Pipelines of one shard share its head, as in the engine: one
/// append in flight per shard, so 1,000 pipelines wait for 256 heads.
async fn appends(journal: &Journal, pipelines: usize, time: Duration) -> Result<Vec<Duration>, Failure> {
    let mut heads = Vec::new();
    for shard in ShardId::all() {
        heads.push(Arc::new(Mutex::new(journal.take_over(shard, &Holder::new("bench")).await?)));
    }
    let mut writers: JoinSet<Result<Vec<Duration>, Failure>> = JoinSet::new();
    let begun = Instant::now();
    for number in 0..pipelines {
        let name = PipelineId::try_from(format!("pipeline-{number}"))?;
        let shard = ShardId::of(&name);
        let (journal, head) = (journal.clone(), Arc::clone(&heads[usize::from(shard.0)]));
        writers.spawn(async move {
            let (mut took, mut sequence) = (Vec::new(), 0);
            while begun.elapsed() < time {
                sequence += 1;
                let event = journal.encoded(&name, &[samples::progress("run", sequence)])?;
                let before = Instant::now();
                let mut head = head.lock().await;
                if journal.append(shard, head.epoch, head.next_seq, &event).await != Appended::Applied {
                    return Err("an append was not applied".into());
                }
                head.next_seq = head.next_seq.next();
                drop(head);
                took.push(before.elapsed());
            }
            Ok(took)
        });
    }
    let mut all = Vec::new();
    while let Some(took) = writers.join_next().await {
        all.extend(took??);
    }
    Ok(all)
}
