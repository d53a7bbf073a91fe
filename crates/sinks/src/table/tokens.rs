//! Tokens as a table holds them: one row per pipeline, incarnation, generation and lane.
use dataflow_core::token::{Fence, Token};
use dataflow_sdk::Error;

/// Name of the table, beside the target.
pub const TABLE: &str = "dataflow_tokens";

/// The parts of a token that are stored as JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Positions of the source's partitions.
    pub positions: String,
    /// Cumulative counts.
    pub counters: String,
    /// Chunks named since the last checkpoint.
    pub chunks: String,
}

impl Stored {
    /// A token's parts.
    ///
    /// # Errors
    /// If they can't be written as JSON.
    pub fn from_token(token: &Token) -> Result<Self, Error> {
        let failed = |error| Error::fatal("internal", format!("a token can't be written: {error}"));
        Ok(Self {
            positions: serde_json::to_string(&token.positions).map_err(failed)?,
            counters: serde_json::to_string(&token.counters).map_err(failed)?,
            chunks: serde_json::to_string(&token.chunks).map_err(failed)?,
        })
    }

    /// The token that a row holds; none if nothing was committed yet.
    ///
    /// # Errors
    /// If the row holds something else.
    pub fn to_token(&self, fence: Fence, sequence: u64) -> Result<Option<Token>, Error> {
        if sequence == 0 {
            return Ok(None);
        }
        let failed = |error| {
            let message = format!(
                "the row of pipeline {}, lane {} in {TABLE} can't be read: {error}",
                fence.pipeline, fence.lane
            );
            Error::fatal("token-unreadable", message)
                .fix("restore the row, or reset the checkpoint of the pipeline")
                .for_user()
        };
        Ok(Some(Token {
            sequence,
            positions: serde_json::from_str(&self.positions).map_err(failed)?,
            counters: serde_json::from_str(&self.counters).map_err(failed)?,
            chunks: serde_json::from_str(&self.chunks).map_err(failed)?,
            fence,
        }))
    }
}

/// What is said to a writer that somebody newer has pushed out.
pub fn fenced(fence: &Fence, holder: Option<(u64, u64)>) -> Error {
    let who = format!(
        "pipeline {} (generation {}, lane {}, epoch {})",
        fence.pipeline, fence.generation, fence.lane, fence.epoch
    );
    Error::Fenced(match holder {
        Some((epoch, sequence)) => format!("{TABLE} has epoch {epoch} and commit {sequence} for {who}"),
        None => format!("{TABLE} has no row any more for {who}"),
    })
}
