//! A target that lacks what the journal counts as published there: an older copy of it, another place, or one that an older journal
//! has followed since.
use super::{
    handle::Handle,
    line::Left,
    record::{Begin, Record, settable},
};
use dataflow_sdk::{Error, sink::OpenLane};

/// How to go on without what is missing.
const GO_ON: &str = "to go on without it, set the checkpoint to \"journal\": what is missing is then in no object, though it counts as \
                     delivered; or write all of it again, by \"beginning\", to a place where nothing of it is";

impl Record {
    /// Whether what this says is no less than what the handle of the lane's generation knows of it.
    pub(super) fn has_all_of(&self, handle: &Handle, lane: &OpenLane, place: &str) -> Result<(), Error> {
        let same = self.generation == lane.fence.generation;
        if same && let Some(fork) = handle.line.left_by(&self.line, handle.sequence) {
            return Err(forked(fork, handle, lane, place));
        }
        let counted = if same { self.counted } else { 0 };
        if counted >= handle.counted || !same && !lane.known.contains(&self.generation) {
            return Ok(());
        }
        let message = format!(
            "the target has counted objects of lane {} up to commit {counted} ({place}), the journal up to {}. The target may be an older copy, or \
             an older journal of this pipeline was started since and has written to it",
            lane.fence.lane, handle.counted,
        );
        Err(Error::contradicts("token-behind", message, format!("bring back the newer target; or, {GO_ON}")))
    }
}

/// There is nothing at all of what the journal counts.
pub(super) fn missing(handle: &Handle, lane: &OpenLane, place: &str) -> Error {
    let message = format!(
        "the journal has counted objects of lane {} up to commit {}, but neither they nor its record ({place}) are there. The target may have \
         been emptied, recreated or moved",
        lane.fence.lane, handle.counted,
    );
    Error::contradicts("token-missing", message, format!("bring back the former target; or, {GO_ON}"))
}

/// An older journal was restored and has gone on, and now this one is back: what comes after the fork is not what this one counts.
fn forked(fork: &Left, handle: &Handle, lane: &OpenLane, place: &str) -> Error {
    let message = format!(
        "the target has followed another journal of this pipeline: it goes on after commit {} of lane {} ({place}), up to which both are the \
         same; this journal is at commit {}, and its later objects may have been removed. An older backup was restored, and has written since",
        fork.commit, lane.fence.lane, handle.sequence,
    );
    let at = settable(&lane.begin, &fork.at);
    // Where other lanes have left their lines, this one does not know.
    let again = match lane.lanes {
        1 => format!(
            "or have what comes after it written again, once: remove all objects whose names begin with {}, also those that readers have taken \
             elsewhere, and set the checkpoint to {at} (--force)",
            Begin::after(&handle.series, lane.fence.lane, fork.commit).shown(),
        ),
        _ => "or write all of it again, by \"beginning\", to a place where nothing of it is".into(),
    };
    let fix = format!("bring back the data folder that was started last; {again}");
    Error::contradicts("journal-forked", message, fix)
}
