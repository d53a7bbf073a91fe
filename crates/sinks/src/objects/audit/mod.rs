//! Auditing a store: what all objects of the generation hold, against the rows that should be there.
mod columns;
mod lines;

use super::{columns::Columns, handle::Handle, layout::Layout, record, rows::Rows, store::Store};
use async_trait::async_trait;
use dataflow_sdk::{
    Context, Error,
    audit::{Audit, Audited, Auditor, Findings},
    batch::Output,
    sink::CommitError,
};
use std::collections::BTreeSet;

/// The objects of the generation, which are read on a thread that may block.
struct Objects {
    store: Store,
    runtime: tokio::runtime::Handle,
    keys: Vec<String>,
}

/// Finds the objects of the generation, and opens them for reading.
pub(super) async fn open(config: &Layout, store: Store, cx: &Context, audit: Audit) -> Result<Option<Audited>, Error> {
    let root = config.root();
    let handles = audit.lanes.iter().filter_map(|lane| lane.handle.as_ref()).map(Handle::from_json);
    let series: BTreeSet<String> = handles.map(|handle| Ok(handle?.series)).collect::<Result<_, Error>>()?;
    let mut keys: Vec<String> = store.list(&root).await?.into_iter().map(|(key, _)| key).collect();
    let is_ours = |key: &String| {
        let name = key.rsplit('/').next().unwrap_or_default();
        series.iter().any(|series| name.strip_prefix(series.as_str()).is_some_and(|rest| rest.starts_with('-')))
    };
    keys.retain(is_ours);
    keys.sort_unstable();
    let columns = match series.first() {
        Some(series) => Columns::open(&store, record::columns(&root, &cx.branch, series)).await?,
        None => Columns::none(&store),
    };
    let objects = Objects { store, runtime: tokio::runtime::Handle::current(), keys };
    let audited = if config.format.has_types() {
        columns::open(config.format, objects, &columns, &audit.volatile)?
    } else {
        lines::open(config, objects, &columns, audit.volatile).await?
    };
    let auditor = Box::new(Placed { rows: Rows::new(config), rest: audited.auditor });
    Ok(Some(Audited { auditor, ..audited }))
}

impl Objects {
    /// The bytes of an object; none: it was removed since it was listed.
    fn read(&self, key: &str) -> Result<Option<bytes::Bytes>, Error> {
        Ok(self.runtime.block_on(self.store.read(key))?.map(|(bytes, _)| bytes))
    }

    fn damaged(&self, key: &str, error: &dyn std::fmt::Display) -> Error {
        let message = format!("{} can't be read: {error}", self.store.place(key));
        let fix = "somebody has changed it: bring it back, or remove it to see which rows are lost";
        Error::fatal("bad-data", message).fix(fix).for_user()
    }
}

/// What the writer would refuse: also rows that no folder can be named for.
struct Placed {
    rows: Rows,
    rest: Box<dyn Auditor>,
}

#[async_trait]
impl Auditor for Placed {
    async fn expect(&mut self, rows: &Output) -> Result<(), Error> {
        self.rest.expect(rows).await
    }

    async fn refusals(&mut self, output: &Output) -> Result<Vec<Option<String>>, Error> {
        let mut causes = vec![None; output.len()];
        match self.rows.sort(std::slice::from_ref(output)) {
            Ok(_) => {}
            Err(CommitError::Rejected(rows)) => rows.into_iter().for_each(|row| causes[row.row] = Some(row.cause)),
            Err(CommitError::Failed(error)) => return Err(error),
        }
        Ok(causes)
    }

    fn is_own_reason(&self, cause: &str) -> bool {
        self.rest.is_own_reason(cause)
    }

    async fn finish(self: Box<Self>) -> Result<Findings, Error> {
        self.rest.finish().await
    }
}
