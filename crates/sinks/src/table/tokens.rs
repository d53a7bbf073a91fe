//! Tokens in a table: one row per pipeline, incarnation, generation and lane, beside those of its [pages](Pages).
use super::Pages;
use dataflow_core::{
    id::{Epoch, Generation},
    ledger::Counters,
    position::Positions,
    token::{Fence, Token},
    warned::Warnings,
};
use dataflow_sdk::{Error, sink::OpenLane};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt::Display};

/// Name of the table, beside the target.
pub const TABLE: &str = "dataflow_tokens";

/// The parts of a token that are stored as JSON, as core writes them. Every shape ever written stays readable; the
/// golden files in `golden/tokens/` verify that. A count that a row lacks is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Positions in the row itself: they are later than those in pages.
    pub positions: String,
    /// The lane's [pages](Pages), as an array.
    pub pages: String,
    /// The number of partitions in both.
    pub partitions: i32,
    /// What the commit counts.
    pub counts: Counts,
}

/// What a commit counts and names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Cumulative counts, including those of warnings.
    pub counters: String,
    /// Chunks named since the last checkpoint.
    pub chunks: String,
}

/// All counts of a row.
#[derive(Serialize)]
struct Counted<'a> {
    #[serde(flatten)]
    counters: &'a Counters,
    #[serde(skip_serializing_if = "Warnings::is_empty")]
    warnings: &'a Warnings,
}

/// A row's counts other than those of records.
#[derive(Deserialize)]
struct Beside {
    #[serde(default)]
    warnings: Warnings,
}

impl Counts {
    /// Encodes those of a token.
    ///
    /// # Errors
    /// If they can't be written as JSON.
    pub fn of(token: &Token) -> Result<Self, Error> {
        let failed = |error| Error::fatal("internal", format!("a token can't be written: {error}"));
        let counted = Counted { counters: &token.counters, warnings: &token.warnings };
        Ok(Self {
            counters: serde_json::to_string(&counted).map_err(failed)?,
            chunks: serde_json::to_string(&token.chunks).map_err(failed)?,
        })
    }
}

impl Stored {
    /// Decodes the token in a row; `None` if nothing was committed yet.
    ///
    /// # Errors
    /// If the row contains something else, or its pages are not those it was written with.
    pub fn to_token(&self, fence: Fence, sequence: u64) -> Result<Option<Token>, Error> {
        if sequence == 0 {
            return Ok(None);
        }
        let mut positions = self.paged(&fence)?;
        positions.extend(json::<Positions>(&fence, &self.positions)?);
        if positions.len() != self.partitions as usize {
            let lacks = format!("it has the positions of {} of {} partitions", positions.len(), self.partitions);
            return Err(unreadable(&fence, &lacks));
        }
        Ok(Some(Token {
            sequence,
            positions: positions.into(),
            counters: json(&fence, &self.counts.counters)?,
            chunks: json(&fence, &self.counts.chunks)?,
            warnings: json::<Beside>(&fence, &self.counts.counters)?.warnings,
            version: 0,
            fence,
        }))
    }

    /// The pages of a row that a lane goes on from.
    ///
    /// # Errors
    /// If they contain something else.
    pub fn to_pages(&self, fence: &Fence) -> Result<Pages, Error> {
        self.paged(fence).map(Pages::of)
    }

    fn paged(&self, fence: &Fence) -> Result<Positions, Error> {
        json::<Vec<Positions>>(fence, &self.pages).map(|pages| pages.into_iter().flatten().collect())
    }
}

/// A lane's row as it was read, with its pages.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its generation.
    pub generation: String,
    /// Its lane.
    pub lane: u32,
    /// Who wrote it last, and the last commit.
    pub holder: Holder,
    /// What that stored.
    pub stored: Stored,
    /// Where the generation began.
    pub began: String,
}

