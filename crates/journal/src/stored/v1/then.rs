//! What follows on a stop, in version 1 of stored events.
use dataflow_core::{
    id::{Actor, CommandId, Reason, SinkName, TraceParent},
    pipeline::then as domain,
    spec::PipelineSpec,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Then {
    start: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    update: Option<Update>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    spec: Value,
    reset: bool,
    retarget: bool,
    force: bool,
    /// Written until updates were made of all branches at once; it says nothing that they need.
    #[serde(default, rename = "sink", skip_serializing)]
    _sink: Option<SinkName>,
    actor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    command: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<u64>,
}

/// Reads a spec as it is stored.
pub(super) fn read_spec(json: Value) -> Result<Box<PipelineSpec>, String> {
    serde_json::from_value(json).map_err(|cause| format!("its spec can't be read: {cause}"))
}

impl TryFrom<&domain::Then> for Then {
    type Error = serde_json::Error;
    fn try_from(then: &domain::Then) -> Result<Self, serde_json::Error> {
        let update = then.update.as_deref().map(Update::try_from).transpose()?;
        Ok(Self { start: then.start, update })
    }
}

impl TryFrom<&domain::Update> for Update {
    type Error = serde_json::Error;
    fn try_from(update: &domain::Update) -> Result<Self, serde_json::Error> {
        let domain::Update { wanted, by } = update;
        Ok(Self {
            spec: serde_json::to_value(&wanted.spec)?,
            reset: wanted.reset,
            retarget: wanted.retarget,
            force: wanted.force,
            _sink: None,
            actor: by.actor.as_str().to_owned(),
            reason: by.reason.as_ref().map(|reason| reason.as_str().to_owned()),
            trace: by.trace.as_ref().map(|trace| trace.as_str().to_owned()),
            command: by.command.as_str().to_owned(),
            hash: by.hash,
        })
    }
}

impl TryFrom<Then> for domain::Then {
    type Error = String;
    fn try_from(stored: Then) -> Result<Self, String> {
        let update = stored.update.map(domain::Update::try_from).transpose()?;
        Ok(Self { start: stored.start, update: update.map(Box::new) })
    }
}

impl TryFrom<Update> for domain::Update {
    type Error = String;
    fn try_from(stored: Update) -> Result<Self, String> {
        let Update { spec, reset, retarget, force, _sink: _, actor, reason, trace, command, hash } = stored;
        Ok(Self {
            wanted: domain::Wanted { spec: read_spec(spec)?, reset, retarget, force },
            by: domain::Asked {
                actor: Actor::try_from(actor).map_err(|cause| cause.to_string())?,
                reason: reason.map(Reason::try_from).transpose().map_err(|cause| cause.to_string())?,
                trace: trace.map(TraceParent::try_from).transpose().map_err(|cause| cause.to_string())?,
                command: CommandId::try_from(command).map_err(|cause| cause.to_string())?,
                hash,
            },
        })
    }
}
