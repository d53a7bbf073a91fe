//! Secrets are planted in every field for them of every connector, and looked for in all that a node writes, sends and shows.
mod nested;

use crate::program::{Node, dataflow, program};
use dataflow::plugins::catalog;
use dataflow_sdk::catalog::{Connector, Role};
use serde_json::{Map, Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    thread,
};

/// A secret of its own for each place: two runs of letters that stay as they are in every way of writing it, and between them what
/// doesn't.
fn secret(number: usize) -> String {
    format!("hush{number:03}Quuxly@/:?#& \"'%41\\{{ü€}}Zyxwvut{number:03}")
}

/// What must be nowhere of a secret.
fn needles(number: usize) -> Vec<String> {
    let secret = secret(number);
    let mut needles = vec![format!("hush{number:03}Quuxly"), format!("Zyxwvut{number:03}")];
    for before in ["", "u", "us"] {
        let encoded = base64(format!("{before}{secret}").as_bytes());
        needles.push(encoded[4..28].into());
    }
    needles.push(secret.bytes().map(|byte| format!("{byte:02x}")).collect());
    needles
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = bytes.chunks(3).flat_map(|three| {
        let whole = three.iter().fold(0_u32, |whole, byte| whole << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        (0..=three.len()).map(move |at| char::from(DIGITS[(whole >> (18 - 6 * at)) as usize & 63]))
    });
    digits.collect()
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") })
        .collect()
}

/// A server that answers whoever comes so.
fn serving(answer: fn(TcpStream) -> std::io::Result<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || drop(answer(stream.unwrap())));
        }
    });
    address
}

/// A PostgreSQL that asks for the password, and then says it in every way that it knows.
fn talkative() -> SocketAddr {
    serving(refuse)
}

/// A password in every way in which a server or driver may say it; the last one is cut off.
fn ways(password: &str) -> Vec<String> {
    vec![
        password.into(),
        Value::from(password).to_string(),
        format!("{password:?}"),
        base64(password.as_bytes()),
        base64(format!("me:{password}").as_bytes()),
        format!("postgres://me:{}@here", percent(password)),
        format!("host=here password='{password}'"),
        format!("\"{}…\"", &password[..13]),
    ]
}

fn refuse(mut stream: TcpStream) -> std::io::Result<()> {
    let message = |stream: &mut TcpStream| -> std::io::Result<Vec<u8>> {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
        stream.read_exact(&mut body)?;
        Ok(body)
    };
    // Who would rather have TLS asks for it first.
    if message(&mut stream)? == 80_877_103_u32.to_be_bytes() {
        stream.write_all(b"N")?;
        message(&mut stream)?;
    }
    stream.write_all(b"R\0\0\0\x08\0\0\0\x03")?; // in clear text, please
    stream.read_exact(&mut [0])?;
    let mut password = message(&mut stream)?;
    password.pop();
    let password = String::from_utf8(password).unwrap();
    let said = format!("no user with {}", ways(&password).join(", "));
    let fields = format!("SFATAL\0VFATAL\0C28P01\0M{said}\0D{said}\0H{said}\0\0");
    stream.write_all(b"E")?;
    stream.write_all(&(fields.len() as u32 + 4).to_be_bytes())?;
    stream.write_all(fields.as_bytes())
}

/// What a component of a connector needs besides its secrets, so that it gets as far as a server.
fn base(connector: &Connector, server: SocketAddr) -> Value {
    match connector.ty {
        "postgres" => json!({"table": "secrets"}),
        "kafka" => json!({
            "brokers": server.to_string(), "topic": "secrets", "securityProtocol": "SASL_PLAINTEXT",
            "saslMechanism": "PLAIN", "saslUsername": "me", "saslPassword": "${env:PLANTED_0}"
        }),
        // Of a connector that nobody has described here: whatever its schema requires.
        _ => {
            let schema = connector.schema();
            let required = schema.as_value()["required"].as_array().cloned().unwrap_or_default();
            required.iter().filter_map(|name| Some((name.as_str()?.to_owned(), json!("x")))).collect()
        }
    }
}

