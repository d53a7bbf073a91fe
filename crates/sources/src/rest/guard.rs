//! What keeps a walk from going round in circles, and notices pages that shift while they are read.
use super::{client::Request, page::Page, place::PageNumber};
use dataflow_sdk::Error;
use std::collections::HashSet;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Most requests that are remembered of a listing (a few dozen MiB). A circle of fewer is found in any case, at its second turn at the latest.
const REMEMBERED: usize = 1 << 20;

/// So many pages in a row that are the same are no chance.
const SAME: u32 = 3;

/// What is known of the pages of a listing that were read by now.
#[derive(Debug, Default)]
pub(super) struct Guard {
    asked: HashSet<u64>,
    last: Option<Last>,
    /// Pages without records in a row.
    empty: u32,
}

/// The page that was read last.
#[derive(Debug)]
struct Last {
    number: PageNumber,
    whole: u64,
    /// How many pages in a row are the same.
    times: u32,
    records: HashSet<u64>,
}

impl Guard {
    /// A request was made.
    pub(super) fn asks(&mut self, request: &Request) {
        if self.asked.len() == REMEMBERED {
            self.asked.clear();
        }
        self.asked.insert(hash(request));
    }

    /// Whether this request was made before.
    pub(super) fn has_asked(&self, request: &Request) -> bool {
        self.asked.contains(&hash(request))
    }

    /// Looks at the next page of a numbered list. Returns how many of its records the page before has had, too.
    ///
    /// # Errors
    /// If it is the same as the two before: the same as one it may be if just so many records were inserted meanwhile.
    pub(super) fn numbered(
        &mut self,
        name: &str,
        number: PageNumber,
        page: &Page,
        parameter: &str,
    ) -> Result<usize, Error> {
        let hashes: Vec<u64> = (0..page.records.len()).map(|row| xxh3_64(page.record(row))).collect();
        let whole = prefix(page, page.records.len());
        let before = self.last.take().filter(|last| last.number < number);
        let (mut repeated, mut times) = (0, 1);
        if let Some(last) = before.filter(|_| !hashes.is_empty()) {
            if last.whole == whole {
                times += last.times;
            }
            if times == SAME {
                let message =
                    format!("{name} is the same as the {} pages before it: {} records", SAME - 1, hashes.len());
                return Err(Error::fatal("page-repeated", message).fix(format!(
                    "correct `pagination.parameter`: the API may not know {parameter:?}; without pages, leave `pagination` out"
                )).for_user());
            }
            repeated = hashes.iter().filter(|hash| last.records.contains(hash)).count();
        }
        self.last = Some(Last { number, whole, times, records: hashes.into_iter().collect() });
        Ok(repeated)
    }

    /// A page was read that names a next one.
    ///
    /// # Errors
    /// If it is one too many without records.
    pub(super) fn goes_on(&mut self, name: &str, is_empty: bool, most: u32) -> Result<(), Error> {
        self.empty = if is_empty { self.empty + 1 } else { 0 };
        if self.empty > most {
            let message = format!("{name} is the {}th page in a row without records that names a next one", self.empty);
            return Err(Error::fatal("pages-empty", message)
                .fix("correct `records`; if the API does skip that many, raise `maxEmptyPages`")
                .for_user());
        }
        Ok(())
    }

    /// The listing has ended, and the next one may ask for the same.
    pub(super) fn begins_anew(&mut self) {
        *self = Self::default();
    }
}

fn hash(request: &Request) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(request.url.as_str().as_bytes());
    hasher.update(b"\n");
    hasher.update(request.body.as_deref().unwrap_or_default().as_bytes());
    hasher.digest()
}

/// The hash of so many rows of a page.
pub(super) fn prefix(page: &Page, rows: usize) -> u64 {
    let mut hasher = Xxh3::new();
    for row in 0..rows {
        hasher.update(page.record(row));
        hasher.update(b"\n");
    }
    hasher.digest()
}
