//! The write level.
use super::owner::patient;
use crate::{Error, Journal, WriteLevel};

fn level_of(journal: &Journal) -> WriteLevel {
    journal.write_level().expect("this build may write")
}

/// A new journal has the newest level; a raise to a lower one, or to the one that it has, changes nothing.
pub async fn the_write_level_is_kept_and_never_falls(journal: &Journal, other: &Journal) {
    for level in [WriteLevel(0), WriteLevel::NEWEST, WriteLevel(1)] {
        patient(|| journal.raise_write_level(level)).await.expect("raised");
        assert_eq!([journal, other].map(level_of), [WriteLevel::NEWEST; 2], "after a raise to {level}");
    }
    patient(|| other.raise_write_level(WriteLevel(0))).await.expect("raised");
    assert_eq!(level_of(other), WriteLevel::NEWEST, "also as another handle reads it");
}

/// A build that raised it so would lock itself out.
pub async fn a_write_level_that_this_build_cant_read_is_refused(journal: &Journal, other: &Journal) {
    let above = WriteLevel(WriteLevel::NEWEST.0 + 1);
    let refused = patient(|| journal.raise_write_level(above)).await;
    assert!(matches!(refused, Err(Error::OtherBuild(_))), "{refused:?}");
    // What it reads from the store now.
    patient(|| other.raise_write_level(WriteLevel(0))).await.expect("raised");
    assert_eq!([journal, other].map(level_of), [WriteLevel::NEWEST; 2]);
}
