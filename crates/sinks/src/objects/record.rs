//! A lane's record in the store (its shape: `golden/s3-record/`): whose lane it is, how far a journal is known to count it, and which uploads it has begun. It is
//! written on the condition that nobody else has written it since, so that an owner of before is noticed.
use super::{
    failure::Trouble,
    handle::Handle,
    line::Line,
    store::{Store, Version},
};
use crate::{owner::Owner, stored};
use dataflow_core::{
    branch::BranchId,
    id::{Epoch, Generation},
    ledger::Counters,
    position::Positions,
};
use dataflow_sdk::{Error, sink::OpenLane};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use xxhash_rust::xxh3::xxh3_64;

/// The version that is written.
const VERSION: u32 = 1;

/// The folder of the records: readers of data leave out names that begin so.
pub(super) const FOLDER: &str = "_dataflow";

/// A branch as it stands in keys: its pipeline, and after a plus its number, which no pipeline's name has.
pub(super) fn shown(branch: &BranchId) -> String {
    branch.as_str().replace('/', "+")
}

/// The folder of a branch's records.
pub(super) fn folder(root: &str, branch: &BranchId) -> String {
    format!("{root}{FOLDER}/{}", shown(branch))
}

/// The folders of the records of a pipeline's other branches.
pub(super) async fn other_branches(store: &Store, root: &str, branch: &BranchId) -> Result<Vec<String>, Error> {
    let (own, pipeline) = (folder(root, branch), branch.pipeline().as_str());
    let of_pipeline = |found: &String| {
        let name = found.rsplit('/').next().and_then(|name| name.strip_prefix(pipeline));
        *found != own && name.is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
    };
    let all = store.folders(&format!("{root}{FOLDER}")).await?;
    Ok(all.into_iter().filter(of_pipeline).collect())
}

/// The key of a lane's record.
pub(super) fn key(root: &str, branch: &BranchId, lane: u32) -> String {
    format!("{}/{lane}.json", folder(root, branch))
}

/// The key of the columns of a generation.
pub(super) fn columns(root: &str, branch: &BranchId, series: &str) -> String {
    format!("{}/columns-{series}.json", folder(root, branch))
}

/// The lane whose record has this key.
pub(super) fn lane_of(key: &str) -> Option<u32> {
    key.rsplit_once('/')?.1.strip_suffix(".json")?.parse().ok()
}

/// An upload that was begun.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    v: u32,
    #[serde(flatten)]
    pub(super) owner: Owner,
    pub(super) generation: Generation,
    /// The rank of the last opening: an owner of before must write nothing more.
    pub(super) epoch: Epoch,
    pub(super) opening: u64,
    /// Where the generation began.
    pub(super) begin: Positions,
    /// The number of the last commit that a journal is known to count, and what its ledger counted then, over all generations.
    pub(super) counted: u64,
    pub(super) ledger: Counters,
    /// Whose numbers the commits have.
    #[serde(default, skip_serializing_if = "Line::is_first")]
    pub(super) line: Line,
    /// The generations that the journal knew beside this one, in the record of the first lane: another journal that does not know one
    /// of them is older than it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) known: Vec<Generation>,
    /// The number of the last commit up to which all objects were published, and where the lane was with it.
    #[serde(default)]
    pub(super) through: u64,
    #[serde(default)]
    pub(super) reached: Positions,
    /// The commit of an older journal that was refused: whoever starts its pipeline again knows of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<u64>,
    /// Uploads that are not known to be completed or aborted.
    pub(super) uploads: Vec<Upload>,
    /// The keys of the objects that were published last: they may have been taken away since, whatever the journal says of them.
    #[serde(default)]
    pub(super) published: BTreeSet<String>,
}

