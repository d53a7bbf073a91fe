//! A reader whose work goes on where it was when nobody waited for it any more.
use super::{JdbcSource, rounds::Rounds, said::Said};
use async_trait::async_trait;
use dataflow_core::position::Position;
use dataflow_sdk::{
    Context, Error,
    batch::Notice,
    source::{Read, Reader},
};
use std::{future::Future, pin::Pin};

type Step = Pin<Box<dyn Future<Output = (Rounds, Result<Read, Error>)> + Send>>;

/// Reads what a source says, from a position on.
pub(super) struct JdbcReader {
    state: State,
    said: Said,
}

enum State {
    Resting(Box<Rounds>),
    Working(Step),
    /// It has failed.
    Gone,
}

impl JdbcReader {
    pub(super) async fn open(source: &JdbcSource, cx: &Context, from: Option<&Position>) -> Result<Self, Error> {
        let said = Said::default();
        let work = Rounds::open(source, cx, from, said.clone()).await?;
        Ok(Self { state: State::Resting(Box::new(work)), said })
    }
}

#[async_trait]
impl Reader for JdbcReader {
    async fn read(&mut self) -> Result<Read, Error> {
        self.state = match std::mem::replace(&mut self.state, State::Gone) {
            State::Resting(mut work) => State::Working(Box::pin(async move {
                let read = work.step().await;
                (*work, read)
            })),
            other => other,
        };
        let State::Working(step) = &mut self.state else {
            return Err(Error::fatal("internal", "the reader has failed before"));
        };
        let (work, read) = step.await;
        self.state = if read.is_ok() { State::Resting(Box::new(work)) } else { State::Gone };
        read
    }

    fn warnings(&mut self) -> Vec<Notice> {
        self.said.take()
    }

    async fn close(self: Box<Self>) {}
}