/// What a lane finds when it opens.
#[derive(Debug)]
pub struct Found {
    /// Its token.
    pub token: Option<Token>,
    /// What its pages have.
    pub pages: Pages,
    /// Tokens of other generations, in their order.
    pub others: Vec<Token>,
    /// The positions at which those and the opening one began.
    pub begins: BTreeMap<Generation, Positions>,
}

impl Found {
    /// Decodes the row of a lane, and those of others. An unreadable row of a generation that the journal knows is ignored,
    /// so that it doesn't block the pipeline.
    ///
    /// # Errors
    /// If another row is unreadable.
    pub fn of(lane: &OpenLane, own: &Row, rows: impl IntoIterator<Item = Row>) -> Result<Self, Error> {
        let fence = &lane.fence;
        let mut others = Vec::new();
        let mut begins: BTreeMap<_, _> = [(fence.generation, json(fence, &own.began)?)].into();
        for Row { generation, lane: number, holder, stored, began } in rows {
            let generation = stored_id(&generation)?;
            let of = Fence { generation, lane: number, ..holder.of(fence) };
            let read = stored.to_token(of.clone(), holder.sequence).and_then(|token| Ok((token, json(&of, &began)?)));
            match read {
                Err(_) if lane.known.contains(&generation) => {}
                read => {
                    let (token, began) = read?;
                    others.extend(token);
                    begins.entry(generation).or_insert(began);
                }
            }
        }
        others.sort_by_key(|token| (token.fence.generation, token.fence.lane));
        let token = own.stored.to_token(own.holder.of(fence), own.holder.sequence)?;
        Ok(Self { token, pages: own.stored.to_pages(fence)?, others, begins })
    }
}

/// Encodes positions as a row stores them.
///
/// # Errors
/// If they can't be written as JSON.
pub fn began(lane: &OpenLane) -> Result<String, Error> {
    serde_json::to_string(&lane.begin)
        .map_err(|error| Error::fatal("internal", format!("positions can't be written: {error}")))
}

fn json<T: serde::de::DeserializeOwned>(fence: &Fence, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| unreadable(fence, &error))
}

fn unreadable(fence: &Fence, why: &dyn Display) -> Error {
    let message = format!("the row of pipeline {}, lane {} in {TABLE} can't be read: {why}", fence.branch, fence.lane);
    Error::fatal("token-unreadable", message).fix("restore the row, or force a reset of the checkpoint").for_user()
}

/// Parses an incarnation or generation in a row.
///
/// # Errors
/// If it is invalid.
pub fn stored_id<'a, T: TryFrom<&'a str, Error: Display>>(text: &'a str) -> Result<T, Error> {
    T::try_from(text).map_err(|error| {
        Error::fatal("token-unreadable", format!("a row of {TABLE} has an invalid id: {error}"))
            .fix("restore the row, or remove it")
            .for_user()
    })
}

/// The error for a token table without the columns that identify the journal and its history.
pub fn outdated(database: &str) -> Error {
    Error::fatal(
        "tokens-outdated",
        format!("{TABLE} in {database} was created by an earlier build: it has no column journal, began, opening or page, or generations without a nonce"),
    )
    .fix(format!("drop {TABLE} (its progress is lost) and set the checkpoint of the pipelines that write there"))
    .for_user()
}

/// The error for a token table whose triggers or rules prevent writing progress.
pub fn guarded(fence: &Fence, database: &str, guards: &[String]) -> Error {
    let message = format!(
        "{TABLE} in {database} does not store the progress of pipeline {}, lane {}: {} prevents it",
        fence.branch,
        fence.lane,
        guards.join(", ")
    );
    Error::fatal("progress-not-kept", message).fix(format!("drop or disable it on {TABLE}"))
}

/// The writer that a row was last opened for, and its last commit.
#[derive(Clone, Copy, Debug)]
pub struct Holder {
    /// Its epoch.
    pub epoch: Epoch,
    /// Its opening.
    pub opening: u64,
    /// The last commit in the row, whoever made it.
    pub sequence: u64,
}

