//! A connector as the catalogue knows it: a config type with its type erased.
use super::{
    SinkConfig, SourceConfig,
    change::{self, Reading},
    marks::{self, Mark, visit},
    redactor::Redactor,
    secrets::refers,
};
use crate::{
    Problem,
    declared::{Metadata, SinkRows, SourceRecords},
    paths::identity,
    sink::{DeliveryMode, Sink},
    source::Source,
};
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Which part of a pipeline a connector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Where records come from.
    Source,
    /// Where records go.
    Sink,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Sink => "sink",
        })
    }
}

/// A connector as the catalogue knows it.
#[derive(Clone, Debug)]
pub struct Connector {
    /// Source or sink.
    pub role: Role,
    /// Its `type`.
    pub ty: &'static str,
    /// One sentence: what it reads or writes.
    pub summary: &'static str,
    /// How exactly-once holds with it, and what would void it.
    pub guarantee: &'static str,
    /// The sink's guarantee; `None` for a source.
    pub delivery: Option<DeliveryMode>,
    /// Which of the node's connections it may use, if any.
    pub connection: Option<&'static str>,
    /// Whether only one lane can write to it (sinks).
    pub single_lane: bool,
    /// A sink's settings that change neither where it writes nor what.
    pub(super) tuning: &'static [&'static str],
    /// A sink's settings that say where it writes and nothing else.
    pub(super) place: &'static [&'static str],
    /// The names after `meta.` that a source's records have; `None`: any.
    pub(super) metadata: Option<&'static [Metadata]>,
    pub(super) schema: Schema,
    pub(super) make: Make,
}

type Built<T> = Result<T, Vec<Problem>>;

/// A sink, and what its config says of it.
#[derive(Debug)]
pub struct BuiltSink {
    /// The sink.
    pub sink: Box<dyn Sink>,
    /// What it can promise.
    pub delivery: DeliveryMode,
    /// Whether only one lane can write to it.
    pub single_lane: bool,
    /// What it wants of each output row.
    pub rows: SinkRows,
}

