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
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

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
    // First: a restore that is cut off must not leave a journal without its warning.
    let restored = pushed_to(&args.backup, &data)?;
    data.keep_restored(&restored).map_err(node::Error::from)?;
    let millis = SystemClock.now().millis();
    let kept = sqlite::restore(&args.backup, &path, Epoch(millis.cast_unsigned())).map_err(failed)?;
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

/// The pipelines in a backup whose sources take pushes, and what they have received. Reads a copy: opening a journal writes to it.
fn pushed_to(backup: &Path, data: &DataDir) -> Result<Restored, Failure> {
    let folder = data.path().join("restoring");
    let unusable = |cause| Failure::failed(format!("can't copy the backup to {}: {cause}", folder.display()));
    let remove = || match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unusable(error)),
        _ => Ok(()),
    };
    // One that was cut off may have left its own.
    remove()?;
    fs::create_dir_all(&folder).map_err(unusable)?;
    let restored = received(backup, &folder.join("journal.db"));
    remove()?;
    restored
}

fn received(backup: &Path, copy: &Path) -> Result<Restored, Failure> {
    sqlite::backup(backup, copy).map_err(failed)?;
    let journal = Journal::new(Arc::new(Sqlite::open(copy).map_err(failed)?));
    block_on(async { Restored::from(&journal).await.map_err(failed) })
}
