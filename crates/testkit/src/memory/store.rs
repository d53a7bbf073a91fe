//! The content of memory sinks.
use super::{
    fault::Fault,
    named::Named,
    row::{self, Row},
    staged::Objects,
};
use dataflow_core::{
    id::{Epoch, Generation},
    level::WriteLevel,
    position::Positions,
    token::{Fence, Token},
};
use dataflow_sdk::{
    batch::{Column, Demand, Output},
    sink::{CommitError, RejectedRow},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(super) static STORES: Named<Store> = Named::new();

/// Returns the store with this name.
pub fn store(name: &str) -> Arc<Store> {
    STORES.get(name)
}

/// Decides whether the sink rejects a record: (id, data) → cause.
pub type Rejects = Arc<dyn Fn(&str, &str) -> Option<String> + Send + Sync>;

/// The content of a memory sink: rows, tokens and fences. Shared by all users of its name.
#[derive(Default)]
pub struct Store {
    inner: Mutex<Inner>,
}

#[derive(Default)]
pub(super) struct Inner {
    pub(super) rows: Vec<Row>,
    pub(super) tokens: BTreeMap<LaneKey, Token>,
    pub(super) begins: BTreeMap<Generation, Positions>,
    pub(super) ranks: BTreeMap<LaneKey, (Epoch, u64)>,
    pub(super) faults: VecDeque<Fault>,
    pub(super) open_faults: VecDeque<Fault>,
    pub(super) lane_faults: BTreeMap<u32, Fault>,
    pub(super) rejects: Option<Rejects>,
    pub(super) demand: Option<Demand>,
    pub(super) defined: Option<Vec<Column>>,
    pub(super) commits: u64,
    pub(super) objects: Objects,
    pub(super) opens: u64,
    pub(super) level: Option<WriteLevel>,
}

/// Pipeline, incarnation, generation, lane.
pub(super) type LaneKey = (String, String, Generation, u32);

pub(super) fn lane_key(fence: &Fence) -> LaneKey {
    (fence.branch.to_string(), fence.incarnation.to_string(), fence.generation, fence.lane)
}

impl Inner {
    /// Returns the fault of the next commit of a lane.
    pub(super) fn fault(&mut self, lane: u32) -> Fault {
        let of_lane = self.lane_faults.get(&lane).filter(|fault| **fault != Fault::None).cloned();
        of_lane.or_else(|| self.faults.pop_front()).unwrap_or_default()
    }

    /// Returns the rows of a commit, unless one of them is rejected.
    pub(super) fn rows_of(&self, outputs: &[Output], token: &Token) -> Result<Vec<Row>, CommitError> {
        let (rows, rejected) = self.judge(outputs, token);
        if rejected.is_empty() { Ok(rows) } else { Err(CommitError::Rejected(rejected)) }
    }

    /// Returns the rows of a commit that are accepted, and those that are not.
    pub(super) fn judge(&self, outputs: &[Output], token: &Token) -> (Vec<Row>, Vec<RejectedRow>) {
        let (mut rows, mut rejected) = (Vec::new(), Vec::new());
        for (index, output) in outputs.iter().enumerate() {
            for (number, record) in output.rows.iter().enumerate() {
                let own = || format!("state/{record}");
                let id = output.records.as_ref().map_or_else(own, |records| records.id(*record as usize));
                let data = row::text(output, number);
                match self.rejects.as_ref().and_then(|rejects| rejects(&id, &data)) {
                    Some(cause) => rejected.push(RejectedRow { output: index, row: number, cause }),
                    None => rows.push(Row {
                        id,
                        data,
                        version: token.version,
                        sequence: token.sequence,
                        lane: token.fence.lane,
                    }),
                }
            }
        }
        (rows, rejected)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let inner = self.lock();
        f.debug_struct("Store").field("rows", &inner.rows.len()).field("tokens", &inner.tokens).finish_non_exhaustive()
    }
}

impl Store {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// The write level of the last opening.
    pub fn level(&self) -> Option<WriteLevel> {
        self.lock().level
    }
    /// All rows, in the order they were written (keyed: in the order of their keys).
    pub fn rows(&self) -> Vec<Row> {
        self.lock().rows.clone()
    }
    /// [`Row::data`] of all rows.
    pub fn data(&self) -> Vec<String> {
        self.lock().rows.iter().map(|row| row.data.clone()).collect()
    }
    /// Counts the rows.
    pub fn len(&self) -> usize {
        self.lock().rows.len()
    }
    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The tokens of all lanes (transactional).
    pub fn tokens(&self) -> Vec<Token> {
        self.lock().tokens.values().cloned().collect()
    }
    /// Forgets all tokens, as if somebody had emptied the token table.
    pub fn forget_tokens(&self) {
        self.lock().tokens.clear();
    }
    /// Loses its whole content, as if somebody had dropped the database.
    pub fn empty(&self) {
        let mut inner = self.lock();
        inner.rows.clear();
        inner.tokens.clear();
        inner.ranks.clear();
        inner.objects = Objects::default();
    }
    /// Replaces a token, as if somebody had restored an old backup.
    pub fn set_token(&self, token: Token) {
        self.lock().tokens.insert(lane_key(&token.fence), token);
    }
    /// Counts its openings.
    pub fn opens(&self) -> u64 {
        self.lock().opens
    }
    /// Counts the applied commits.
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }
    /// Counts the objects and rows that are open or sealed, but not published (staged).
    pub fn unpublished(&self) -> (usize, usize) {
        self.lock().objects.unpublished()
    }
    /// Sets the faults of the next commits.
    pub fn fault_commits(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().faults.extend(faults);
    }
    /// Sets the fault of all commits of a lane from now on; [`Fault::None`]: of none.
    pub fn fault_lane(&self, lane: u32, fault: Fault) {
        self.lock().lane_faults.insert(lane, fault);
    }
    /// Sets the faults of the next openings ([`Fault::FailBefore`], [`Fault::Fatal`], [`Fault::Fenced`],
    /// [`Fault::Hang`]).
    pub fn fault_opens(&self, faults: impl IntoIterator<Item = Fault>) {
        self.lock().open_faults.extend(faults);
    }
    /// Sets which records are rejected from now on.
    pub fn reject(&self, rejects: impl Fn(&str, &str) -> Option<String> + Send + Sync + 'static) {
        self.lock().rejects = Some(Arc::new(rejects));
    }
    /// Stops rejecting records.
    pub fn accept_all(&self) {
        self.lock().rejects = None;
    }
    /// Sets its demand; [`Demand::Documents`] if this is never called.
    pub fn demand(&self, demand: Demand) {
        self.lock().demand = Some(demand);
    }
    /// The columns it was defined with, if all columns were demanded.
    pub fn defined(&self) -> Option<Vec<Column>> {
        self.lock().defined.clone()
    }
}
