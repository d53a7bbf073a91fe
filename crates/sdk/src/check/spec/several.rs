//! Several sinks: what the spec says of each alone is checked as if it were the only one, and what is found is told where it stands.
use super::{Problem, SINGLE_LANE};
use crate::{
    catalog::{Catalog, Connections, Role},
    sink::DeliveryMode,
    transform::Compiler,
};
use dataflow_core::spec::{self, PipelineSpec};
use serde_json::{Value, json};

/// All findings of a spec with these sinks.
pub(super) fn check(
    (value, sinks): (&Value, &[Value]),
    mut problems: Vec<Problem>,
    catalog: &Catalog,
    connections: &Connections,
    compiler: &dyn Compiler,
) -> Result<PipelineSpec, Vec<Problem>> {
    let transforms = value.get("transforms").and_then(Value::as_array).map_or(0, Vec::len);
    for (at, sink) in sinks.iter().enumerate() {
        let found = super::check(&alone(value, sink), Vec::new(), catalog, connections, compiler);
        for problem in found.err().unwrap_or_default() {
            let problem = Problem { path: placed(&problem.path, at, transforms), ..problem };
            let problem = of_one(problem, sink);
            let is_known = |known: &Problem| {
                (&known.path, &known.code) == (&problem.path, &problem.code)
                    && (known.code != SINGLE_LANE || known.message == problem.message)
            };
            if !problems.iter().any(is_known) {
                problems.push(problem);
            }
        }
    }
    match serde_path_to_error::deserialize::<_, PipelineSpec>(value) {
        Ok(spec) => {
            let own = spec::check(&spec).into_iter().chain(same_targets(&spec, catalog, connections));
            let new: Vec<_> = own.filter(|found| !problems.contains(found)).collect();
            problems.extend(new);
            if problems.is_empty() { Ok(spec) } else { Err(problems) }
        }
        Err(error) => {
            if problems.is_empty() {
                problems.push(Problem::new(error.path().to_string(), "invalid-value", error.into_inner().to_string()));
            }
            Err(problems)
        }
    }
}

/// The spec with one of its sinks alone, whose condition is its last transform.
fn alone(value: &Value, sink: &Value) -> Value {
    let (mut value, mut sink) = (value.clone(), sink.clone());
    let when = sink.as_object_mut().and_then(|sink| {
        sink.shift_remove("name");
        sink.shift_remove("when")
    });
    if let Some(fields) = value.as_object_mut() {
        fields.shift_remove("sinks");
        fields.insert("sink".into(), sink);
        let transforms = fields.entry("transforms").or_insert_with(|| json!([]));
        if let (Some(transforms), Some(when)) = (transforms.as_array_mut(), when) {
            transforms.push(json!({"type": "filter", "condition": when}));
        }
    }
    value
}

/// A finding about a setting of them all, which says of which sink it is true.
fn of_one(problem: Problem, sink: &Value) -> Problem {
    match sink.get("name").and_then(Value::as_str) {
        Some(name) if problem.code == SINGLE_LANE => {
            Problem { message: format!("sink {name}: {}", problem.message), ..problem }
        }
        _ => problem,
    }
}

/// Where a finding about the sink at this place stands in the spec of several.
fn placed(path: &str, at: usize, transforms: usize) -> String {
    if path.strip_prefix(&format!("transforms[{transforms}]")).is_some() {
        return format!("sinks[{at}].when");
    }
    match path.strip_prefix("sink") {
        Some(rest) if rest.is_empty() || rest.starts_with(['.', '[']) => format!("sinks[{at}]{rest}"),
        _ => path.to_owned(),
    }
}

/// Sinks that would write to the same target: each would take the other's rows for its own.
fn same_targets(spec: &PipelineSpec, catalog: &Catalog, connections: &Connections) -> Vec<Problem> {
    let keeps =
        |kind: &str| catalog.get(Role::Sink, kind).is_some_and(|sink| sink.delivery != Some(DeliveryMode::Unfenced));
    let again = (0..spec.sinks.len()).filter(|at| keeps(&spec.sinks[*at].sink.kind)).filter_map(|at| {
        let sink = &spec.sinks[at].sink;
        let first = (0..at).find(|before| catalog.same_target(&spec.sinks[*before].sink, sink, connections))?;
        let message = format!("writes to the same target as sink {}", spec.sinks[first].name);
        let fix = "give each sink a target of its own, or make one sink of them with a condition for both";
        Some(Problem::new(format!("sinks[{at}]"), "conflict", message).fix(fix))
    });
    again.collect()
}
