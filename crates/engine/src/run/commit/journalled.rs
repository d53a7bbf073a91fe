//! What a lane's commit stage tells the checkpointer, and what it does once that is in the journal.
use super::Committer;
use crate::run::{checkpoint::Durable, failure::Failure, patience::wait_for};
use dataflow_core::{position::Positions, token::Token, warned::Warnings};
use dataflow_sdk::sink::{DeliveryMode, Seal, Sealed};
use std::{sync::Arc, time::Duration};
use tokio::{sync::watch, time::Instant};

/// How far the journal may fall behind before commits wait for it.
const MAX_BEHIND: Duration = Duration::from_secs(30);
const MAX_CHUNKS: usize = 1_000;

impl Committer {
    pub(super) fn is_behind(&self) -> bool {
        self.journalled < self.token.sequence && (self.behind_since.elapsed() > MAX_BEHIND || self.has_many_chunks())
    }

    pub(super) fn has_many_chunks(&self) -> bool {
        self.token.chunks.len() >= MAX_CHUNKS
    }

    /// What the journal may say that it does not know yet; of a staged sink, what that seals. None: nothing.
    pub(super) async fn seal(&mut self, how_much: Seal) -> Result<Option<Durable>, Failure> {
        if self.journalled == self.token.sequence && self.token.warnings.is_empty() {
            return Ok(None);
        }
        if self.delivery != DeliveryMode::Staged {
            return Ok(Some(Durable { token: self.token.clone(), handle: None }));
        }
        let sealing = self.writer.seal(how_much);
        let sealed = wait_for("sink", "making its rows durable", &self.live, &*self.clock, sealing).await;
        match sealed.map_err(|error| Failure::of("sink", error))? {
            Sealed::Handle(handle) => Ok(Some(Durable { token: self.token.clone(), handle: Some(handle) })),
            Sealed::NotYet if how_much == Seal::All => Err(Failure::decide(
                "not-sealed",
                "sink",
                "the sink did not make everything durable that it had accepted".into(),
                "this is a bug in the sink; nothing was lost: the checkpoint is unchanged",
            )),
            Sealed::NotYet => {
                // The journal knows all that it could, and is asked again at the next checkpoint.
                self.behind_since = Instant::now();
                self.checkpoints.moved();
                Ok(None)
            }
        }
    }

    /// What a staged sink has for good of the commits before one that failed.
    pub(super) async fn salvage(&mut self) -> Option<Durable> {
        if self.delivery != DeliveryMode::Staged || self.journalled == self.token.sequence {
            return None;
        }
        let handle = self.writer.salvage().await?;
        Some(Durable { token: self.token.clone(), handle: Some(handle) })
    }

    /// This much is in the journal. Returns what it is to say of the same next: that it is published.
    pub(super) async fn journalled(
        &mut self,
        durable: &Durable,
        checkpointed: &watch::Sender<Arc<Positions>>,
    ) -> Result<Option<Arc<Durable>>, Failure> {
        let Durable { token, handle } = durable;
        let mut published = None;
        if let Some(handle) = handle {
            let publishing = self.writer.publish(handle, token);
            let shown = wait_for("sink", "showing its rows", &self.live, &*self.clock, publishing).await;
            published = shown.map_err(|error| Failure::of("sink", error))?;
        }
        (self.journalled, self.behind_since) = (token.sequence, Instant::now());
        if !token.chunks.is_empty() || !token.warnings.is_empty() {
            let own = Arc::make_mut(&mut self.token);
            own.chunks.retain(|chunk| !token.chunks.iter().any(|counted| counted.id == chunk.id));
            own.warnings.without(&token.warnings);
        }
        if self.delivery == DeliveryMode::Staged {
            self.live.committed(token, self.clock.now());
        }
        checkpointed.send_replace(token.positions.clone());
        let said = || Token { chunks: Vec::new(), warnings: Warnings::default(), ..Token::clone(token) };
        Ok(published.map(|handle| Arc::new(Durable { token: Arc::new(said()), handle: Some(handle) })))
    }
}
