//! `dataflow restore`: a node's journal from a backup.
use super::{
    Outcome,
    exit::{Failure, block_on},
    kept::{Kept, failed},
    output::{self, Output},
};
use crate::{data_dir::DataDir, node};
use dataflow_core::id::{Epoch, PipelineId};
use dataflow_engine::{
    parts::{Clock, SystemClock},
    restored::Restored,
};
use dataflow_journal::Journal;
use dataflow_journal_sqlite::{self as sqlite, Sqlite};
use serde_json::json;
use std::{path::PathBuf, sync::Arc};

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
    let restored = pushed_to(&data)?;
    data.keep_restored(&restored).map_err(node::Error::from)?;
    let pushed_to: Vec<_> = restored.pipelines().map(PipelineId::as_str).collect();
    match output {
        Output::Json => output::json(&json!({"restored": path, "kept": kept, "pushedTo": pushed_to})),
        Output::Table => {
            let kept = kept.map(|kept| format!("; the previous journal is now {}", kept.display())).unwrap_or_default();
            let again = match pushed_to.as_slice() {
                [] => String::new(),
                ids => format!(
                    "what was pushed and acknowledged after the backup is not in it: push it again, in its old order and with \
                        ?replay=true, to {}\n",
                    ids.join(", ")
                ),
            };
            output::print(&format!("restored {}{kept}\n{again}", path.display()));
        }
    }
    Ok(Outcome::Done)
}

/// The pipelines whose sources take pushes, and what they have received.
fn pushed_to(data: &DataDir) -> Result<Restored, Failure> {
    let path = data.journal();
    let journal = Sqlite::open(&path).map_err(|source| node::Error::Journal { path: path.clone(), source })?;
    let journal = Journal::new(Arc::new(journal));
    block_on(async {
        let restored = Restored::from(&journal).await;
        Ok(restored.map_err(|source| node::Error::Journal { path, source })?)
    })
}