impl Holder {
    /// Which of two writers comes later.
    pub fn rank(&self) -> (Epoch, u64) {
        (self.epoch, self.opening)
    }

    /// Whether the next commit is that of `token`.
    pub fn is_before(&self, token: &Token) -> bool {
        self.rank() == token.fence.rank() && self.sequence + 1 == token.sequence
    }

    /// The fence of this holder of a lane.
    pub fn of(&self, lane: &Fence) -> Fence {
        Fence { epoch: self.epoch, opening: self.opening, ..lane.clone() }
    }
}

/// The error for a writer that a newer one has fenced.
pub fn fenced(fence: &Fence, holder: Option<Holder>) -> Error {
    let who = format!(
        "pipeline {} (generation {}, lane {}, epoch {}, opening {})",
        fence.branch, fence.generation, fence.lane, fence.epoch, fence.opening
    );
    Error::Fenced(match holder {
        Some(Holder { epoch, opening, sequence }) => {
            format!("{TABLE} has epoch {epoch}, opening {opening} and commit {sequence} for {who}")
        }
        None => format!("{TABLE} has no row any more for {who}"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Counts, Found, Holder, Pages, Row, Stored};
    use dataflow_core::{
        chunk::{ChunkId, ChunkKind, ChunkRef},
        id::{Epoch, Generation},
        ledger::Counters,
        position::{Position, Positions},
        token::{Fence, Token},
        warned::{Notice, Warned},
    };
    use dataflow_sdk::sink::OpenLane;
    use dataflow_testkit::fixture::open_lane;
    use std::sync::Arc;

    /// The columns of a row. Never changed: rows of this shape are stored.
    fn golden() -> Stored {
        let positions = include_str!("../../golden/tokens/v1/positions.json");
        let counters = include_str!("../../golden/tokens/v1/counters.json");
        let chunks = include_str!("../../golden/tokens/v1/chunks.json");
        let [positions, counters, chunks] = [positions, counters, chunks].map(|column| column.trim_end().to_owned());
        Stored { positions, pages: "[]".into(), partitions: 2, counts: Counts { counters, chunks } }
    }

    fn token() -> Token {
        let chunk = |id: &str, kind, records| ChunkRef { id: ChunkId(id.into()), kind, records };
        let message = "the sink has no column zip".into();
        let zip = Warned { code: "ignored-field".into(), subject: "zip".into(), message, records: 7 };
        Token {
            fence: Fence {
                branch: "orders".try_into().unwrap(),
                incarnation: "i1".try_into().unwrap(),
                generation: Generation::new(2, 7),
                lane: 0,
                epoch: Epoch(3),
                opening: 1,
            },
            sequence: 5,
            positions: Arc::new(Positions::from([
                ("orders/0".into(), Position::offset(9_007_199_254_740_993)),
                ("/data/in.jsonl".into(), Position::offset(77).of("2049:131-9f86d081")),
            ])),
            counters: Counters {
                read: 20,
                filtered: 3,
                delivered: 10,
                absorbed: 4,
                dead: 2,
                lost: 1,
                bytes_lost: 0,
                rows_written: 9,
                bytes_read: 9_007_199_254_740_993,
                batches: 5,
            },
            chunks: vec![
                chunk("orders/i1/3/dead-1", ChunkKind::DeadLetters, 2),
                chunk("orders/i1/3/dead-2", ChunkKind::DeadLetters, 7),
            ],
            warnings: [zip.into(), Notice::over("unknown-field", "agee")].into_iter().collect(),
            version: 0,
        }
    }

    #[test]
    fn the_golden_row_is_read_and_written() {
        let (moved, counts) = (Pages::default().moved(&token().positions).unwrap(), Counts::of(&token()).unwrap());
        let written = Stored { positions: moved.positions, partitions: moved.partitions, counts, ..golden() };
        assert_eq!((written, moved.pages), (golden(), Vec::new()));
        assert_eq!(golden().to_token(token().fence, 5).unwrap(), Some(token()));
    }

    #[test]
    fn the_golden_pages_are_read_and_written() {
        let golden_page = include_str!("../../golden/tokens/v1/page.json").trim_end();
        let mut token = token();
        let at = |number: u64| Position::offset(number).of("2049:131-9f86d081");
        token.positions =
            Arc::new((0..40).map(|file| (format!("/data/{file}.jsonl").as_str().into(), at(file))).collect());
        let mut pages = Pages::default();
        let moved = pages.moved(&token.positions).unwrap();
        assert!(moved.pages.contains(&(2_545, golden_page.into())), "{moved:?}");
        pages.committed(&token.positions);
        // Pages say what they said; the row, what has changed since.
        Arc::make_mut(&mut token.positions).insert("/data/7.jsonl".into(), at(99));
        let parts: Vec<String> = moved.pages.into_iter().map(|(_, part)| part).collect();
        let pages =
            [pages, Stored { pages: format!("[{}]", parts.join(",")), ..golden() }.to_pages(&token.fence).unwrap()];
        for pages in pages {
            let moved = pages.moved(&token.positions).unwrap();
            assert_eq!(moved.positions, r#"{"/data/7.jsonl":{"at":"99","identity":"2049:131-9f86d081"}}"#);
            let row = |parts: &[String]| Stored {
                positions: moved.positions.clone(),
                pages: format!("[{}]", parts.join(",")),
                partitions: moved.partitions,
                ..golden()
            };
            assert_eq!(row(&parts).to_token(token.fence.clone(), 5).unwrap(), Some(token.clone()));
            let error = row(&parts[1..]).to_token(token.fence.clone(), 5).unwrap_err();
            assert_eq!(error.code(), "token-unreadable", "a page is missing: {error}");
        }
    }

    #[test]
    fn an_earlier_row_that_is_unreadable_keeps_nobody_from_going_on() {
        let fence = token().fence;
        let of = |number| Fence { generation: Generation::new(number, 7), ..fence.clone() };
        let lane = OpenLane { known: vec![of(1).generation], ..open_lane(&fence) };
        let broken = || Stored { positions: "?".into(), ..golden() };
        let holder = Holder { epoch: fence.epoch, opening: 1, sequence: 5 };
        let row = |number, stored, began: &str| {
            let generation = Generation::new(number, 7).to_string();
            Row { generation, lane: 0, holder, stored, began: began.into() }
        };
        let own = row(2, golden(), r#"{"t/0": {"at": "7"}}"#);
        let others = [row(3, golden(), "{}"), row(1, broken(), "{}"), row(1, golden(), "?")];
        let Found { others, begins, .. } = Found::of(&lane, &own, others).unwrap();
        assert_eq!(others.into_iter().map(|token| token.fence).collect::<Vec<_>>(), [of(3)]);
        assert_eq!(begins[&fence.generation], [("t/0".into(), Position::offset(7))].into());
        assert_eq!(begins.into_keys().collect::<Vec<_>>(), [fence.generation, of(3).generation]);
        for broken in [row(3, broken(), "{}"), row(3, golden(), "?")] {
            let error = Found::of(&lane, &own, [broken]).map(|found| found.token).unwrap_err();
            assert_eq!(error.code(), "token-unreadable");
        }
    }

    #[test]
    fn counts_that_a_row_does_not_have_are_0() {
        let counters = r#"{"read":7,"delivered":7}"#.into();
        let row = Stored { counts: Counts { counters, ..golden().counts }, ..golden() };
        let read = row.to_token(token().fence, 5).unwrap().unwrap();
        assert_eq!(read.counters, Counters { read: 7, delivered: 7, ..Counters::default() });
    }
}