/// Where a secret can be put in a field: as it is, or as a password of an address.
fn texts(mark: &str, reference: &str, server: SocketAddr) -> Vec<String> {
    match mark {
        "x-secret" => vec![reference.into()],
        _ => vec![
            format!("postgres://me:{reference}@{server}/d"),
            format!("postgres://me@{server}/d?password={reference}"),
            format!("host={} port={} user=me dbname=d password='{reference}'", server.ip(), server.port()),
        ],
    }
}

struct Case {
    id: String,
    spec: Value,
    literal: bool,
}

/// A pipeline with a secret for each field, each way of writing the field, and each kind of reference.
fn cases(server: SocketAddr, folder: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for connector in catalog().connectors() {
        let schema = connector.schema();
        let fields = schema.as_value()["properties"].as_object().unwrap().clone();
        let marked = fields.iter().flat_map(|(name, field)| {
            ["x-secret", "x-address"]
                .into_iter()
                .filter(|mark| field[mark] == true)
                .map(move |mark| (name.clone(), mark))
        });
        for (field, mark) in marked {
            for kind in ["literal", "env", "file"] {
                for form in 0..texts(mark, "", server).len() {
                    let number = cases.len();
                    let reference = match kind {
                        "literal" => percent(&secret(number)),
                        "env" => format!("${{env:PLANTED_{number}}}"),
                        _ => format!("${{file:{}}}", folder.join(format!("secrets/{number}")).display()),
                    };
                    fs::write(folder.join(format!("secrets/{number}")), secret(number) + "\n").unwrap();
                    let mut component = base(connector, server);
                    component["type"] = connector.ty.into();
                    component[&field] = texts(mark, &reference, server)[form].clone().into();
                    let id = format!("{}-{}-{field}-{kind}-{form}", connector.role, connector.ty);
                    cases.push(Case { spec: around(connector.role, &id, component), id, literal: kind == "literal" });
                }
            }
        }
    }
    cases
}

fn around(role: Role, id: &str, component: Value) -> Value {
    let (source, sink) = match role {
        Role::Source => (component, json!({"type": "blackhole"})),
        Role::Sink => (json!({"type": "generate", "count": 10}), component),
    };
    json!({"pipelineId": id, "source": source, "sink": sink, "restart": {"maxAttempts": 0}})
}

/// Asks a node for all that it can say of a pipeline.
async fn all_of(node: &Node, id: &str) -> String {
    let mut said = String::new();
    for path in ["", "/history", "/dead-letters", "/checkpoint", "/recovery", "/claims"] {
        said += &node.request("GET", &format!("/api/pipelines/{id}{path}"), None).await.1.to_string();
    }
    for args in [&["get", id][..], &["history", id], &["list"]] {
        for output in ["json", "table"] {
            let args: Vec<&str> = [&["--output", output, "pipeline"], args, &["--server", &node.url]]
                .into_iter()
                .flatten()
                .copied()
                .collect();
            let (_, out, err) = program().output(&args);
            said = said + &out + &err;
        }
    }
    said
}

fn files_below(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => all.extend(files_below(&path)),
            false => all.extend(fs::read(&path).unwrap()),
        }
    }
    all
}

/// The first secret that is found, and what stands before it.
fn found(bytes: &[u8], secrets: usize) -> Option<String> {
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    (0..secrets).flat_map(needles).find_map(|needle| {
        let at = text.find(&needle.to_lowercase())?;
        let around: String = text[..at].chars().rev().take(300).collect::<Vec<_>>().into_iter().rev().collect();
        Some(format!("{needle}: …{around}…"))
    })
}

fn assert_hidden(what: &str, bytes: &[u8], secrets: usize) {
    if let Some(secret) = found(bytes, secrets) {
        panic!("{what} has {secret}");
    }
}

