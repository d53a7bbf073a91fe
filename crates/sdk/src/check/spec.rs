//! A whole spec: the one check behind REST, CLI and engine.
mod several;

use super::{Problem, against_schema, schema::join};
use crate::{
    catalog::{Catalog, Connections, Role, secrets},
    declared::Declared,
    sink::DeliveryMode,
    transform::Compiler,
};
use dataflow_core::{
    id::PipelineId,
    limits::MAX_TRANSFORMS,
    spec::{self, Component, PipelineSpec},
};
use schemars::Schema;
use serde_json::{Map, Value};
use std::{path::Path, sync::LazyLock};

/// So many fields that can't be read are left out to look at the others; each costs a look at the whole spec.
const MOST_LEFT_OUT: usize = 50;

/// Ids that would hide a path of the API.
const RESERVED: [&str; 1] = ["validate"];

static SPEC: LazyLock<Schema> = LazyLock::new(|| schemars::schema_for!(PipelineSpec));

static NEW: LazyLock<Schema> = LazyLock::new(|| {
    let mut schema = SPEC.clone();
    if let Some(Value::Object(properties)) = schema.ensure_object().get_mut("properties") {
        let id = serde_json::json!({
            "type": "string",
            "description": "The id of the pipeline: 1 to 128 of a-z A-Z 0-9 - _ ., starting with a letter or digit."
        });
        properties.shift_insert(0, "pipelineId".into(), id);
    }
    if let Some(Value::Array(required)) = schema.ensure_object().get_mut("required") {
        required.insert(0, "pipelineId".into());
    }
    schema
});

/// The spec that a value holds, if there is nothing wrong with it. Never touches the network.
///
/// # Errors
/// All findings: unknown and missing fields, wrong types, connectors, transforms, limits, and what doesn't go together.
pub fn check_spec(
    value: &Value,
    catalog: &Catalog,
    connections: &Connections,
    compiler: &dyn Compiler,
) -> Result<PipelineSpec, Vec<Problem>> {
    let mut problems = against_schema(value, &SPEC, "");
    // It may be left out here, so that the schema does not know it.
    let meant = |problem: &&mut Problem| {
        problem.code == "unknown-field" && super::nearest(&problem.path, ["pipelineId"]).is_some()
    };
    problems.iter_mut().filter(meant).for_each(|problem| problem.fix = Some("did you mean \"pipelineId\"?".into()));
    check(value, problems, catalog, connections, compiler)
}

/// Like [`check_spec`], for a spec that has its `pipelineId` with it: the body of `POST /api/pipelines`, the file of `dataflow run`.
///
/// # Errors
/// All findings.
pub fn check_new(
    value: &Value,
    catalog: &Catalog,
    connections: &Connections,
    compiler: &dyn Compiler,
) -> Result<(PipelineId, PipelineSpec), Vec<Problem>> {
    let mut problems = against_schema(value, &NEW, "");
    let mut value = value.clone();
    let id = value.as_object_mut().and_then(|fields| fields.shift_remove("pipelineId"));
    let id = match id.as_ref().and_then(Value::as_str).map(PipelineId::try_from) {
        Some(Ok(id)) if RESERVED.contains(&id.as_str()) => {
            let message = format!("{:?} is a path of the API", id.as_str());
            problems.insert(0, Problem::new("pipelineId", "reserved", message).fix("choose another id"));
            None
        }
        Some(Ok(id)) => Some(id),
        Some(Err(error)) => {
            problems.insert(0, Problem::new("pipelineId", "invalid-value", error.to_string()));
            None
        }
        None => None,
    };
    let spec = check(&value, problems, catalog, connections, compiler)?;
    id.map(|id| (id, spec)).ok_or_else(|| vec![Problem::new("pipelineId", "missing-field", "is missing")])
}

