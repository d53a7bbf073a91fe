//! Opening a lane. Nothing has to be fenced: a version that only rises does it, row by row.
use super::{
    ElasticsearchSink,
    client::Client,
    indices::{self, Indices},
    rows::Wanted,
    target::{self, Found, Index},
    writer::Lane,
};
use dataflow_sdk::{
    Context, Error,
    batch::Demand,
    sink::{OpenLane, Opened, Traces},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the handle that is written.
const VERSION: u32 = 1;

/// What the journal holds of the index: another one of its name lacks what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Handle {
    v: u32,
    /// As the spec names it.
    index: String,
    /// The id of the cluster, and of the index; none: it is not known, or there are many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

impl Handle {
    fn read(json: serde_json::Value) -> Result<Self, Error> {
        let unknown = |why: String| {
            let message = format!("the journal's handle {json} does not belong to an elasticsearch sink: {why}");
            Error::contradicts("handle-unknown", message, "choose where to continue: set the checkpoint")
        };
        match Self::deserialize(&json) {
            Ok(handle) if handle.v == VERSION => Ok(handle),
            Ok(handle) => Err(unknown(format!("it has version {}; this build reads {VERSION}", handle.v))),
            Err(error) => Err(unknown(error.to_string())),
        }
    }

    fn to_json(&self) -> Result<serde_json::Value, Error> {
        serde_json::to_value(self)
            .map_err(|error| Error::fatal("internal", format!("a handle can't be written: {error}")))
    }
}

/// Opens a lane.
pub(super) async fn open(config: &ElasticsearchSink, cx: &Context, lane: OpenLane) -> Result<Opened, Error> {
    let (client, wanted) = (Client::new(config, &cx.paths)?, Wanted::of(config));
    let written = lane.journalled.as_ref().is_some_and(|lane| lane.counters.rows_written > 0);
    let journalled = lane.journalled.as_ref().and_then(|lane| lane.handle.clone());
    let before = journalled.clone().filter(|_| written).or(lane.earlier.clone()).map(Handle::read).transpose()?;
    let cluster = target::cluster(&client).await?;
    let (mut id, mut warnings, mut indices) = (None, Vec::new(), Indices::default());
    if let Some(name) = wanted.index.name() {
        let index = find(&client, config, name, before.as_ref()).await?;
        id = index.own_id().map(Into::into);
        warnings.clone_from(&index.warnings);
        indices = Indices::of(name, index);
    }
    let handle = Handle { v: VERSION, index: config.index.clone(), cluster, id }.to_json()?;
    let (config, fence, reserved) = (config.clone(), lane.fence, lane.reserved);
    Ok(Opened {
        writer: Box::new(Lane { config, wanted, client, fence, reserved, indices, spoilt: None }),
        token: None,
        others: Vec::new(),
        begins: BTreeMap::new(),
        demand: Demand::Lines,
        warnings,
        handle: (journalled.as_ref() != Some(&handle)).then_some(handle),
    })
}

/// The index; created if it is missing and need not hold any documents.
async fn find(
    client: &Client,
    config: &ElasticsearchSink,
    name: &str,
    before: Option<&Handle>,
) -> Result<Index, Error> {
    let wanted = before.and_then(|before| before.id.as_deref());
    let found = match wanted {
        None => target::find_or_create(client, name, config.create_index.as_ref()).await?,
        Some(_) => target::look(client, name).await?,
    };
    match (found, wanted) {
        (Found::Index(index), Some(before)) => match index.own_id() {
            Some(now) if before != now => Err(indices::replaced(client, name, before, now)),
            _ => Ok(index),
        },
        (Found::Index(index), None) => Ok(index),
        (Found::Unfit(why), _) => Err(target::unsupported(why)),
        (Found::Nothing, _) => {
            let message = format!(
                "index {name} at {} is gone, and with it the documents that this pipeline has written",
                client.name()
            );
            Err(Error::contradicts("index-missing", message, indices::CHOICES))
        }
    }
}

/// How many of these rows are gone: all of them, if the index is. Another one may have been restored from a snapshot.
pub(super) async fn missing(
    config: &ElasticsearchSink,
    cx: &Context,
    handle: &serde_json::Value,
    rows: u64,
) -> Result<Option<u64>, Error> {
    let Handle { id: Some(before), .. } = Handle::read(handle.clone())? else { return Ok(None) };
    let Some(name) = Wanted::of(config).index.name().map(str::to_owned) else { return Ok(None) };
    Ok(match target::look(&Client::new(config, &cx.paths)?, &name).await? {
        Found::Nothing => Some(rows),
        Found::Index(index) if index.id.as_ref() == Some(&before) => Some(0),
        Found::Index(_) | Found::Unfit(_) => None,
    })
}

/// Whether the index is the very one that a pipeline has written to.
pub(super) async fn is_target_of(config: &ElasticsearchSink, cx: &Context, traces: &Traces) -> Result<bool, Error> {
    let Some(handle) = traces.handle.clone().map(Handle::read).transpose()? else { return Ok(false) };
    let (client, wanted) = (Client::new(config, &cx.paths)?, Wanted::of(config));
    if handle.cluster.is_none() || target::cluster(&client).await? != handle.cluster {
        return Ok(false);
    }
    match wanted.index.name() {
        Some(name) => {
            let found = target::look(&client, name).await?;
            let id = if let Found::Index(index) = &found { index.own_id() } else { None };
            Ok(id.is_some() && id == handle.id.as_deref())
        }
        None => Ok(config.index == handle.index),
    }
}
