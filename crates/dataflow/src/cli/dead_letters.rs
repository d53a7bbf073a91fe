//! `dataflow dead-letters`: records that could not be processed.
use super::{
    Outcome,
    client::{Request, Server},
    exit::Failure,
    output::{self, Output},
};
use clap::Subcommand;
use dataflow_engine::view::{DeadLetter, DeadLetterPage};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List them, oldest first.
    List {
        #[command(flatten)]
        server: Server,
        /// The pipeline's id.
        id: String,
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: u64,
        /// Only those after this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
    },
    /// Show one with its original bytes.
    Get {
        #[command(flatten)]
        server: Server,
        /// The pipeline's id.
        id: String,
        /// The dead letter's number.
        number: u64,
    },
}

pub(super) async fn main(command: Command, output: Output) -> Result<Outcome, Failure> {
    match command {
        Command::List { server, id, limit, after } => list(&server, &id, limit, after, output).await,
        Command::Get { server, id, number } => get(&server, &id, number, output).await,
    }
}

async fn list(server: &Server, id: &str, limit: u64, after: u64, output: Output) -> Result<Outcome, Failure> {
    let query = [("limit", limit.to_string()), ("after", after.to_string())];
    let page: DeadLetterPage =
        server.client()?.send(Request::get(&["pipelines", id, "dead-letters"]).query(&query)).await?;
    match output {
        Output::Json => output::json(&page),
        Output::Table => {
            let rows: Vec<_> = page.items.into_iter().map(row).collect();
            output::print(&output::table(["NUMBER", "AT", "STAGE", "PARTITION", "POSITION", "CODE", "CAUSE"], &rows));
            if let Some(next) = page.next {
                eprintln!("there are more: --after {next}");
            }
        }
    }
    Ok(Outcome::Done)
}

fn row(letter: DeadLetter) -> [String; 7] {
    let DeadLetter { number, at, stage, partition, position, code, cause, .. } = letter;
    [number.to_string(), at, stage, partition, position, code, cause]
}

async fn get(server: &Server, id: &str, number: u64, output: Output) -> Result<Outcome, Failure> {
    let number = number.to_string();
    let letter: DeadLetter = server.client()?.send(Request::get(&["pipelines", id, "dead-letters", &number])).await?;
    match output {
        Output::Json => output::json(&letter),
        Output::Table => {
            let original = match (&letter.original, &letter.original_base64) {
                (Some(text), _) => text.clone(),
                (None, Some(base64)) => format!("(base64) {base64}"),
                (None, None) => "(not kept)".into(),
            };
            output::print(&output::pairs(&[
                ("number", letter.number.to_string()),
                ("at", letter.at.clone()),
                ("stage", letter.stage.clone()),
                ("code", letter.code.clone()),
                ("cause", letter.cause.clone()),
                ("partition", letter.partition.clone()),
                ("position", letter.position.clone()),
                ("record", letter.record_id.clone()),
                ("length", letter.length.to_string()),
                ("original", original),
            ]));
        }
    }
    Ok(Outcome::Done)
}
