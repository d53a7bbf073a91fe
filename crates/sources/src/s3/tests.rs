//! What a position is known by is stored: it stays readable.
use super::known::Known;

const GOLDEN: &str = include_str!("../../golden/s3-position.txt");

#[test]
fn positions_stay_readable() {
    let known = Known { etag: "9b2cf535f27731c974343645a3985328-3:x".into(), size: 17_000_000_000, ended: false };
    let places = [known.clone().at(42), known.clone().ending(true).at(99)];
    let lines: String =
        places.iter().map(|at| format!("{at} {}\n", at.identity.as_deref().unwrap_or_default())).collect();
    assert_eq!(lines, GOLDEN);
    assert_eq!(Known::of(&places[0]), Some(known.clone()));
    assert_eq!(Known::of(&places[1]), Some(known.ending(true)));
}
