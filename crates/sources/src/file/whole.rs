//! Files as they are: all that match when the reader is opened, one after the other, then the end.
use super::{
    FileSource,
    split::Caps,
    tail::{self, Opened, Tail},
};
use crate::ahead::{Step, Work};
use dataflow_core::position::{Position, Positions};
use dataflow_sdk::{Context, Error};
use std::{collections::VecDeque, path::PathBuf};

#[derive(Debug)]
pub(super) struct Whole {
    source: FileSource,
    cx: Context,
    caps: Caps,
    positions: Positions,
    files: VecDeque<PathBuf>,
    current: Option<Box<Tail>>,
    /// Bytes in the files that were not opened yet; none if some are compressed.
    waiting: Option<u64>,
}

impl Whole {
    pub(super) fn new(source: FileSource, cx: &Context, positions: Positions) -> Result<Self, Error> {
        let files: VecDeque<PathBuf> = source.some_matches()?.into();
        let mut whole =
            Self { caps: tail::caps(cx), source, cx: cx.clone(), positions, files, current: None, waiting: None };
        whole.waiting = whole.files.iter().map(|path| whole.size(path)).sum();
        // Whatever is wrong with the first file is said at once.
        if let Some(path) = whole.files.front() {
            tail::open(path, cx)?;
        }
        Ok(whole)
    }

    fn size(&self, path: &PathBuf) -> Option<u64> {
        if self.source.compression.of(path) != super::Compression::None {
            return None;
        }
        let at = self.positions.get(&super::partition(path)).and_then(Position::as_offset).unwrap_or(0);
        Some(std::fs::metadata(path).ok()?.len().saturating_sub(at))
    }
}

impl Work for Whole {
    fn step(&mut self) -> Result<Step, Error> {
        loop {
            if let Some(tail) = &mut self.current {
                match tail.next()? {
                    Some(records) => return Ok(Step::Records(records)),
                    None => self.current = None,
                }
            }
            let Some(path) = self.files.pop_front() else { return Ok(Step::End) };
            self.waiting = self.waiting.map(|waiting| waiting.saturating_sub(self.size(&path).unwrap_or(0)));
            let partition = super::partition(&path);
            let from = self.positions.get(&partition).cloned();
            match Tail::open(&self.source, self.caps, &path, tail::open(&path, &self.cx)?, from)? {
                Opened::Ready(tail) => self.current = Some(tail),
                Opened::Empty => {}
                Opened::Moved(records) => {
                    self.positions.insert(partition, records.to.clone());
                    self.files.push_front(path);
                    return Ok(Step::Records(records));
                }
            }
        }
    }

    fn lag(&self) -> Option<u64> {
        let current = match &self.current {
            Some(tail) => tail.lag()?,
            None => 0,
        };
        Some(current + self.waiting?)
    }
}
