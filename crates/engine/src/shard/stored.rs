//! Snapshots as they are stored: `{"v":1,"state":…}`, readable for ever. `v` is the write level at which one was written.
//!
//! From level 1 on they hold core's [`State`] as that writes itself; the golden files in `golden/snapshots/v1/` hold it to that. A
//! change is written from a new level on; what earlier ones wrote then gets a struct that still reads it.
use bytes::Bytes;
use dataflow_core::{level::WriteLevel, pipeline::State};
use dataflow_journal::Error;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What all levels have in common.
#[derive(Deserialize)]
struct Versioned {
    v: WriteLevel,
}

#[derive(Deserialize)]
struct V1 {
    state: State,
}

/// The same by reference, for writing.
#[derive(Serialize)]
struct V1Ref<'a> {
    v: WriteLevel,
    state: &'a State,
}

/// A state as it is stored at a level.
pub(super) fn encode(state: &State, level: WriteLevel) -> Result<Bytes, serde_json::Error> {
    serde_json::to_vec(&V1Ref { v: level, state }).map(Bytes::from)
}

/// A stored state, of any level up to `newest`. The level is looked at first: what else there is depends on it. An error is
/// told to go after the snapshot's name.
pub(super) fn decode(bytes: &[u8], newest: WriteLevel) -> Result<State, Error> {
    let damaged = |cause: serde_json::Error| Error::Corrupt(format!("can't be read: {cause}"));
    let Versioned { v } = serde_json::from_slice(bytes).map_err(damaged)?;
    if v > newest {
        return Err(Error::OtherBuild(format!(
            "was written at level {v}, this build reads levels up to {newest}; {NEWER}"
        )));
    }
    match known::<V1>(bytes) {
        Ok((V1 { state }, None)) => Ok(state),
        // It would be lost with the next snapshot.
        Ok((_, Some(unknown))) => {
            Err(Error::OtherBuild(format!("has {unknown}, which this build does not know; {NEWER}")))
        }
        Err(cause) if cause.is_data() => Err(Error::OtherBuild(format!(
            "does not have the shape of level {v} ({cause}): it was written by a build from before the first release; start with an empty folder"
        ))),
        Err(cause) => Err(damaged(cause)),
    }
}

/// What to do about a snapshot of a later build.
const NEWER: &str = "run the build that wrote it, or a newer one";