impl Record {
    /// That of who opens a lane that has another one now; `handle` is the journal's.
    pub(super) fn new(lane: &OpenLane, before: Option<&Self>, handle: Option<&Handle>) -> Self {
        let same =
            before.filter(|record| record.owner == Owner::of(lane) && record.generation == lane.fence.generation);
        let journalled = lane.journalled.clone().unwrap_or_default();
        let line = handle.map(|handle| handle.line.clone()).unwrap_or_default();
        let goes_on = match same {
            Some(record) => record.line == line && record.counted <= journalled.sequence,
            // The record of a generation that this journal does not know, or none, as that one had no such lane.
            None => journalled.sequence == 0,
        };
        let line = if goes_on { line } else { line.leave(journalled.sequence, journalled.positions.clone()) };
        let mut ledger = lane.counted;
        ledger.add(&journalled.counters);
        let (through, reached) = match same {
            Some(record) if record.through <= journalled.sequence => (record.through, record.reached.clone()),
            Some(_) => (journalled.sequence, journalled.positions),
            None => (0, Positions::new()),
        };
        Self {
            v: VERSION,
            owner: Owner::of(lane),
            generation: lane.fence.generation,
            epoch: lane.fence.epoch,
            opening: lane.fence.opening,
            begin: same.map_or_else(|| lane.begin.clone(), |record| record.begin.clone()),
            counted: journalled.sequence,
            ledger,
            line,
            known: if lane.fence.lane == 0 { lane.known.clone() } else { Vec::new() },
            through,
            reached,
            refused: None,
            uploads: Vec::new(),
            published: before.map(|record| record.published.clone()).unwrap_or_default(),
        }
    }

    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let read = serde_json::from_slice(bytes).map_err(|error| error.to_string());
        read.and_then(|json| stored::read(&json, VERSION)).map_err(|why| {
            let message = format!("a record in {FOLDER} can't be read: {why}");
            Error::fatal("bad-data", message).fix(format!("bring {FOLDER} back as it was, or write to another folder"))
        })
    }

    /// Whether the lane may be opened beside what this says: not by an older owner, nor beside another node's. None: it may.
    /// Otherwise the number of the last commit that the journal has of the lane, which is older than what was counted, or of another
    /// generation.
    pub(super) fn admits(&self, lane: &OpenLane, place: &str) -> Result<Option<u64>, Error> {
        let taken_over = self.owner.is_taken_over(lane, false, place)?;
        if taken_over || self.owner != Owner::of(lane) {
            return Ok(None);
        }
        let same = self.generation == lane.fence.generation;
        let unknown = !same && !lane.known.contains(&self.generation);
        let (epoch, opening) = (self.epoch, self.opening);
        if (same || unknown) && (epoch, opening) > lane.fence.rank() {
            return Err(Error::Fenced(format!(
                "{place} was opened by a later owner (epoch {epoch}, opening {opening})"
            )));
        }
        let journalled = lane.journalled.as_ref().filter(|_| same).map_or(0, |known| known.sequence);
        // One that this journal never started may have published nothing, but it ended the one before.
        Ok((same || unknown).then_some(journalled).filter(|journalled| unknown || self.counted > *journalled))
    }

    /// What the names of all objects of its generation have in common, and nobody else's.
    pub(super) fn series(&self, branch: &BranchId) -> String {
        series(branch, &self.owner, self.generation)
    }

    /// A handle of a generation's objects up to a commit.
    pub(super) fn handle(&self, series: &str, sequence: u64) -> Handle {
        let mut handle = Handle::new(series, sequence);
        (handle.counted, handle.line) = (self.counted, self.line.clone());
        handle
    }

    /// The generations that whoever wrote this knew, and the one that opens does not.
    pub(super) fn unknown<'a>(&'a self, lane: &'a OpenLane) -> impl Iterator<Item = Generation> + use<'a> {
        let known = self.known.iter().filter(|_| self.owner == Owner::of(lane)).copied();
        known.filter(|generation| *generation != lane.fence.generation && !lane.known.contains(generation))
    }

    /// Whether objects of commits after this one are known to have been published, also if none is there any more.
    pub(super) fn has_published_after(&self, journalled: u64) -> bool {
        self.counted > journalled && (self.through > journalled || !self.published.is_empty())
    }

    /// A later journal has counted objects that the one which opens has not. `objects` are those of them that are there; their names begin
    /// with one of `begins`.
    pub(super) fn ahead(&self, lane: &OpenLane, place: &str, objects: &[String], begins: &[Begin]) -> Error {
        let names = begins.iter().map(Begin::shown).collect::<Vec<_>>().join(", and with ");
        let (there, fix) = match objects.first() {
            Some(first) => (
                format!("{} of them are there, {first} and later ones", objects.len()),
                format!(
                    "or remove these objects, also those that readers have taken elsewhere, so that their records are written again, once: all whose \
                     names begin with {names}; or force the checkpoint to \"journal\" (--force) to keep them and write their \
                     records again, doubled"
                ),
            ),
            None => {
                let at = settable(&self.begin, &self.reached);
                let partly = match self.published.is_empty() || self.through >= self.counted {
                    true => "",
                    false => " (some of what comes after that was published, too, and is written again)",
                };
                (
                    "none of them is there any more".into(),
                    format!(
                        "or, if readers have taken them away, go on after them: set the checkpoint to {at}{partly}; or, if you have removed them \
                         to have their records written again, once, start the pipeline again"
                    ),
                )
            }
        };
        let message = format!(
            "the journal is behind the sink: a later journal of this pipeline has counted objects of lane {} ({place}: commit {}) that this one \
             has not: {there}. The data folder may have been restored from a backup",
            lane.fence.lane, self.counted,
        );
        let fix = format!("bring back the newer data folder; {fix}");
        let begins = [(self.generation, self.begin.clone())].into();
        Error::Contradicts { code: "journal-behind", message, fix, begins, ledger: Some(Box::new(self.ledger)) }
    }
}

