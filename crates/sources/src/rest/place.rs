//! Where the source was read to: a page, and the rows of it that are done.
//!
//! A position is `listing.page.row`, counted from 0; which page that is for the API (a cursor, an address) is what the position is known by.
use dataflow_core::position::Position;
use dataflow_sdk::Error;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// A page: of which time that the list is read, and which one of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct PageNumber {
    pub(super) listing: u64,
    pub(super) page: u64,
}

impl fmt::Display for PageNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.listing {
            0 => write!(f, "page {}", self.page),
            listing => write!(f, "page {} of poll {listing}", self.page),
        }
    }
}

/// All that is known before a page is asked for. Stored with each position: see the golden file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State {
    /// Which page that is: a position that names another one knows nothing of its own.
    #[serde(rename = "of")]
    pub(super) number: PageNumber,
    /// What the page before has said of it: a cursor as JSON, or an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
    /// Records of the listing before it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) records: u64,
    /// The version of the page that was read, if the same one is asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    /// The value from which on this listing asks (JSON), with the hashes of the records that have it and were read before.
    #[serde(default, skip_serializing_if = "Boundary::is_empty")]
    pub(super) since: Boundary,
    /// The greatest value of all records of this listing so far, and the records that have it.
    #[serde(default, skip_serializing_if = "Boundary::is_empty")]
    pub(super) greatest: Boundary,
    /// How many rows of the page are done, and their hash: another one at the next look means that the page has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) done: Option<(u64, u64)>,
}

/// A value, and the hashes of records that have it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Boundary {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) value: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(super) records: BTreeSet<u64>,
}

impl Boundary {
    pub(super) fn is_empty(&self) -> bool {
        self.value.is_none()
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl State {
    /// The position of a row of its page.
    pub(super) fn position(&self, row: u64) -> Position {
        let PageNumber { listing, page } = self.number;
        let at = format!("{listing}.{page}.{row}");
        // It can't fail: there are no maps with other keys than texts.
        let identity = serde_json::to_string(self).unwrap_or_default();
        Position { at: at.into(), identity: Some(identity.into()) }
    }

    /// What a position knows, and the row; none: it knows too little to go on.
    pub(super) fn of(position: &Position) -> Option<(Self, u64)> {
        let (number, row) = parse(&position.at)?;
        let known = position.identity.as_deref().and_then(|known| serde_json::from_str::<Self>(known).ok());
        match known.filter(|state| state.number == number) {
            Some(state) => Some((state, row)),
            None if number == PageNumber::default() => Some((Self::default(), row)),
            None => None,
        }
    }
}

/// Page and row of a position's text.
pub(super) fn parse(at: &str) -> Option<(PageNumber, u64)> {
    let mut parts = at.split('.').map(|part| part.parse().ok());
    let (listing, page, row) = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some((PageNumber { listing, page }, row))
}

pub(super) fn bad_position(position: &Position) -> Error {
    let message = format!(
        "position {position} does not say where the API is to go on: only positions that this pipeline has had do"
    );
    Error::fatal("bad-position", message).fix("reset the checkpoint to the beginning").for_user()
}