impl BuiltSink {
    /// Whether it knows a record that is written again, so that it is not doubled, or never promised to have it once. `handle`
    /// is [what it said last](crate::sink::Opened::handle).
    pub fn recognizes(&self, handle: Option<&Value>) -> bool {
        matches!(self.delivery, DeliveryMode::Keyed | DeliveryMode::Unfenced) || self.sink.recognizes(handle)
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Make {
    Source {
        check: fn(Value) -> Vec<Problem>,
        build: fn(Value) -> Built<Box<dyn Source>>,
        reading: Reading,
        records: fn(Value) -> Option<SourceRecords>,
        reads_file: fn(Value, &Path) -> bool,
        reads: fn(Value, &str) -> bool,
    },
    Sink {
        check: fn(Value) -> Vec<Problem>,
        build: fn(Value) -> Built<BuiltSink>,
        target: fn(Value) -> Option<String>,
        writes: fn(Value) -> Vec<(&'static str, String)>,
        rows: fn(Value) -> Option<SinkRows>,
    },
}

impl Connector {
    pub(super) fn of_source<C: SourceConfig>() -> Self {
        Self {
            role: Role::Source,
            ty: C::TYPE,
            summary: C::SUMMARY,
            guarantee: C::GUARANTEE,
            delivery: None,
            connection: C::CONNECTION,
            metadata: C::METADATA,
            single_lane: false,
            tuning: &[],
            place: &[],
            schema: schemars::schema_for!(C),
            make: Make::Source {
                check: |config| parse::<C>(config).map_or_else(|problems| problems, |config| config.check()),
                build: |config| {
                    let config = parse::<C>(config)?;
                    let problems = config.check();
                    if problems.is_empty() { Ok(config.build()) } else { Err(problems) }
                },
                reading: change::reading::<C>,
                records: |config| {
                    let config = parse::<C>(config).ok()?;
                    Some(SourceRecords {
                        untyped: config.is_untyped(),
                        key: config.key_type(),
                        metadata: C::METADATA,
                        pushes: config.pushes(),
                        lasting_ids: config.lasting_ids(),
                    })
                },
                reads_file: |config, path| parse::<C>(config).is_ok_and(|config| config.reads_file(path)),
                reads: |config, place| parse::<C>(config).is_ok_and(|config| config.reads(place)),
            },
        }
    }

    pub(super) fn of_sink<C: SinkConfig>() -> Self {
        Self {
            role: Role::Sink,
            ty: C::TYPE,
            summary: C::SUMMARY,
            guarantee: C::GUARANTEE,
            delivery: Some(C::DELIVERY),
            connection: C::CONNECTION,
            metadata: None,
            single_lane: C::SINGLE_LANE,
            tuning: C::tuning(),
            place: C::place(),
            schema: schemars::schema_for!(C),
            make: Make::Sink {
                check: |config| parse::<C>(config).map_or_else(|problems| problems, |config| config.check()),
                build: |config| {
                    let config = parse::<C>(config)?;
                    let problems = config.check();
                    if problems.is_empty() { Ok(config.built()) } else { Err(problems) }
                },
                target: |config| parse::<C>(config).ok().map(|config| config.target()),
                writes: |config| parse::<C>(config).map(|config| config.writes()).unwrap_or_default(),
                rows: |config| parse::<C>(config).ok().map(|config| config.rows()),
            },
        }
    }

    /// The settings of a config that name files which are written, each with the path that it has.
    pub(crate) fn written(&self, config: &Map<String, Value>) -> Vec<(String, String)> {
        self.files(&Value::Object(config.clone()), |mark| mark.path && !mark.read)
    }

    /// A config in which the files that are written are called by what they are, however users spell their paths.
    pub(super) fn with_files_as_they_are(&self, config: &Map<String, Value>) -> Map<String, Value> {
        let mut config = Value::Object(config.clone());
        visit(&mut config, Some(self.schema.as_value()), &mut |_, path, mark| {
            if mark.path && !mark.read {
                *path = identity(Path::new(path));
            }
        });
        config.as_object_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The files that settings name.
    pub(super) fn paths(&self, config: &Value) -> Vec<PathBuf> {
        self.files(config, |mark| mark.path).into_iter().map(|(_, path)| path.into()).collect()
    }

    fn files(&self, config: &Value, are: impl Fn(Mark) -> bool) -> Vec<(String, String)> {
        let mut files = Vec::new();
        visit(&mut config.clone(), Some(self.schema.as_value()), &mut |setting, path, mark| {
            if are(mark) {
                files.push((setting.into(), path.clone()));
            }
        });
        files
    }

    /// Whether a source with this config reads a file.
    pub(crate) fn reads_file(&self, config: &Map<String, Value>, path: &Path) -> bool {
        match self.make {
            Make::Source { reads_file, .. } => reads_file(Value::Object(config.clone()), path),
            Make::Sink { .. } => false,
        }
    }

    /// JSON Schema of its config as users write it: `type` and, where it may use one, `connection` included.
    pub fn schema(&self) -> Schema {
        let mut schema = self.schema.clone();
        let rules = schema.ensure_object();
        let mut properties = Map::new();
        properties.insert("type".into(), serde_json::json!({"const": self.ty, "description": self.summary}));
        if let Some(kind) = self.connection {
            let description = format!(
                "Which of the node's {kind} connections to use (`connections.{kind}.<name>` in its settings). \
                 Fields given here override the connection's, except for the address of the server: a connection's login is for its own server only. Default: `default`, if there is one and no address is given here."
            );
            properties.insert("connection".into(), serde_json::json!({"type": "string", "description": description}));
        }
        if let Some(Value::Object(own)) = rules.remove("properties") {
            for (name, schema) in own {
                properties.entry(name).or_insert(schema);
            }
        }
        rules.insert("properties".into(), properties.into());
        let required = rules.entry("required").or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(names) = required {
            names.insert(0, "type".into());
        }
        schema
    }

    /// Whether a field of its config says which server to speak to.
    pub(super) fn is_address(&self, name: &str) -> bool {
        marks::is_address(self.schema.as_value(), name)
    }

    /// Whether a field is one that a connection has: where a server is, or a secret for it.
    pub(super) fn is_of_connection(&self, name: &str) -> bool {
        marks::is_of_connection(self.schema.as_value(), name)
    }

    /// Keeps the secrets of a config out of texts: those that stand in it, and `more`, which were looked up for it.
    pub(super) fn redactor(&self, config: &Value, more: Vec<String>) -> Redactor {
        let manual = self.schema.as_value().to_string();
        let (mut secrets, mut open) = (more, vec![manual, self.guarantee.into(), self.summary.into()]);
        visit(&mut config.clone(), Some(self.schema.as_value()), &mut |_, text, mark| {
            let mut shown = 0;
            for place in mark.secret_places(text) {
                open.push(text[shown..place.range.start].into());
                shown = place.range.end;
                let secret = &text[place.range];
                // The name of a secret is none.
                if !refers(secret) {
                    secrets.push(secret.into());
                }
            }
            open.push(text[shown..].into());
        });
        let open: Vec<&str> = open.iter().map(String::as_str).collect();
        Redactor::new(secrets, &open)
    }

    /// Whether its own config has this field.
    pub(super) fn has_field(&self, name: &str) -> bool {
        self.fields().any(|(field, _)| field == name)
    }

    /// The fields of its own config, with the schema of each.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&String, &Value)> {
        let properties = self.schema.as_object().and_then(|rules| rules.get("properties")?.as_object());
        properties.into_iter().flatten()
    }
}

pub(super) fn parse<C: DeserializeOwned>(config: Value) -> Result<C, Vec<Problem>> {
    serde_path_to_error::deserialize(config).map_err(|error| {
        let path = error.path().to_string();
        let path = if path == "." { String::new() } else { path };
        vec![Problem::new(path, "invalid-value", error.into_inner().to_string())]
    })
}
