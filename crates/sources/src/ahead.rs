//! Blocking work off the runtime, one step ahead of who reads its results.
use async_trait::async_trait;
use dataflow_sdk::{
    Error, Records,
    batch::Notice,
    source::{Read, Reader},
};
use std::time::Duration;
use tokio::task::JoinHandle;

/// What one step of work came to.
#[derive(Debug)]
pub(crate) enum Step {
    /// Records, or an interval without any.
    Records(Box<Records>),
    /// Nothing now; maybe after this long.
    Idle(Duration),
    /// Nothing any more.
    End,
}

/// Blocking work in steps. It lives on a blocking thread while it works and with its reader in between.
pub(crate) trait Work: Send + 'static {
    /// Works until there are records, or there are none now.
    fn step(&mut self) -> Result<Step, Error>;
    /// What waits at the source behind the last step.
    fn lag(&self) -> Option<u64>;
    /// What a user should know of the last step.
    fn warnings(&mut self) -> Vec<Notice> {
        Vec::new()
    }
}

/// A reader that has the next step done while the last one's records are taken care of.
#[derive(Debug)]
pub(crate) struct Ahead<W> {
    state: State<W>,
    lag: Option<u64>,
    warnings: Vec<Notice>,
}

#[derive(Debug)]
enum State<W> {
    Resting(W),
    Working(JoinHandle<(W, Result<Step, Error>)>),
    /// The work panicked.
    Gone,
}

impl<W: Work> Ahead<W> {
    /// A reader over `work`.
    pub(crate) fn new(work: W) -> Self {
        Self { lag: work.lag(), state: State::Resting(work), warnings: Vec::new() }
    }

    fn start(&mut self) {
        self.state = match std::mem::replace(&mut self.state, State::Gone) {
            State::Resting(mut work) => State::Working(tokio::task::spawn_blocking(move || {
                let step = work.step();
                (work, step)
            })),
            other => other,
        };
    }

    /// Cancel-safe: the step goes on, and the next call has its result.
    async fn step(&mut self) -> Result<Step, Error> {
        self.start();
        let State::Working(task) = &mut self.state else {
            return Err(Error::fatal("internal", "the reader has failed before"));
        };
        let done = task.await;
        self.state = State::Gone;
        let (mut work, step) = done.map_err(|panic| Error::fatal("internal", format!("the reader failed: {panic}")))?;
        self.lag = work.lag();
        self.warnings.extend(work.warnings());
        self.state = State::Resting(work);
        step
    }
}

#[async_trait]
impl<W: Work> Reader for Ahead<W> {
    async fn read(&mut self) -> Result<Read, Error> {
        loop {
            match self.step().await? {
                Step::Records(records) => {
                    self.start();
                    return Ok(Read::Records(*records));
                }
                Step::End => return Ok(Read::End),
                Step::Idle(pause) => tokio::time::sleep(pause).await,
            }
        }
    }

    fn lag(&self) -> Option<u64> {
        self.lag
    }

    fn warnings(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.warnings)
    }

    /// Waits for the step that is under way, which has files open.
    async fn close(self: Box<Self>) {
        if let State::Working(task) = self.state {
            drop(task.await);
        }
    }
}

/// The reader of a lane that has no partition.
#[derive(Debug)]
pub(crate) struct Nothing {
    /// Whether the source ends at all.
    pub(crate) bounded: bool,
}

#[async_trait]
impl Reader for Nothing {
    async fn read(&mut self) -> Result<Read, Error> {
        match self.bounded {
            true => Ok(Read::End),
            false => std::future::pending().await,
        }
    }

    fn warnings(&mut self) -> Vec<Notice> {
        Vec::new()
    }

    async fn close(self: Box<Self>) {}
}
