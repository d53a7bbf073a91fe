//! Where the positions of a lane are stored: those that have moved lately in the token's row, which each commit writes; the
//! others in pages, which are rows of their own. So a commit writes what it has moved, however many partitions the lane has.
use dataflow_core::position::{Partition, Position, Positions};
use dataflow_sdk::Error;
use std::collections::{BTreeMap, BTreeSet};
use xxhash_rust::xxh3::xxh3_64;

/// The most positions in the token's row: a lane with fewer partitions has no pages.
const MOST: usize = 32;
/// The number of pages. Part of the stored format, as is the hash.
const PAGES: u64 = 4_096;

/// The positions that are in the pages of a lane.
#[derive(Debug, Default)]
pub struct Pages(Positions);

/// How a commit stores its positions, each part as JSON.
#[derive(Debug)]
pub struct Moved {
    /// Those in the token's row.
    pub positions: String,
    /// The number of partitions there and in all pages.
    pub partitions: i32,
    /// The pages to write: their numbers, from 1, and content.
    pub pages: Vec<(i32, String)>,
}

/// A part of a lane's positions.
type Part<'a> = BTreeMap<&'a Partition, &'a Position>;

impl Pages {
    /// Pages that contain these positions.
    pub fn of(positions: Positions) -> Self {
        Self(positions)
    }

    /// How a commit with these positions stores them.
    ///
    /// # Errors
    /// If they can't be written as JSON.
    pub fn moved(&self, positions: &Positions) -> Result<Moved, Error> {
        let (mut moved, mut pages) = (self.differing(positions), BTreeMap::<i32, Part<'_>>::new());
        if moved.len() > MOST {
            let written: BTreeSet<i32> = moved.keys().map(|partition| page(partition)).collect();
            for (partition, at) in positions {
                let page = page(partition);
                if written.contains(&page) {
                    pages.entry(page).or_default().insert(partition, at);
                }
            }
            moved.clear();
        }
        let pages = pages.iter().map(|(page, part)| Ok((*page, json(part)?)));
        Ok(Moved {
            positions: json(&moved)?,
            partitions: positions.len() as i32,
            pages: pages.collect::<Result<_, Error>>()?,
        })
    }

    /// A commit with these positions was made.
    pub fn committed(&mut self, positions: &Positions) {
        if self.differing(positions).len() > MOST {
            self.0.clone_from(positions);
        }
    }

    /// The positions that differ from those in the pages. Both are in order, and mostly the same.
    fn differing<'a>(&self, positions: &'a Positions) -> Part<'a> {
        let mut pages = self.0.iter().peekable();
        let differs = |(partition, at): &(&Partition, &Position)| {
            while pages.peek().is_some_and(|(other, _)| other != partition && other < partition) {
                pages.next();
            }
            pages.next_if(|(other, _)| other == partition).is_none_or(|(_, there)| there != *at)
        };
        positions.iter().filter(differs).collect()
    }
}

fn page(partition: &Partition) -> i32 {
    (xxh3_64(partition.0.as_bytes()) % PAGES) as i32 + 1
}

fn json(part: &Part<'_>) -> Result<String, Error> {
    serde_json::to_string(part)
        .map_err(|error| Error::fatal("internal", format!("positions can't be written: {error}")))
}
