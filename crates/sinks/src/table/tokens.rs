//! Tokens in a table: one row per pipeline, incarnation, generation and lane.
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
    /// Positions of the source's partitions.
    pub positions: String,
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

impl Stored {
    /// Encodes a token.
    ///
    /// # Errors
    /// If it can't be written as JSON.
    pub fn from_token(token: &Token) -> Result<Self, Error> {
        let failed = |error| Error::fatal("internal", format!("a token can't be written: {error}"));
        Ok(Self {
            positions: serde_json::to_string(&token.positions).map_err(failed)?,
            counters: serde_json::to_string(&Counted { counters: &token.counters, warnings: &token.warnings })
                .map_err(failed)?,
            chunks: serde_json::to_string(&token.chunks).map_err(failed)?,
        })
    }

    /// Decodes the token in a row; `None` if nothing was committed yet.
    ///
    /// # Errors
    /// If the row contains something else.
    pub fn to_token(&self, fence: Fence, sequence: u64) -> Result<Option<Token>, Error> {
        if sequence == 0 {
            return Ok(None);
        }
        Ok(Some(Token {
            sequence,
            positions: json(&fence, &self.positions)?,
            counters: json(&fence, &self.counters)?,
            chunks: json(&fence, &self.chunks)?,
            warnings: json::<Beside>(&fence, &self.counters)?.warnings,
            version: 0,
            fence,
        }))
    }
}

/// Tokens of other generations, in their order, and the positions at which those and the opening one began.
pub type Others = (Vec<Token>, BTreeMap<Generation, Positions>);

/// Decodes where the opening generation began, and the rows of others: a token, and the start of the generation. An unreadable
/// row of a generation that the journal knows is ignored, so that it doesn't block the pipeline.
///
/// # Errors
/// If a row of another generation is unreadable.
pub fn others(
    lane: &OpenLane,
    began: &str,
    rows: impl IntoIterator<Item = Result<(Fence, u64, Stored, String), Error>>,
) -> Result<Others, Error> {
    let mut tokens = Vec::new();
    let mut begins: BTreeMap<_, _> = [(lane.fence.generation, json(&lane.fence, began)?)].into();
    for row in rows {
        let (of, sequence, stored, began) = row?;
        let generation = of.generation;
        let read = stored.to_token(of.clone(), sequence).and_then(|token| Ok((token, json(&of, &began)?)));
        match read {
            Err(_) if lane.known.contains(&generation) => {}
            read => {
                let (token, began) = read?;
                tokens.extend(token);
                begins.insert(generation, began);
            }
        }
    }
    tokens.sort_by_key(|token| (token.fence.generation, token.fence.lane));
    Ok((tokens, begins))
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
    serde_json::from_str(text).map_err(|error| {
        let message =
            format!("the row of pipeline {}, lane {} in {TABLE} can't be read: {error}", fence.pipeline, fence.lane);
        Error::fatal("token-unreadable", message).fix("restore the row, or force a reset of the checkpoint").for_user()
    })
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
        format!("{TABLE} in {database} was created by an earlier build: it has no column journal, began or opening, or generations without a nonce"),
    )
    .fix(format!("drop {TABLE} (its progress is lost) and set the checkpoint of the pipelines that write there"))
    .for_user()
}

/// The error for a token table whose triggers or rules prevent writing progress.
pub fn guarded(fence: &Fence, database: &str, guards: &[String]) -> Error {
    let message = format!(
        "{TABLE} in {database} does not store the progress of pipeline {}, lane {}: {} prevents it",
        fence.pipeline,
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
        fence.pipeline, fence.generation, fence.lane, fence.epoch, fence.opening
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
    use super::{Stored, others};
    use dataflow_core::{
        chunk::{ChunkId, ChunkKind, ChunkRef},
        id::{Epoch, Generation},
        ledger::Counters,
        position::Position,
        token::{Fence, Token},
        warned::Warned,
    };
    use dataflow_sdk::sink::OpenLane;
    use dataflow_testkit::fixture::open_lane;

    /// The columns of a row. Never changed: rows of this shape are stored.
    fn golden() -> Stored {
        let positions = include_str!("../../golden/tokens/v1/positions.json");
        let counters = include_str!("../../golden/tokens/v1/counters.json");
        let chunks = include_str!("../../golden/tokens/v1/chunks.json");
        let [positions, counters, chunks] = [positions, counters, chunks].map(|column| column.trim_end().to_owned());
        Stored { positions, counters, chunks }
    }

    fn token() -> Token {
        let chunk = |id: &str, kind, records| ChunkRef { id: ChunkId(id.into()), kind, records };
        Token {
            fence: Fence {
                pipeline: "orders".try_into().unwrap(),
                incarnation: "i1".try_into().unwrap(),
                generation: Generation::new(2, 7),
                lane: 0,
                epoch: Epoch(3),
                opening: 1,
            },
            sequence: 5,
            positions: [
                ("orders/0".into(), Position::offset(9_007_199_254_740_993)),
                ("/data/in.jsonl".into(), Position::offset(77).of("2049:131-9f86d081")),
            ]
            .into(),
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
                chunk("orders/i1/3/inbox-10", ChunkKind::Ingest, 7),
            ],
            warnings: [Warned {
                code: "ignored-field".into(),
                subject: "zip".into(),
                message: "the sink has no column zip".into(),
                records: 7,
            }]
            .into_iter()
            .collect(),
            version: 0,
        }
    }

    #[test]
    fn the_golden_row_is_read_and_written() {
        assert_eq!(Stored::from_token(&token()).unwrap(), golden());
        assert_eq!(golden().to_token(token().fence, 5).unwrap(), Some(token()));
    }

    #[test]
    fn an_earlier_row_that_is_unreadable_keeps_nobody_from_going_on() {
        let fence = token().fence;
        let of = |number| Fence { generation: Generation::new(number, 7), ..fence.clone() };
        let lane = OpenLane { known: vec![of(1).generation], ..open_lane(&fence) };
        let broken = || Stored { positions: "?".into(), ..golden() };
        let row = |number, stored, began: &str| Ok((of(number), 5, stored, began.to_owned()));
        let (read, begins) = others(
            &lane,
            r#"{"t/0": {"at": "7"}}"#,
            [row(3, golden(), "{}"), row(1, broken(), "{}"), row(1, golden(), "?")],
        )
        .unwrap();
        assert_eq!(read.into_iter().map(|token| token.fence).collect::<Vec<_>>(), [of(3)]);
        assert_eq!(begins[&fence.generation], [("t/0".into(), dataflow_core::position::Position::offset(7))].into());
        assert_eq!(begins.into_keys().collect::<Vec<_>>(), [fence.generation, of(3).generation]);
        for broken in [row(3, broken(), "{}"), row(3, golden(), "?")] {
            assert_eq!(others(&lane, "{}", [broken]).unwrap_err().code(), "token-unreadable");
        }
    }

    #[test]
    fn counts_that_a_row_does_not_have_are_0() {
        let row = Stored { counters: r#"{"read":7,"delivered":7}"#.into(), ..golden() };
        let read = row.to_token(token().fence, 5).unwrap().unwrap();
        assert_eq!(read.counters, Counters { read: 7, delivered: 7, ..Counters::default() });
    }
}
