//! What a user has to know to choose where to go on with a file that is not as its writer left it: what has to be done about it
//! first, or how many lines are kept, gone and doubled.
use super::{
    FileSink,
    handle::Handle,
    mark::Mark,
    missing::lines_before,
    open::{There, columns},
    whole::whole,
};
use dataflow_core::ledger::Counters;
use dataflow_sdk::{Error, sink::OpenLane};

/// The refusal of a file that is there. What makes it impossible to continue it comes first, whatever is chosen then.
pub(super) fn told(refusal: Error, config: &FileSink, there: &There<'_>, lane: &OpenLane, handle: &Handle) -> Error {
    let Error::Contradicts { code, mut message, mut fix, begins, mut ledger } = refusal else { return refusal };
    let (compression, csv) = (config.compression(), config.csv());
    let usable = whole(there.file, there.path, there.length, compression)
        .and_then(|()| columns(config, there.file, there.length, compression, csv));
    if let Err(error) = usable {
        return error;
    }
    if ledger.is_none() {
        let counted = lines_before(config, handle, handle.length).unwrap_or(0);
        let own = lines_before(config, handle, own(there, lane, handle)).unwrap_or(0);
        let uncounted = own.saturating_sub(counted);
        message += &format!("; it holds {counted} line(s) of those that the journal counts");
        if uncounted > 0 {
            message += &format!(", and {uncounted} line(s) after these that it does not count");
            fix += &format!("; of the {uncounted} line(s), those that are this pipeline's are written again, doubled");
            ledger = Some(Box::new(with(lane, uncounted)));
        }
    }
    Error::Contradicts { code, message, fix, begins, ledger }
}

/// The length up to which it may be this pipeline that wrote to the file.
fn own(there: &There<'_>, lane: &OpenLane, handle: &Handle) -> u64 {
    match &there.mark {
        _ if lane.settled || handle.last => handle.length,
        Some(Mark { left: Some(left), .. }) => *left,
        Some(mark) if !mark.is_of(&lane.fence) => mark.base,
        _ => there.length,
    }
}

/// The ledger with so many lines more.
fn with(lane: &OpenLane, lines: u64) -> Counters {
    let mut ledger = lane.counted;
    ledger.add(&lane.journalled.as_ref().map(|known| known.counters).unwrap_or_default());
    ledger.add(&Counters { read: lines, delivered: lines, rows_written: lines, ..Counters::default() });
    ledger
}
