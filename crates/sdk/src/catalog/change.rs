//! Compares two specs by what they read and write, after connections and defaults are filled in.
use super::{
    Catalog, Connections, Role, SourceConfig,
    connector::{Connector, Make, parse},
    passwords::without_login,
};
use crate::{
    declared::{Declared, SourceRecords},
    source::{Edge, Kept},
};
use dataflow_core::{
    pipeline::command::Change,
    position::{Partition, Position, Positions},
    spec::{Component, PipelineSpec},
};
use serde_json::{Map, Value};
use std::cmp::Ordering;

/// What a source's settings say to those before them (none: of another type), and to these positions.
/// None: one of both can't be read, for instance where a secret stands for a number.
pub(super) type Reading = fn(Option<Value>, Value, &Positions) -> Option<Read>;

pub(super) struct Read {
    like: bool,
    kept: Vec<Kept>,
    /// Of each, whether nothing was read of its partition.
    untouched: Vec<bool>,
    begins: String,
}

pub(super) fn reading<C: SourceConfig>(before: Option<Value>, after: Value, positions: &Positions) -> Option<Read> {
    let after = parse::<C>(after).ok()?;
    let before = before.map(parse::<C>).transpose().ok()?;
    let keeps = |partition: &Partition| before.as_ref().map_or(Kept::Unread, |before| after.keeps(before, partition));
    let like = before.as_ref().is_some_and(|before| after.reads_like(before));
    let (kept, begins) = (positions.keys().map(keeps).collect(), after.begins());
    let source = after.build();
    let beginning = source.beginning();
    let untouched = |at: &Position| source.order(at, &beginning).is_some_and(Ordering::is_le);
    Some(Read { like, kept, untouched: positions.values().map(untouched).collect(), begins })
}

impl Catalog {
    /// The effect of replacing `before` by `after`, for a pipeline at these positions. Never touches the network.
    pub fn change(
        &self,
        before: &PipelineSpec,
        after: &PipelineSpec,
        positions: &Positions,
        connections: &Connections,
    ) -> Change {
        let Read { like, kept, untouched, begins } = self.read(&before.source, &after.source, positions, connections);
        let (from, to) = (self.target(&before.sink, connections), self.target(&after.sink, connections));
        let target = (from != to).then_some((from, to));
        let goes_on = kept.contains(&Kept::Yes);
        let given_up =
            positions.keys().zip(kept.into_iter().zip(untouched)).filter_map(|(partition, (kept, untouched))| {
                if untouched {
                    return None;
                }
                let instead = match kept {
                    Kept::No => format!("it would be read from {begins}"),
                    Kept::Unread if !goes_on => {
                        format!("it would no longer be read; the new source starts at {begins}")
                    }
                    Kept::Yes | Kept::Unread => return None,
                };
                Some((partition.clone(), instead))
            });
        Change {
            source: !like,
            given_up: given_up.collect(),
            sink: !self.writes_like(&before.sink, &after.sink, connections),
            target,
        }
    }

    /// What the connectors of a spec declare, as far as their settings can be read without looking up secrets. Never touches the
    /// network.
    pub fn declared(&self, spec: &PipelineSpec, connections: &Connections) -> Declared {
        let filled = |connector, component| Value::Object(own(connector, component, connections));
        let mut declared = Declared::default();
        if let Some(connector) = self.get(Role::Source, &spec.source.kind)
            && let Make::Source { records, .. } = connector.make
        {
            let unread = SourceRecords { metadata: connector.metadata, ..SourceRecords::default() };
            declared.source = records(filled(connector, &spec.source)).unwrap_or(unread);
        }
        if let Some(connector) = self.get(Role::Sink, &spec.sink.kind)
            && let Make::Sink { rows, .. } = connector.make
        {
            declared.sink = rows(filled(connector, &spec.sink)).unwrap_or_default();
        }
        declared
    }

