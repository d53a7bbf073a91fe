//! What can be said of a spec without knowing its connectors.
use super::PipelineSpec;
use crate::{limits, problem::Problem};

/// All findings about the parts of a spec that are the domain's own: lengths, counts and ranges.
pub fn check(spec: &PipelineSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut at_most = |path: &str, what: &str, value: usize, most: usize| {
        if value > most {
            problems.push(Problem::new(
                path,
                "too-many",
                format!("has {value} {what}, but at most {most} are allowed"),
            ));
        }
    };
    at_most("name", "characters", spec.name.chars().count(), limits::MAX_NAME);
    at_most("description", "characters", spec.description.chars().count(), limits::MAX_DESCRIPTION);
    at_most("labels", "entries", spec.labels.len(), limits::MAX_LABELS);
    at_most("transforms", "entries", spec.transforms.len(), limits::MAX_TRANSFORMS);
    at_most("sinks", "entries", spec.sinks.len(), limits::MAX_SINKS);
    at_most("lanes", "lanes", spec.lanes.unwrap_or(1) as usize, limits::MAX_LANES as usize);
    let mut positive = |path: &str, value: u64| {
        if value == 0 {
            problems.push(Problem::new(path, "out-of-range", "must be greater than 0"));
        }
    };
    positive("lanes", u64::from(spec.lanes.unwrap_or(1)));
    positive("batch.maxRecords", u64::from(spec.batch.max_records));
    positive("batch.maxBytes", spec.batch.max_bytes);
    positive("checkpointInterval", spec.checkpoint_interval.0);
    positive("stopTimeout", spec.stop_timeout.0);
    positive("maxRecordBytes", spec.max_record_bytes);
    positive("maxInFlightBytes", spec.max_in_flight_bytes);
    positive("restart.initial", spec.restart.initial.0);
    let most = [
        ("batch.maxRecords", u64::from(spec.batch.max_records), limits::MAX_BATCH_RECORDS),
        ("batch.maxBytes", spec.batch.max_bytes, limits::MAX_BATCH_BYTES),
    ];
    for (path, value, most) in most {
        if value > most as u64 {
            problems.push(Problem::new(path, "out-of-range", format!("must be at most {most}")));
        }
    }
    problems.extend(sinks(spec));
    problems
}

/// There is one sink, or several with names that differ.
fn sinks(spec: &PipelineSpec) -> Vec<Problem> {
    match (spec.sink.is_none(), spec.sinks.is_empty()) {
        (true, true) => {
            vec![Problem::new("sink", "missing-field", "is missing").fix("give one sink, or sinks for several")]
        }
        (false, false) => vec![
            Problem::new("sinks", "contradiction", "are given beside sink").fix("move sink into sinks, with a name"),
        ],
        _ => {
            let is_again = |at: &usize| spec.sinks[..*at].iter().any(|sink| sink.name == spec.sinks[*at].name);
            let again = (0..spec.sinks.len()).filter(is_again).map(|at| {
                let message = format!("another sink has the name {:?}", spec.sinks[at].name.as_str());
                Problem::new(format!("sinks[{at}].name"), "duplicate", message).fix("give each sink a name of its own")
            });
            again.collect()
        }
    }
}
