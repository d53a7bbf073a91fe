//! Reading and checking settings: all findings at once.
use super::{Environment, Settings, environment};
use crate::plugins::catalog;
use dataflow_core::{problem::Problem, spec::Unique};
use dataflow_sdk::{
    catalog::{Connections, look_up},
    check,
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What the command line says; it overrules file and environment.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Overrides {
    /// Settings file (TOML).
    #[arg(long, value_name = "FILE", env = "DATAFLOW_CONFIG")]
    pub config: Option<PathBuf>,
    /// Folder of everything the node keeps [default: ./dataflow-data].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// What is logged: error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

/// Reads the settings: defaults, file, environment, command line. Returns them with warnings.
///
/// # Errors
/// All that is wrong with them.
pub fn load(
    overrides: &Overrides,
    listen: Option<&str>,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<(Settings, Vec<String>), Vec<Problem>> {
    let mut value = match &overrides.config {
        Some(path) => with_secrets(read(path)?)?,
        None => json!({}),
    };
    let (mut problems, warnings) = environment::overlay(&mut value, variables);
    if let Some(fields) = value.as_object_mut() {
        fields.extend(listen.map(|listen| ("listen".into(), json!(listen))));
        fields.extend(overrides.data_dir.as_ref().map(|dir| ("dataDir".into(), json!(dir))));
        if let Some(level) = &overrides.log_level {
            let log = fields.entry("log").or_insert_with(|| json!({}));
            if let Some(log) = log.as_object_mut() {
                log.insert("level".into(), json!(level));
            }
        }
    }
    problems.extend(check::against_schema(&value, &schemars::schema_for!(Settings), ""));
    match value.get("listen").and_then(Value::as_str).map(check_listen) {
        Some(Ok(address)) => value["listen"] = json!(address),
        Some(Err(problem)) => problems.push(problem),
        None => {}
    }
    problems.extend(value.pointer("/log/level").and_then(Value::as_str).and_then(check_level));
    problems.extend(value.get("connections").map_or_else(Vec::new, check_connections));
    if !problems.is_empty() {
        return Err(problems);
    }
    serde_json::from_value(value)
        .map(|settings| (Settings { file: overrides.config.clone(), ..settings }, warnings))
        .map_err(|error| vec![Problem::new("", "invalid-value", error.to_string())])
}

/// What the connectors of this build have to say of the connections, where they can be read at all.
fn check_connections(value: &Value) -> Vec<Problem> {
    serde_json::from_value(value.clone()).map_or_else(
        |_| Vec::new(), // the schema has said why not
        |by_kind| catalog().check_connections(&Connections::new(by_kind, Arc::new(Environment))),
    )
}

/// The settings with their references looked up, but for connections: those are looked up each time that one is used.
fn with_secrets(mut value: Value) -> Result<Value, Vec<Problem>> {
    let connections = value.as_object_mut().and_then(|fields| fields.remove("connections"));
    let mut value = look_up(value, &Environment)?;
    if let (Some(fields), Some(connections)) = (value.as_object_mut(), connections) {
        fields.insert("connections".into(), connections);
    }
    Ok(value)
}

fn read(path: &Path) -> Result<Value, Vec<Problem>> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![Problem::new(&place, "unreadable", format!("the settings file can't be read: {error}"))]
    })?;
    toml::from_str(&text).map(|Unique(value)| value).map_err(|error: toml::de::Error| {
        let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].matches('\n').count() + 1);
        // Not the line itself: it may hold a password.
        let finding = Problem::new(place, "invalid-value", format!("line {line} is not TOML: {}", error.message()));
        let name = text.lines().nth(line - 1).and_then(unquoted);
        vec![match name {
            Some(name) => finding.fix(format!("put texts in quotes: {name} = \"…\"")),
            None => finding,
        }]
    })
}

/// The setting of a line whose value is a text without quotes.
fn unquoted(line: &str) -> Option<&str> {
    let (name, value) = line.split_once('=')?;
    let (name, value) = (name.trim(), value.trim());
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    (is_name && !value.is_empty() && !value.starts_with(['"', '\'', '[', '{'])).then_some(name)
}

/// Nothing but loopback: whoever reaches the API can do everything.
fn check_listen(listen: &str) -> Result<SocketAddr, Problem> {
    let address: SocketAddr = listen.replace("localhost", "127.0.0.1").parse().map_err(|_| {
        Problem::new("listen", "invalid-value", format!("{listen:?} is not an address and port"))
            .fix("write it like 127.0.0.1:8080")
    })?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err(Problem::new(
        "listen",
        "not-loopback",
        format!("{address} could be reached from other machines, and the API has no authentication yet"),
    )
    .fix("listen at 127.0.0.1 or [::1], and put a reverse proxy with authentication in front of it"))
}

fn check_level(level: &str) -> Option<Problem> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let wrong = level.split(',').find(|part| {
        let level = part.rsplit_once('=').map_or(*part, |(_, level)| level);
        !LEVELS.contains(&level.trim().to_lowercase().as_str())
    })?;
    Some(
        Problem::new("log.level", "invalid-value", format!("{wrong:?} is not a log level"))
            .fix("write error, warn, info, debug or trace, or module=level pairs with commas"),
    )
}
