#![allow(clippy::unwrap_used)]
use super::{Kind, decode, encode};
use crate::{Error, WriteLevel, testing::samples};
use dataflow_core::pipeline::event::Event;
use proptest::prelude::*;
use std::{collections::BTreeSet, path::PathBuf};

const NEWEST: WriteLevel = WriteLevel::NEWEST;

fn golden(version: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("golden/v{version}"))
}

/// Every sample is written as its golden file has it, and the golden file is read as the sample. A new sample's file
/// is written by running this with `GOLDEN=write`; one that is there is never changed.
#[test]
fn golden_files_of_version_1_are_read_and_written() {
    for (name, event) in samples::all() {
        let file = golden(1).join(format!("{name}.json"));
        let written = encode(&event, WriteLevel(1)).unwrap();
        if !file.exists() && std::env::var_os("GOLDEN").is_some_and(|how| how == "write") {
            std::fs::write(&file, format!("{written}\n")).unwrap();
        }
        let stored = std::fs::read_to_string(&file).unwrap_or_else(|cause| panic!("{}: {cause}", file.display()));
        assert_eq!(decode(stored.trim_end(), NEWEST).unwrap(), event, "{name}");
        assert_eq!(format!("{written}\n"), stored, "{name}");
    }
}

/// A field of an earlier shape that says nothing any more.
#[test]
fn an_update_that_names_its_sink_is_read() {
    let stored = std::fs::read_to_string(golden(1).join("stop-requested-update.json")).unwrap();
    let named = stored.replacen(r#""force":"#, r#""sink":"large","force":"#, 1);
    assert_ne!(named, stored);
    assert_eq!(decode(named.trim_end(), NEWEST).unwrap(), decode(stored.trim_end(), NEWEST).unwrap());
}

#[test]
fn every_golden_file_has_a_sample() {
    let samples: BTreeSet<_> = samples::all().into_iter().map(|(name, _)| format!("{name}.json")).collect();
    let files = std::fs::read_dir(golden(1)).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.collect::<BTreeSet<_>>(), samples);
}

#[test]
fn every_type_of_event_has_a_sample() {
    let names: BTreeSet<_> = samples::all().iter().map(|(_, event)| event.event.name()).collect();
    assert_eq!(names.len(), 17);
}

#[test]
fn a_spec_of_old_is_read_with_the_defaults_of_today() {
    let body = r#"{"v":1,"number":1,"at":1,"actor":"api","command":"c","event":{"pipelineCreated":{"spec":
        {"source":{"type":"file","path":"a"},"sink":{"type":"stdout"}},"incarnation":"i"}}}"#;
    let Event::PipelineCreated { spec, .. } = decode(body, NEWEST).unwrap().event else { panic!() };
    assert_eq!((spec.max_record_bytes, spec.name.as_str()), (16 << 20, ""));
}

#[test]
fn a_later_level_is_said_to_be_one() {
    let Err(Error::OtherBuild(message)) = decode(r#"{"v":2,"whatever":[]}"#, NEWEST) else { panic!() };
    insta::assert_snapshot!(message, @"it was written at level 2, this build reads levels up to 1; run the build that wrote it, or a newer one");
}

/// A newer build writes at the level of the journal, and reads what was written at all levels up to its own.
#[test]
fn an_event_is_written_at_the_level_of_its_journal() {
    for (name, event) in samples::all() {
        let [one, two] = [1, 2].map(|level| encode(&event, WriteLevel(level)).unwrap());
        assert!(one.starts_with(r#"{"v":1,"#) && two.starts_with(r#"{"v":2,"#), "{name}: {two}");
        assert!([&one, &two].iter().all(|body| decode(body, WriteLevel(2)).unwrap() == event), "{name}");
        assert!(matches!(decode(&two, WriteLevel(1)), Err(Error::OtherBuild(_))), "{name}");
    }
}

/// An event that this build does not know, and one of a shape from before the first release.
#[test]
fn it_is_said_what_to_do_about_the_event_of_another_build() {
    let event = |event: &str| {
        let body = format!(r#"{{"v":1,"number":1,"at":1,"actor":"a","command":"c","event":{event}}}"#);
        let Err(Error::OtherBuild(message)) = decode(&body, NEWEST) else { panic!("{body}") };
        message
    };
    let unknown = event(r#"{"pipelinePaused":{}}"#);
    assert!(
        unknown.contains("`pipelinePaused`") && unknown.contains("run the build that wrote it, or a newer one"),
        "{unknown}"
    );
    let older = event(
        r#"{"batchProcessed":{"run":1,"lanes":[{"lane":0,"sequence":1,"positions":{},"counters":{"read":0,"filtered":0,"delivered":0,"absorbed":0,"dead":0,"lost":0,"rowsWritten":0,"bytesRead":0,"batches":0},"warnings":[{"code":"a","subject":"b","message":"","records":0}]}]}}"#,
    );
    assert!(older.contains("unknown variant `code`") && older.contains("start with an empty folder"), "{older}");
}

#[test]
fn damage_is_told_from_another_build() {
    for body in ["", "{}", r#"{"v":1,"number""#, r#"{"v":"1"}"#] {
        assert!(matches!(decode(body, NEWEST), Err(Error::Corrupt(_))), "{body}");
    }
    for body in [
        r#"{"v":1}"#,
        r#"{"v":1,"number":1,"at":1,"actor":"","command":"c","event":{"pipelineDeleted":{}}}"#,
        r#"{"v":1,"number":1,"at":1,"actor":"a","command":"c","event":{"pipelinePaused":{}}}"#,
        r#"{"v":1,"number":1,"at":1,"actor":"a","command":"c","event":{"pipelineDeleted":{}},"more":1}"#,
        r#"{"v":1,"number":1,"at":1,"actor":"a","command":"c","event":{"pipelineStarted":{"lanes":1}}}"#,
    ] {
        assert!(matches!(decode(body, NEWEST), Err(Error::OtherBuild(_))), "{body}");
    }
}

#[test]
fn progress_is_what_the_next_of_its_kind_replaces() {
    let progress = samples::all().into_iter().filter(|(_, event)| Kind::of(&event.event) != Kind::Lifecycle);
    let names: Vec<_> = progress.map(|(name, _)| name).collect();
    let alone = ["batch-received", "run-opened", "batch-processed", "dead-letters-joined"];
    assert_eq!(names, [&alone[..], &["batch-received-of-source", "batch-processed-state"]].concat());
}

proptest! {
    /// What is appended and read again is equal, whatever numbers and texts a spec holds: owners settle unknown outcomes by it.
    #[test]
    fn a_spec_comes_back_as_it_was(float in any::<f64>(), whole in any::<i64>(), large in any::<u64>(), text in any::<String>()) {
        let config = serde_json::json!({"type": "generate", "float": float, "whole": whole, "large": large, "text": text});
        let spec = serde_json::json!({"source": config, "sink": {"type": "stdout"}});
        let incarnation = "i".try_into().unwrap();
        let created = Event::PipelineCreated { spec: serde_json::from_value(spec).unwrap(), incarnation, pushes: None };
        let event = samples::event("c", created);
        prop_assert_eq!(decode(&encode(&event, NEWEST).unwrap(), NEWEST).unwrap(), event);
    }
}
