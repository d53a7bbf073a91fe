//! An index that is written to: looked up before anything is sent, since servers create what a request names.
use super::{
    CreateIndex,
    client::{Body, Client},
    failure,
    verdict::{self, Verdict},
};
use dataflow_sdk::{Error, batch::Warning};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What a name stands for.
pub(super) enum Found {
    Nothing,
    Index(Index),
    /// An alias that keeps no document by its id, or no name at all; why.
    Unfit(String),
}

/// An index, or an alias of one.
#[derive(Clone, Debug)]
pub(super) struct Index {
    /// What another one of its name does not have; none: the server does not say.
    pub(super) id: Option<String>,
    /// Whether the name may be pointed elsewhere.
    pub(super) is_alias: bool,
    /// What to know about it.
    pub(super) warnings: Vec<Warning>,
}

impl Index {
    /// The id that its name stands for; none: an alias may be pointed elsewhere.
    pub(super) fn own_id(&self) -> Option<&str> {
        self.id.as_deref().filter(|_| !self.is_alias)
    }
}

#[derive(Deserialize)]
struct Settled {
    #[serde(default)]
    aliases: BTreeMap<String, Value>,
    #[serde(default)]
    settings: BTreeMap<String, Value>,
    data_stream: Option<String>,
}

/// Checks that the cluster is one, and returns its id; none: this login may not see it.
pub(super) async fn cluster(client: &Client) -> Result<Option<String>, Error> {
    #[derive(Deserialize)]
    struct About {
        cluster_uuid: Option<String>,
        version: Version,
    }
    #[derive(Deserialize)]
    struct Version {
        number: String,
        distribution: Option<String>,
    }
    let answer = client.ask(Method::GET, "/", Body::Nothing).await?;
    if answer.status == StatusCode::FORBIDDEN {
        return Ok(None);
    }
    let answer = answer.done("looking at the cluster")?;
    let About { cluster_uuid, version } = answer.json("what it is")?;
    let major: u32 = version.number.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if version.distribution.is_none() && major < 7 {
        let message = format!("{} is Elasticsearch {}, which has types of documents", answer.server, version.number);
        return Err(Error::fatal("unsupported", message).fix("use Elasticsearch 7 or later, or OpenSearch"));
    }
    Ok(cluster_uuid)
}

/// Looks a name up, and creates an index if there is nothing of it.
pub(super) async fn find_or_create(client: &Client, name: &str, how: Option<&CreateIndex>) -> Result<Found, Error> {
    match look(client, name).await? {
        Found::Nothing => {}
        found => return Ok(found),
    }
    if let Some(why) = create(client, name, how).await? {
        return Ok(Found::Unfit(why));
    }
    match look(client, name).await? {
        Found::Nothing => {
            Err(Error::transient("unavailable", format!("index {name} was created, and is not there yet")))
        }
        found => Ok(found),
    }
}

