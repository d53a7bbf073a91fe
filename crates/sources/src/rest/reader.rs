//! The reader: a walk that goes on whoever waits for it.
use super::walk::{Notices, Walk};
use async_trait::async_trait;
use dataflow_sdk::{
    Error,
    batch::Notice,
    source::{Read, Reader},
};
use futures::future::BoxFuture;
use std::sync::{Mutex, PoisonError};

/// A step that is under way, and then the walk again.
type Step = BoxFuture<'static, (Walk, Result<Read, Error>)>;

pub(super) struct RestReader {
    /// The walk between two steps.
    walk: Option<Walk>,
    /// The step under way: whoever stops waiting for it does not end it, nor the request that it waits for. It is only polled by `read`;
    /// the mutex is there so that the reader can be shared between threads.
    step: Mutex<Option<Step>>,
    notices: Notices,
}

impl RestReader {
    pub(super) fn new(walk: Walk, notices: Notices) -> Self {
        Self { walk: Some(walk), step: Mutex::new(None), notices }
    }
}

#[async_trait]
impl Reader for RestReader {
    async fn read(&mut self) -> Result<Read, Error> {
        let step = self.step.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut walk) = self.walk.take() {
            *step = Some(Box::pin(async move {
                let read = walk.step().await;
                (walk, read)
            }));
        }
        let Some(running) = step else { return Err(Error::fatal("internal", "the reader has failed before")) };
        let (walk, read) = running.await;
        *step = None;
        self.walk = Some(walk);
        read
    }

    fn warnings(&mut self) -> Vec<Notice> {
        std::mem::take(&mut *self.notices.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn close(self: Box<Self>) {}
}
