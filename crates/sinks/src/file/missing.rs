//! Counts delivered lines that a file still holds: it was truncated, replaced by an older copy, or is gone.
use super::{
    FileSink,
    handle::Handle,
    ruled::{Reading, Rule},
    still::holds,
};
use crate::on_disk::FileId;
use std::fs::File;

/// The lines of this pipeline in the first `end` bytes of the file that is there; none if there are none of it.
pub(super) fn lines_before(config: &FileSink, handle: &Handle, end: u64) -> Option<u64> {
    let file = File::open(&config.path).ok()?;
    let is_same = FileId::from(&file.metadata().ok()?) == handle.id();
    let holds_all = || handle.tail.is_some() && holds(&file, handle);
    if !is_same && !holds_all() && !handle.head.is_some_and(|head| head.is_in(&file)) {
        return None;
    }
    let rule = Rule { csv: config.is_csv().then(|| config.csv()), columns: Vec::new(), volatile: Vec::new() };
    let all = Handle { base: handle.origin, length: end, ..handle.clone() };
    let mut lines = 0;
    let counted = Reading::new(config, Some(&all)).lines(&rule, |line| lines += u64::from(line.ended && !line.beyond));
    counted.ok().map(|()| lines)
}
