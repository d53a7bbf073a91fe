//! `dataflow checkpoint`: where a pipeline goes on.
use super::{
    Outcome,
    client::{Request, Server},
    exit::Failure,
    output::{self, Output},
};
use clap::Subcommand;
use dataflow_engine::view::CheckpointView;
use serde_json::{Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show the checkpoint.
    Get {
        #[command(flatten)]
        server: Server,
        /// The pipeline's id.
        id: String,
    },
    /// Go on from elsewhere. The pipeline must not be running; this starts a new generation.
    Set {
        #[command(flatten)]
        server: Server,
        /// The pipeline's id.
        id: String,
        /// `beginning`, `end`, `sink-token`, `journal`, or positions: `user-events/0=123,user-events/1=456`.
        #[arg(long)]
        to: String,
        /// Even if the sink can't be asked what it has.
        #[arg(long)]
        force: bool,
    },
}

pub(super) async fn main(command: Command, output: Output) -> Result<Outcome, Failure> {
    let (server, id, change) = match &command {
        Command::Get { server, id } => (server, id, None),
        Command::Set { server, id, to, force } => (server, id, Some((parse(to)?, *force))),
    };
    let path = ["pipelines", id.as_str(), "checkpoint"];
    let client = server.client()?;
    if let Some((to, force)) = change {
        let body = json!({"to": to});
        let query = [("force", "true".to_owned())];
        let request = Request::put(&path).body(&body).query(if force { &query } else { &[] });
        client.send::<Value>(request).await?;
    }
    let checkpoint: CheckpointView = client.send(Request::get(&path)).await?;
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
    Ok(Outcome::Done)
}

/// What the API takes as `to`.
fn parse(to: &str) -> Result<Value, Failure> {
    if !to.contains('=') {
        return Ok(json!(to));
    }
    let positions = to
        .split(',')
        .map(|pair| {
            let (partition, position) = pair.rsplit_once('=').ok_or_else(|| {
                Failure::invalid(format!("{pair:?} is no position: write partition=position"), Vec::new())
            })?;
            Ok(json!({"partition": partition, "position": position}))
        })
        .collect::<Result<Vec<_>, Failure>>()?;
    Ok(json!({"positions": positions}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_words_are_told_apart() {
        assert_eq!(parse("beginning").unwrap(), json!("beginning"));
        let positions =
            json!({"positions": [{"partition": "a=b/0", "position": "1"}, {"partition": "c", "position": "2"}]});
        assert_eq!(parse("a=b/0=1,c=2").unwrap(), positions);
        assert!(parse("a=1,b").is_err());
    }
}
