//! The journal in one SQLite file: the embedded default.
//!
//! One thread writes: it takes all waiting jobs, whatever their shard, and commits them in one transaction. Two threads
//! read. Decision and figures: `docs/adr/0003-shard-log.md`.
mod backup;
mod failure;
mod health;
mod readers;
mod schema;
mod seen;
mod statements;
mod sums;
mod writer;

pub use backup::{backup, check_backup, is_kept, is_part_of, restore};
pub use seen::marker;

use async_trait::async_trait;
use bytes::Bytes;
use dataflow_core::{
    chunk::{ChunkId, Scope},
    id::{Epoch, PipelineId, Seq},
    shard::ShardId,
};
use dataflow_journal::{
    Appended, Claim, Error, Head, Holder, Snapshot, WriteLevel,
    store::{Chunks, Log, Page, Snapshots, Span},
    stored::Row,
};
use health::Health;
use readers::Readers;
use seen::{Marker, Written};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};
use writer::{Durable, Writer};

/// A log in one SQLite file (WAL, `synchronous=FULL`). Dropping it waits until everything submitted is written.
///
/// Several handles on one file are safe (the log's epochs fence) but slow; one process is meant to have one. While
/// another process has the file locked, writes wait for it without limit, and the log names that process.
#[derive(Debug)]
pub struct Sqlite {
    id: String,
    level: AtomicU32,
    path: PathBuf,
    health: Arc<Health>,
    // The writer is dropped last: the last connection to close moves the write-ahead log into the database.
    readers: Readers,
    writer: Writer,
}

impl Sqlite {
    /// Opens the log at `path`; creates it if it doesn't exist. The folder has to exist.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the file can't be opened or written, [`Error::Corrupt`] if it is not a journal,
    /// [`Error::OtherBuild`] if this build can't read it, [`Error::NotAsLeft`] if the file's [marker] records more than
    /// the file contains.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_as(path, WriteLevel::NEWEST)
    }

    /// Opens the log like a build whose newest write level is `newest`.
    fn open_as(path: &Path, newest: WriteLevel) -> Result<Self, Error> {
        let in_file = |cause| failure::of(path, "can't be opened", &cause);
        // The marker is read first: it never records more than the journal contains at the same moment.
        let seen = Written::seen(path)?;
        let (db, level) = schema::open(path, seen.as_ref(), newest)?;
        let written = schema::written(&db, path, seen.as_ref())?;
        seen.map_or(Ok(()), |seen| written.covers(&seen, path))?;
        let reading =
            (0..readers::THREADS).map(|_| schema::open_to_read(path)).collect::<Result<_, _>>().map_err(in_file)?;
        let health = Arc::new(Health::of(path));
        let id = written.id.clone();
        let marker = Marker::keep(path, written)?;
        let writer = Writer::start(path, db, health.clone(), marker)?;
        let level = AtomicU32::new(level.0);
        let readers = Readers::start(path, reading)?;
        Ok(Self { id, level, path: path.to_owned(), health, readers, writer })
    }

    /// The files that the store owns: the database, its write-ahead log, and the log's index.
    pub fn own_files(&self) -> [PathBuf; 3] {
        dataflow_locks::database_files(&self.path)
    }
}

#[async_trait]
impl Log for Sqlite {
    fn id(&self) -> &str {
        &self.id
    }

    fn write_level(&self) -> WriteLevel {
        WriteLevel(self.level.load(Ordering::Acquire))
    }

    async fn raise_write_level(&self, to: WriteLevel) -> Result<(), Error> {
        let raised = self.writer.submit(Durable::AtOnce, 0, move |db| schema::raise_level(db, to)).await?;
        self.level.store(raised.0, Ordering::Release);
        Ok(())
    }

    async fn claim(&self, shard: ShardId, expected: Epoch, holder: &Holder) -> Result<Claim, Error> {
        let holder = holder.clone();
        let moves = |(_, moved): &(Claim, bool)| u64::from(*moved);
        let claim = move |db: &_| statements::claim(db, shard, expected, &holder);
        Ok(self.writer.advance(0, moves, claim).await?.0)
    }

    async fn head(&self, shard: ShardId) -> Result<Head, Error> {
        self.readers.run(move |db| statements::head(db, shard)).await
    }

    async fn epochs(&self, of: &[ShardId]) -> Result<Vec<(ShardId, Epoch)>, Error> {
        let of = of.to_vec();
        self.readers.run(move |db| statements::epochs(db, &of)).await
    }

