//! The reading threads, each with its own connection.
use crate::failure;
use dataflow_journal::Error;
use rusqlite::Connection;
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};
use tokio::sync::{mpsc, oneshot};

/// The number of threads.
pub(crate) const THREADS: usize = 2;

/// The most queries that wait in the queue; a caller with one more waits itself.
const WAITING: usize = 1_024;

type Question = Box<dyn FnOnce(&mut Connection) + Send>;

/// The handle to the reading threads.
pub(crate) struct Readers {
    path: PathBuf,
    questions: Option<mpsc::Sender<Question>>,
    threads: Vec<JoinHandle<()>>,
}

fn stopped() -> Error {
    Error::Unavailable("its readers have stopped".into())
}

impl Readers {
    /// Starts one thread for each connection.
    pub(crate) fn start(path: &Path, connections: Vec<Connection>) -> Result<Self, Error> {
        let (questions, waiting) = mpsc::channel::<Question>(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        let mut readers = Self { path: path.into(), questions: Some(questions), threads: Vec::new() };
        for mut db in connections {
            let waiting = Arc::clone(&waiting);
            let next = move || waiting.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
            let thread = std::thread::Builder::new()
                .name("journal-reader".into())
                .spawn(move || {
                    while let Some(question) = next() {
                        question(&mut db);
                    }
                })
                .map_err(|cause| Error::Unavailable(format!("can't start a thread to read it: {cause}")))?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Runs one query on a consistent state of the file.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let path = self.path.clone();
        let question: Question = Box::new(move |db| {
            let answer = db.transaction().and_then(|tx| ask(&tx));
            let answer = answer.map_err(|cause| failure::of(&path, "can't be read", &cause));
            // The caller may have stopped waiting.
            drop(reply.send(answer));
        });
        self.questions.as_ref().ok_or_else(stopped)?.send(question).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.questions = None;
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers").field("threads", &self.threads.len()).finish_non_exhaustive()
    }
}
