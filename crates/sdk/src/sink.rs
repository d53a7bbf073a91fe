//! Sinks: where records go.
use crate::{
    Context, Error,
    audit::{Audit, Audited},
    batch::{Column, Demand, Output},
};
use async_trait::async_trait;
use dataflow_core::{
    branch::BranchId,
    id::{Generation, Incarnation},
    ledger::Counters,
    level::WriteLevel,
    pipeline::event::LaneProgress,
    position::Positions,
    token::{Fence, Token},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// The guarantee of a sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryMode {
    /// Data and token become durable in one transaction: exactly once.
    Transactional,
    /// A deterministic key and a version that only rises ([`Token::version`]): replaying converges, exactly once in effect.
    Keyed,
    /// Output counts only once published under a handle in the journal: exactly once.
    Staged,
    /// At least once after a crash.
    Unfenced,
}

/// A checked sink, ready to be opened. Holds no connection.
#[async_trait]
pub trait Sink: Send + Sync + std::fmt::Debug {
    /// Opens a writer for one lane. **Fences first**: once this returns, nothing that an older epoch still sends can
    /// take effect. Then reads the token. The last writer of the lane is dropped before.
    ///
    /// # Errors
    /// [`Error::Fenced`] if a newer epoch holds the sink.
    async fn open(&self, cx: &Context, lane: OpenLane) -> Result<Opened, Error>;

    /// The token of this lane as the sink has it now, without fencing anyone; for `dataflow verify`.
    ///
    /// # Errors
    /// If the server can't be asked.
    async fn token(&self, cx: &Context, fence: &Fence) -> Result<Option<Token>, Error> {
        let _ = (cx, fence);
        Ok(None)
    }

    /// How many of the rows that the pipeline has written to the target, by lanes and generations that it
    /// [has to hold](OpenLane::earlier), it holds no longer, as far as can be told from the last handle. None: that
    /// can't be told. Asked where opening it says that it is not as it was left, and a user goes on after what is there.
    ///
    /// # Errors
    /// If the handle can't be read.
    async fn missing(&self, cx: &Context, handle: &serde_json::Value, rows: u64) -> Result<Option<u64>, Error> {
        let _ = (cx, handle, rows);
        Ok(None)
    }

    /// Whether its settings have it know a record that is written again, so that it is not doubled. `handle` is
    /// [what it said last](Opened::handle). Of keyed and unfenced sinks that is [known](crate::catalog::BuiltSink::recognizes).
    fn recognizes(&self, handle: Option<&serde_json::Value>) -> bool {
        let _ = handle;
        false
    }

    /// Whether its target, however it is spelled or called by now, is the very one that a pipeline has written to, as
    /// `traces` say.
    ///
    /// # Errors
    /// If the target can't be asked.
    async fn is_target_of(&self, cx: &Context, traces: &Traces) -> Result<bool, Error> {
        let _ = (cx, traces);
        Ok(false)
    }

    /// Opens the target to compare it with what it should hold, without writing to it or fencing anyone. None: what it
    /// takes can't be read again.
    ///
    /// # Errors
    /// If the target can't be read.
    async fn audit(&self, cx: &Context, audit: Audit) -> Result<Option<Audited>, Error> {
        let _ = (cx, audit);
        Ok(None)
    }
}

/// The traces of a branch at its target.
#[derive(Clone, Debug)]
pub struct Traces {
    /// The branch of a pipeline.
    pub branch: BranchId,
    /// Which pipeline of that id.
    pub incarnation: Incarnation,
    /// The generations that have written there.
    pub generations: Vec<Generation>,
    /// The sink's [last handle](Opened::handle).
    pub handle: Option<serde_json::Value>,
}

/// Whose progress an opening may take over: where a target has that of others for the same pipeline, it is refused otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TakeOver {
    /// Nobody's.
    #[default]
    Nobody,
    /// That of a later incarnation, which an older copy of the journal does not know.
    Later,
    /// That of another journal, too.
    AnotherNode,
}

