//! `dataflow pipeline history`.
use super::Outcome;
use crate::cli::{
    client::{Request, Server},
    exit::Failure,
    output::{self, Output},
};
use dataflow_engine::view::HistoryPage;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    /// The pipeline's id.
    id: String,
    /// At most so many events.
    #[arg(long, default_value_t = 100)]
    limit: u64,
    /// The newest event first.
    #[arg(long)]
    newest_first: bool,
    /// Only events after this number; with --newest-first, only those before it.
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
}

/// Most characters of an event's detail in a table.
const DETAIL: usize = 100;

/// A whole spec would hide what else there is; `--output json` has it.
fn short(detail: &str) -> String {
    match detail.char_indices().nth(DETAIL) {
        Some((end, _)) => format!("{}…", &detail[..end]),
        None if detail == "{}" => String::new(),
        None => detail.to_owned(),
    }
}

pub(crate) async fn main(args: Args, output: Output) -> Result<Outcome, Failure> {
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.newest_first.then(|| ("order", "desc".to_owned())));
    query.extend(args.after.map(|after| ("after", after.to_string())));
    let path = ["pipelines", args.id.as_str(), "history"];
    let page: HistoryPage = args.server.client()?.send(Request::get(&path).query(&query)).await?;
    match output {
        Output::Json => output::json(&page),
        Output::Table => {
            let rows: Vec<_> = page
                .items
                .into_iter()
                .map(|item| [item.number.to_string(), item.at, item.actor, item.event, short(&item.detail.to_string())])
                .collect();
            output::print(&output::table(["NUMBER", "AT", "ACTOR", "EVENT", "DETAIL"], &rows));
            if let Some(next) = page.next {
                eprintln!("there are more: --after {next}");
            }
        }
    }
    Ok(Outcome::Done)
}