fn check(
    value: &Value,
    mut problems: Vec<Problem>,
    catalog: &Catalog,
    connections: &Connections,
    compiler: &dyn Compiler,
) -> Result<PipelineSpec, Vec<Problem>> {
    let Some(fields) = value.as_object() else { return Err(problems) };
    if let Some(sinks) = fields.get("sinks").and_then(Value::as_array).filter(|_| !fields.contains_key("sink")) {
        return several::check((value, sinks), problems, catalog, connections, compiler);
    }
    if !fields.contains_key("sink") && !fields.contains_key("sinks") {
        let missing = Problem::new("sink", "missing-field", "is missing");
        problems.push(missing.fix("give one sink, or sinks for several"));
    }
    for problem in problems.iter_mut().filter(|problem| problem.code == "missing-field") {
        if let Some(kinds) = kinds(&problem.path, catalog, compiler).filter(|kinds| !kinds.is_empty()) {
            problem.fix = Some(format!("give \"type\": one of {}", kinds.join(", ")));
        }
    }
    for (role, name) in [(Role::Source, "source"), (Role::Sink, "sink")] {
        if let Some(component) = fields.get(name).and_then(component) {
            problems.extend(catalog.check_component(role, &component, connections, name));
        }
    }
    for (name, value) in fields.iter().filter(|(name, _)| !["source", "sink"].contains(&name.as_str())) {
        problems.extend(secrets::none(value, name));
    }
    let mut rest = value.clone();
    let mut left_out = 0;
    loop {
        let error = match serde_path_to_error::deserialize::<_, PipelineSpec>(&rest) {
            Ok(spec) => {
                if spec.transforms.len() <= MAX_TRANSFORMS {
                    let declared = catalog.declared(&spec, connections);
                    problems.extend(compiler.check(&spec, &declared));
                    problems.extend(metadata(&spec, &declared, compiler));
                }
                let is_new = |found: &Problem| !problems.contains(found);
                let new: Vec<_> = spec::check(&spec).into_iter().filter(is_new).collect();
                problems.extend(new);
                if rest == *value {
                    problems.extend(together(&spec, catalog, connections));
                }
                return if problems.is_empty() { Ok(spec) } else { Err(problems) };
            }
            Err(error) => error,
        };
        let path = match error.path().to_string() {
            root if root == "." => String::new(),
            path => path,
        };
        let said_already = if path.is_empty() {
            !problems.is_empty()
        } else {
            problems.iter().any(|problem| problem.path.starts_with(&path) || path.starts_with(&problem.path))
        };
        let leaf = leaf(error.path());
        if !said_already {
            problems.push(Problem::new(path, "invalid-value", error.into_inner().to_string()));
        }
        // What is wrong in one field doesn't keep the others from being checked.
        left_out += 1;
        if left_out > MOST_LEFT_OUT || !leaf.is_some_and(|(parent, name)| remove(&mut rest, &parent, &name)) {
            if let Some(rest) = flow_only(fields).filter(|rest| rest.transforms.len() <= MAX_TRANSFORMS) {
                problems.extend(compiler.check(&rest, &catalog.declared(&rest, connections)));
            }
            return Err(problems);
        }
    }
}

/// The types that a part of a spec may have, by the path of its `type`.
fn kinds(path: &str, catalog: &Catalog, compiler: &dyn Compiler) -> Option<Vec<&'static str>> {
    let of = |role| catalog.connectors().iter().filter(move |connector| connector.role == role).map(|known| known.ty);
    match path.strip_suffix(".type")? {
        "source" => Some(of(Role::Source).collect()),
        "sink" => Some(of(Role::Sink).collect()),
        part if part.starts_with("transforms[") => Some(compiler.catalog().into_iter().map(|(ty, ..)| ty).collect()),
        _ => None,
    }
}

/// Findings about metadata that the source's records don't have.
fn metadata(spec: &PipelineSpec, declared: &Declared, compiler: &dyn Compiler) -> Vec<Problem> {
    if declared.source.metadata.is_none() {
        return Vec::new();
    }
    let source = &spec.source.kind;
    let known = || declared.source.known().map(|(name, _)| name);
    let read = compiler.metadata(spec, declared).into_iter();
    let unknown = read.filter(|(_, name)| known().all(|known| known != name));
    let finding = |(path, name): (String, String)| {
        if name == "timestamp" {
            let message =
                format!("the records of a {source} source have no time, so there is no meta.timestamp and no now()");
            let finding = Problem::new(path, "no-source-time", message);
            return finding.fix("use a field of the records with a time");
        }
        let message = format!("the records of a {source} source have no meta.{name}");
        let finding = Problem::new(path, "unknown-metadata", message);
        match super::nearest(&name, known()) {
            Some(near) => finding.fix(format!("did you mean meta.{near}?")),
            None => finding
                .fix(format!("known: {}", known().map(|name| format!("meta.{name}")).collect::<Vec<_>>().join(", "))),
        }
    };
    unknown.map(finding).collect()
}

/// The place of a field in an object: the pointer to the object, and the field's name.
fn leaf(path: &serde_path_to_error::Path) -> Option<(String, String)> {
    let mut names = Vec::new();
    for segment in path.iter() {
        match segment {
            serde_path_to_error::Segment::Map { key } => names.push(key.clone()),
            _ => return None,
        }
    }
    let last = names.pop()?;
    let pointer = names.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect();
    Some((pointer, last))
}

fn remove(value: &mut Value, parent: &str, name: &str) -> bool {
    let parent = value.pointer_mut(parent).and_then(Value::as_object_mut);
    parent.is_some_and(|fields| fields.shift_remove(name).is_some())
}