    async fn append(&self, shard: ShardId, epoch: Epoch, next: Seq, rows: Vec<Row>) -> Appended {
        let weight = rows.iter().map(|row| row.body.len()).sum();
        let count = rows.len() as u64;
        let moves = move |appended: &Appended| if *appended == Appended::Applied { count } else { 0 };
        let append = move |db: &_| statements::append(db, shard, epoch, next, &rows);
        match self.writer.advance(weight, moves, append).await {
            Ok(appended) => appended,
            // Nothing of the transaction is in the file.
            Err(cause @ (Error::Corrupt(_) | Error::Broken(_))) => Appended::Refused(cause.to_string()),
            // A journal that can't be written is logged once, by the observer of `unwritable`, not for each shard.
            Err(cause) => {
                tracing::debug!(%shard, %epoch, %next, %cause, "the outcome of an append is unknown");
                Appended::Unknown
            }
        }
    }

    async fn read(&self, shard: ShardId, from: Seq, limit: usize) -> Result<Page, Error> {
        self.readers.run(move |db| statements::read(db, shard, from, limit)).await
    }

    async fn history(&self, pipeline: &PipelineId, span: Span, limit: usize) -> Result<Vec<Row>, Error> {
        let pipeline = pipeline.clone();
        self.readers.run(move |db| statements::history(db, &pipeline, span, limit)).await
    }

    async fn compact(&self, shard: ShardId, epoch: Epoch, before: Seq) -> Result<(), Error> {
        self.writer.submit(Durable::Later, 0, move |db| statements::compact(db, shard, epoch, before)).await?
    }

    async fn note_reader(&self, reader: &str, shard: ShardId, next: Option<Seq>) -> Result<(), Error> {
        let reader = reader.to_owned();
        self.writer.submit(Durable::AtOnce, 0, move |db| statements::note_reader(db, &reader, shard, next)).await
    }

    async fn readers(&self, shard: ShardId) -> Result<Vec<(String, Seq)>, Error> {
        self.readers.run(move |db| statements::readers(db, shard)).await
    }

    fn unwritable(&self) -> Option<String> {
        let why = self.health.unwritable();
        if self.health.has_failed() {
            self.writer.try_again();
        }
        why
    }
}

#[async_trait]
impl Snapshots for Sqlite {
    async fn snapshot(&self, shard: ShardId, epoch: Epoch, next: Seq, changed: Vec<Snapshot>) -> Result<(), Error> {
        let weight = changed.iter().map(|snapshot| snapshot.state.len()).sum();
        self.writer
            .submit(Durable::AtOnce, weight, move |db| statements::snapshot(db, shard, epoch, next, &changed))
            .await?
    }

    async fn snapshots(&self, shard: ShardId) -> Result<(Vec<Snapshot>, Seq), Error> {
        let (rows, next) = self.readers.run(move |db| statements::snapshots(db, shard)).await?;
        let all = rows.into_iter().map(|(pipeline, state)| {
            let pipeline = PipelineId::try_from(pipeline).map_err(|cause| {
                Error::Corrupt(format!("shard {shard}: a snapshot has an invalid pipeline id: {cause}"))
            })?;
            Ok(Snapshot { pipeline, state: state.into() })
        });
        Ok((all.collect::<Result<_, Error>>()?, next))
    }

    async fn load(&self, pipeline: &PipelineId) -> Result<(Option<Bytes>, Seq, Page), Error> {
        let pipeline = pipeline.clone();
        let (state, since, page) = self.readers.run(move |db| statements::load(db, &pipeline)).await?;
        Ok((state.map(Into::into), since, page))
    }
}

#[async_trait]
impl Chunks for Sqlite {
    async fn put_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error> {
        let id = id.clone();
        self.writer.submit(Durable::AtOnce, body.len(), move |db| statements::put_chunk(db, &id, &body)).await?
    }

    async fn stage_chunk(&self, id: &ChunkId, body: Bytes) -> Result<(), Error> {
        let id = id.clone();
        self.writer.submit(Durable::Later, body.len(), move |db| statements::put_chunk(db, &id, &body)).await?
    }

    async fn chunk(&self, id: &ChunkId) -> Result<Option<Bytes>, Error> {
        let id = id.clone();
        Ok(self.readers.run(move |db| statements::chunk(db, &id)).await?.map(Into::into))
    }

    async fn chunks(&self, of: &Scope, after: Option<&ChunkId>, limit: usize) -> Result<Vec<ChunkId>, Error> {
        let (prefix, after) = (of.to_string(), after.cloned());
        let names = self.readers.run(move |db| statements::chunks(db, &prefix, after.as_ref(), limit)).await?;
        Ok(names.into_iter().map(|name| ChunkId(name.into())).collect())
    }

    async fn remove_chunks(&self, ids: &[ChunkId]) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.to_vec();
        self.writer.submit(Durable::Later, 0, move |db| statements::remove_chunks(db, &ids)).await
    }
}

#[cfg(test)]
mod tests;
