//! Files that are gone before they were read to their end: what of them was not read is said, once, as lost.
use super::{
    FileSource,
    content::failed,
    follow::Follow,
    identity::Identity,
    lost::{self, Loss, known, offset, passed_over, unread},
    names::{self, name},
    rotation,
    tail::{self, position},
    unpacked::Unpacked,
};
use crate::lost::OnPositionLost;
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_sdk::{
    Context, Error, Records,
    batch::{Notice, Warning},
};
use std::{fs, io};

/// A file that is gone before it was read to its end.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) partition: Partition,
    pub(super) wanted: Position,
}

impl Gone {
    /// None, if all that was there is known to be read, as of the last look.
    pub(super) fn new(partition: &Partition, wanted: &Position) -> Option<Self> {
        let lost = match known(wanted) {
            Some(known) => known.unread(offset(wanted)) > 0,
            None => offset(wanted) > 0,
        };
        lost.then(|| Self { partition: partition.clone(), wanted: wanted.clone() })
    }

    /// What is lost.
    fn what(&self) -> String {
        match known(&self.wanted) {
            Some(known) => format!("{} of its {} bytes were not read", known.unread(offset(&self.wanted)), known.size),
            None => "the number of unread bytes is unknown".into(),
        }
    }

    /// The same, where reading goes on without it.
    pub(super) fn given_up(self) -> Position {
        position(offset(&self.wanted), known(&self.wanted).map(Identity::given_up))
    }

    /// The failure, which names `others` of the same fate, too; or the interval that passes over what was not read.
    pub(super) fn pass(self, source: &FileSource, others: &[&Self]) -> Result<Box<Records>, Error> {
        let mut reason = format!("the file was removed before it was read to its end: {}", self.what());
        let Self { partition, wanted } = self;
        let (bytes, known) = (unread(&wanted), known(&wanted));
        if source.on_position_lost == OnPositionLost::Fail && !known.is_some_and(|known| known.given_up) {
            for other in others {
                reason += &format!("; so was {}: {}", other.partition, other.what());
            }
            let (earliest, latest) = (Position::offset(0), Position::offset(0));
            return Err(Error::PositionLost { partition, wanted, earliest, latest, reason });
        }
        let to = position(known.map_or(offset(&wanted), |known| known.end(offset(&wanted))), known.map(Identity::gone));
        Ok(passed_over(partition, wanted, to, Loss { records: 0, bytes, reason: &reason }))
    }
}

/// Where to go on once a user has chosen `to` instead of `from`: of a file that is gone with nothing in its place, where it
/// was left; of one that something else has taken the place of, in that. Either way the next reader says what was not read.
pub(super) fn given_up(
    source: &FileSource,
    cx: &Context,
    from: &Positions,
    mut to: Positions,
) -> io::Result<Positions> {
    let unpacked = Unpacked::default();
    for (path, known) in source.reading(from) {
        if rotation::find(&path, &known, cx).is_some()
            || source.packed(&path, &known, |_| true, &unpacked, cx).is_some()
        {
            continue;
        }
        let partition = names::partition(&path);
        let left = &from[&partition];
        let chosen = to.get(&partition).filter(|chosen| *chosen != left);
        let there = tail::open(&path, cx);
        let nothing_new = match &there {
            Ok(file) => lost::is_another(from, &partition, file),
            Err(_) => fs::symlink_metadata(&path).is_err(),
        };
        match (there, chosen) {
            (Ok(file), Some(chosen)) if !known.is(&file)? => {
                let length = file.metadata()?.len();
                let packed = !source.counts_bytes(&path);
                let there = match lost::known(chosen) {
                    Some(there) => there,
                    None => Identity::of(&file, if packed { length } else { offset(chosen) })?,
                };
                let place = position(offset(chosen), Some(there.after_loss(unread(left))));
                // The same file under another name, where nothing was chosen, would go on from there instead.
                to.retain(|other, at| {
                    from.get(other) != Some(at) || lost::known(at).is_none_or(|known| !known.is_same_inode(&there))
                });
                to.insert(partition, place);
            }
            (_, None) if nothing_new => {
                to.extend(Gone::new(&partition, left).map(|gone| (partition.clone(), gone.given_up())));
            }
            _ => {}
        }
    }
    Ok(to)
}

impl Follow {
    /// The file of a path is nowhere any more.
    pub(super) fn removed(&mut self, k: usize) -> Result<Option<Box<Records>>, Error> {
        let slot = &self.slots[k];
        let (Some(known), Some(from), partition) = (slot.known, slot.position.clone(), slot.partition.clone()) else {
            return Ok(None);
        };
        if let Some(records) = self.to_copy(k).map_err(|error| failed(&partition.0, 0, error))? {
            return Ok(Some(records));
        }
        // What is equal to another file, or ended before, or never was, is no loss.
        if known.ended || slot.copy.is_some() || known.is_of_none() {
            return Ok(None);
        }
        if let Some(gone) = Gone::new(&partition, &from) {
            let others: Vec<Gone> = self.slots[k + 1..].iter().filter_map(|slot| slot.gone(&self.cx)).collect();
            return gone.pass(&self.source, &others.iter().collect::<Vec<_>>()).map(Some);
        }
        let message = format!(
            "{partition} was removed. All {} bytes that it had at the last check were read; whether more was written is unknown",
            known.size
        );
        self.warn(vec![Warning { code: "file-removed", subject: partition.to_string(), message, records: 0 }]);
        let to = position(from.as_offset().unwrap_or(0), Some(known.gone()));
        Ok(Some(lost::between(partition, from, to)))
    }

    pub(super) fn warn(&mut self, warnings: Vec<Warning>) {
        for warning in warnings {
            self.warned.entry((warning.code, warning.subject.clone())).or_insert(Some(warning));
        }
    }

    /// A file can be read under its name: what was said of its absence, in this run or an earlier one, holds no longer.
    pub(super) fn note_found(&mut self, k: usize) {
        let slot = &mut self.slots[k];
        let first = !std::mem::replace(&mut slot.found, true);
        if !first && self.warned.is_empty() {
            return;
        }
        let subject = name(&slot.path);
        let awaited = first && slot.known.is_some_and(|known| known.is_of_none());
        for (code, told) in [("file-missing", awaited), ("dangling-link", first && slot.path.is_symlink())] {
            if self.warned.remove(&(code, subject.clone())).is_some() || told {
                self.over.push(Notice::over(code, subject.clone()));
            }
        }
    }

    /// Gives a warning, whether it was given before or not.
    pub(super) fn warn_again(&mut self, warning: Warning) {
        self.warned.insert((warning.code, warning.subject.clone()), Some(warning));
    }
}
