//! Several sinks in one spec.
use super::{Component, PipelineSpec};
use crate::id::SinkName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Map;

/// One of several sinks: its name, which records it gets, and its type with that type's own settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedSink {
    /// Its name among the sinks of the pipeline.
    #[schemars(with = "String")]
    pub name: SinkName,
    /// Which records it gets: a condition over the record that the transforms put out. Left out: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// The sink.
    #[serde(flatten)]
    pub sink: Component,
}

impl Component {
    /// Stands for one that a spec does not give.
    pub(super) fn none() -> Self {
        Self { kind: String::new(), config: Map::new() }
    }

    /// Whether the spec does not give it.
    pub fn is_none(&self) -> bool {
        self.kind.is_empty()
    }
}

impl PipelineSpec {
    /// The names of the sinks, in the order of the spec; none is that of a sink which is the only one.
    pub fn sink_names(&self) -> Vec<Option<SinkName>> {
        match &self.sinks[..] {
            [] => vec![None],
            sinks => sinks.iter().map(|sink| Some(sink.name.clone())).collect(),
        }
    }

    /// What the spec says of one of its sinks alone: a spec with this sink, whose condition is the last transform. None: it has
    /// no such sink.
    pub fn of_sink(&self, name: Option<&SinkName>) -> Option<Self> {
        let (sink, when) = match name {
            None => (self.sinks.is_empty().then_some(&self.sink)?, None),
            Some(name) => {
                let named = self.sinks.iter().find(|sink| sink.name == *name)?;
                (&named.sink, named.when.as_ref())
            }
        };
        let condition = when.map(|when| Component {
            kind: "filter".into(),
            config: [("condition".to_owned(), when.as_str().into())].into_iter().collect(),
        });
        let transforms = self.transforms.iter().cloned().chain(condition).collect();
        Some(Self { sink: sink.clone(), sinks: Vec::new(), transforms, ..self.clone() })
    }
}
