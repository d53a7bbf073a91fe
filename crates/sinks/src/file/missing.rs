//! Counts delivered lines that a file no longer holds: it was truncated, replaced by an older copy, or is gone.
use super::{
    FileSink, Format,
    handle::{self, Handle},
    lines::Csv,
    ruled::{Reading, Rule},
};
use crate::on_disk::FileId;
use dataflow_sdk::Paths;
use std::fs::File;

/// The lines of this pipeline that are there; none if there are none of it.
pub(super) fn lines(config: &FileSink, paths: &Paths, handle: Handle) -> Option<u64> {
    paths.admit(&config.path).ok()?;
    let file = File::open(&config.path).ok()?;
    let is_same = FileId::from(&file.metadata().ok()?) == handle.id();
    let holds_all = || handle.tail.is_some() && handle::tail(&file, handle.length).ok() == handle.tail;
    if !is_same && !holds_all() && !handle.head.is_some_and(|head| head.is_in(&file)) {
        return None;
    }
    let csv = Csv { delimiter: config.delimiter as u8, quote: config.quote as u8 };
    let rule = Rule { csv: (config.format() == Format::Csv).then_some(csv), columns: Vec::new(), volatile: Vec::new() };
    let all = Handle { base: handle.origin, ..handle };
    let mut lines = 0;
    let counted = Reading::new(config, Some(&all)).lines(&rule, |line| lines += u64::from(line.ended && !line.beyond));
    counted.ok().map(|()| lines)
}
