//! What a file holds no longer of what was delivered to it: it was cut, an older copy has taken its place, or it is gone.
use super::{
    FileSink, Format,
    handle::{self, Handle},
    lines::Csv,
    ruled::{Reading, Rule},
};
use crate::on_disk::FileId;
use dataflow_core::pipeline::event::LaneProgress;
use dataflow_sdk::Paths;
use std::fs::File;

/// The number of rows that the journal counts in this generation and that are no whole lines of the file.
pub(super) fn rows(config: &FileSink, paths: &Paths, lane: LaneProgress) -> u64 {
    let written = lane.counters.rows_written;
    let Some(handle) = lane.handle.and_then(|handle| Handle::from_json(handle).ok()) else { return 0 };
    written - lines(config, paths, &handle).unwrap_or(0).min(written)
}

/// The lines of this generation that are there; none if there are none of it.
fn lines(config: &FileSink, paths: &Paths, handle: &Handle) -> Option<u64> {
    paths.admit(&config.path).ok()?;
    let file = File::open(&config.path).ok()?;
    let is_same = FileId::from(&file.metadata().ok()?) == handle.id();
    let holds_all = || handle.tail.is_some() && handle::tail(&file, handle.length).ok() == handle.tail;
    if !is_same && !holds_all() && !handle.head.is_some_and(|head| head.is_in(&file)) {
        return None;
    }
    let csv = Csv { delimiter: config.delimiter as u8, quote: config.quote as u8 };
    let rule = Rule { csv: (config.format() == Format::Csv).then_some(csv), columns: Vec::new(), volatile: Vec::new() };
    let mut lines = 0;
    let counted =
        Reading::new(config, Some(handle)).lines(&rule, |line| lines += u64::from(line.ended && !line.beyond));
    counted.ok().map(|()| lines)
}
