//! A cell: a pair, and the strike that it has to survive.
use crate::{
    fault_points::{Passing, Point, When},
    flow::Pair,
};
use std::{fmt, str::FromStr};

/// A strike against a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// SIGKILL at a fault point.
    At(Passing),
    /// SIGKILL at a random moment between its start and its end.
    Random,
    /// SIGKILL several times, each shortly after the start.
    Restarts,
    /// SIGSTOP at a random moment, for longer than the time-outs, then SIGCONT.
    Freeze,
    /// SIGTERM at a random moment: it settles everything.
    Terminate,
    /// A backup while it runs; later SIGKILL, and a start from the backup.
    Restore,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(passing) => passing.fmt(f),
            Self::Random => f.write_str("random"),
            Self::Restarts => f.write_str("restarts"),
            Self::Freeze => f.write_str("freeze"),
            Self::Terminate => f.write_str("terminate"),
            Self::Restore => f.write_str("restore"),
        }
    }
}

/// A pair, and the strike that it has to survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The pair.
    pub pair: Pair,
    /// The strike.
    pub strike: Strike,
}

impl Cell {
    /// All cells of a pair.
    pub fn of(pair: Pair) -> impl Iterator<Item = Self> {
        let points =
            pair.points().flat_map(|point: Point| [When::Before, When::After].map(|when| Passing { when, point }));
        let others = [Strike::Random, Strike::Restarts, Strike::Freeze, Strike::Terminate];
        let all = points.map(Strike::At).chain(others).filter(move |_| pair.is_struck());
        all.chain([Strike::Restore]).map(move |strike| Self { pair, strike })
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pair, self.strike)
    }
}

impl FromStr for Cell {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pair, _) = text.split_once('/').ok_or("a cell is PAIR/STRIKE")?;
        let pair = pair.parse()?;
        let names = || Self::of(pair).map(|cell| cell.to_string()).collect::<Vec<_>>().join(", ");
        Self::of(pair)
            .find(|cell| cell.to_string() == text)
            .ok_or_else(|| format!("the cells of {pair} are {}", names()))
    }
}
