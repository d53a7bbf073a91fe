//! The one thread that writes: group commit over all shards.
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

/// Most jobs that wait; who submits one more waits itself.
const WAITING: usize = 4_096;
/// Most jobs in one transaction.
const GROUP: usize = 2_048;
/// Most bytes in one transaction, about.
const GROUP_BYTES: usize = 16 << 20;
/// Free pages (of 4 KiB) above which space is given back to the file system, and how many at once.
const VACUUM_PAGES: i64 = 256;

/// The door to the writing thread.
pub(crate) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

/// When what a job has written is durable. The write-ahead log is one file: to sync it for one transaction makes all
/// before it durable, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    /// Once it has returned.
    AtOnce,
    /// With the next one that is at once.
    Later,
}

/// Something to be done in the transaction of a group.
trait Job: Send {
    /// When it has to be durable.
    fn durable(&self) -> Durable;
    /// Bytes that it writes, about.
    fn weight(&self) -> usize;
    /// How far it has moved heads on.
    fn moves(&self) -> u64;
    /// Does it. Called again if the group had to be rolled back.
    fn run(&mut self, db: &Connection) -> rusqlite::Result<()>;
    /// Answers, once the transaction is over.
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
        // Who asked may have stopped waiting; what was written stays written.
        drop(reply.send(answer));
    }
}

/// The moves of what moves no head.
fn stays<T>(_: &T) -> u64 {
    0
}

fn stopped() -> Error {
    Error::Unavailable("its writer has stopped".into())
}

impl Writer {
    /// Starts the thread on a connection of its own.
    pub(crate) fn start(path: &Path, db: Connection, health: Arc<Health>, marker: Marker) -> Result<Self, Error> {
        let (jobs, waiting) = mpsc::channel(WAITING);
        let mut writing = Writing { db, path: path.into(), waiting, health, marker };
        let thread = std::thread::Builder::new()
            .name("journal-writer".into())
            .spawn(move || writing.write())
            .map_err(|cause| Error::Unavailable(format!("no thread to write it: {cause}")))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Does `work` in the next group's transaction; returns once that is committed. `work` may run twice, the first time
    /// having been rolled back; if it refuses, it must not have written anything.
    ///
    /// # Errors
    /// If it failed, or the outcome of its transaction is not known.
    pub(crate) async fn submit<T: Send + 'static>(
        &self,
        durable: Durable,
        weight: usize,
        work: impl FnMut(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        self.perform(durable, weight, stays, work).await
    }

    /// Does `work` that moves a shard's head on by so many `moves`; it is durable once this returns.
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
    /// Tries to write what changes nothing, for the sake of the [`Health`]: where nobody else writes, it would never get
    /// better. Returns at once; nothing is done while others wait, whose transactions tell as much.
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

/// What the thread has.
struct Writing {
    db: Connection,
    path: PathBuf,
    waiting: mpsc::Receiver<Box<dyn Job>>,
    health: Arc<Health>,
    marker: Marker,
}

/// Where a transaction failed.
enum Failed {
    /// At a job: nothing was written, and another job may be to blame.
    Job(rusqlite::Error),
    /// Around them.
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

    /// Commits a group; if a job fails, each gets a transaction of its own, so that none suffers for another.
    fn commit(&mut self, mut group: Vec<Box<dyn Job>>) {
        // SQLite would go on writing to a file that nobody finds any more: what is not found again is not written.
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

    /// Where the file was removed under the node, only this process can still read it: it is written beside its old place.
    fn save(&self) {
        if self.health.replaced().is_none() {
            return;
        }
        let saved = health::saved(&self.path);
        match self.db.execute("VACUUM INTO ?1", [saved.to_string_lossy()]) {
            Ok(_) => tracing::error!(
                "the journal {} was removed or replaced while the node ran; what it held is in {}: move it to the old place, without \
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
        // Not prepared beforehand: it takes effect when it is compiled.
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

    /// Begins a transaction. A process that has the file locked is waited for: it may be frozen, and then nobody can take
    /// the lock from it. Nothing was written yet, so nothing is in doubt meanwhile.
    fn begin(&self) -> rusqlite::Result<()> {
        let mut said = String::new();
        loop {
            match self.step("BEGIN IMMEDIATE") {
                Err(cause) if failure::is_locked(&cause) && !self.waiting.is_closed() => {
                    self.health.locked();
                    let holder = failure::locked(&self.path);
                    if holder != said {
                        tracing::warn!("the journal {holder}; nothing can be written before it lets go");
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

/// Gives some free pages back to the file system, while nobody waits; true if there may be more.
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
        tracing::warn!(%cause, "the journal can't give free space back");
        false
    })
}

fn vacuum(db: &Connection) -> rusqlite::Result<()> {
    let mut statement = db.prepare_cached(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    // A step frees one page.
    let mut pages = statement.query([])?;
    while pages.next()?.is_some() {}
    Ok(())
}
