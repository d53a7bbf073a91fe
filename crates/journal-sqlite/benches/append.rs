//! Benchmarks one append to the log, of one checkpoint and of a hundred: in memory, and with SQLite on the disk that
//! TMPDIR names.
#![allow(missing_docs, clippy::unwrap_used)]
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dataflow_core::{id::PipelineId, shard::ShardId};
use dataflow_journal::{Appended, Holder, Journal, Memory, testing::samples};
use dataflow_journal_sqlite::Sqlite;
use std::sync::Arc;

fn append(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(&folder.path().join("journal.db")).unwrap();
    let journals = [("memory", Journal::new(Arc::new(Memory::default()))), ("sqlite", Journal::new(Arc::new(sqlite)))];
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let pipeline = PipelineId::try_from("pipeline").unwrap();
    let shard = ShardId::of(&pipeline);
    for (name, journal) in journals {
        let mut group = criterion.benchmark_group(format!("append/{name}"));
        for count in [1, 100] {
            let mut head = runtime.block_on(journal.take_over(shard, &Holder::new("bench"))).unwrap();
            let events: Vec<_> = (0..count).map(|number| samples::progress("run", number)).collect();
            let events = journal.encoded(&pipeline, &events).unwrap();
            group.throughput(Throughput::Elements(count));
            group.bench_function(count.to_string(), |bench| {
                bench.iter(|| {
                    let appended = runtime.block_on(journal.append(shard, head.epoch, head.next_seq, &events));
                    assert!(matches!(appended, Appended::Applied));
                    head.next_seq = (0..count).fold(head.next_seq, |seq, _| seq.next());
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, append);
criterion_main!(benches);