/// Which lane is opened, and what the journal knows of it.
#[derive(Clone, Debug)]
pub struct OpenLane {
    /// Who opens it.
    pub fence: Fence,
    /// The lanes of its generation: the target may have no others.
    pub lanes: u32,
    /// Whether no run of this pipeline was ever opened before: it may replace what it finds.
    pub first: bool,
    /// The id of its journal: the target keeps it with the progress.
    pub journal: String,
    /// The shapes in which the sink may store progress and handles: every node of the journal reads these.
    pub level: WriteLevel,
    /// Whose progress it may take over. What is taken over is that of a generation to come ([`Opened::others`]), and whoever
    /// wrote it is fenced.
    pub take_over: TakeOver,
    /// The lane's last checkpoint in the journal: its handle tells a staged sink what to cut back to. None: nothing in this generation.
    pub journalled: Option<LaneProgress>,
    /// Whether that is all that the pipeline has written, as far as its journal can tell: its last run was not cut off.
    pub settled: bool,
    /// What the pipeline's ledger counted before this generation: a target may keep it for a journal that is older than it.
    pub counted: Counters,
    /// Where the generation began: the target keeps it with the progress.
    pub begin: Positions,
    /// The generations that the journal knows beside this one: the target may have no other.
    pub known: Vec<Generation>,
    /// Those of the pipeline's other branches, which may have written to the same target.
    pub siblings: Vec<Generation>,
    /// The pipelines of this id that the journal has had before: what they have left at the target is nobody's any more.
    pub ancestors: Vec<Incarnation>,
    /// The handle of the last generation before this one: while nothing of this one is in the journal, the target must be as
    /// that says.
    pub earlier: Option<serde_json::Value>,
    /// The same where a user has decided to go on without what was there: the target need not be as it says, but may be made
    /// anew as it was.
    pub remembered: Option<serde_json::Value>,
    /// The last handles of all lanes of the generation before this one, as far as that wrote here: unless it was settled, there may
    /// be some that were never [published](Writer::publish).
    pub sealed: Vec<serde_json::Value>,
    /// The [known](Self::known) generations whose rows the target must hold: the others wrote elsewhere, or a user has decided to
    /// go on without what they wrote.
    pub left: Vec<Generation>,
    /// Up to which version the lanes of this run may write to a keyed sink, and have begun to.
    pub reserved: Reserved,
    /// What the opening waits for.
    pub waits: Waits,
}

/// What somebody waits for, in words: shown where it takes longer than usual.
#[derive(Clone, Debug, Default)]
pub struct Waits(Arc<Mutex<Option<String>>>);

impl Waits {
    /// Says what is waited for from now on.
    pub fn on(&self, what: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(what);
    }
    /// What is waited for, if that was said.
    pub fn what(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Up to which version the journal has reserved them for the run of a keyed sink, and up to which they were given to commits of
/// its lanes. Both rise while the run goes on. What the target holds with a version that was not given is of somebody else; with
/// one that is not even reserved, of somebody whom this journal does not know.
#[derive(Clone, Debug, Default)]
pub struct Reserved(Arc<Bounds>);

#[derive(Debug, Default)]
struct Bounds {
    given: AtomicU64,
    highest: AtomicU64,
}

impl Reserved {
    /// Up to this version, and all of them were given.
    pub fn up_to(version: u64) -> Self {
        Self(Arc::new(Bounds { given: version.into(), highest: version.into() }))
    }
    /// The highest version that is reserved now.
    pub fn highest(&self) -> u64 {
        self.0.highest.load(Ordering::Acquire)
    }
    /// The highest version that a commit of this run was given so far.
    pub fn given(&self) -> u64 {
        self.0.given.load(Ordering::Acquire)
    }
    /// The journal has reserved more of them.
    pub fn raise(&self, to: u64) {
        self.0.highest.fetch_max(to, Ordering::AcqRel);
    }
    /// Gives the next one to a commit; none: no more are reserved.
    pub fn give(&self) -> Option<u64> {
        let next = |last: u64| (last < self.highest()).then_some(last + 1);
        self.0.given.fetch_update(Ordering::AcqRel, Ordering::Acquire, next).ok().map(|before| before + 1)
    }
}

/// An opened sink.
pub struct Opened {
    /// The writer.
    pub writer: Box<dyn Writer>,
    /// The token found (transactional sinks), of this branch, incarnation, generation and lane. None: none there.
    pub token: Option<Token>,
    /// The tokens of this branch and incarnation that are of other generations than the fence's, in their order, or of
    /// [lanes](OpenLane::lanes) that its own has not. Whoever wrote these, or those that are not [known](OpenLane::known), knew
    /// more than the journal does.
    pub others: Vec<Token>,
    /// Where the generations of these tokens began: a partition that none of them names is still there. And where the fence's own
    /// began, as this lane was first told: an older copy of the journal may not know it any more.
    pub begins: BTreeMap<Generation, Positions>,
    /// The parts of each row that the writer needs.
    pub demand: Demand,
    /// What to know about the target, for the user: columns that nothing fills, …
    pub warnings: Vec<crate::batch::Warning>,
    /// What the sink has to find in [`OpenLane::journalled`] when it is opened again; journalled before the first commit. A staged
    /// sink's handle after the cut, if nothing was journalled before; how a table is written.
    pub handle: Option<serde_json::Value>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("token", &self.token).field("demand", &self.demand).finish_non_exhaustive()
    }
}

/// An open writer of one lane. Calls come one at a time, in order of commits.
#[async_trait]
pub trait Writer: Send {
    /// The columns of the first batch, where the demand was [`Demand::AllColumns`]: makes the target if it is missing,
    /// and returns what is wanted from here on. [Any](dataflow_core::types::Type::Any) type is that of a field that has only been
    /// null so far: a typed column is made for it once it has a value. If that leaves no column, the demand stays
    /// [`Demand::AllColumns`], and rows without columns may come: all that is known of them is null.
    ///
    /// # Errors
    /// If the target can't be made.
    async fn define(&mut self, columns: &[Column]) -> Result<Demand, Error> {
        let _ = columns;
        Err(Error::fatal("internal", "this sink has no columns to define").for_user())
    }

