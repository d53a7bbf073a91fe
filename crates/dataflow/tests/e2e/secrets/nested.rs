//! Secrets wherever in a connector's settings they may stand: in objects, lists and maps. The server says all that it hears.
use super::{all_of, around, assert_hidden, files_below, percent, secret, serving};
use crate::program::program;
use dataflow::plugins::catalog;
use dataflow_sdk::catalog::Connector;
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeSet,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    rc::Rc,
    time::Duration,
};

/// A server that refuses whoever comes, and says again all that it was told, in the words of several APIs.
fn echoing() -> SocketAddr {
    serving(refuse)
}

fn refuse(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(300)))?;
    let (mut heard, mut part) = (Vec::new(), [0; 4096]);
    while let Ok(read) = stream.read(&mut part) {
        heard.extend_from_slice(&part[..read]);
        if read == 0 {
            break;
        }
    }
    let heard = String::from_utf8_lossy(&heard);
    let body = json!({
        "error": {"type": "security_exception", "reason": heard, "root_cause": [{"type": "x", "reason": heard}]},
        "error_description": heard, "message": heard, "status": 401,
    });
    let body = body.to_string();
    let head = format!("content-type: application/json\r\ncontent-length: {}\r\nconnection: close", body.len());
    stream.write_all(format!("HTTP/1.1 401 Unauthorized\r\n{head}\r\n\r\n{body}").as_bytes())
}

/// How a text becomes the value of a setting in which it stands somewhere.
type Wrap = Rc<dyn Fn(Value) -> Value>;

/// A place for a secret.
#[derive(Clone)]
struct Place {
    path: String,
    /// A password of an address, not all of the text.
    in_address: bool,
    wrap: Wrap,
}

/// A schema with those that it refers to and its alternatives.
fn branches<'a>(schema: &'a Value, root: &'a Value) -> Vec<&'a Value> {
    let target = schema["$ref"].as_str().and_then(|name| root.pointer(name.strip_prefix('#')?));
    let alternatives = ["anyOf", "oneOf"].into_iter().filter_map(|key| schema[key].as_array()).flatten();
    let further = target.into_iter().chain(alternatives).flat_map(|branch| branches(branch, root));
    std::iter::once(schema).chain(further).collect()
}

/// The words that a setting can be, if it is one of several.
fn words(schema: &Value, root: &Value) -> Vec<Value> {
    let words = branches(schema, root).into_iter().flat_map(|branch| {
        let several = branch["enum"].as_array().cloned().unwrap_or_default();
        several.into_iter().chain(branch.get("const").cloned())
    });
    words.collect()
}

/// Objects with all that is required beside a setting, and what belongs to it.
fn beside(branch: &Value, root: &Value, name: &str, server: SocketAddr) -> Vec<Map<String, Value>> {
    let mut all = vec![Map::new()];
    let required = branch["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    for field in required.filter(|field| *field != name) {
        let schema = &branch["properties"][field];
        let values = match words(schema, root) {
            none if none.is_empty() && !schema["x-address"].is_null() => vec![json!(format!("http://{server}/token"))],
            none if none.is_empty() => vec![json!("x")],
            words => words,
        };
        let with = |object: Map<String, Value>, value| object.into_iter().chain([(field.to_owned(), value)]).collect();
        all = all
            .into_iter()
            .flat_map(|object| values.clone().into_iter().map(move |value| with(object.clone(), value)))
            .collect();
    }
    for object in &mut all {
        let more = match (object.get("type").and_then(Value::as_str), name) {
            (Some("basic"), _) => json!({"user": "me"}),
            (Some("apiKey"), _) => json!({"name": "k"}),
            (Some("oauth2"), _) => json!({"tokenUrl": format!("http://{server}/token"), "clientId": "me"}),
            (_, "key") => json!({"cert": "/nowhere/cert.pem"}),
            _ => json!({}),
        };
        object.extend(more.as_object().unwrap().clone());
    }
    all
}

/// All places below a schema.
fn places(schema: &Value, root: &Value, server: SocketAddr) -> Vec<Place> {
    let mut found = Vec::new();
    for branch in branches(schema, root) {
        for (name, field) in branch["properties"].as_object().into_iter().flatten() {
            for place in of_field(field, root, server) {
                for object in beside(branch, root, name, server) {
                    let (name, inner) = (name.clone(), place.wrap.clone());
                    let path = format!(
                        "{name}{}",
                        if place.path.is_empty() { String::new() } else { format!(".{}", place.path) }
                    );
                    let wrap: Wrap = Rc::new(move |text| {
                        let mut object = object.clone();
                        object.insert(name.clone(), inner(text));
                        Value::Object(object)
                    });
                    found.push(Place { path, in_address: place.in_address, wrap });
                }
            }
        }
        // Settings that are passed on, known by their names; not columns, which have types.
        let any_text = |schema: &Value| {
            let is_free = ["pattern", "enum", "const", "format"].iter().all(|rule| schema[rule].is_null());
            schema == true
                || is_free
                    && (schema["type"] == "string"
                        || schema["type"].as_array().is_some_and(|types| types.contains(&json!("string"))))
        };
        if branches(&branch["additionalProperties"], root).into_iter().any(any_text) {
            for name in ["password", "x-api-key", "ssl.key.password", "authorization"] {
                let wrap: Wrap = Rc::new(move |text| json!({name: text}));
                found.push(Place { path: format!("[{name}]"), in_address: false, wrap });
            }
        }
        if !branch["items"].is_null() {
            for place in of_field(&branch["items"], root, server) {
                let inner = place.wrap.clone();
                let wrap: Wrap = Rc::new(move |text| json!([inner(text)]));
                found.push(Place { path: format!("[0]{}", place.path), in_address: place.in_address, wrap });
            }
        }
    }
    found
}

