//! The writing thread: group commit over all shards.
use crate::{
    failure,
    health::{self, Health},
    seen::Marker,
};
use dataflow_journal::Error;
use rusqlite::Connection;
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
};
use tokio::sync::{
    mpsc::{self, error::TryRecvError},
    oneshot,
};

/// The most jobs that wait in the queue; a caller with one more waits itself.
const WAITING: usize = 4_096;
/// The most jobs in one transaction.
const GROUP: usize = 2_048;
/// The approximate limit of bytes in one transaction.
const GROUP_BYTES: usize = 16 << 20;
/// The number of free pages (of 4 KiB) above which space is returned to the file system, and of pages returned in one
/// step.
const VACUUM_PAGES: i64 = 256;

/// The handle to the writing thread.
pub(crate) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

/// When a job's writes become durable. The write-ahead log is one file: syncing it for one transaction makes all
/// earlier ones durable, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    /// Before the job returns.
    AtOnce,
    /// With the next job that is `AtOnce`.
    Later,
}

/// Work that runs in the transaction of a group.
trait Job: Send {
    /// When its writes have to be durable.
    fn durable(&self) -> Durable;
    /// The approximate number of bytes that it writes.
    fn weight(&self) -> usize;
    /// By how much it has advanced heads.
    fn moves(&self) -> u64;
    /// Runs the work. Called again if the group had to be rolled back.
    fn run(&mut self, db: &Connection) -> rusqlite::Result<()>;
    /// Answers the caller after the transaction.
    fn settle(self: Box<Self>, how: Result<(), Error>);
}

struct Task<T, F, M> {
    durable: Durable,
    weight: usize,
    work: F,
    moves: M,
    done: Option<T>,
    reply: oneshot::Sender<Result<T, Error>>,
}

impl<T, F, M> Job for Task<T, F, M>
where
    T: Send,
    F: FnMut(&Connection) -> rusqlite::Result<T> + Send,
    M: Fn(&T) -> u64 + Send,
{
    fn durable(&self) -> Durable {
        self.durable
    }
    fn weight(&self) -> usize {
        self.weight
    }
    fn moves(&self) -> u64 {
        self.done.as_ref().map_or(0, &self.moves)
    }
    fn run(&mut self, db: &Connection) -> rusqlite::Result<()> {
        self.done = Some((self.work)(db)?);
        Ok(())
    }
    fn settle(self: Box<Self>, how: Result<(), Error>) {
        let Self { done, reply, .. } = *self;
        let answer = how.and_then(|()| done.ok_or_else(stopped));
        // The caller may have stopped waiting; the writes stay.
        drop(reply.send(answer));
    }
}

/// The moves of a job that advances no head.
fn stays<T>(_: &T) -> u64 {
    0
}

fn stopped() -> Error {
    Error::Unavailable("its writer has stopped".into())
}

impl Writer {
    /// Starts the thread with its own connection.
    pub(crate) fn start(path: &Path, db: Connection, health: Arc<Health>, marker: Marker) -> Result<Self, Error> {
        let (jobs, waiting) = mpsc::channel(WAITING);
        let mut writing = Writing { db, path: path.into(), waiting, health, marker };
        let thread = std::thread::Builder::new()
            .name("journal-writer".into())
            .spawn(move || writing.write())
            .map_err(|cause| Error::Unavailable(format!("can't start a thread to write it: {cause}")))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Runs `work` in the next group's transaction; returns once that is committed. `work` may run twice if the first
    /// run was rolled back; if it refuses, it must not have written anything.
    ///
    /// # Errors
    /// If the work failed, or the outcome of its transaction is unknown.
    pub(crate) async fn submit<T: Send + 'static>(
        &self,
        durable: Durable,
        weight: usize,
        work: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.perform(durable, weight, stays, work).await
    }