    /// A place that is no file, and that the sink writes and the source reads, after the setting that says so. Never touches the
    /// network.
    pub(crate) fn in_common(&self, spec: &PipelineSpec, connections: &Connections) -> Option<(&'static str, String)> {
        let (source, sink) = (self.get(Role::Source, &spec.source.kind)?, self.get(Role::Sink, &spec.sink.kind)?);
        let (Make::Source { reads, .. }, Make::Sink { writes, .. }) = (source.make, sink.make) else { return None };
        let settings = Value::Object(own(source, &spec.source, connections));
        let written = writes(Value::Object(own(sink, &spec.sink, connections)));
        written.into_iter().find(|(_, place)| reads(settings.clone(), place))
    }

    fn read(&self, before: &Component, after: &Component, positions: &Positions, connections: &Connections) -> Read {
        let same = before == after;
        let unknown = || Read {
            like: same,
            kept: vec![if same { Kept::Yes } else { Kept::No }; positions.len()],
            untouched: vec![false; positions.len()],
            begins: Edge::Beginning.to_string(),
        };
        let Some(connector) = self.get(Role::Source, &after.kind) else { return unknown() };
        let Make::Source { reading, .. } = connector.make else { return unknown() };
        let filled = |component| Value::Object(own(connector, component, connections));
        let earlier = (before.kind == after.kind).then(|| filled(before));
        reading(earlier, filled(after), positions).unwrap_or_else(unknown)
    }

    /// Where a sink writes. One whose settings can't be read writes where nobody else does.
    pub fn target(&self, sink: &Component, connections: &Connections) -> String {
        let place = self.get(Role::Sink, &sink.kind).and_then(|connector| match connector.make {
            Make::Sink { target, .. } => target(Value::Object(own(connector, sink, connections))),
            Make::Source { .. } => None,
        });
        let place = place.unwrap_or_else(|| Value::Object(self.redact(Role::Sink, sink).config).to_string());
        format!("{} {place}", sink.kind)
    }

    /// Whether two sinks of one pipeline write to the same target now, whatever the paths to it.
    pub fn same_target(&self, one: &Component, other: &Component, connections: &Connections) -> bool {
        self.target_as_it_is(one, connections) == self.target_as_it_is(other, connections)
    }

    /// The same for comparing what sinks of one spec write, at one moment: whatever the paths to a file, it is one target.
    fn target_as_it_is(&self, sink: &Component, connections: &Connections) -> String {
        let connector = self.get(Role::Sink, &sink.kind);
        let config =
            connector.map_or_else(|| sink.config.clone(), |sink_of| sink_of.with_files_as_they_are(&sink.config));
        self.target(&Component { kind: sink.kind.clone(), config }, connections)
    }

    /// Whether a sink writes the same, wherever it does: but for tuning, credentials, and where the place is, its settings are the
    /// same.
    fn writes_like(&self, before: &Component, after: &Component, connections: &Connections) -> bool {
        let Some(connector) = self.get(Role::Sink, &after.kind) else { return before == after };
        let target = |component: &Component| {
            let mut settings = own(connector, component, connections);
            for (name, rules) in connector.fields() {
                if let Some(default) = rules.get("default") {
                    settings.entry(name).or_insert_with(|| default.clone());
                }
                if rules.get("x-secret").is_some() || rules.get("x-address").is_some_and(|kind| kind == "host") {
                    settings.shift_remove(name);
                }
                // Where a server is belongs to the target; what a URL asks of it need not.
                if let Some(url) = settings.get_mut(name).filter(|_| rules.get("x-address").is_some()) {
                    let asked = |text: &str| text.split_once('?').map_or(Value::Null, |(_, asked)| asked.into());
                    *url = match url.as_str() {
                        Some(text) if !text.contains("://") => continue,
                        text => text.map_or(Value::Null, asked),
                    };
                }
            }
            let passed_over = |name: &str| connector.tuning.contains(&name) || connector.place.contains(&name);
            settings.retain(|name, value| !value.is_null() && !passed_over(name));
            for text in settings.values_mut() {
                if let Value::String(url) = text {
                    *url = without_login(url);
                }
            }
            settings
        };
        before.kind == after.kind && target(before) == target(after)
    }
}

/// The settings with those of the connection under them; as they stand where the connection is not there any more.
fn own(connector: &Connector, component: &Component, connections: &Connections) -> Map<String, Value> {
    match connections.merge(connector, component) {
        Ok(merged) => merged.fields(),
        Err(_) => component.config.clone(),
    }
}
