//! `dataflow backup`: the journal of a node in one file.
use super::{
    Outcome,
    exit::Failure,
    kept::{Kept, failed},
    output::{self, Output},
};
use crate::data_dir;
use dataflow_journal_sqlite as sqlite;
use serde_json::json;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    of: Kept,
    /// Overwrite an existing file.
    #[arg(long)]
    replace: bool,
    /// The file to write.
    to: PathBuf,
}

pub(super) fn main(args: &Args, output: Output) -> Result<Outcome, Failure> {
    let folder = args.of.folder()?;
    let path = data_dir::journal(&folder);
    if !path.exists() && !sqlite::marker(&path).exists() {
        let failure = Failure::failed(format!("there is no journal in {}", folder.display()));
        return Err(failure.fix(
            "name the data folder of a node: --data-dir DIR; for a pipeline of `dataflow run` also its id: --run PIPELINE",
        ));
    }
    is_free(&args.to, args.replace)?;
    if sqlite::is_part_of(&path, &args.to) {
        let failure = Failure::failed(format!("{} is the journal itself", args.to.display()));
        return Err(failure.fix("name a file outside the data folder"));
    }
    sqlite::backup(&path, &args.to).map_err(failed)?;
    match output {
        Output::Json => output::json(&json!({"backup": args.to})),
        Output::Table => output::print(&format!("{} holds the node's state as of now\n", args.to.display())),
    }
    Ok(Outcome::Done)
}

/// A file is overwritten only on request, a folder never.
fn is_free(to: &Path, replace: bool) -> Result<(), Failure> {
    let what = if to.is_dir() { "is a folder" } else { "already exists" };
    match to.symlink_metadata() {
        Ok(_) if replace && to.is_file() => Ok(()),
        Ok(_) => Err(Failure::failed(format!("{} {what}", to.display()))
            .fix("name a new file; --replace overwrites an existing one")),
        Err(_) => Ok(()),
    }
}
