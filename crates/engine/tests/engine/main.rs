//! The engine on memory parts: what a user sees when things go well, and when they don't.
#![allow(clippy::unwrap_used)]
mod before_the_first_start;
mod branches;
mod checkpoint;
mod checkpoints;
mod faults;
mod house;
mod ingest;
mod keyed;
mod lanes;
mod large;
mod lifecycle;
mod many;
mod other_builds;
mod replays;
mod restores;
mod shards;
mod staged;
mod update;
