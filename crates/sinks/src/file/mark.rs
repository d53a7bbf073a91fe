//! What a file itself says of its writer, in an extended attribute: whose output it is, how much of it a journal has
//! counted, and how much of it was this program's when the writer let go. By that a journal that is older than the file is
//! noticed, as are lines of others. A file system without such attributes keeps none: then the journal alone tells.
use crate::owner::Owner;
use dataflow_core::{
    branch::BranchId,
    id::{Epoch, Generation},
    ledger::Counters,
    position::Positions,
    token::Fence,
};
use dataflow_sdk::sink::OpenLane;
use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
use serde::{Deserialize, Serialize};
use std::fs::File;

const NAME: &str = "user.dataflow";
/// The longest that Linux allows.
const LONGEST: usize = 64 << 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mark {
    pub(super) branch: BranchId,
    #[serde(flatten)]
    pub(super) owner: Owner,
    pub(super) generation: Generation,
    /// The rank of its last opening: an owner of before must neither cut nor write.
    pub(super) epoch: Epoch,
    pub(super) opening: u64,
    /// The file's length when the generation began.
    pub(super) base: u64,
    /// Where it began; none if that does not fit into an attribute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) begin: Option<Positions>,
    /// Bytes that a journal is known to count.
    pub(super) counted: u64,
    /// What that journal's ledger counted then, over all generations.
    #[serde(default)]
    pub(super) ledger: Counters,
    /// Bytes that were there when its writer let go of it. None: it is being written to, or the writer was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) left: Option<u64>,
}

impl Mark {
    /// The mark of who opens a file that has another one now.
    pub(super) fn new(lane: &OpenLane, before: Option<Self>, base: u64, counted: u64) -> Self {
        let same = before.filter(|mark| mark.is_of(&lane.fence) && mark.generation == lane.fence.generation);
        let mut ledger = lane.counted;
        ledger.add(&lane.journalled.as_ref().map(|known| known.counters).unwrap_or_default());
        Self {
            branch: lane.fence.branch.clone(),
            owner: Owner::of(lane),
            generation: lane.fence.generation,
            epoch: lane.fence.epoch,
            opening: lane.fence.opening,
            base,
            begin: same.map_or_else(|| Some(lane.begin.clone()), |mark| mark.begin),
            counted,
            ledger,
            left: None,
        }
    }

    /// Whether the branch that opens the file is the one that wrote to it last.
    pub(super) fn is_of(&self, fence: &Fence) -> bool {
        (&self.branch, &self.owner.incarnation) == (&fence.branch, &fence.incarnation)
    }

    /// Whether a journal has counted more of the file than the `counted` bytes of the one that opens.
    pub(super) fn is_ahead(&self, lane: &OpenLane, counted: u64) -> bool {
        self.counted > counted || self.is_unknown(lane)
    }

    /// Whether the journal that opens has never started the generation that wrote to the file last.
    pub(super) fn is_unknown(&self, lane: &OpenLane) -> bool {
        self.generation != lane.fence.generation && !lane.known.contains(&self.generation)
    }

    /// Whether a later owner has opened the file since the one that opens. A generation that the journal knows of by a user's
    /// choice is over.
    pub(super) fn fences(&self, lane: &OpenLane) -> bool {
        let of_journal = self.branch == lane.fence.branch && self.owner == Owner::of(lane);
        let goes_on = self.generation == lane.fence.generation || self.is_unknown(lane);
        of_journal && goes_on && (self.epoch, self.opening) > lane.fence.rank()
    }

    pub(super) fn read(file: &File) -> Option<Self> {
        let mut bytes = vec![0; LONGEST];
        let length = fgetxattr(file, NAME, &mut bytes).ok()?;
        serde_json::from_slice(bytes.get(..length)?).ok()
    }

    /// Writes it, without where the generation began if it is too long with that. Fails where the file system has no such
    /// attributes.
    pub(super) fn write(&mut self, file: &File) -> Result<(), String> {
        let json = serde_json::to_vec(self).map_err(|error| error.to_string())?;
        match fsetxattr(file, NAME, &json, XattrFlags::empty()) {
            Err(_) if self.begin.take().is_some() => self.write(file),
            written => written.map_err(|error| error.to_string()),
        }
    }

    /// Writes it again. Who opened the file was told if that can't be done.
    pub(super) fn renew(&mut self, file: &File) {
        if let Err(error) = self.write(file) {
            tracing::debug!(error, "the file can't keep a mark of its writer");
        }
    }
}
