//! `dataflow restore`: a node's journal from a backup.
use super::{
    Outcome,
    exit::Failure,
    kept::{Kept, failed},
    output::{self, Output},
};
use crate::{data_dir::DataDir, node};
use dataflow_core::id::Epoch;
use dataflow_engine::parts::{Clock, SystemClock};
use dataflow_journal_sqlite as sqlite;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    to: Kept,
    /// Even if the folder holds a journal; it is kept under another name.
    #[arg(long)]
    replace: bool,
    /// The file that `dataflow backup` wrote.
    backup: PathBuf,
}

pub(super) fn main(args: &Args, output: Output) -> Result<Outcome, Failure> {
    if !args.backup.is_file() {
        let failure = Failure::failed(format!("there is no backup {}", args.backup.display()));
        return Err(failure.fix("name the file that `dataflow backup` wrote"));
    }
    // Before the data folder is made.
    sqlite::check_backup(&args.backup).map_err(failed)?;
    let data = DataDir::lock(&args.to.folder()?).map_err(node::Error::from)?;
    let path = data.journal();
    if sqlite::is_kept(&path) && !args.replace {
        let failure = Failure::failed(format!("{} already holds a journal", data.path().display()));
        return Err(failure.fix("name another folder; --replace keeps the existing journal under another name"));
    }
    let millis = SystemClock.now().millis();
    let kept = sqlite::restore(&args.backup, &path, Epoch(millis.cast_unsigned())).map_err(failed)?;
    match (output, kept) {
        (Output::Json, kept) => output::json(&json!({"restored": data.journal(), "kept": kept})),
        (Output::Table, None) => output::print(&format!("restored {}\n", data.journal().display())),
        (Output::Table, Some(kept)) => output::print(&format!(
            "restored {}; the previous journal is now {}\n",
            data.journal().display(),
            kept.display()
        )),
    }
    Ok(Outcome::Done)
}
