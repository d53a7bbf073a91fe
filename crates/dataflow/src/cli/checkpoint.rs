//! `dataflow checkpoint`: where a pipeline goes on.
use super::{
    Outcome,
    client::{Because, Request, Server},
    door::Door,
    exit::{self, Failure},
    output::{self, Output},
    run::QUIET,
    serve, stored,
};
use crate::{
    data_dir::DataDir,
    node::{self, Node, Whose},
    settings::Overrides,
};
use clap::Subcommand;
use dataflow_api_types::{CheckpointView, PipelineView, Status};
use dataflow_core::id::{PipelineId, Reason, SinkName};
use dataflow_engine::region::{Action, ResetPoint};
use dataflow_sdk::check::nearest;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the checkpoint.
    Get {
        #[command(flatten)]
        of: Of,
    },
    /// Continue from elsewhere. The pipeline must not be running; this starts a new generation.
    Set {
        #[command(flatten)]
        of: Of,
        /// `beginning`, `end`, `sink-token`, `journal`, or positions: `user-events/0=123,user-events/1=456`, or, for any names,
        /// as JSON: `{"/data/a=1,b.jsonl": "123"}`.
        #[arg(long)]
        to: String,
        /// Even if the sink's progress can't be read, acknowledged pushed records are lost, or records are written
        /// twice.
        #[arg(long)]
        force: bool,
        /// Even if the target has another node's progress for this pipeline: that node can then no longer write there.
        #[arg(long)]
        take_over: bool,
        #[command(flatten)]
        because: Because,
    },
}

/// Whose checkpoint: of a node's pipeline, or with `--data-dir` of one that `dataflow run` has run there.
#[derive(Debug, clap::Args)]
pub(super) struct Of {
    #[command(flatten)]
    server: Server,
    /// The pipeline's id.
    id: String,
    /// The name of the sink, where there are several. `set` without it: all of them.
    #[arg(long)]
    sink: Option<String>,
    #[command(flatten)]
    overrides: Overrides,
}

/// Where to go on, if it is to be set.
struct Change {
    to: ResetPoint,
    /// Without asking the sink.
    force: bool,
    /// Whoever else writes to the target.
    take_over: bool,
    because: Because,
}

pub(super) fn main(command: Command, output: Output) -> Result<Outcome, Failure> {
    let (of, change) = match command {
        Command::Get { of } => (of, None),
        Command::Set { of, to, force, take_over, because } => {
            (of, Some(Change { to: parse(&to)?, force, take_over, because }))
        }
    };
    let checkpoint = match of.overrides.data_dir {
        Some(_) => serve::runtime()?.block_on(of_run(of, change))?,
        None => exit::block_on(of_node(&of, change))?,
    };
    show(checkpoint, output);
    Ok(Outcome::Done)
}

async fn of_node(of: &Of, change: Option<Change>) -> Result<CheckpointView, Failure> {
    let path = ["pipelines", of.id.as_str(), "checkpoint"];
    let client = of.server.client()?;
    if let Some(Change { to, force, take_over, because }) = change {
        let body = json!({"to": as_json(to)});
        let flags = [("force", force), ("takeOver", take_over)];
        let flags = flags.iter().filter(|(_, set)| *set).map(|(name, _)| (*name, "true".to_owned()));
        let query: Vec<_> = flags.chain(of.sink.clone().map(|sink| ("sink", sink))).collect();
        let request = Request::put(&path).body(&body).query(&query).because(&because);
        client.send::<Value>(request).await?;
    }
    let query: Vec<_> = of.sink.clone().map(|sink| ("sink", sink)).into_iter().collect();
    client.send(Request::get(&path).query(&query)).await
}

/// The same with the pipeline of a run: its node is there for as long as the command is.
async fn of_run(mut of: Of, change: Option<Change>) -> Result<CheckpointView, Failure> {
    of.overrides.log_level.get_or_insert_with(|| QUIET.into());
    let settings = serve::load(&of.overrides, None)?;
    let id = PipelineId::try_from(of.id.as_str()).map_err(|error| Failure::invalid(error, Vec::new()))?;
    let folder = stored::run_folder(&settings.data_dir, &id);
    if !folder.join("journal.db").exists() {
        let message = format!("`dataflow run` has run no pipeline {:?} in {}", of.id, settings.data_dir.display());
        return Err(Failure::failed(message).fix("for a node's pipeline, ask the node: omit --data-dir"));
    }
    let connectors = node::connectors(&settings, Whose::Users)?;
    let data = DataDir::lock(&folder).map_err(stored::in_use)?;
    let parts = node::parts(&settings, &connectors, &data)?;
    let node = Node::build(&settings, &connectors.connections.reach().paths, parts, Some(data)).await?;
    let done = change_run(&Door::new(&node, id), of.sink.as_deref(), change).await;
    let settled = node.shutdown(settings.shutdown_timeout.into()).await;
    let checkpoint = done?;
    settled?;
    Ok(checkpoint)
}

async fn change_run(door: &Door, sink: Option<&str>, change: Option<Change>) -> Result<CheckpointView, Failure> {
    let sink = sink.map(SinkName::try_from).transpose().map_err(|error| Failure::invalid(error, Vec::new()))?;
    let of = |pipeline: PipelineView| match &sink {
        None => Ok(pipeline.checkpoint),
        Some(name) => {
            let found = pipeline.sinks.iter().find(|known| known.name == name.as_str());
            let unknown = || Failure::unknown_sink(name.as_str(), pipeline.sinks.iter().map(|known| &known.name));
            found.map(|found| found.checkpoint.clone()).ok_or_else(unknown)
        }
    };
    let pipeline = door.view().await?;
    // A run that was killed goes on as soon as its node is there.
    let pipeline = if pipeline.status == Status::Running { door.stop(&pipeline).await? } else { pipeline };
    let Some(Change { to, force, take_over, because }) = change else { return of(pipeline) };
    let reason = because.reason.map(Reason::try_from).transpose();
    let reason = reason.map_err(|error| Failure::invalid(error, Vec::new()))?;
    let reset = Action::ResetCheckpoint { to, sink: sink.clone(), force, take_over };
    of(door.command_because(reset, reason).await?)
}

