//! `dataflow pipeline list`.
use super::{Outcome, show::lag_of};
use crate::cli::{
    client::{Request, Server},
    exit::Failure,
    output::{self, Output, thousands},
};
use dataflow_api_types::{PipelinePage, PipelineView};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// Only those of this status: configured, running, stopped, failed, completed.
    #[arg(long)]
    status: Option<String>,
    /// Only those with this label; may be given several times.
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// Show at most this many. Default: all.
    #[arg(long)]
    limit: Option<usize>,
    /// Only those after this id.
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

pub(crate) async fn main(args: Args, output: Output) -> Result<Outcome, Failure> {
    let client = args.server.client()?;
    let mut page = PipelinePage { next: args.after, ..PipelinePage::default() };
    loop {
        let mut query: Vec<(&str, String)> = Vec::new();
        query.extend(page.next.take().map(|after| ("after", after)));
        query.extend(args.status.clone().map(|status| ("status", status)));
        query.extend(args.labels.iter().map(|label| ("label", label.clone())));
        let left = args.limit.map_or(200, |most| (most - page.items.len()).min(200));
        query.push(("limit", left.to_string()));
        let more: PipelinePage = client.send(Request::get(&["pipelines"]).query(&query)).await?;
        page.items.extend(more.items);
        page.next = more.next;
        page.closed = more.closed;
        if page.next.is_none() || args.limit.is_some_and(|most| page.items.len() >= most) {
            break;
        }
    }
    match output {
        Output::Json => output::json(&page),
        Output::Table => {
            let headers = [
                "PIPELINE",
                "STATUS",
                "ERROR",
                "SOURCE",
                "SINK",
                "READ",
                "DELIVERED",
                "DEAD",
                "LAG",
                "WARNINGS",
                "PER SECOND",
            ];
            let rows: Vec<_> = page.items.iter().map(row).collect();
            output::print(&output::table(headers, &rows));
            for why in page.closed {
                say!("there may be more: {why}");
            }
            if let Some(next) = page.next {
                say!("there are more: --after {next}");
            }
        }
    }
    Ok(Outcome::Done)
}

/// The status, and of which sinks it is if others have another one.
fn status(pipeline: &PipelineView) -> String {
    let of = pipeline.sinks.iter().filter(|sink| sink.status == pipeline.status);
    let names: Vec<_> = of.map(|sink| sink.name.as_str()).collect();
    match names.len() < pipeline.sinks.len() {
        true => format!("{} ({})", pipeline.status, names.join(", ")),
        false => pipeline.status.to_string(),
    }
}

/// What it fails with, or tries again after, by code; `pipeline get` says more.
fn error(pipeline: &PipelineView) -> String {
    let of_sinks =
        pipeline.sinks.iter().filter_map(|sink| Some(format!("{} ({})", sink.error.as_ref()?.code, sink.name)));
    let errors: Vec<_> = match pipeline.sinks.is_empty() {
        true => pipeline.error.iter().map(|error| error.code.clone()).collect(),
        false => of_sinks.collect(),
    };
    if errors.is_empty() { "-".into() } else { errors.join(", ") }
}

/// Their types.
fn sinks(pipeline: &PipelineView) -> String {
    let several = pipeline.sinks.iter().map(|named| named.sink.kind.as_str());
    pipeline.sink.iter().map(|sink| sink.kind.as_str()).chain(several).collect::<Vec<_>>().join(", ")
}

fn row(pipeline: &PipelineView) -> [String; 11] {
    let metrics = &pipeline.metrics;
    [
        pipeline.pipeline_id.clone(),
        status(pipeline),
        error(pipeline),
        pipeline.source.kind.clone(),
        sinks(pipeline),
        thousands(metrics.records_read),
        thousands(metrics.records_delivered),
        thousands(metrics.records_dead),
        metrics.lag.map_or_else(|| "-".into(), |lag| lag_of(lag, &pipeline.source.kind)),
        pipeline.warnings.len().to_string(),
        format!("{:.0}", metrics.records_per_second),
    ]
}
