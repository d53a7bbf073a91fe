//! Settings in environment variables.
use dataflow_core::problem::Problem;
use dataflow_core::spec::from_json;
use dataflow_sdk::check;
use serde_json::{Value, json};

/// How a variable holds its setting.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Number,
    /// With colons between, as folders are listed everywhere.
    List,
}

/// Variable, path of the setting, form.
const VARIABLES: [(&str, &str, Form); 9] = [
    ("DATAFLOW_LISTEN", "/listen", Form::Text),
    ("DATAFLOW_DATA_DIR", "/dataDir", Form::Text),
    ("DATAFLOW_SHUTDOWN_TIMEOUT", "/shutdownTimeout", Form::Text),
    ("DATAFLOW_COMPUTE_THREADS", "/computeThreads", Form::Number),
    ("DATAFLOW_LOG_LEVEL", "/log/level", Form::Text),
    ("DATAFLOW_LOG_FORMAT", "/log/format", Form::Text),
    ("DATAFLOW_SECRETS_FILES", "/secrets/files", Form::List),
    ("DATAFLOW_SECRETS_ENV", "/secrets/env", Form::List),
    ("DATAFLOW_PATHS_ALLOW", "/paths/allow", Form::List),
];
/// A connection of each kind, as an example.
const EXAMPLES: [(&str, &str); 2] = [
    ("kafka", r#"{"brokers": "127.0.0.1:9092"}"#),
    ("postgres", r#"{"url": "postgres://user:password@127.0.0.1:5432/database"}"#),
];
/// Other variables that the program and its tests read, so that they are not taken for misspelt ones.
const OTHERS: [&str; 4] = ["DATAFLOW_CONFIG", "DATAFLOW_SERVER", "DATAFLOW_OUTPUT", "DATAFLOW_FAULT"];
/// `DATAFLOW_CONNECTION_<KIND>_<NAME>`: a connection as a JSON object.
const CONNECTION: &str = "DATAFLOW_CONNECTION_";

/// Lays the variables over the settings; returns what is wrong with them, and what looks misspelt.
pub(super) fn overlay(
    settings: &mut Value,
    variables: impl Iterator<Item = (String, String)>,
) -> (Vec<Problem>, Vec<String>) {
    let (mut problems, mut warnings) = (Vec::new(), Vec::new());
    for (name, value) in variables.filter(|(name, _)| name.starts_with("DATAFLOW_")) {
        if let Some((_, path, form)) = VARIABLES.iter().find(|(known, ..)| *known == name) {
            let value = match (form, value.parse::<u64>()) {
                (Form::Number, Ok(number)) => json!(number),
                (Form::List, _) => value.split(':').filter(|entry| !entry.is_empty()).collect(),
                _ => json!(value),
            };
            set(settings, path, value);
        } else if let Some(rest) = name.strip_prefix(CONNECTION) {
            match connection(rest, &value) {
                Ok((kind, name, fields)) => set(settings, &format!("/connections/{kind}/{name}"), fields),
                Err(problem) => problems.push(Problem { path: name, ..problem }),
            }
        } else if let Some(close) = misspelt(&name) {
            warnings.push(format!("the environment variable {name} is not a setting: did you mean {close}?"));
        }
    }
    (problems, warnings)
}

/// All variables that have a name of their own.
fn known() -> impl Iterator<Item = &'static str> {
    VARIABLES.iter().map(|(known, ..)| *known).chain(OTHERS)
}

/// What a name is most like. The prefix that all have must not make names look alike.
fn misspelt(name: &str) -> Option<String> {
    if known().any(|known| known == name) {
        return None;
    }
    const PREFIX: &str = "DATAFLOW_";
    let rest = |name: &'static str| name.trim_start_matches(PREFIX);
    let near = check::nearest(name.trim_start_matches(PREFIX), known().map(rest));
    if let Some(near) = near {
        return Some(format!("{PREFIX}{near}"));
    }
    // DATAFLOW_CONECTION_KAFKA_DEFAULT, DATAFLOW_KAFKA_DEFAULT
    let (first, after) = name.trim_start_matches(PREFIX).split_once('_')?;
    let kind = |word: &str| check::nearest(word, EXAMPLES.map(|(kind, _)| kind)).map(str::to_uppercase);
    if check::nearest(first, ["CONNECTION"]).is_some() {
        return Some(format!("{CONNECTION}{after}"));
    }
    kind(first).map(|kind| format!("{CONNECTION}{kind}_{after}"))
}

fn connection(rest: &str, value: &str) -> Result<(String, String, Value), Problem> {
    let (kind, name) =
        rest.split_once('_').filter(|(kind, name)| !kind.is_empty() && !name.is_empty()).ok_or_else(|| {
            Problem::new("", "invalid-value", "does not name a connection")
                .fix("name it DATAFLOW_CONNECTION_<KIND>_<NAME>, like DATAFLOW_CONNECTION_KAFKA_DEFAULT")
        })?;
    let why = match from_json(value.as_bytes()) {
        Ok(fields @ Value::Object(_)) => return Ok((kind.to_lowercase(), name.to_lowercase(), fields)),
        // The text may hold a password: it is not shown.
        Ok(_) => "is not a JSON object".into(),
        Err(error) => {
            let what = if error.is_data() { "gives a key twice in one object" } else { "is not a JSON object" };
            format!("{what} (line {}, column {})", error.line(), error.column())
        }
    };
    Err(Problem::new("", "invalid-value", why).fix(format!("write it like {}", example(&kind.to_lowercase()))))
}

/// A connection of a kind; of one that is not known, of another.
fn example(kind: &str) -> &'static str {
    let [first, ..] = EXAMPLES;
    EXAMPLES.into_iter().find(|(known, _)| *known == kind).unwrap_or(first).1
}

fn set(settings: &mut Value, path: &str, value: Value) {
    let mut place = settings;
    for name in path.split('/').skip(1) {
        if !place.is_object() {
            *place = json!({});
        }
        let Some(fields) = place.as_object_mut() else { return };
        place = fields.entry(name).or_insert(Value::Null);
    }
    *place = value;
}

/// Names of all connections, for messages.
#[cfg(test)]
pub(super) fn names(connections: &super::Connections) -> Vec<String> {
    connections.iter().flat_map(|(kind, named)| named.keys().map(move |name| format!("{kind}.{name}"))).collect()
}