    /// Whether its columns have names and no types: then a field that has only been null so far is one of them, too.
    fn is_untyped(&self) -> bool {
        false
    }

    /// Writes one commit. When this returns, a transactional sink has data and token durably and together; a keyed sink
    /// has the data durably; a staged one has taken it; an unfenced one has written it.
    ///
    /// `outputs` are shared, so that a thread that may block can have them. There may be none (progress without rows: everything
    /// filtered or dead); a transactional sink writes the token all the same. The token is stored [with the rows](Token::with_rows) that this commit writes. A keyed sink writes
    /// a row unless there is one of its key with a greater version than the token's; if that is greater than all that are
    /// [reserved](OpenLane::reserved), another owner has written it, and the commit fails as [fenced](Error::Fenced).
    ///
    /// # Errors
    /// After [`CommitError::Rejected`] the same commit without the records of these rows comes next, with the same version; or
    /// the writer is dropped. It leaves the sink as before the commit, for all who look at it; a sink may keep what it has
    /// written of it in a transaction that is still open. **A keyed sink has no transactions, and may have applied all the
    /// other rows**: the next commit applies them once more, and where a row of a refused record was the last of its key, the
    /// one before it, which takes its place because the version is the same. Only where a record has several rows, and the
    /// sink refuses some of them, the others stay: the record is a dead letter all the same.
    ///
    /// After any other error nothing is known, and the writer is dropped and the sink opened again.
    async fn commit(&mut self, outputs: &Arc<[Output]>, token: &Token) -> Result<Committed, CommitError>;

    /// What to know of the commits since this was asked last, for the user: rows that the target left out, …
    fn warnings(&mut self) -> Vec<crate::batch::Warning> {
        Vec::new()
    }

    /// The commit after a refused one will take a while: lets go of what is kept of it, and of its locks.
    async fn release(&mut self) {}

    /// Staged sinks: makes everything committed so far durable, or says that it is not worth it yet. A sink that rolls late
    /// bounds what it holds open: at its bound it seals.
    ///
    /// # Errors
    /// If it can't be made durable.
    async fn seal(&mut self, how_much: Seal) -> Result<Sealed, Error> {
        let _ = how_much;
        Ok(Sealed::NotYet)
    }

    /// Staged sinks, after a commit that [failed](CommitError::Failed): the handle of what was committed before it, durably, if
    /// the sink can tell that from what the failed commit has left. None: all since the last handle is committed again.
    async fn salvage(&mut self) -> Option<serde_json::Value> {
        None
    }

    /// Staged sinks: the handle is in the journal with the token of the last commit that it covers; what it names may appear.
    /// Idempotent. Returns the handle that takes its place in the journal where that has nothing to publish any more. What was
    /// published is others', who may take it away, also before the journal says so.
    ///
    /// # Errors
    /// If it can't be published; tried again by opening again.
    async fn publish(&mut self, handle: &serde_json::Value, token: &Token) -> Result<Option<serde_json::Value>, Error> {
        let _ = (handle, token);
        Ok(None)
    }

    /// Gives back connections and locks.
    async fn close(self: Box<Self>);
}

/// How much a staged sink is asked to seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// A checkpoint is due: it moves if there is enough to seal.
    Due,
    /// All of it: the lane ends, or can remember no more. [`Sealed::NotYet`] is no answer to this.
    All,
}

/// The result of sealing a staged sink.
#[derive(Clone, Debug, PartialEq)]
pub enum Sealed {
    /// Everything that was committed. The handle goes into the journal; what it names is [published](Writer::publish) then,
    /// and when it is found in [`OpenLane::journalled`]. It names all that is not published, also what an earlier one named: the
    /// journal keeps the last one alone, and may have it before the earlier one is published.
    Handle(serde_json::Value),
    /// Nothing more than before: the checkpoint stays where it is, and whatever was committed since is committed again
    /// should the lane be opened anew.
    NotYet,
}

/// The result of a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Rows inserted, updated or deleted. A sink may write each record of a key, or the last one only.
    pub rows_written: u64,
}

/// Why a commit failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// These rows can't be written, whatever is done; without them the rest can. Only a keyed sink may have
    /// [written something](Writer::commit).
    #[error("{} row(s) rejected", .0.len())]
    Rejected(Vec<RejectedRow>),
    /// Anything else.
    #[error(transparent)]
    Failed(#[from] Error),
}

/// A row that the sink won't take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// Index into `outputs`.
    pub output: usize,
    /// Row of that output.
    pub row: usize,
    /// Why: column, type, value, and what the server said.
    pub cause: String,
}
