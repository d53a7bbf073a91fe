//! `folder`: objects as files of a folder of the node's machine.
mod store;
mod tree;

use crate::{
    objects::{
        Layout, ObjectSink,
        store::{Reaches, Store},
    },
    on_disk,
};
use dataflow_sdk::{
    Context, Error, Problem, SinkConfig,
    declared::SinkRows,
    sink::{DeliveryMode, Sink},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{path::PathBuf, sync::Arc};

/// Writes objects as files of a folder.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct FolderSink {
    /// The folder. It must exist; what is below it is made. All of it must be in one file system, and links below it are not followed.
    #[schemars(extend("x-path" = true))]
    pub folder: PathBuf,
    /// What its objects look like.
    #[serde(flatten)]
    pub layout: Layout,
}

impl Reaches for FolderSink {
    fn layout(&self) -> &Layout {
        &self.layout
    }
    fn reach(&self, cx: &Context) -> Result<Store, Error> {
        Ok(Arc::new(store::Folder::new(&self.folder, &cx.paths)))
    }
}

impl SinkConfig for FolderSink {
    const TYPE: &'static str = "folder";
    const SUMMARY: &'static str =
        "Writes files to a folder of the node's machine, as JSON lines, CSV, Parquet or Avro.";
    const DELIVERY: DeliveryMode = DeliveryMode::Staged;
    const GUARANTEE: &'static str = "Exactly once: files are written and synced in _dataflow/.staged, and moved to their places whole, and without replacing \
        anything, once the journal counts their records, not before. Void if somebody overwrites files, or changes the folder _dataflow, or \
        if the disk loses what it has synced. Files may be moved or deleted once they appear; only if the node is killed in the same moment, \
        before it has noted that they did, and finds them gone when it starts again, does the pipeline fail and ask whether somebody has them.";

    fn check(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.folder.as_os_str().is_empty() {
            let problem = Problem::new("folder", "invalid-value", "the folder has no name");
            problems.push(problem.fix("give its path; . is the folder that the node was started in"));
        }
        problems.extend(self.layout.check());
        problems
    }

    fn build(self) -> Box<dyn Sink> {
        Box::new(ObjectSink(self))
    }

    fn target(&self) -> String {
        format!("{}/{}", on_disk::spelled(&self.folder), self.layout.root())
    }

    fn rows(&self) -> SinkRows {
        self.layout.rows()
    }

    fn tuning() -> &'static [&'static str] {
        &["roll", "maxOpenObjects", "maxOpenBytes", "compression"]
    }
}
