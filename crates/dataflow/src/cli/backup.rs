//! `dataflow backup`: the journal of a node in one file.
use super::{
    Outcome,
    exit::Failure,
    output::{self, Output},
};
use crate::{data_dir, node};
use dataflow_journal::sqlite;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The node's data folder; the node may be running.
    #[arg(long, value_name = "DIR", env = "DATAFLOW_DATA_DIR", default_value = "./dataflow-data")]
    data_dir: PathBuf,
    /// Overwrite the file if it is there.
    #[arg(long)]
    replace: bool,
    /// The file to write.
    to: PathBuf,
}

pub(super) fn main(args: &Args, output: Output) -> Result<Outcome, Failure> {
    let path = data_dir::journal(&args.data_dir.join("node"));
    if !path.exists() && !sqlite::marker(&path).exists() {
        let failure = Failure::failed(format!("there is no journal in {}", args.data_dir.display()));
        return Err(failure.fix("name the data folder of a node: --data-dir DIR"));
    }
    is_free(&args.to, args.replace)?;
    sqlite::backup(&path, &args.to).map_err(|source| node::Error::Journal { path, source })?;
    match output {
        Output::Json => output::json(&json!({"backup": args.to})),
        Output::Table => output::print(&format!("{} holds what the node kept at this moment\n", args.to.display())),
    }
    Ok(Outcome::Done)
}

/// A file is overwritten only where that is asked for, a folder never.
fn is_free(to: &Path, replace: bool) -> Result<(), Failure> {
    let what = if to.is_dir() { "a folder" } else { "there already" };
    match to.symlink_metadata() {
        Ok(_) if replace && to.is_file() => Ok(()),
        Ok(_) => Err(Failure::failed(format!("{} is {what}", to.display()))
            .fix("name a file that is not there; --replace overwrites one")),
        Err(_) => Ok(()),
    }
}
