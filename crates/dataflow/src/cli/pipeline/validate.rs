//! `dataflow pipeline validate`.
use super::Outcome;
use crate::{
    cli::{
        client::{Client, Request},
        exit::{Failure, finding},
        output::{self, Output, counted},
        run::QUIET,
        serve,
        spec_file::{self, SpecFile},
    },
    node,
    settings::Overrides,
};
use dataflow_engine::view::Findings;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    file: SpecFile,
    /// Ask this node, which knows its own connections, instead of checking here.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Settings file (TOML) with the connections that the pipeline names, where it is checked here.
    #[arg(long, value_name = "FILE", env = "DATAFLOW_CONFIG", conflicts_with = "server")]
    config: Option<PathBuf>,
}

pub(crate) async fn main(args: Args, output: Output) -> Result<Outcome, Failure> {
    let spec = spec_file::read(&args.file.path)?;
    let name = args.file.path.display();
    let findings: Findings = match args.server {
        Some(url) => Client::new(&url)?.send(Request::post(&["pipelines", "validate"]).body(&spec)).await?,
        None => {
            let overrides = Overrides { config: args.config, log_level: Some(QUIET.into()), ..Overrides::default() };
            let connectors = node::connectors(&serve::load(&overrides, None)?, node::Whose::Users)?;
            dataflow_api::findings(&spec, &connectors.catalog, &connectors.connections, &*connectors.compiler)
        }
    };
    if !findings.valid {
        return Err(Failure::invalid(format!("{name} is not valid"), findings.problems));
    }
    match output {
        Output::Json => output::json(&findings),
        Output::Table if findings.warnings.is_empty() => output::print(&format!("{name} is valid\n")),
        Output::Table => {
            let mut text = format!("{name} is valid, with {}\n", counted(findings.warnings.len() as u64, "warning"));
            for warning in &findings.warnings {
                finding(&mut text, warning).map_err(Failure::failed)?;
            }
            output::print(&text);
        }
    }
    Ok(Outcome::Done)
}