/// What to set a checkpoint to so that a lane goes on where it was, if it began there.
pub(super) fn settable(begin: &Positions, reached: &Positions) -> String {
    let mut at = begin.clone();
    at.extend(reached.clone());
    let at: Vec<String> = at.iter().map(|(partition, at)| format!("{partition}={at}")).collect();
    if at.is_empty() { "\"beginning\"".into() } else { at.join(",") }
}

/// What the names of all objects of a generation have in common, and nobody else's.
pub(super) fn series(branch: &BranchId, owner: &Owner, generation: Generation) -> String {
    let Owner { journal, incarnation } = owner;
    let whose = format!("{journal} {incarnation} {generation}");
    format!("{}-{:016x}", shown(branch), xxh3_64(whose.as_bytes()))
}

/// The keys of the objects of a branch that are known to be published, by the records of all lanes.
pub(super) async fn published(store: &Store, root: &str, branch: &BranchId) -> Result<BTreeSet<String>, Error> {
    let mut published = BTreeSet::new();
    for (key, _) in store.list(&folder(root, branch)).await? {
        if lane_of(&key).is_some()
            && let Some((bytes, _)) = store.read(&key).await?
        {
            published.extend(Record::from_json(&bytes)?.published);
        }
    }
    Ok(published)
}

/// How the names of some objects begin.
#[derive(Debug)]
pub(super) struct Begin {
    /// What all have in common.
    all: String,
    /// The least of them, unless all are meant.
    first: Option<String>,
}

impl Begin {
    /// Those of a lane that commits after one have begun.
    pub(super) fn after(series: &str, lane: u32, commit: u64) -> Self {
        Self { all: format!("{series}-{lane}-"), first: Some(name(series, lane, commit + 1)) }
    }

    /// Those of a generation.
    pub(super) fn of(series: &str) -> Self {
        Self { all: format!("{series}-"), first: None }
    }

    /// Whether the object of this key is one of them.
    pub(super) fn is_of(&self, key: &str) -> bool {
        let name = key.rsplit('/').next().filter(|name| name.starts_with(&self.all));
        name.is_some_and(|name| self.first.as_ref().is_none_or(|first| *name >= **first))
    }

    /// For users.
    pub(super) fn shown(&self) -> String {
        self.first.as_ref().map_or_else(|| self.all.clone(), |first| format!("{first} or a greater number"))
    }
}

/// What the names of a lane's objects begin with that were begun by this commit.
pub(super) fn name(series: &str, lane: u32, commit: u64) -> String {
    format!("{series}-{lane}-{commit:010}")
}

/// The record as this lane has written it last.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) store: Store,
    pub(super) key: String,
    pub(super) record: Record,
    pub(super) version: Option<Version>,
}

impl Kept {
    /// Writes the record, unless somebody else has written it since.
    pub(super) async fn write(&mut self) -> Result<(), Error> {
        let content = serde_json::to_vec(&self.record)
            .map_err(|error| Error::fatal("internal", format!("a record can't be written: {error}")))?;
        match self.store.write(&self.key, content.into(), self.version.as_ref()).await {
            Ok(version) => self.version = Some(version),
            Err(Trouble::Changed | Trouble::Gone) => match self.store.read(&self.key).await? {
                // Ours, of a try whose answer was lost.
                Some((found, version)) if Record::from_json(&found)? == self.record => self.version = Some(version),
                Some((found, _)) => {
                    let Record { epoch, opening, .. } = Record::from_json(&found)?;
                    let place = self.store.place(&self.key);
                    return Err(Error::Fenced(format!("{place} was written by epoch {epoch}, opening {opening}")));
                }
                None => return Err(Error::Fenced(format!("{} is gone", self.store.place(&self.key)))),
            },
            Err(trouble) => return Err(trouble.error()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use dataflow_core::{id::Incarnation, position::Position};

    /// Never changed after a release: records of this shape are stored.
    const GOLDEN: &str = include_str!("../../golden/s3-record/v1.json");

    #[test]
    fn golden_records_are_read_and_written() {
        let record = Record {
            v: VERSION,
            owner: Owner { journal: "j".into(), incarnation: Incarnation::try_from("3-one").unwrap() },
            generation: Generation::new(2, 7),
            epoch: Epoch(9),
            opening: 4,
            begin: [("events/0".into(), Position::offset(17))].into(),
            counted: 5,
            ledger: Counters { read: 12, delivered: 11, dead: 1, ..Counters::default() },
            line: Line::golden(),
            known: vec![Generation::new(1, 3)],
            through: 4,
            reached: [("events/0".into(), Position::offset(21))].into(),
            refused: Some(3),
            uploads: vec![Upload { key: "größe/1.json".into(), id: "2~VXd".into() }],
            published: ["größe/0.json".to_owned()].into(),
        };
        let golden: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!(serde_json::to_value(&record).unwrap(), golden);
        assert_eq!(Record::from_json(GOLDEN.as_bytes()).unwrap(), record);
        assert!(Record::from_json(br#"{"v": 2}"#).unwrap_err().to_string().contains("version 2"));
    }
}