/// Looks a name up.
pub(super) async fn look(client: &Client, name: &str) -> Result<Found, Error> {
    let path = format!("/{}?flat_settings=true&filter_path=*.settings,*.aliases,*.data_stream", in_path(name));
    let answer = client.ask(Method::GET, &path, Body::Nothing).await?;
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(Found::Nothing);
    }
    let answer = answer.done(&format!("looking up index {name}"))?;
    let found: BTreeMap<String, Settled> = answer.json("what index it has")?;
    if found.values().any(|index| index.data_stream.is_some()) {
        return Err(unsupported(format!("{name} is a data stream, which keeps no document by its id")));
    }
    let Some((concrete, index)) = found.first_key_value() else { return Ok(Found::Nothing) };
    let is_alias = concrete != name;
    if found.len() > 1 {
        return Ok(Found::Unfit(format!(
            "{name} is an alias of {} indices: once another one is written to, records written again would be doubled",
            found.len()
        )));
    }
    let text = |setting: &str| index.settings.get(setting).and_then(Value::as_str).filter(|value| !value.is_empty());
    let rolls = ["index.lifecycle.rollover_alias", "index.plugins.index_state_management.rollover_alias"];
    if is_alias && rolls.into_iter().any(|setting| text(setting) == Some(name)) {
        return Ok(Found::Unfit(format!(
            "alias {name} rolls over to new indices, where records written again would be doubled"
        )));
    }
    if index.aliases.get(name).is_some_and(|alias| alias["is_write_index"] == json!(false)) {
        return Ok(Found::Unfit(format!("alias {name} has no index that is written to")));
    }
    let warning = |code, message| Warning { code, subject: name.into(), message, records: 0 };
    let mut warnings = Vec::new();
    for setting in ["index.default_pipeline", "index.final_pipeline"] {
        if let Some(pipeline) = text(setting).filter(|pipeline| *pipeline != "_none") {
            let message = format!(
                "index {concrete} passes documents through ingest pipeline {pipeline}, which may alter or drop them"
            );
            warnings.push(warning("may-be-altered", message));
        }
    }
    if text("index.translog.durability") == Some("async") {
        let message = format!(
            "index {concrete} acknowledges documents before they are durable (index.translog.durability: async)"
        );
        warnings.push(warning("not-durable", message));
    }
    Ok(Found::Index(Index { id: text("index.uuid").map(Into::into), is_alias, warnings }))
}

/// What no record can be written to.
pub(super) fn unsupported(message: String) -> Error {
    Error::fatal("unsupported", message)
        .fix("name an index, an alias of one, or a name for each period: \"logs-{to_char(ts, 'YYYY.MM')}\"")
        .for_user()
}

/// A name as part of a path.
pub(super) fn in_path(name: &str) -> String {
    name.replace('%', "%25")
}

/// Creates an index as the spec says, otherwise as the server does for a document that names it. Returns why there can be none
/// of this name.
async fn create(client: &Client, name: &str, how: Option<&CreateIndex>) -> Result<Option<String>, Error> {
    let what = format!("creating index {name}");
    let answer = match how {
        Some(CreateIndex { settings, mappings }) => {
            let body = json!({"settings": settings, "mappings": mappings}).to_string();
            client.ask(Method::PUT, &format!("/{}", in_path(name)), Body::Json(body)).await?
        }
        // For the sake of its version, the server creates the index of a document that is deleted, if it may.
        None => {
            let path = format!("/{}/_doc/dataflow-opening?version=1&version_type=external", in_path(name));
            client.ask(Method::DELETE, &path, Body::Nothing).await?
        }
    };
    let words = verdict::words(&answer.body);
    match answer.status {
        StatusCode::CONFLICT if how.is_none() => Ok(None),
        StatusCode::NOT_FOUND if answer.json::<Value>("a delete").is_ok_and(|said| said["result"] == "not_found") => {
            Ok(None)
        }
        StatusCode::NOT_FOUND => {
            let message = format!("index {name} does not exist at {}: {words}", answer.server);
            Err(Error::fatal("index-missing", message).fix(format!(
                "create it (PUT /{name}), correct `index`, set \"createIndex\": {{}}, or let the server create indices (action.auto_create_index)"
            )))
        }
        StatusCode::BAD_REQUEST if words.starts_with("invalid_index_name_exception") => Ok(Some(words)),
        StatusCode::BAD_REQUEST => match verdict::of_refusal(&answer) {
            // Another lane was faster.
            Verdict::Busy(_) => Ok(None),
            Verdict::Stop(error) => Err(error),
            Verdict::Done | Verdict::Stale(_) | Verdict::Refused(_) => {
                let message = format!("{what} was refused by {}: {words}", answer.server);
                Err(Error::fatal("index-refused", message)
                    .fix("correct `createIndex`, or create the index as you want it"))
            }
        },
        _ if answer.status.is_success() => Ok(None),
        _ => Err(failure::refused(&what, &answer)),
    }
}