/// What a driver says of the server has no redactor yet: each way in which the server says the password has to be found there.
#[tokio::test]
async fn a_secret_that_is_not_redacted_is_found() {
    let mut config = tokio_postgres::Config::new();
    let server = talkative();
    config.hostaddr(server.ip()).port(server.port()).user("me").password(secret(0)).dbname("d");
    let Err(error) = config.connect(tokio_postgres::NoTls).await else { panic!("it lets nobody in") };
    let said = error.as_db_error().unwrap().message();
    for way in ways(&secret(0)) {
        assert!(said.contains(&way), "{way}: {said}");
        assert!(found(way.as_bytes(), 1).is_some(), "{way}");
    }
    assert!(found(said.as_bytes(), 1).is_some());
    assert!(found("no user with ***".as_bytes(), 1).is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_written_sent_or_shown() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("secrets")).unwrap();
    let server = talkative();
    let cases = cases(server, folder.path());
    assert!(cases.len() >= 12, "postgres and kafka have fields for secrets");
    let in_settings = cases.len();
    let settings = format!(
        "[connections.postgres.main]\nurl = {:?}\n[connections.postgres.whole]\nurl = \"${{env:PLANTED_{}}}\"\n",
        format!("postgres://me:{}@{server}/d", percent(&secret(in_settings))),
        in_settings + 1,
    );
    let names: Vec<String> = (0..in_settings).map(|number| format!("{:?}", format!("PLANTED_{number}"))).collect();
    fs::write(at("dataflow.toml"), format!("{settings}[secrets]\nenv = [{}]\n", names.join(", "))).unwrap();
    let mut variables: Vec<(String, String)> =
        (0..in_settings).map(|number| (format!("PLANTED_{number}"), secret(number))).collect();
    let whole = format!("postgres://me:{}@{server}/d", percent(&secret(in_settings + 1)));
    variables.push((format!("PLANTED_{}", in_settings + 1), whole));
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let (config, log) = (at("dataflow.toml"), at("log"));
    let args = ["--config", config.to_str().unwrap()];
    let node = program().log_to(&log).log_level("debug").node_with(&at("data"), &args, &variables);

    let mut said = String::new();
    let mut started = Vec::new();
    let connections = ["main", "whole"].map(|name| {
        let sink = json!({"type": "postgres", "table": "secrets", "connection": name});
        Case { id: name.into(), spec: around(Role::Sink, name, sink), literal: false }
    });
    for Case { id, spec, literal } in cases.iter().chain(&connections) {
        let (_, findings) = node.request("POST", "/api/pipelines/validate", Some(spec)).await;
        let (status, made) = node.request("POST", "/api/pipelines", Some(spec)).await;
        said = said + &findings.to_string() + &made.to_string();
        assert!(!literal || status == 400, "{id}: {made}");
        if status == 201 {
            node.post(&format!("/api/pipelines/{id}/start")).await;
            started.push(id.clone());
        }
    }
    let references = cases.iter().filter(|case| !case.literal && case.id.contains("postgres")).count();
    assert!(started.iter().filter(|id| id.contains("postgres")).count() == references && references >= 6, "{said}");
    assert!(started.iter().any(|id| id.contains("saslPassword")), "{said}");
    for id in &started {
        let view = node.until(id, "refused", |view| !view["error"].is_null()).await;
        if !id.contains("kafka") {
            assert!(view["error"]["message"].as_str().unwrap().contains("***"), "{view:#}");
        }
        said += &all_of(&node, id).await;
    }
    said += &node.get("/metrics").await.to_string();
    said += &node.get("/api/system").await.to_string();
    assert_hidden("the API or the command line", said.as_bytes(), in_settings + 2);

    // Without a node.
    for Case { id, spec, .. } in cases.iter().filter(|case| case.id.contains("postgres")) {
        let file = at(&format!("{id}.json"));
        fs::write(&file, spec.to_string()).unwrap();
        let run = dataflow(&["run", file.to_str().unwrap(), "--output", "json", "--log-level", "debug", "--data-dir"])
            .arg(at("run-data"))
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert_hidden("a run", &[run.stdout, run.stderr].concat(), in_settings + 2);
    }
    assert!(node.terminate().success());
    assert_hidden("the log", &fs::read(log).unwrap(), in_settings + 2);
    assert_hidden("the data folder", &files_below(&at("data")), in_settings + 2);
    assert_hidden("the folder of runs", &files_below(&at("run-data")), in_settings + 2);
}

