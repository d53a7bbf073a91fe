//! What a source has of each partition, and positions that users name, held against it.
use crate::{Problem, check::nearest, source::Source};
use dataflow_core::position::{Partition, Position, Positions};
use std::{cmp::Ordering, collections::BTreeMap};

/// The extent of a partition: reading can continue from any position between the first and the last one, both included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Before the first record that is there.
    pub first: Position,
    /// The position after the last record; `None`: there is no end.
    pub last: Option<Position>,
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.last {
            Some(last) => write!(f, "{} to {last}", self.first),
            None => write!(f, "{} and more", self.first),
        }
    }
}

/// The extents of all partitions.
pub type Extents = BTreeMap<Partition, Extent>;

/// Most partitions that a finding names.
const SHOWN: usize = 10;

/// The positions that a user names, where positions are whole numbers; each is tied to what its partition is known by.
///
/// # Errors
/// All that is wrong with them, each with what is there.
pub fn place(extents: &Extents, named: &BTreeMap<String, String>) -> Result<Positions, Vec<Problem>> {
    let (mut positions, mut problems) = (Positions::new(), Vec::new());
    for (partition, at) in named {
        match extents.get(partition.as_str()).ok_or_else(|| unknown(extents, partition)) {
            Ok(extent) => match within(extent, at) {
                Ok(position) => _ = positions.insert(partition.as_str().into(), position),
                Err(wrong) => {
                    let problem = Problem::new("to.positions", "bad-position", format!("{partition}: {wrong}"));
                    problems.push(problem.fix(format!("available: {extent}")));
                }
            },
            Err(problem) => problems.push(problem),
        }
    }
    if problems.is_empty() { Ok(positions) } else { Err(problems) }
}

fn within(extent: &Extent, at: &str) -> Result<Position, String> {
    let digits = !at.is_empty() && at.bytes().all(|byte| byte.is_ascii_digit());
    if !digits {
        return Err(format!("{at:?} is not a position: write a whole number"));
    }
    let number = |position: &Position| position.as_offset().unwrap_or(0);
    let last = extent.last.as_ref();
    match at.parse::<u64>() {
        Ok(offset) if offset < number(&extent.first) => {
            Err(format!("records before {} no longer exist, and {at} is before it", extent.first))
        }
        Ok(offset) if last.is_none_or(|last| offset <= number(last)) => {
            let identity = last.unwrap_or(&extent.first).identity.clone();
            Ok(Position { identity, ..Position::offset(offset) })
        }
        _ => Err(format!("{at} is beyond the end")),
    }
}

fn unknown(extents: &Extents, partition: &str) -> Problem {
    let problem =
        Problem::new("to.positions", "unknown-partition", format!("the source has no partition {partition:?}"));
    let known = extents.iter().take(SHOWN).map(|(name, extent)| format!("{name} ({extent})")).collect::<Vec<_>>();
    match nearest(partition, extents.keys().map(|name| &*name.0)) {
        _ if known.is_empty() => problem.fix("the source has no partitions yet: choose \"beginning\""),
        Some(meant) => problem.fix(format!("did you mean {meant:?}? There are: {}", known.join(", "))),
        None => problem.fix(format!("there are: {}", known.join(", "))),
    }
}

/// How many records lie from one position to a later one of those that are there, as far as the source can tell.
pub fn count<S: Source + ?Sized>(
    source: &S,
    extents: &Extents,
    from: &Positions,
    to: &Positions,
) -> BTreeMap<Partition, u64> {
    let between = |(partition, to): (&Partition, &Position)| {
        let first = &extents.get(partition)?.first;
        let is_there =
            |from: &&Position| source.is_same(from, first) && source.order(from, first).is_some_and(Ordering::is_ge);
        let from = from.get(partition).filter(is_there).unwrap_or(first);
        let records = source.is_same(first, to).then(|| source.between(Some(from), to))?;
        Some((partition.clone(), records?))
    };
    to.iter().filter_map(between).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{
        Context, Error,
        source::{Assignment, Edge, Reader},
    };

    fn extents() -> Extents {
        let extent = |first: u64, last: Option<u64>| Extent {
            first: Position::offset(first).of("id"),
            last: last.map(|last| Position::offset(last).of("id")),
        };
        [("t/0".into(), extent(5, Some(9))), ("t/1".into(), extent(0, None))].into()
    }

    fn named(positions: &[(&str, &str)]) -> BTreeMap<String, String> {
        positions.iter().map(|(partition, at)| ((*partition).to_owned(), (*at).to_owned())).collect()
    }

    #[test]
    fn a_position_is_a_number_within_what_is_there() {
        for at in ["5", "9", "007"] {
            let placed = place(&extents(), &named(&[("t/0", at)])).unwrap();
            assert_eq!(placed["t/0"], Position::offset(at.parse().unwrap()).of("id"), "{at}");
        }
        assert!(place(&extents(), &named(&[("t/1", "18446744073709551615")])).is_ok());
        for at in ["", " ", "abc", "-1", "+5", "5.0", "0x5", "4", "10", "18446744073709551616", "٥"] {
            let problems = place(&extents(), &named(&[("t/0", at)])).unwrap_err();
            assert_eq!(problems[0].fix.as_deref(), Some("available: 5 to 9"), "{at}: {problems:?}");
        }
    }

    /// Whose positions are numbers, with an identity up to an `@`.
    #[derive(Debug)]
    struct Numbers;

    #[async_trait::async_trait]
    impl Source for Numbers {
        async fn partitions(&self, _: &Context) -> Result<Vec<Partition>, Error> {
            Ok(Vec::new())
        }
        async fn open(&self, _: &Context, _: Assignment) -> Result<Box<dyn Reader>, Error> {
            Err(Error::fatal("closed", "nothing is read from it"))
        }
        fn is_same(&self, one: &Position, other: &Position) -> bool {
            let known =
                |at: &Position| at.identity.as_deref().and_then(|known| known.split('@').next().map(str::to_owned));
            known(one).is_none_or(|one| known(other).is_none_or(|other| one == other))
        }
        async fn resolve(&self, _: &Context, _: &Edge) -> Result<Positions, Error> {
            Ok(Positions::new())
        }
    }

    #[test]
    fn what_is_there_between_two_positions_is_counted() {
        let at = |offset: u64, id: &str| [("t/0".into(), Position::offset(offset).of(id))].into();
        for (from, to, expected) in [
            (at(6, "id@1"), at(9, "id@2"), Some(3)),
            (at(0, "id"), at(9, "id"), Some(4)), // what is gone is not there
            (Positions::new(), at(9, "id"), Some(4)),
            (at(7, "another"), at(9, "id"), Some(4)),
            (at(9, "id"), at(9, "id"), Some(0)),
            (at(6, "id"), at(9, "another"), None),
            (Positions::new(), [("u/0".into(), Position::offset(9))].into(), None),
        ] {
            assert_eq!(count(&Numbers, &extents(), &from, &to).get("t/0").copied(), expected, "{from:?} {to:?}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        let wrong = named(&[("t/0", "x"), ("t/1", "3"), ("t/2", "3"), ("u/0", "")]);
        let problems = place(&extents(), &wrong).unwrap_err();
        let said: Vec<_> = problems.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(said.join("\n"));
    }
}
