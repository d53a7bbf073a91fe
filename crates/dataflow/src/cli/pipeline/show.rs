//! A pipeline as people read it.
use super::Outcome;
use crate::cli::output::{self, Output, thousands};
use dataflow_core::spec::Component;
use dataflow_engine::view::{MetricsView, PipelineView};

/// Prints a pipeline.
pub(crate) fn show(pipeline: &PipelineView, output: Output) -> Outcome {
    match output {
        Output::Json => output::json(pipeline),
        Output::Table => output::print(&text(pipeline)),
    }
    Outcome::Done
}

fn text(pipeline: &PipelineView) -> String {
    let status = if pipeline.stopping { format!("{}, stopping", pipeline.status) } else { pipeline.status.to_string() };
    let mut rows = vec![
        ("pipeline", pipeline.pipeline_id.clone()),
        ("name", pipeline.name.clone()),
        ("status", status),
        ("version", pipeline.version.to_string()),
        ("source", component(&pipeline.source)),
    ];
    rows.extend(pipeline.transforms.iter().map(|transform| ("transform", component(transform))));
    rows.push(("sink", component(&pipeline.sink)));
    rows.push(("created", pipeline.created_at.clone()));
    rows.push(("updated", pipeline.updated_at.clone()));
    if let Some(error) = &pipeline.error {
        rows.push(("error", format!("{} [{}, {}] since {}", error.message, error.stage, error.code, error.since)));
        rows.extend(error.fix.iter().map(|fix| ("fix", fix.clone())));
        rows.extend(error.retry_at.iter().map(|at| ("next attempt", at.clone())));
    }
    for warning in &pipeline.warnings {
        let records = match warning.records {
            0 => String::new(),
            records => format!(" ({} records)", thousands(records)),
        };
        rows.push(("warning", format!("{}{records}", warning.message)));
    }
    let mut text = output::pairs(&rows);
    text.push('\n');
    text.push_str(&ledger(&pipeline.metrics));
    let positions: Vec<_> =
        pipeline.checkpoint.positions.iter().map(|p| [p.partition.clone(), p.position.clone()]).collect();
    if !positions.is_empty() {
        text.push('\n');
        text.push_str(&output::table(["PARTITION", "POSITION"], &positions));
    }
    text
}

fn component(component: &Component) -> String {
    let config = component.config.iter().map(|(name, value)| format!(" {name}={value}"));
    std::iter::once(component.kind.to_string()).chain(config).collect()
}

/// The ledger as a sum: what was read, and what became of it.
pub(crate) fn ledger(metrics: &MetricsView) -> String {
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
        "; {} rows written in {} batches\n",
        thousands(metrics.rows_written),
        thousands(metrics.batches)
    ));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_that_does_not_balance_says_so() {
        let mut metrics = MetricsView { records_read: 1_500, records_delivered: 1_500, ..MetricsView::default() };
        assert!(ledger(&metrics).contains("1,500  records read\n1,500  delivered\n    0  filtered\n"));
        assert!(ledger(&metrics).contains("the ledger balances"));
        metrics.records_dead = 1;
        assert!(ledger(&metrics).contains("DOES NOT BALANCE"));
    }
}
