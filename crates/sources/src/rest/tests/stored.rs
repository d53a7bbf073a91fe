//! What a position is known by is stored: it stays readable.
use super::super::place::{Boundary, PageNumber, State};

const GOLDEN: &str = include_str!("../../../golden/rest-position.txt");

#[test]
fn positions_stay_readable() {
    let boundary = |value: &str, records: &[u64]| Boundary {
        value: Some(value.into()),
        records: records.iter().copied().collect(),
    };
    let state = State {
        number: PageNumber { listing: 3, page: 12 },
        next: Some("\"a cursor\"".into()),
        records: 600,
        etag: Some("W/\"7\"".into()),
        since: boundary("\"2026-01-01T00:00:00Z\"", &[7, u64::MAX]),
        greatest: boundary("9007199254740993", &[]),
        done: Some((5, 8)),
    };
    let first = State::default();
    let lines: Vec<String> = [state.position(5), first.position(0)]
        .iter()
        .map(|position| format!("{} {}\n", position, position.identity.as_deref().unwrap()))
        .collect();
    assert_eq!(lines.concat(), GOLDEN);
    assert_eq!(State::of(&state.position(5)), Some((state, 5)));
}
