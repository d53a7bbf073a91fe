//! A pipeline as people read it.
use super::Outcome;
use crate::cli::{
    causes,
    output::{self, Output, counted, thousands},
};
use dataflow_api_types::{PipelineView, SinkView, WarningView};
use dataflow_core::spec::Component;

/// Prints a pipeline.
pub(crate) fn show(pipeline: &PipelineView, output: Output) -> Outcome {
    match output {
        Output::Json => output::json(pipeline),
        Output::Table => output::print(&text(pipeline)),
    }
    Outcome::Done
}

fn text(pipeline: &PipelineView) -> String {
    let meanwhile = match (pipeline.stopping, pipeline.updating) {
        (true, true) => ", stopping to be updated",
        (true, false) => ", stopping",
        _ if pipeline.opening => ", opening its source and sink",
        _ => "",
    };
    let status = format!("{}{meanwhile}", pipeline.status);
    let mut rows = vec![
        ("pipeline", pipeline.pipeline_id.clone()),
        ("name", pipeline.name.clone()),
        ("status", status),
        ("version", pipeline.version.to_string()),
        ("source", component(&pipeline.source)),
    ];
    rows.extend(pipeline.transforms.iter().map(|transform| ("transform", component(transform))));
    rows.extend(pipeline.sink.iter().map(|sink| ("sink", component(sink))));
    rows.extend(pipeline.sinks.iter().map(|named| ("sink", of_sink(named))));
    rows.extend(declared(pipeline));
    rows.push(("created", pipeline.created_at.clone()));
    rows.push(("updated", pipeline.updated_at.clone()));
    if let Some(error) = &pipeline.error {
        rows.push(("error", format!("{} [{}, {}] since {}", error.message, error.stage, error.code, error.since)));
        rows.extend(error.sink.iter().map(|sink| ("of sink", sink.clone())));
        rows.extend(error.lane.map(|lane| ("lane", lane.to_string())));
        rows.extend(error.fix.iter().map(|fix| ("fix", fix.clone())));
        rows.extend(error.retry_at.iter().map(|at| ("next attempt", at.clone())));
    }
    rows.extend(pipeline.metrics.lag.map(|lag| ("lag", lag_of(lag, &pipeline.source.kind))));
    let mut text = output::pairs(&rows);
    text.push('\n');
    text.push_str(&ledger(pipeline));
    text.push_str(&sinks(pipeline));
    let notes = notes(pipeline, "");
    if !notes.is_empty() {
        text.push_str(&format!("\n{notes}"));
    }
    let positions: Vec<_> =
        pipeline.checkpoint.positions.iter().map(|p| [p.partition.clone(), p.position.clone()]).collect();
    if !positions.is_empty() {
        text.push('\n');
        text.push_str(&output::table(["PARTITION", "POSITION"], &positions));
    }
    text
}

/// One of several sinks as the spec has it.
fn of_sink(SinkView { name, when, sink, .. }: &SinkView) -> String {
    let when = when.as_ref().map_or_else(String::new, |when| format!(" when={when}"));
    format!("{name}: {}{when}", component(sink))
}

/// What became of the records in each of several sinks, and what is wrong with it.
fn sinks(pipeline: &PipelineView) -> String {
    if pipeline.sinks.is_empty() {
        return String::new();
    }
    let row = |sink: &SinkView| {
        let metrics = &sink.metrics;
        [
            sink.name.clone(),
            if sink.stopping { format!("{}, stopping", sink.status) } else { sink.status.to_string() },
            thousands(metrics.records_read),
            thousands(metrics.records_delivered),
            thousands(metrics.records_filtered),
            thousands(metrics.records_dead),
            metrics.lag.map_or_else(|| "-".into(), |lag| lag_of(lag, &pipeline.source.kind)),
            sink.error.as_ref().map_or_else(String::new, |error| error.message.clone()),
        ]
    };
    let rows: Vec<_> = pipeline.sinks.iter().map(row).collect();
    let header = ["SINK", "STATUS", "READ", "DELIVERED", "FILTERED", "DEAD", "LAG", "ERROR"];
    format!("\n{}", output::table(header, &rows))
}

/// What else its spec says.
fn declared(pipeline: &PipelineView) -> impl Iterator<Item = (&str, String)> {
    let labels: Vec<String> = pipeline.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let described = [("description", pipeline.description.clone()), ("labels", labels.join(" "))];
    let settings = pipeline.settings.iter().map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        (name.as_str(), text)
    });
    described.into_iter().filter(|(_, text)| !text.is_empty()).chain(settings)
}

fn component(component: &Component) -> String {
    let config = component.config.iter().map(|(name, value)| format!(" {name}={value}"));
    std::iter::once(component.kind.to_string()).chain(config).collect()
}

/// What waits at the source: records, of files bytes.
pub(crate) fn lag_of(lag: u64, source: &str) -> String {
    format!("{} {}", thousands(lag), if source == "file" { "bytes" } else { "records" })
}

