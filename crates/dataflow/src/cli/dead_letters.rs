//! `dataflow dead-letters`: records that could not be processed.
mod export;

use super::{
    Outcome, causes,
    client::{Client, Request, Server},
    exit::Failure,
    output::{self, Output},
    stored::{self, StoredPipeline},
};
use clap::Subcommand;
use dataflow_api::views;
use dataflow_api_types::{CheckpointView, DeadLetter, DeadLetterPage, DeadLettersByCause};
use dataflow_core::id::PipelineId;
use dataflow_engine::{
    answers::{DeadLetters, LetterPlace},
    claims,
};
use export::Chosen;
use std::{collections::BTreeMap, path::PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List them, oldest first; of several sinks one after the other.
    List {
        #[command(flatten)]
        of: Of,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1_000))]
        limit: u64,
        /// Only those after this number, or, of several sinks, after SINK/NUMBER.
        #[arg(long, default_value_t)]
        after: LetterPlace,
    },
    /// Count them by cause, with an example of each.
    Causes {
        #[command(flatten)]
        of: Of,
    },
    /// Show one with its original bytes.
    Get {
        #[command(flatten)]
        of: Of,
        /// The dead letter's number, of one of several sinks SINK/NUMBER.
        number: LetterPlace,
    },
    /// Print the original bytes of all, one a line, CSV after its header: to correct them, and read them again from a
    /// file. Those that can't be such a line are left out (exit code 3). With --output json: each as a JSON object with its
    /// key, headers and time, too.
    Export {
        #[command(flatten)]
        of: Of,
        /// Only those after this number.
        #[arg(long, default_value_t = 0)]
        after: u64,
        /// Only those of this partition, as `list` shows it: the file, of a file source.
        #[arg(long)]
        partition: Option<String>,
        /// Only those of this generation: `2`, or `2-5f3a`.
        #[arg(long, value_parser = export::generation)]
        generation: Option<String>,
    },
}

/// Whose dead letters.
#[derive(Debug, clap::Args)]
pub(super) struct Of {
    #[command(flatten)]
    server: Server,
    /// The pipeline's id.
    id: String,
    /// Only those of this sink.
    #[arg(long)]
    sink: Option<String>,
    /// Without a node: the data folder of `dataflow run`, or of a stopped node.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

pub(super) async fn main(command: Command, output: Output) -> Result<Outcome, Failure> {
    match command {
        Command::List { of, limit, after } => list(&of.open().await?, &of, limit, &after, output).await?,
        Command::Causes { of } => by_cause(&of.open().await?, output).await?,
        Command::Get { mut of, number } => {
            of.sink = number.sink.map(|sink| sink.to_string()).or(of.sink);
            get(&of.open().await?, number.number, output).await?;
        }
        Command::Export { of, after, partition, generation } => {
            return export::all(&of.open().await?, after, &Chosen { partition, generation }, output).await;
        }
    }
    Ok(Outcome::Done)
}

/// Where the dead letters are.
enum Letters {
    /// At a node.
    Node { client: Client, id: String, sink: Option<String> },
    /// In a data folder.
    Stored { pipeline: Box<StoredPipeline>, sink: Option<String> },
}

impl Of {
    async fn open(&self) -> Result<Letters, Failure> {
        let Some(folder) = &self.data_dir else {
            let (id, sink) = (self.id.clone(), self.sink.clone());
            return Ok(Letters::Node { client: self.server.client()?, id, sink });
        };
        let id = PipelineId::try_from(self.id.as_str()).map_err(|error| Failure::invalid(error, Vec::new()))?;
        let pipeline = Box::new(StoredPipeline::find(folder, id).await?);
        Ok(Letters::Stored { pipeline, sink: self.sink.clone() })
    }
}

impl Letters {
    /// A page of them, with their bytes if asked for.
    async fn page(&self, after: &LetterPlace, limit: u64, bytes: bool) -> Result<DeadLetterPage, Failure> {
        match self {
            Self::Node { client, id, sink } => {
                let bytes = bytes.then(|| ("bytes", "true".into()));
                let query = query_of([("limit", limit.to_string()), ("after", after.to_string())], sink);
                let query: Vec<_> = query.into_iter().chain(bytes).collect();
                client.send(Request::get(&["pipelines", id, "dead-letters"]).query(&query)).await
            }
            Self::Stored { pipeline, sink } => {
                let stored = pipeline.load().await?;
                let branches = match sink {
                    Some(_) => vec![stored::branch(&stored, sink.as_deref())?],
                    None => stored.branches(),
                };
                let page = claims::dead_letters(&branches, after, (bytes, limit as usize)).await;
                Ok(views::dead_letters(page.map_err(Failure::failed)?))
            }
        }
    }