fn refused(body: &Value) -> String {
    let problems = body["problems"].as_array().cloned().unwrap_or_default();
    let codes = problems
        .iter()
        .map(|problem| format!("{} {}", problem["path"].as_str().unwrap(), problem["code"].as_str().unwrap()));
    codes.collect::<Vec<_>>().join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn references_and_files_are_for_their_places_only() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for name in ["secrets", "in"] {
        fs::create_dir(at(name)).unwrap();
    }
    fs::write(at("secrets/pw"), "hush hush").unwrap();
    fs::write(at("in/users.jsonl"), "{\"id\":1}\n").unwrap();
    fs::write(at("elsewhere"), "hush hush").unwrap();
    std::os::unix::fs::symlink(at("elsewhere"), at("secrets/link")).unwrap();
    fs::write(at("dataflow.toml"), "[connections.postgres.main]\nurl = \"postgres://a:b@127.0.0.1:1/c\"\n").unwrap();
    let variables = [("DATAFLOW_PATHS_ALLOW", at("in")), ("SOME", "hush hush".to_owned())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    let node = program().node_with(&folder.path().join("data"), &["--config", &at("dataflow.toml")], &variables);

    let spec = |change: &dyn Fn(&mut Value)| {
        let mut spec = json!({
            "pipelineId": "p", "source": {"type": "file", "path": at("in/users.jsonl")}, "sink": {"type": "blackhole"}
        });
        change(&mut spec);
        spec
    };
    let set =
        |pointer: &'static str, value: Value| spec(&move |spec| *spec.pointer_mut(pointer).unwrap() = value.clone());
    let add = |name: &'static str, value: Value| spec(&move |spec| spec[name] = value.clone());
    let postgres = |url: &str| set("/sink", json!({"type": "postgres", "table": "t", "url": url}));
    let table = |url: &str| set("/source", json!({"type": "jdbc", "table": "t", "mode": "bulk", "url": url}));
    let choice = |value: Value| json!({"type": "generate", "schema": {"a": {"type": "choice", "values": [value]}}});
    let file = |path: String| set("/source/path", path.into());
    let mut own = Map::new();
    own.insert("${env:SOME}".into(), "1".into());
    let cases = [
        (
            set("/source/path", "${file:/etc/passwd}".into()),
            "source.path reference-not-allowed; source.path path-not-allowed",
        ),
        (set("/source", choice("${env:SOME}".into())), "source.schema.a.values[0] reference-not-allowed"),
        (
            set("/source", choice(json!({"x": ["${file:secrets/pw}"]}))),
            "source.schema.a.values[0].x[0] reference-not-allowed",
        ),
        (add("labels", json!({"a": "${env:SOME}"})), "labels.a reference-not-allowed"),
        (add("name", "${env:SOME}".into()), "name reference-not-allowed"),
        (add("description", "x $${env:SOME}".into()), "description reference-not-allowed"),
        (
            add("transforms", json!([{"type": "filter", "condition": "a = '${env:SOME}'"}])),
            "transforms[0].condition reference-not-allowed",
        ),
        (add("transforms", json!([{"type": "map", "set": own}])), "transforms[0].set reference-not-allowed"),
        (add("transforms", json!([{"type": "filter", "condition": "id = '${x}' or '${' = ''"}])), ""),
        (postgres("postgres://${env:SOME}:x@127.0.0.1/c"), "sink.url reference-not-allowed; sink.url literal-secret"),
        (postgres("postgres://a@${env:SOME}/c"), "sink.url reference-not-allowed"),
        (postgres("postgres://a:b@127.0.0.1/c"), "sink.url literal-secret"),
        (postgres("postgres://a@127.0.0.1/c?password=b"), "sink.url literal-secret"),
        (table("mariadb://a:b@127.0.0.1/c"), "source.url literal-secret"),
        (table("jdbc:mysql://127.0.0.1/c?user=a&password=b"), "source.url literal-secret"),
        (postgres("host=127.0.0.1 user=a password = 'b c'"), "sink.url literal-secret"),
        (postgres("postgres://a:${env:SOME}@127.0.0.1/c"), "sink.url secret-not-allowed"),
        (postgres("postgres://a:${file:/etc/passwd}@127.0.0.1/c"), "sink.url secret-not-allowed"),
        (
            postgres(&format!("postgres://a:${{file:{}}}@127.0.0.1/c", at("secrets/../elsewhere"))),
            "sink.url secret-not-allowed",
        ),
        (
            postgres(&format!("postgres://a:${{file:{}}}@127.0.0.1/c", at("secrets/link"))),
            "sink.url secret-not-allowed",
        ),
        (postgres(&format!("postgres://a:${{file:{}}}@127.0.0.1/c", at("secrets/pw"))), ""),
        (
            set(
                "/sink",
                json!({"type": "postgres", "table": "t", "connection": "main", "url": "postgres://a@127.0.0.1:2/c"}),
            ),
            "sink.url contradiction",
        ),
        (set("/sink", json!({"type": "postgres", "table": "t", "connection": "main"})), ""),
        (file(at("elsewhere")), "source.path path-not-allowed"),
        (file(at("in/../elsewhere")), "source.path path-not-allowed"),
        (file(at("in/*/../../elsewhere")), "source.path path-not-allowed"),
        (file(at("secrets/pw")), "source.path own-file"),
        (file(at("data/node/*")), "source.path own-file"),
        (file(at("in/*.jsonl")), ""),
        (set("/sink", json!({"type": "file", "path": "/etc/cron.d/x"})), "sink.path path-not-allowed"),
        (set("/sink", json!({"type": "file", "path": at("dataflow.toml")})), "sink.path own-file"),
        (set("/sink", json!({"type": "file", "path": at("data/new")})), "sink.path own-file"),
        (
            set("/sink", json!({"type": "sqlite", "table": "t", "path": at("data/node/journal.db")})),
            "sink.path own-file",
        ),
        (set("/sink", json!({"type": "sqlite", "table": "t", "path": at("in/new.db")})), ""),
        (
            set(
                "/sink",
                json!({"type": "sqlite", "table": "t", "path": format!("file:{}", at("data/node/journal.db"))}),
            ),
            "sink.path path-not-allowed",
        ),
        (file(at("in/\0x")), "source.path invalid-value"),
    ];
    for (spec, expected) in cases {
        let (_, findings) = node.request("POST", "/api/pipelines/validate", Some(&spec)).await;
        assert_eq!(refused(&findings), expected, "{spec}\n{findings:#}");
        assert!(!findings.to_string().contains("hush"), "{findings}");
        let without_fix = findings["problems"].as_array().unwrap().iter().find(|problem| problem["fix"].is_null());
        assert!(without_fix.is_none(), "{without_fix:?}");
    }

    let link = postgres(&format!("postgres://a:${{file:{}}}@127.0.0.1/c", at("secrets/link")));
    let (_, findings) = node.request("POST", "/api/pipelines/validate", Some(&link)).await;
    assert!(findings["problems"][0]["fix"].to_string().contains("where it really is must be in"), "{findings}");

    // A link that is put there later leads nowhere, either.
    let later = json!({"pipelineId": "later", "source": {"type": "file", "path": at("in/later")}, "sink": {"type": "blackhole"}});
    fs::write(at("in/later"), "{}\n").unwrap();
    assert_eq!(node.request("POST", "/api/pipelines", Some(&later)).await.0, 201);
    let writes = json!({
        "pipelineId": "writes", "source": {"type": "generate", "count": 1}, "sink": {"type": "file", "path": at("in/out")}
    });
    assert_eq!(node.request("POST", "/api/pipelines", Some(&writes)).await.0, 201);
    fs::remove_file(at("in/later")).unwrap();
    std::os::unix::fs::symlink(at("elsewhere"), at("in/later")).unwrap();
    std::os::unix::fs::symlink(at("made-later"), at("in/out")).unwrap();
    for id in ["later", "writes"] {
        node.post(&format!("/api/pipelines/{id}/start")).await;
        let view = node.until(id, "failed", |view| view["status"] == "failed").await;
        assert_eq!(view["error"]["code"], "path-not-allowed", "{view:#}");
        assert!(view["error"]["fix"].as_str().unwrap().contains("paths.allow"), "{view:#}");
    }
    assert!(!folder.path().join("made-later").exists());
}
