//! A sink as its author adds it: this folder, and one line where it is registered. It keeps documents in memory by the group that an
//! expression gives each of them.
use arrow::array::{Array, AsArray};
use async_trait::async_trait;
use dataflow_core::{token::Token, types::Type};
use dataflow_sdk::{
    Context, Error, Problem, SinkConfig,
    batch::{Demand, Output, Payload},
    declared::{SideExpression, SinkRows},
    sink::{CommitError, Committed, DeliveryMode, OpenLane, Opened, Sink, Writer},
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Documents by group; none: those whose group is NULL.
type Groups = BTreeMap<Option<String>, Vec<String>>;

static GROUPS: Mutex<Groups> = Mutex::new(BTreeMap::new());

/// What was written so far.
pub(crate) fn groups() -> MutexGuard<'static, Groups> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps documents in memory, by group.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct GroupedSink {
    /// An expression over the output record: which group it belongs to.
    group: String,
}

impl SinkConfig for GroupedSink {
    const TYPE: &'static str = "grouped";
    const SUMMARY: &'static str = "Keeps documents in memory, by group.";
    const DELIVERY: DeliveryMode = DeliveryMode::Unfenced;
    const GUARANTEE: &'static str = "At least once while the process lives.";

    fn check(&self) -> Vec<Problem> {
        Vec::new()
    }
    fn target(&self) -> String {
        String::new()
    }
    fn rows(&self) -> SinkRows {
        let group = SideExpression { path: "group".into(), text: self.group.clone(), ty: Type::Text };
        SinkRows { side: vec![group], ..SinkRows::default() }
    }
    fn build(self) -> Box<dyn Sink> {
        Box::new(Grouped)
    }
}

#[derive(Debug)]
struct Grouped;

#[async_trait]
impl Sink for Grouped {
    async fn open(&self, _: &Context, _: OpenLane) -> Result<Opened, Error> {
        Ok(Opened {
            writer: Box::new(Self),
            token: None,
            others: Vec::new(),
            begins: BTreeMap::new(),
            demand: Demand::Documents,
            warnings: Vec::new(),
            handle: None,
        })
    }
}

#[async_trait]
impl Writer for Grouped {
    async fn commit(&mut self, outputs: &Arc<[Output]>, _: &Token) -> Result<Committed, CommitError> {
        let mut groups = groups();
        for output in outputs.iter() {
            let group = output.side[0].as_string::<i32>();
            let Payload::Documents { data, spans } = &output.payload else { unreachable!("documents are demanded") };
            for (row, span) in spans.iter().enumerate() {
                let group = group.is_valid(row).then(|| group.value(row).to_owned());
                groups.entry(group).or_default().push(String::from_utf8_lossy(span.of(data)).into_owned());
            }
        }
        Ok(Committed { rows_written: outputs.iter().map(|output| output.len() as u64).sum() })
    }
    async fn close(self: Box<Self>) {}
}