    /// Runs `work` that advances a shard's head by `moves`; it is durable once this returns.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub(crate) async fn advance<T: Send + 'static>(
        &self,
        weight: usize,
        moves: impl Fn(&T) -> u64 + Send + 'static,
        work: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.perform(Durable::AtOnce, weight, moves, work).await
    }

    async fn perform<T: Send + 'static>(
        &self,
        durable: Durable,
        weight: usize,
        moves: impl Fn(&T) -> u64 + Send + 'static,
        work: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Task { durable, weight, work, moves, done: None, reply });
        self.jobs.as_ref().ok_or_else(stopped)?.send(job).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Writer {
    /// Attempts an empty write so that the [`Health`] can recover: without other writers it never would. Returns at
    /// once; does nothing while other jobs wait, as their transactions show the same.
    pub(crate) fn try_again(&self) {
        let Some(jobs) = self.jobs.as_ref().filter(|jobs| jobs.capacity() == jobs.max_capacity()) else { return };
        let work = |db: &Connection| {
            let version: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            db.execute_batch(&format!("PRAGMA user_version = {version}"))
        };
        let (reply, _) = oneshot::channel();
        drop(jobs.try_send(Box::new(Task {
            durable: Durable::AtOnce,
            weight: 0,
            work,
            moves: stays,
            done: None,
            reply,
        })));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

/// The thread's state.
struct Writing {
    db: Connection,
    path: PathBuf,
    waiting: mpsc::Receiver<Box<dyn Job>>,
    health: Arc<Health>,
    marker: Marker,
}

/// The step at which a transaction failed.
enum Failed {
    /// In a job: nothing was written, and another job of the group may be the cause.
    Job(rusqlite::Error),
    /// While beginning or committing.
    Transaction(&'static str, rusqlite::Error),
}

impl Writing {
    fn write(&mut self) {
        loop {
            let Some(first) = (match self.waiting.try_recv() {
                Ok(job) => Some(job),
                Err(TryRecvError::Empty) if give_back(&self.db) => continue,
                Err(_) => self.waiting.blocking_recv(),
            }) else {
                return self.save();
            };
            let mut weight = first.weight();
            let mut group = vec![first];
            while group.len() < GROUP && weight < GROUP_BYTES {
                let Ok(job) = self.waiting.try_recv() else { break };
                weight += job.weight();
                group.push(job);
            }
            self.commit(group);
        }
    }

    /// Commits a group; if a job fails, each job gets its own transaction, so that none fails because of another.
    fn commit(&mut self, mut group: Vec<Box<dyn Job>>) {
        // SQLite would continue to write to a file that no path names any more; such writes would be lost.
        if let Some(why) = self.health.replaced() {
            return self.settle(group, &Err(Error::Unavailable(why)));
        }
        let how = match self.transact(&mut group) {
            Ok(()) => self.health.replaced().map_or(Ok(()), |why| Err(Error::Unavailable(why))),
            Err(failed) => {
                if !self.db.is_autocommit()
                    && let Err(cause) = self.db.execute_batch("ROLLBACK")
                {
                    tracing::error!(%cause, "the journal's transaction can't be rolled back");
                }
                match failed {
                    Failed::Job(_) if group.len() > 1 => {
                        for job in group {
                            self.commit(vec![job]);
                        }
                        return;
                    }
                    Failed::Job(cause) => Err(failure::of(&self.path, "can't be written", &cause)),
                    Failed::Transaction(what, cause) => Err(failure::of(&self.path, what, &cause)),
                }
            }
        };
        self.settle(group, &how);
    }

    fn settle(&mut self, group: Vec<Box<dyn Job>>, how: &Result<(), Error>) {
        if how.is_ok() {
            self.marker.add(group.iter().map(|job| job.moves()).sum());
        }
        self.health.note(how);
        for job in group {
            job.settle(how.clone());
        }
    }

    /// Saves the database beside its old path after the file was removed under the node: only this process can still
    /// read it.
    fn save(&self) {
        if self.health.replaced().is_none() {
            return;
        }
        let saved = health::saved(&self.path);
        match self.db.execute("VACUUM INTO ?1", [saved.to_string_lossy()]) {
            Ok(_) => tracing::error!(
                "the journal {} was removed or replaced while the node ran; its content is saved as {}: move that to the old path, without \
                 {}-wal and {}-shm beside it, and start the node again",
                self.path.display(),
                saved.display(),
                self.path.display(),
                self.path.display()
            ),
            Err(cause) => {
                tracing::error!(%cause, "the journal {} was removed or replaced while the node ran, and can't be saved as {}", self.path.display(), saved.display())
            }
        }
    }

    fn transact(&self, group: &mut [Box<dyn Job>]) -> Result<(), Failed> {
        let failed = |cause| Failed::Transaction("can't be written", cause);
        // Not prepared beforehand: the pragma takes effect when it is compiled.
        let synchronous = match group.iter().any(|job| job.durable() == Durable::AtOnce) {
            true => "PRAGMA synchronous=FULL",
            false => "PRAGMA synchronous=NORMAL",
        };
        self.db.execute_batch(synchronous).map_err(failed)?;
        self.begin().map_err(failed)?;
        for job in group {
            job.run(&self.db).map_err(Failed::Job)?;
        }
        self.step("COMMIT").map_err(|cause| Failed::Transaction("may or may not have been written", cause))
    }

    /// Begins a transaction. Waits for a process that has the file locked: it may be frozen, and nobody can break its
    /// lock. Nothing is in doubt meanwhile, because nothing was written yet.
    fn begin(&self) -> rusqlite::Result<()> {
        let mut said = String::new();
        loop {
            match self.step("BEGIN IMMEDIATE") {
                Err(cause) if failure::is_locked(&cause) && !self.waiting.is_closed() => {
                    self.health.locked();
                    let holder = failure::locked(&self.path);
                    if holder != said {
                        tracing::warn!("the journal {holder}; nothing can be written until the lock is released");
                        said = holder;
                    }
                }
                begun => return begun,
            }
        }
    }

    fn step(&self, sql: &str) -> rusqlite::Result<()> {
        self.db.prepare_cached(sql)?.execute([]).map(drop)
    }
}

/// Returns some free pages to the file system while no job waits; true if there may be more.
fn give_back(db: &Connection) -> bool {
    let free = || db.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0));
    let given = free().and_then(|before| {
        if before <= VACUUM_PAGES {
            return Ok(false);
        }
        vacuum(db)?;
        Ok(free()? < before)
    });
    given.unwrap_or_else(|cause| {
        tracing::warn!(%cause, "the journal can't return free space");
        false
    })
}

fn vacuum(db: &Connection) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    // Each step frees one page.
    let mut pages = statement.query([])?;
    while pages.next()?.is_some() {}
    Ok(())
}