    /// The partitions that the pipeline has a position in.
    async fn partitions(&self) -> Result<Vec<String>, Failure> {
        match self {
            Self::Node { client, id, sink } => {
                let query = query_of([], sink);
                let checkpoint = client.send(Request::get(&["pipelines", id, "checkpoint"]).query(&query)).await?;
                let CheckpointView { positions, .. } = checkpoint;
                Ok(positions.into_iter().map(|position| position.partition).collect())
            }
            Self::Stored { pipeline, sink } => {
                Ok(stored::branch(&pipeline.load().await?, sink.as_deref())?.partitions())
            }
        }
    }

    async fn get(&self, number: u64) -> Result<DeadLetter, Failure> {
        match self {
            Self::Node { client, id, sink } => {
                let (number, query) = (number.to_string(), query_of([], sink));
                client.send(Request::get(&["pipelines", id, "dead-letters", &number]).query(&query)).await
            }
            Self::Stored { pipeline, sink } => {
                let stored = pipeline.load().await?;
                let branch = [stored::branch(&stored, sink.as_deref())?];
                let found = match number.checked_sub(1) {
                    Some(before) => claims::dead_letters(&branch, &before.into(), (true, 1)).await,
                    None => Ok(DeadLetters::default()),
                };
                let found = found.map_err(Failure::failed)?.letters.pop();
                found.map(views::dead_letter).ok_or_else(|| {
                    Failure::failed(format!("the pipeline {:?} has no dead letter {number}", pipeline.id.as_str()))
                })
            }
        }
    }

    /// Counted by cause, by sink where there are several.
    async fn causes(&self) -> Result<Vec<(Option<String>, DeadLettersByCause)>, Failure> {
        let mut found = Vec::new();
        match self {
            Self::Node { client, id, .. } => {
                let pipeline = client.pipeline(id).await?;
                if pipeline.sinks.is_empty() {
                    found.push((None, pipeline.dead_letters_by_cause.unwrap_or_default()));
                }
                let of_sinks = pipeline.sinks.into_iter();
                found.extend(of_sinks.map(|of| (Some(of.name), of.dead_letters_by_cause.unwrap_or_default())));
            }
            Self::Stored { pipeline, .. } => {
                let stored = pipeline.load().await?;
                for branch in stored.branches() {
                    let name = branch.sink().map(ToString::to_string);
                    found.push((name, views::causes(branch.causes().await.map_err(Failure::failed)?)));
                }
            }
        }
        let Some(asked) = self.sink() else { return Ok(found) };
        match found.iter().position(|(name, _)| name.as_deref() == Some(asked)) {
            Some(at) => Ok(vec![found.swap_remove(at)]),
            None => Err(Failure::unknown_sink(asked, found.iter().filter_map(|(name, _)| name.as_ref()))),
        }
    }

    fn sink(&self) -> Option<&str> {
        match self {
            Self::Node { sink, .. } | Self::Stored { sink, .. } => sink.as_deref(),
        }
    }