/// What is read, and the path of the first field that is not part of it.
fn known<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Option<String>), serde_json::Error> {
    let (mut text, mut unknown) = (serde_json::Deserializer::from_slice(bytes), None);
    let read = serde_ignored::deserialize(&mut text, |path| {
        let path = path.to_string();
        if path != "v" {
            unknown.get_or_insert(path);
        }
    })?;
    text.end()?;
    Ok((read, unknown))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Error, WriteLevel, decode, encode};
    use dataflow_core::{
        chunk::{ChunkKind, ChunkRef},
        pipeline::{
            Event, State,
            event::{LaneOpened, LaneProgress, Recovery},
            testing::{chunk, given, lane_opened, received, samples, states},
        },
        types::{InferredTypes, Type},
    };
    use std::{collections::BTreeSet, path::PathBuf};

    const NEWEST: WriteLevel = WriteLevel::NEWEST;

    fn golden() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/snapshots/v1")
    }

    /// A state of each variant, by the name of its golden file, and one with all that is optional.
    fn all() -> Vec<(&'static str, State)> {
        let mut all: Vec<_> = states().into_iter().map(|(name, given)| (name, given.state)).collect();
        all.push(("all-fields", given(full_life()).state));
        all
    }

    /// A life that leaves all fields filled in, each type that can be learned, and each way to go on.
    fn full_life() -> impl Iterator<Item = Event> {
        let types = [Type::Boolean, Type::Smallint, Type::Integer, Type::Bigint, Type::Real, Type::Double]
            .into_iter()
            .chain([Type::Decimal { precision: 38, scale: 9 }, Type::Number, Type::Text, Type::Timestamp])
            .chain([Type::Datetime, Type::Date, Type::Binary, Type::Uuid, Type::Json]);
        let types = types.map(|ty| (ty.to_string(), Some(ty)));
        let types = InferredTypes(types.chain([("pending".to_owned(), None)]).collect());
        let events = samples().into_iter().filter_map(move |event| match event.event {
            Event::RunOpened { run, epoch, mut lanes, reserved_versions } => {
                for (number, decision) in (2..).zip([Recovery::Fresh, Recovery::Journal, Recovery::AtLeastOnce]) {
                    let progress = LaneProgress { lane: number, ..LaneProgress::default() };
                    lanes.push(LaneOpened { lane: number, decision, ..lane_opened(progress) });
                }
                Some(Event::RunOpened { run, epoch, lanes, reserved_versions })
            }
            Event::SchemaChanged { .. } => Some(Event::SchemaChanged { learned: types.clone() }),
            Event::BatchReceived { .. } => Some(received("batch-1", 0, 500)),
            Event::BatchProcessed { run, mut lanes, reserved_versions } => {
                let state = |name, kind| ChunkRef { id: chunk(name), kind, records: 3 };
                lanes[0].chunks.extend([state("state.5", ChunkKind::State), state("delta.6", ChunkKind::StateDelta)]);
                Some(Event::BatchProcessed { run, lanes, reserved_versions })
            }
            event @ (Event::PipelineCreated { .. }
            | Event::PipelineStarted { .. }
            | Event::PartitionsPlanned { .. }) => Some(event),
            _ => None,
        });
        events.chain([pushed_to("clicks")])
    }

    /// A batch that was pushed to a source of this name.
    fn pushed_to(source: &str) -> Event {
        let mut event = received("batch-2", 0, 7);
        if let Event::BatchReceived { source: of, .. } = &mut event {
            *of = Some(source.try_into().unwrap());
        }
        event
    }

    /// Every state is written as its golden file has it, and the golden file is read as the state. A new state's file is
    /// written by running this with `GOLDEN=write`; one that is there is never changed.
    #[test]
    fn golden_snapshots_of_version_1_are_read_and_written() {
        for (name, state) in all() {
            let file = golden().join(format!("{name}.json"));
            let written = String::from_utf8(encode(&state, NEWEST).unwrap().to_vec()).unwrap();
            if !file.exists() && std::env::var_os("GOLDEN").is_some_and(|how| how == "write") {
                std::fs::write(&file, format!("{written}\n")).unwrap();
            }
            let stored = std::fs::read_to_string(&file).unwrap_or_else(|cause| panic!("{}: {cause}", file.display()));
            assert_eq!(decode(stored.as_bytes(), NEWEST).unwrap(), state, "{name}");
            assert_eq!(format!("{written}\n"), stored, "{name}");
        }
    }

    #[test]
    fn every_golden_snapshot_has_a_state() {
        let states: BTreeSet<_> = all().into_iter().map(|(name, _)| format!("{name}.json")).collect();
        let files = std::fs::read_dir(golden()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        assert_eq!(files.collect::<BTreeSet<_>>(), states);
    }

    #[test]
    fn a_later_level_is_said_to_be_one_whatever_it_holds() {
        let Err(Error::OtherBuild(later)) = decode(br#"{"v":2,"state":{"paused":{}}}"#, NEWEST) else { panic!() };
        assert_eq!(
            later,
            "was written at level 2, this build reads levels up to 1; run the build that wrote it, or a newer one"
        );
        for damaged in ["", "{}", r#"{"v":1,"state":"#] {
            let Err(Error::Corrupt(what)) = decode(damaged.as_bytes(), NEWEST) else { panic!("{damaged}") };
            assert!(what.starts_with("can't be read: "), "{damaged}: {what}");
        }
    }

    /// A node of an older build that takes over a shard must not drop what it does not know.
    #[test]
    fn what_a_newer_build_has_added_is_not_passed_over() {
        let now = String::from_utf8(encode(&given(full_life()).state, NEWEST).unwrap().to_vec()).unwrap();
        let mut places = 0;
        for (at, _) in now.match_indices("{\"").skip(1) {
            let newer = format!("{}\"later\":1,{}", &now[..=at], &now[at + 1..]);
            match decode(newer.as_bytes(), NEWEST) {
                Err(error) if error.to_string().contains("later, which this build does not know") => places += 1,
                // A map of what users name, or a shape that refuses it in other words.
                Ok(_) | Err(_) => {}
            }
        }
        assert!(places > 10, "{places}");
    }

    #[test]
    fn an_older_shape_is_said_to_be_one() {
        let now = encode(&given(full_life()).state, NEWEST).unwrap();
        let now = String::from_utf8(now.to_vec()).unwrap();
        let older = now.replace(
            r#"[["batch-1","hash of batch-1",0,500]]"#,
            r#"{"batch-1":{"hash":"hash of batch-1","from":0,"to":500}},"order":["batch-1"]"#,
        );
        assert_ne!(older, now);
        for other in [&older, r#"{"v":1}"#, r#"{"v":1,"state":{"paused":{}}}"#] {
            let error = decode(other.as_bytes(), NEWEST).unwrap_err();
            assert!(matches!(error, Error::OtherBuild(_)), "{error}");
            let error = error.to_string();
            assert!(error.contains("written by a build from before the first release"), "{error}");
        }
    }
}