/// The warnings with their counts, and the dead letters by cause with how to look at them. `place` is what the commands
/// need to find the pipeline.
pub(crate) fn notes(pipeline: &PipelineView, place: &str) -> String {
    let mut text = String::new();
    for warning in &pipeline.warnings {
        text.push_str(&format!("warning: {}\n", worded(warning)));
    }
    let whole = (None, &pipeline.dead_letters_by_cause, &pipeline.metrics);
    let of_sinks = pipeline.sinks.iter().map(|of| (Some(&of.name), &of.dead_letters_by_cause, &of.metrics));
    for (sink, causes, metrics) in std::iter::once(whole).chain(of_sinks) {
        let Some(causes) = causes.as_ref().filter(|causes| causes.counted > 0) else { continue };
        let of = sink.map_or(String::new(), |sink| format!(" of sink {sink}"));
        text.push_str(&match causes.counted < metrics.records_dead {
            true => format!("dead letters{of} by cause (the first {}):\n", thousands(causes.counted)),
            false => format!("dead letters{of} by cause:\n"),
        });
        text.push_str(&causes::text(causes));
        let (id, sink) = (&pipeline.pipeline_id, sink.map_or(String::new(), |sink| format!(" --sink {sink}")));
        text.push_str(&format!(
            "  list them: dataflow dead-letters list {id}{sink}{place}\n  \
             export their bytes, to correct them and run them again: dataflow dead-letters export {id}{sink}{place}\n"
        ));
    }
    text
}

/// A warning with the number of records that it is about.
pub(crate) fn worded(warning: &WarningView) -> String {
    let of = warning.sink.as_ref().map_or(String::new(), |sink| format!("sink {sink}: "));
    match warning.records {
        0 => format!("{of}{}", warning.message),
        records => format!("{of}{} ({})", warning.message, counted(records, "record")),
    }
}

/// The ledger as a sum: what was read, and what became of it.
pub(crate) fn ledger(pipeline: &PipelineView) -> String {
    let metrics = &pipeline.metrics;
    let fates = [
        ("delivered", metrics.records_delivered),
        ("filtered", metrics.records_filtered),
        ("absorbed", metrics.records_absorbed),
        ("dead letters", metrics.records_dead),
        ("lost", metrics.records_lost),
        ("in flight", metrics.records_in_flight),
    ];
    let sum: u64 = fates.iter().map(|(_, count)| count).sum();
    let width = thousands(metrics.records_read.max(sum)).len();
    let mut text = format!("{:>width$}  records read\n", thousands(metrics.records_read));
    for (fate, count) in fates {
        text.push_str(&format!("{:>width$}  {fate}\n", thousands(count)));
    }
    text.push_str(if sum == metrics.records_read { "the ledger balances" } else { "THE LEDGER DOES NOT BALANCE" });
    text.push_str(&format!(
        "; {} written in {}",
        counted(metrics.rows_written, "row"),
        match metrics.batches {
            1 => "1 batch".into(),
            several => format!("{} batches", thousands(several)),
        }
    ));
    if metrics.bytes_lost > 0 {
        text.push_str(&format!(
            "; {} lost with records that could not be counted",
            counted(metrics.bytes_lost, "byte")
        ));
    }
    if !pipeline.warnings.is_empty() {
        text.push_str(&format!("; {}", counted(pipeline.warnings.len() as u64, "warning")));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use dataflow_api_types::MetricsView;
    use serde_json::json;

    fn pipeline(metrics: serde_json::Value, warnings: serde_json::Value) -> PipelineView {
        let mut all = serde_json::to_value(MetricsView::default()).unwrap();
        all.as_object_mut().unwrap().extend(metrics.as_object().unwrap().clone());
        let component = json!({"type": "file"});
        serde_json::from_value(json!({
            "pipelineId": "p", "name": "p", "description": "", "labels": {}, "status": "completed", "source": component,
            "transforms": [], "sink": component, "version": 1, "metrics": all, "warnings": warnings, "error": null,
            "checkpoint": {"generation": 1, "at": null, "positions": []}, "createdAt": "", "updatedAt": "",
        }))
        .unwrap()
    }

    #[test]
    fn all_that_a_spec_says_is_shown() {
        let mut value = serde_json::to_value(pipeline(json!({}), json!([]))).unwrap();
        let more = json!({
            "description": "grown-ups", "labels": {"team": "growth"}, "lanes": 2, "stopTimeout": "1m",
            "restart": {"maxAttempts": 3}, "schema": {"amount": "decimal(10,2)"},
        });
        value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let shown = text(&serde_json::from_value(value).unwrap());
        for expected in ["grown-ups", "team=growth", "lanes", "1m", "maxAttempts", "decimal(10,2)"] {
            assert!(shown.contains(expected), "{expected} is not in {shown}");
        }
    }

    #[test]
    fn a_ledger_that_does_not_balance_says_so() {
        let counts = json!({"recordsRead": 1_500, "recordsDelivered": 1_500, "rowsWritten": 1, "batches": 1});
        let text = ledger(&pipeline(counts.clone(), json!([])));
        assert!(text.contains("1,500  records read\n1,500  delivered\n    0  filtered\n"), "{text}");
        assert!(text.ends_with("the ledger balances; 1 row written in 1 batch\n"), "{text}");
        let warnings = json!([{"code": "ignored-field", "message": "no column x", "records": 2}]);
        let warned = pipeline(counts, warnings);
        assert!(ledger(&warned).ends_with("; 1 warning\n"), "{}", ledger(&warned));
        assert_eq!(notes(&warned, ""), "warning: no column x (2 records)\n");
        let unbalanced = pipeline(json!({"recordsRead": 1, "recordsDelivered": 1, "recordsDead": 1}), json!([]));
        assert!(ledger(&unbalanced).contains("DOES NOT BALANCE"));
    }
}