    /// The names of several sinks, of which none was chosen.
    async fn choice(&self) -> Result<Vec<String>, Failure> {
        let names: Vec<_> = match self {
            Self::Node { client, id, sink: None } => {
                client.pipeline(id).await?.sinks.into_iter().map(|sink| sink.name).collect()
            }
            Self::Stored { pipeline, sink: None } => {
                let stored = pipeline.load().await?;
                stored.branches().iter().filter_map(|branch| branch.sink()).map(ToString::to_string).collect()
            }
            _ => Vec::new(),
        };
        Ok(if names.len() > 1 { names } else { Vec::new() })
    }
}

/// A query, with the sink if one is named.
fn query_of<const N: usize>(query: [(&'static str, String); N], sink: &Option<String>) -> Vec<(&'static str, String)> {
    query.into_iter().chain(sink.clone().map(|sink| ("sink", sink))).collect()
}

async fn list(letters: &Letters, of: &Of, limit: u64, after: &LetterPlace, output: Output) -> Result<(), Failure> {
    let page = letters.page(after, limit, false).await?;
    match output {
        Output::Json => output::json(&page),
        Output::Table => {
            let rows: Vec<_> = page.items.into_iter().map(row).collect();
            output::print(&output::table(["NUMBER", "AT", "STAGE", "PARTITION", "POSITION", "CODE", "CAUSE"], &rows));
            if let Some(next) = page.next {
                say!("there are more: --after {next}");
            } else if rows.is_empty() && *after == LetterPlace::default() {
                say!("{} has no dead letters", of.id);
            }
        }
    }
    Ok(())
}

fn row(letter: DeadLetter) -> [String; 7] {
    let DeadLetter { sink, number, at, stage, partition, position, line, code, cause, .. } = letter;
    let number = sink.map_or(String::new(), |sink| format!("{sink}/")) + &number.to_string();
    let position = known(position.as_ref());
    let position = match line {
        Some(line) => format!("{position} (line {line})"),
        None => position,
    };
    [number, known(at.as_ref()), stage, known(partition.as_ref()), position, code, cause]
}

async fn by_cause(letters: &Letters, output: Output) -> Result<(), Failure> {
    let found = letters.causes().await?;
    match (output, &*found) {
        (Output::Json, [(None, only)]) => output::json(only),
        (Output::Json, several) => {
            let named = several.iter().map(|(sink, causes)| (sink.clone().unwrap_or_default(), causes));
            let by_sink: BTreeMap<String, _> = named.collect();
            output::json(&by_sink);
        }
        (Output::Table, _) => {
            for (sink, causes) in found.iter().filter(|(_, causes)| causes.counted > 0) {
                let title = sink.as_ref().map_or(String::new(), |sink| format!("sink {sink}:\n"));
                output::print(&(title + &causes::text(causes)));
            }
        }
    }
    Ok(())
}

/// What is known of a letter, or that it is not.
fn known(value: Option<&String>) -> String {
    value.cloned().unwrap_or_else(|| "-".into())
}

async fn get(letters: &Letters, number: u64, output: Output) -> Result<(), Failure> {
    let letter = letters.get(number).await?;
    match output {
        Output::Json => output::json(&letter),
        Output::Table => {
            let original = match (&letter.original, &letter.original_base64) {
                (Some(text), _) => text.clone(),
                (None, Some(base64)) => format!("(base64) {base64}"),
                (None, None) => "(not kept)".into(),
            };
            let sink = letter.sink.iter().map(|sink| ("sink", sink.clone()));
            let rows = [
                ("number", letter.number.to_string()),
                ("at", known(letter.at.as_ref())),
                ("stage", letter.stage.clone()),
                ("code", letter.code.clone()),
                ("cause", letter.cause.clone()),
                ("partition", known(letter.partition.as_ref())),
                ("position", known(letter.position.as_ref())),
                ("line", letter.line.map_or_else(|| "-".into(), |line| line.to_string())),
                ("record", known(letter.record_id.as_ref())),
                ("length", letter.length.to_string()),
                ("original", original),
            ];
            output::print(&output::pairs(&sink.chain(rows).collect::<Vec<_>>()));
        }
    }
    Ok(())
}