fn of_field(field: &Value, root: &Value, server: SocketAddr) -> Vec<Place> {
    let marked = field["x-secret"] == true || !field["x-address"].is_null();
    if !marked {
        return places(field, root, server);
    }
    let in_address = field["x-secret"] != true;
    let whole = Place { path: String::new(), in_address, wrap: Rc::new(|text| text) };
    let is_list = branches(field, root).iter().any(|branch| !branch["items"].is_null());
    let listed = Place { path: "[0]".into(), in_address, wrap: Rc::new(|text| json!([text])) };
    std::iter::once(whole).chain(is_list.then_some(listed)).collect()
}

/// What a connector needs so that a setting counts, and so that it gets as far as the server.
fn base(connector: &Connector, field: &str, server: SocketAddr) -> Value {
    let scheme = if field == "tls" { "https" } else { "http" };
    let http = format!("{scheme}://{server}");
    match (connector.ty, field) {
        ("rest", _) => json!({"url": http}),
        ("elasticsearch", "password") => json!({"url": http, "index": "secrets", "id": "meta.id", "user": "me"}),
        ("elasticsearch", _) => json!({"url": http, "index": "secrets", "id": "meta.id"}),
        ("s3", _) => json!({
            "endpoint": http, "allowHttp": true, "bucket": "secrets", "path": "a/", "region": "us-east-1", "accessKeyId": "me",
            "secretAccessKey": "${env:PLANTED}"
        }),
        ("kafka", "oauth") => json!({
            "brokers": server.to_string(), "topic": "secrets", "securityProtocol": "SASL_PLAINTEXT", "saslMechanism": "OAUTHBEARER"
        }),
        ("kafka", "tls") => json!({"brokers": server.to_string(), "topic": "secrets", "securityProtocol": "SSL"}),
        ("kafka", _) => json!({
            "brokers": server.to_string(), "topic": "secrets", "securityProtocol": "SASL_PLAINTEXT", "saslMechanism": "PLAIN",
            "saslUsername": "me", "saslPassword": "${env:PLANTED}"
        }),
        ("postgres", _) => json!({"table": "secrets", "url": format!("postgres://me@{server}/d")}),
        ("jdbc", _) => json!({"table": "secrets", "mode": "bulk", "url": format!("postgres://me@{server}/d")}),
        _ => json!({}),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_nested_secret_is_written_sent_or_shown() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let server = echoing();
    let mut cases: Vec<(String, String, Value, bool)> = Vec::new();
    for connector in catalog().connectors() {
        let schema = connector.schema();
        let schema = schema.as_value();
        for (field, rules) in schema["properties"].as_object().unwrap() {
            for place in of_field(rules, schema, server) {
                for literal in [false, true] {
                    let number = cases.len();
                    let text = if literal { percent(&secret(number)) } else { format!("${{env:PLANTED_{number}}}") };
                    let text = if place.in_address { format!("http://me:{text}@{server}/x") } else { text };
                    let mut component = base(connector, field, server);
                    component["type"] = connector.ty.into();
                    component[field] = (place.wrap)(text.into());
                    let dot = if place.path.is_empty() || place.path.starts_with('[') { "" } else { "." };
                    let place = format!("{} {} {field}{dot}{}", connector.role, connector.ty, place.path);
                    let id = format!("p{number}");
                    cases.push((place, id.clone(), around(connector.role, &id, component), literal));
                }
            }
        }
    }
    let names = (0..cases.len()).map(|number| format!("PLANTED_{number}"));
    let mut variables: Vec<(String, String)> = names.enumerate().map(|(number, name)| (name, secret(number))).collect();
    variables.push(("PLANTED".into(), secret(cases.len())));
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let allowed: Vec<String> = variables.iter().map(|(name, _)| format!("{name:?}")).collect();
    fs::write(at("dataflow.toml"), format!("[secrets]\nenv = [{}]\n", allowed.join(", "))).unwrap();
    let (config, log) = (at("dataflow.toml"), at("log"));
    let args = ["--config", config.to_str().unwrap()];
    let node = program().log_to(&log).log_level("debug").node_with(&at("data"), &args, &variables);

    let (mut said, mut taken) = (String::new(), BTreeSet::new());
    for (place, id, spec, literal) in &cases {
        let (status, made) = node.request("POST", "/api/pipelines", Some(spec)).await;
        said += &made.to_string();
        assert!(!literal || status == 400, "{place}: {spec} {made}");
        if status == 201 {
            node.start(id).await;
            taken.insert(place.as_str());
        }
    }
    for nested in [
        "source rest auth.password",
        "source rest auth.token",
        "source rest auth.key",
        "source rest auth.clientSecret",
        "sink kafka oauth.clientSecret",
        "source kafka oauth.clientSecret",
        "source rest tls.key",
        "sink elasticsearch tls.key",
        "sink elasticsearch url[0]",
    ] {
        assert!(taken.contains(nested), "no pipeline has a secret at {nested}");
    }
    for (place, id, ..) in cases.iter().filter(|(place, ..)| taken.contains(place.as_str())) {
        let (status, _) = node.request("GET", &format!("/api/pipelines/{id}"), None).await;
        if status == 200 {
            node.until(id, &format!("{place} refused"), |view| !view["error"].is_null()).await;
            said += &all_of(&node, id).await;
        }
    }
    said += &node.get("/metrics").await.to_string();
    assert_hidden("the API or the command line", said.as_bytes(), variables.len());
    assert!(said.contains("***"), "the server says again what it was told");
    assert!(node.terminate().success());
    assert_hidden("the log", &fs::read(log).unwrap(), variables.len());
    assert_hidden("the data folder", &files_below(&at("data")), variables.len());
}
