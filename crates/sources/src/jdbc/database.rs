//! What each database offers to this source.
use super::{
    JdbcSource,
    part::Part,
    position::{Key, Place},
    said::Said,
    shape::Shape,
};
use async_trait::async_trait;
use dataflow_core::position::Position;
use dataflow_sdk::{Context, Error, Problem};
use std::sync::Arc;

/// A database, as a URL names it.
#[async_trait]
pub(super) trait Database: Send + Sync {
    /// What is wrong with the URL, and with what is said beside it. Never touches the network or the file.
    fn check(&self, source: &JdbcSource) -> Vec<Problem>;

    /// What sinks call a table of this name, to notice one that is read and written.
    fn spellings(&self, table: &str) -> Vec<String>;

    /// A session for reading. Whether rows could be missed is looked at for `purpose`s that go on for ever.
    ///
    /// # Errors
    /// If it can't be reached, or what is to be read is not there or can't be read safely.
    async fn connect(&self, source: &JdbcSource, cx: &Context, purpose: Purpose) -> Result<Box<dyn Session>, Error>;
}

/// What is wanted of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To read what comes, so that nothing is missed.
    Follow,
    /// To look at what is there.
    Look,
}

/// A session that reads rows in rounds: [`begin`](Self::begin), then [`fill`](Self::fill) until the last row of the round.
#[async_trait]
pub(super) trait Session: Send {
    /// What is read, as it is now.
    fn shape(&self) -> &Arc<Shape>;

    /// Why reading can't go on from a position of before: what was read then is not what is there now. Asked once, at opening.
    async fn lost(&mut self, from: &Position, place: &Place) -> Result<Option<String>, Error>;

    /// Begins a round after a key. With `everything`, it has all rows that are there; without, only those before which none can come any
    /// more, for which it may wait. Whether there may be rows.
    async fn begin(&mut self, after: &Place, everything: bool, said: &Said) -> Result<bool, Error>;

    /// Adds the next rows of the round to a part, at most as many as it [asks](Part::asked) for. Whether these are the last.
    async fn fill(&mut self, part: Part) -> Result<(Part, bool), Error>;

    /// The highest key of all rows.
    async fn highest(&mut self) -> Result<Option<Key>, Error>;

    /// How many rows do not come after a key; none: the columns have no such values.
    async fn count(&mut self, key: &Key) -> Result<Option<u64>, Error>;
}
