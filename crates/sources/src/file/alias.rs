//! Paths that are written otherwise than when their files were read: relative or absolute, or by a link.
//!
//! What was read under the earlier name goes on under the one that the source has for the file now. The earlier one is then over,
//! so that whoever turns back to it goes on where the other was left.
use super::{
    FileSource,
    identity::Identity,
    lost::{between, known, offset},
    matches,
    names::{self, partition},
    rotation::folder,
    tail::{self, position},
};
use crate::ahead::{Step, Work};
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_sdk::{Context, Error, Records, batch::Notice, paths::real};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

impl FileSource {
    /// The name under which this source reads the file of a path, if it does.
    pub(super) fn name_of(&self, path: &Path) -> Option<PathBuf> {
        if self.may_match(path) {
            return Some(path.to_owned());
        }
        let own = names::plain(&self.path);
        let leads = |own: &Path| {
            matches::is_same(own, path) || matches!((real(own), real(path)), (Ok(own), Ok(path)) if own == path)
        };
        if leads(&own) {
            return Some(own);
        }
        let (fixed, wild) = matches::parts(&own);
        if wild.as_os_str().is_empty() {
            return None;
        }
        let (begin, file) = (real(&Path::new(".").join(&fixed)).ok()?, path.file_name()?);
        let here = real(&Path::new(".").join(folder(path))).map(|folder| folder.join(file));
        let below = [here, real(path)].into_iter().flatten().filter_map(|there| {
            let rest = there.strip_prefix(&begin).ok()?;
            Some(fixed.join(rest))
        });
        let linked = Some(fixed.join(file)).filter(|there| matches::is_same(there, path));
        below.chain(linked).find(|there| self.may_match(there))
    }

    /// Positions under the names that their files have now; and the interval that says so, if they had others.
    pub(super) fn renamed(&self, positions: Positions, cx: &Context) -> (Positions, Option<Box<Records>>) {
        let (mut now, mut earlier) = (Positions::new(), BTreeMap::<Partition, Positions>::new());
        for (was, at) in positions {
            let path = names::path(&was.0);
            match self.name_of(&path).filter(|name| *name != path) {
                Some(name) => drop(earlier.entry(partition(&name)).or_default().insert(was, at)),
                None => drop(now.insert(was, at)),
            }
        }
        let mut said = Positions::new();
        let mut begin = None;
        for (name, mut earlier) in earlier {
            earlier.retain(|_, at| !is_over(at));
            let furthest = earlier.iter().max_by_key(|(_, at)| offset(at));
            if let Some((was, at)) = furthest.filter(|_| now.get(&name).is_none_or(is_over)) {
                begin.get_or_insert((was.clone(), at.clone()));
                said.extend([(name.clone(), at.clone())]);
                now.insert(name, at.clone());
                said.extend(earlier.into_iter().map(|(was, at)| (was.clone(), left(&was, at, cx))));
            }
        }
        let interval = begin.map(|(was, from)| {
            let to = said.remove(&was).unwrap_or_else(|| from.clone());
            let mut interval = between(was, from, to);
            interval.beside = said;
            interval
        });
        (now, interval)
    }
}

fn is_over(at: &Position) -> bool {
    known(at).is_some_and(|known| known.is_over())
}

/// The same place, from which nothing is read any more under this name.
fn left(was: &Partition, at: Position, cx: &Context) -> Position {
    let there = || Identity::of(&tail::open(&names::path(&was.0), cx).ok()?, offset(&at)).ok();
    match known(&at).or_else(there) {
        Some(known) => position(offset(&at), Some(known.left())),
        None => at,
    }
}

/// What reads files, once it is said under which names they go on.
#[derive(Debug)]
pub(super) struct Renamed<W> {
    pub(super) said: Option<Box<Records>>,
    pub(super) work: W,
}

impl<W: Work> Work for Renamed<W> {
    fn step(&mut self) -> Result<Step, Error> {
        match self.said.take() {
            Some(said) => Ok(Step::Records(said)),
            None => self.work.step(),
        }
    }

    fn lag(&self) -> Option<u64> {
        self.work.lag()
    }

    fn warnings(&mut self) -> Vec<Notice> {
        self.work.warnings()
    }
}
