//! `dataflow pipeline validate`.
use super::Outcome;
use crate::{
    cli::{
        client::{Client, Request},
        exit::{Failure, Kind, finding},
        output::{self, Output, counted},
        run::QUIET,
        serve,
        spec_file::{self, SpecFile},
    },
    node,
    settings::Overrides,
};
use dataflow_api_types::Findings;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    file: SpecFile,
    /// Ask this node, which knows its own connections, instead of checking here. Without --config, DATAFLOW_SERVER may
    /// name the
    /// node: if it can't be reached, the file is checked here, except for connections that only the node knows.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Settings file (TOML) with the connections that the pipeline names, for checking here (or DATAFLOW_CONFIG).
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    config: Option<PathBuf>,
}

pub(crate) async fn main(args: Args, output: Output) -> Result<Outcome, Failure> {
    let spec = spec_file::read(&args.file.path)?;
    let name = args.file.path.display();
    let asked = args.server.is_some();
    // What the command line says comes before the environment.
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let server = match &args.config {
        None => {
            args.server.clone().or_else(|| variable("DATAFLOW_SERVER").map(|url| url.to_string_lossy().into_owned()))
        }
        Some(_) => None,
    };
    let here = || -> Result<Findings, Failure> {
        let config = args.config.clone().or_else(|| variable("DATAFLOW_CONFIG").map(PathBuf::from));
        let overrides = Overrides { config, log_level: Some(QUIET.into()), ..Overrides::default() };
        let connectors = node::connectors(&serve::load(&overrides, None)?, node::Whose::Users)?;
        Ok(dataflow_api::findings(&spec, &connectors.catalog, &connectors.connections, &*connectors.compiler))
    };
    let findings = match server {
        None => here()?,
        Some(url) => match Client::new(&url)?.send(Request::post(&["pipelines", "validate"]).body(&spec)).await {
            Err(unreachable) if unreachable.kind == Kind::Unreachable && !asked => {
                say!(
                    "{}: checked here, except for what only the node knows: its connections, files and secrets",
                    unreachable.message
                );
                without_the_nodes(here()?)
            }
            answer => answer?,
        },
    };
    if !findings.valid {
        let problems = findings.problems.into_iter().map(Into::into).collect();
        return Err(Failure::invalid(format!("{name} is not valid"), problems));
    }
    match output {
        Output::Json => output::json(&findings),
        Output::Table if findings.warnings.is_empty() => output::print(&format!("{name} is valid\n")),
        Output::Table => {
            let mut text = format!("{name} is valid, with {}\n", counted(findings.warnings.len() as u64, "warning"));
            for warning in findings.warnings {
                finding(&mut text, &warning.into()).map_err(Failure::failed)?;
            }
            output::print(&text);
        }
    }
    Ok(Outcome::Done)
}

/// What was found here without what the settings of a node that can't be asked may mend.
fn without_the_nodes(findings: Findings) -> Findings {
    let named = |fix: &String| fix.contains("[connections.");
    let mut problems = findings.problems;
    problems.retain(|problem| match problem.code.as_str() {
        "unknown-connection" => false,
        "missing-field" => !problem.fix.as_ref().is_some_and(named),
        _ => true,
    });
    Findings { valid: problems.is_empty(), problems, ..findings }
}
