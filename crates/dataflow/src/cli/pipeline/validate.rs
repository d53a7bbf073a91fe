//! `dataflow pipeline validate`.
use super::Outcome;
use crate::cli::{
    client::{Request, Server},
    exit::Failure,
    output::{self, Output},
    spec_file::{self, SpecFile},
};
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    file: SpecFile,
}

pub(crate) async fn main(args: Args, output: Output) -> Result<Outcome, Failure> {
    let spec = spec_file::read(&args.file.path)?;
    let answer: Value = args.server.client()?.send(Request::post(&["pipelines", "validate"]).body(&spec)).await?;
    if answer.get("valid") == Some(&json!(false)) {
        let problems = answer.get("problems").cloned().unwrap_or_default();
        let problems = serde_json::from_value(problems).unwrap_or_default();
        return Err(Failure::invalid(format!("{} is not valid", args.file.path.display()), problems));
    }
    match output {
        Output::Json => output::json(&answer),
        Output::Table => output::print(&format!("{} is valid\n", args.file.path.display())),
    }
    Ok(Outcome::Done)
}