fn show(checkpoint: CheckpointView, output: Output) {
    match output {
        Output::Json => output::json(&checkpoint),
        Output::Table => {
            let at = checkpoint.at.unwrap_or_else(|| "never".into());
            let rows: Vec<_> = checkpoint.positions.into_iter().map(|p| [p.partition, p.position]).collect();
            output::print(&output::pairs(&[("generation", checkpoint.generation.to_string()), ("taken", at)]));
            if !rows.is_empty() {
                output::print(&format!("\n{}", output::table(["PARTITION", "POSITION"], &rows)));
            }
        }
    }
}

/// Where to go on, as users write it.
fn parse(to: &str) -> Result<ResetPoint, Failure> {
    const WORDS: [&str; 4] = ["beginning", "end", "sink-token", "journal"];
    match to {
        "beginning" => return Ok(ResetPoint::Beginning),
        "end" => return Ok(ResetPoint::End),
        "sink-token" => return Ok(ResetPoint::SinkToken),
        "journal" => return Ok(ResetPoint::Journal),
        word if !word.contains('=') && !word.starts_with('{') => {
            let failure = Failure::invalid(format!("{word:?} is not a place to continue from"), Vec::new());
            return Err(failure.fix(match nearest(word, WORDS) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("write {}, or partition=position", WORDS.join(", ")),
            }));
        }
        _ => {}
    }
    if let Ok(positions) = serde_json::from_str(to) {
        return Ok(ResetPoint::Positions(positions));
    }
    let mut positions = BTreeMap::new();
    let mut rest = Some(to);
    while let Some(text) = rest {
        let (partition, position);
        (partition, position, rest) = first_pair(text).ok_or_else(|| {
            Failure::invalid(format!("{text:?} is not a position: write partition=position"), Vec::new())
        })?;
        if positions.insert(partition.to_owned(), position.to_owned()).is_some() {
            return Err(Failure::invalid(format!("{partition:?} is given twice"), Vec::new()));
        }
    }
    Ok(ResetPoint::Positions(positions))
}

/// The first `partition=position` of several, and the rest after its comma: the first one behind a `=`, as names may have commas. A
/// position in brackets is JSON, which may have commas, too.
fn first_pair(text: &str) -> Option<(&str, &str, Option<&str>)> {
    let first = text.find('=')?;
    let is_json = text[first..].find("=[").map(|at| first + at).filter(|at| !text[first..*at].contains(','));
    let json = |at: usize| {
        let mut values = serde_json::Deserializer::from_str(&text[at + 1..]).into_iter::<IgnoredAny>();
        values.next()?.ok().map(|_| at + 1 + values.byte_offset())
    };
    let end = is_json.and_then(json).unwrap_or(first);
    let end = end + text[end..].find(',').unwrap_or(text.len() - end);
    let at = is_json.or_else(|| text[..end].rfind('='))?;
    Some((&text[..at], &text[at + 1..end], text.get(end + 1..)))
}

/// What the API takes as `to`.
fn as_json(to: ResetPoint) -> Value {
    match to {
        ResetPoint::Beginning => json!("beginning"),
        ResetPoint::End => json!("end"),
        ResetPoint::SinkToken => json!("sink-token"),
        ResetPoint::Journal => json!("journal"),
        ResetPoint::Positions(positions) => {
            let all = positions
                .into_iter()
                .map(|(partition, position)| json!({"partition": partition, "position": position}));
            json!({"positions": all.collect::<Vec<_>>()})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_words_are_told_apart() {
        let json = |to: &str| as_json(parse(to).unwrap());
        assert_eq!(json("beginning"), json!("beginning"));
        let positions =
            json!({"positions": [{"partition": "a=b/0", "position": "1"}, {"partition": "c", "position": "2"}]});
        assert_eq!(json("a=b/0=1,c=2"), positions);
        let ResetPoint::Positions(found) = parse("s.t=[7,\"a,]=\",42],c=2").unwrap() else { panic!() };
        assert_eq!((&*found["s.t"], &*found["c"]), ("[7,\"a,]=\",42]", "2"));
        let ResetPoint::Positions(found) = parse("c=2,/data/[a]=[0]").unwrap() else { panic!() };
        assert_eq!((&*found["/data/[a]"], &*found["c"]), ("[0]", "2"));
        assert!(parse("t=[7,42").is_err() && parse("a=1,").is_err());
        let ResetPoint::Positions(found) = parse("/d/a,b.jsonl=8,c=2,d,e=[1,2]").unwrap() else { panic!() };
        assert_eq!((&*found["/d/a,b.jsonl"], &*found["c"], &*found["d,e"]), ("8", "2", "[1,2]"));
        let ResetPoint::Positions(found) = parse(r#"{"/d/a=1,b.jsonl": "8"}"#).unwrap() else { panic!() };
        assert_eq!(found, [("/d/a=1,b.jsonl".to_owned(), "8".to_owned())].into());
        assert!(parse("{\"a\": 8").is_err());
        assert!(parse("a=1,b").is_err() && parse("a=1,a=2").is_err());
        assert!(parse("begining").unwrap_err().fix.is_some_and(|fix| fix.contains("beginning")));
    }
}