/// Things worth knowing about a spec that stop nothing.
pub fn warnings(spec: &PipelineSpec, catalog: &Catalog) -> Vec<Problem> {
    let named = spec.sinks.iter().enumerate().map(|(at, named)| (format!("sinks[{at}]"), &named.sink));
    let only = Some(("sink".to_owned(), &spec.sink)).filter(|(_, sink)| !sink.is_none());
    let unfenced = only.into_iter().chain(named).filter_map(|(path, sink)| {
        let sink = catalog.get(Role::Sink, &sink.kind)?;
        let message = format!("the {} sink may receive records twice after a crash: {}", sink.ty, sink.guarantee);
        let is_unfenced = sink.delivery == Some(DeliveryMode::Unfenced);
        is_unfenced.then(|| Problem::new(join(&path, "type"), "at-least-once", message))
    });
    unfenced.collect()
}

fn component(value: &Value) -> Option<Component> {
    let kind = value.get("type")?.as_str()?.to_owned();
    let mut config = value.as_object()?.clone();
    config.shift_remove("type");
    Some(Component { kind, config })
}

/// Source, transforms, sink and schema alone, if those can be read.
fn flow_only(fields: &Map<String, Value>) -> Option<PipelineSpec> {
    let flow = fields.iter().filter(|(name, _)| ["source", "transforms", "sink"].contains(&name.as_str()));
    let mut flow: Map<String, Value> = flow.map(|(name, value)| (name.clone(), value.clone())).collect();
    for name in ["source", "sink"] {
        // A stand-in of no known type: the compiler asks neither.
        if flow.get(name).and_then(component).is_none() {
            flow.insert(name.into(), serde_json::json!({"type": "missing"}));
        }
    }
    let with_schema = fields.get("schema").map(|schema| {
        let mut flow = flow.clone();
        flow.insert("schema".into(), schema.clone());
        flow
    });
    let parse = |flow: Map<String, Value>| serde_json::from_value(Value::Object(flow)).ok();
    with_schema.and_then(parse).or_else(|| parse(flow))
}

/// A place that the sink writes and the source reads.
fn own_output(spec: &PipelineSpec, catalog: &Catalog, connections: &Connections) -> Option<Problem> {
    let source = catalog.get(Role::Source, &spec.source.kind)?;
    let written = catalog.get(Role::Sink, &spec.sink.kind)?.written(&spec.sink.config);
    let file = written.into_iter().find(|(_, path)| source.reads_file(&spec.source.config, Path::new(path)));
    let file = file.map(|(setting, path)| {
        let fix = "write to a file that the source's path does not match, for instance in another folder";
        (setting, format!("the file {path}"), fix)
    });
    let place = || {
        let (setting, place) = catalog.in_common(spec, connections)?;
        Some((setting.into(), place, "write to another one"))
    };
    let (setting, what, fix) = file.or_else(place)?;
    let message = format!("the source also reads {what}: the pipeline would read its own output without end");
    Some(Problem::new(join("sink", &setting), "reads-own-output", message).fix(fix))
}

/// A sink that would know rows by ids which their records don't have.
fn without_ids(spec: &PipelineSpec, catalog: &Catalog, connections: &Connections) -> Option<Problem> {
    let declared = catalog.declared(spec, connections);
    let setting = declared.sink.by_id.filter(|_| !declared.source.lasting_ids)?;
    let message = format!(
        "is missing, and records of the source {} have no id that stays theirs: another record may come to be where they were read",
        spec.source.kind
    );
    let fix = format!(
        "set `{setting}` to an expression that tells records apart: a field that holds their id, or `meta.id` if all of them are read once from where \
         nothing else is ever put"
    );
    Some(Problem::new(join("sink", setting), "missing-field", message).fix(fix))
}

/// The code of several lanes at a sink that has one.
const SINGLE_LANE: &str = "single-lane";

/// Finds parts that are valid alone but contradict each other.
fn together(spec: &PipelineSpec, catalog: &Catalog, connections: &Connections) -> Vec<Problem> {
    let mut problems = Vec::new();
    if let Some(lanes @ 2..) = spec.lanes
        && catalog.get(Role::Sink, &spec.sink.kind).is_some_and(|sink| sink.single_lane)
    {
        let message = format!("the {} sink supports only one lane, not {lanes}", spec.sink.kind);
        problems.push(Problem::new("lanes", SINGLE_LANE, message).fix("leave out lanes, or choose another sink"));
    }
    problems.extend(own_output(spec, catalog, connections));
    problems.extend(without_ids(spec, catalog, connections));
    if spec.max_record_bytes > spec.max_in_flight_bytes {
        let message = format!(
            "a record of {} bytes would exceed the {} bytes allowed in flight",
            spec.max_record_bytes, spec.max_in_flight_bytes
        );
        let fix = "make maxInFlightBytes at least as large as maxRecordBytes";
        problems.push(Problem::new("maxInFlightBytes", "out-of-range", message).fix(fix));
    }
    if spec.restart.initial > spec.restart.max {
        let message = format!("{} is less than the first wait, {}", spec.restart.max, spec.restart.initial);
        problems.push(Problem::new(join("restart", "max"), "out-of-range", message));
    }
    problems
}
