use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Searches a table that rejects these rows; returns the found rows, the number of statements, and of rows sent.
fn search(rows: usize, refused: &BTreeSet<usize>, names: bool) -> (Vec<usize>, usize, usize) {
    let first = |part: Range<usize>| refused.range(part).next().copied().filter(|_| names);
    let mut search = Search::new(rows, first(0..rows));
    let (mut statements, mut sent, mut written) = (0, 0, Vec::new());
    while let Some(part) = search.next() {
        assert!(!part.is_empty());
        statements += 1;
        sent += part.len();
        if refused.range(part.clone()).next().is_some() {
            search.refused(first(part.clone()).map(|row| row - part.start), ());
        } else {
            written.extend(part);
            search.accepted();
        }
    }
    assert!(written.is_sorted(), "rows are written in their order");
    assert!(written.iter().all(|row| !refused.contains(row)) && written.len() == rows - refused.len());
    (search.found.into_iter().map(|(row, ())| row).collect(), statements, sent)
}

#[test]
fn what_a_search_costs_depends_on_what_is_refused_alone() {
    let rows = 65_536;
    // The distance of rejected rows, whether the server names them, the most statements for each, the most rows sent
    // per row.
    for (every, names, statements, sent) in [
        (rows, true, 4, 2),
        (rows, false, 34, 4),
        (10_000, true, 4, 3),
        (10_000, false, 34, 5),
        (100, true, 4, 4),
        (100, false, 16, 6),
        (2, true, 4, 4),
        (2, false, 5, 4),
        (1, true, 3, 3),
        (1, false, 3, 3),
    ] {
        let refused: BTreeSet<usize> = (0..rows).filter(|row| row % every == every / 2).collect();
        let (found, counted, passed) = search(rows, &refused, names);
        assert_eq!(found, refused.iter().copied().collect::<Vec<_>>());
        let say = format!("one in {every}, named: {names}: {counted} statements, {passed} rows sent");
        assert!(counted <= statements * refused.len(), "{say}");
        assert!(passed <= sent * rows, "{say}");
    }
}

#[test]
fn nothing_is_found_where_all_parts_are_taken() {
    let mut search = Search::<()>::new(1_000, None);
    let mut statements = 0;
    while search.next().is_some() {
        search.accepted();
        statements += 1;
    }
    assert!(search.found.is_empty() && statements < 20, "{statements}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_refused_rows_are_found(rows in 1_usize..300, picks in prop::collection::vec(any::<prop::sample::Index>(), 1..40), names in any::<bool>()) {
        let refused: BTreeSet<usize> = picks.iter().map(|pick| pick.index(rows)).collect();
        let (found, _, _) = search(rows, &refused, names);
        prop_assert_eq!(found, refused.into_iter().collect::<Vec<_>>());
    }
}

/// Rows that are rejected together and accepted one by one, like two keys that only the server considers equal.
#[test]
fn pairs_that_are_taken_apart_cost_a_few_statements_each() {
    let rows = 4_096;
    for every in [2, 4, 64, 1_024] {
        let mut search = Search::<()>::new(rows, None);
        let (mut statements, mut sent) = (0, 0);
        while let Some(part) = search.next() {
            assert!(!part.is_empty() && statements < 40 * rows);
            statements += 1;
            sent += part.len();
            let both = |pair: usize| part.contains(&(pair * every)) && part.contains(&(pair * every + 1));
            match (part.start / every..=part.end / every).any(both) {
                true => search.refused(None, ()),
                false => search.accepted(),
            }
        }
        assert!(search.found.is_empty());
        let pairs = rows / every;
        let bits = every.ilog2() as usize + 2;
        assert!(statements <= 4 * bits * pairs && sent <= 12 * rows, "{every}: {statements} statements, {sent} rows");
    }
}
