//! An operator's walk: each fault of a search server is found and mended by what the node says, without its log, and in the end
//! every record is accounted for.
use crate::{
    program::{Node, assert_balanced, count, dataflow, output, program},
    topic::{BROKERS, Topic},
};
use dataflow_testkit::{
    own::{
        Authority,
        gate::{self, Rules},
    },
    proxy::{Mode, Proxy},
    servers,
};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs, sync::Arc};

/// The login `elastic`, with the password `first` and then `second`.
const FIRST: &str = "Basic ZWxhc3RpYzpmaXJzdA==";
const SECOND: &str = "Basic ZWxhc3RpYzpzZWNvbmQ=";

struct Walk {
    node: Node,
    server: &'static str,
    topic: Topic,
    sent: u64,
}

/// A plain client.
async fn ask(method: &str, url: &str, body: Value) -> Value {
    let client = reqwest::Client::builder().tls_backend_preconfigured(dataflow_tls::unused()).no_proxy().build();
    let request = client.unwrap().request(method.parse().unwrap(), url).header("content-type", "application/json");
    let body = if body.is_null() { String::new() } else { body.to_string() };
    serde_json::from_str(&request.body(body).send().await.unwrap().text().await.unwrap()).unwrap()
}

impl Walk {
    /// The index is called as the topic.
    fn index(&self, path: &str) -> String {
        format!("{}/{}{path}", self.server, self.topic.name)
    }

    /// More records; this line instead of every fifth.
    fn send(&mut self, records: u64, fifth: &str) {
        self.topic.send(self.sent..self.sent + records, |id| match id % 5 {
            0 if !fifth.is_empty() => fifth.replace("ID", &id.to_string()),
            _ => format!("{{\"id\":{id},\"total\":{id}}}"),
        });
        self.sent += records;
    }

    /// Waits for a failure, and returns what get says of it; list names it, too. It is there from one try to the next.
    async fn trouble(&self, code: &str) -> String {
        let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for _ in 0..200 {
            let view = self.node.until("orders", code, |view| view["error"]["code"] == code).await;
            let fix = view["error"]["fix"].as_str().unwrap_or_else(|| panic!("what to do is said: {view:#}"));
            let (_, get, _) = output(&["pipeline", "get", "orders", "--server", &self.node.url]);
            let (_, list, _) = output(&["pipeline", "list", "--server", &self.node.url]);
            if list.contains(code) && plain(&get).contains(&plain(fix)) {
                return plain(&get);
            }
        }
        panic!("{}: {code} is not shown", self.server)
    }

    /// Waits until all records have a fate, and the pipeline is well.
    async fn mended(&self, dead: u64) {
        let done = |view: &Value| {
            let (delivered, is_dead) = (count(view, "recordsDelivered"), count(view, "recordsDead"));
            view["error"].is_null() && delivered + is_dead == self.sent
        };
        let view = self.node.until("orders", "mended", done).await;
        assert_eq!(count(&view, "recordsDead"), dead, "{}: {view:#}", self.server);
        assert_balanced(&view);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_mends_what_a_search_server_does() {
    if servers::are_up() {
        for server in servers::search() {
            walk(server).await;
        }
    }
}

async fn walk(server: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    fs::create_dir(at("secrets")).unwrap();
    fs::write(at("secrets/pw"), "first").unwrap();
    fs::write(at("ca.pem"), others.pem()).unwrap();
    fs::write(at("dataflow.toml"), format!("[paths]\nallow = [{:?}]\n", folder.path())).unwrap();
    let rules = Arc::new(Rules { login: Some(FIRST).into(), ..Rules::default() });
    let port = gate::secured(server, rules.clone(), &ours.issue(&["localhost"]), None).await;
    let proxy = Proxy::start(([127, 0, 0, 1], port).into()).unwrap();
    let topic = Topic::new(&format!("walk-{}", server.len() + usize::from(server.ends_with('1'))), 2).await;
    let spec = json!({
        "pipelineId": "orders",
        "source": {"type": "kafka", "brokers": BROKERS, "topic": topic.name},
        "transforms": [{"type": "filter", "condition": "id >= 0"}],
        "sink": {
            "type": "elasticsearch", "url": format!("https://localhost:{}", proxy.address().port()), "index": topic.name,
            "id": "id", "user": "elastic", "password": format!("${{file:{}}}", at("secrets/pw")), "tls": {"ca": at("ca.pem")},
            "requestTimeout": "2s",
            "createIndex": {"mappings": {"dynamic": "strict", "properties": {"id": {"type": "long"}, "total": {"type": "long"}}}},
        },
        "checkpointInterval": "100ms", "restart": {"initial": "500ms", "max": "1s"},
    });
    let config = at("dataflow.toml");
    let node = program().node_with(&folder.path().join("data"), &["--config", &config], &[]);
    node.create_and_start(&spec).await;
    let mut walk = Walk { node, server, topic, sent: 0 };

    let said = walk.trouble("certificate-unknown").await;
    assert!(said.contains("tls.ca"), "{said}");
    fs::write(at("ca.pem"), ours.pem()).unwrap();
    walk.send(100, "");
    walk.mended(0).await;

    *rules.login.lock().unwrap() = Some(SECOND);
    walk.send(100, "");
    let said = walk.trouble("login-failed").await;
    assert!(said.contains("`password`"), "{said}");
    fs::write(at("secrets/pw"), "second").unwrap();
    walk.mended(0).await;

    // The mapping takes neither; later it has the field.
    walk.send(50, r#"{"id":ID,"note":"new"}"#);
    walk.mended(10).await;
    walk.send(50, r#"{"id":ID,"total":"much"}"#);
    walk.mended(20).await;
    // They are listed once a checkpoint has them.
    let mut exported = String::new();
    for _ in 0..600 {
        exported = output(&["dead-letters", "export", "orders", "--server", &walk.node.url]).1;
        if exported.lines().count() >= 20 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let (_, causes, _) = output(&["dead-letters", "causes", "orders", "--server", &walk.node.url]);
    assert!(causes.contains("[note]") && causes.contains("[total]") && causes.contains("10"), "{causes}");
    let lines: BTreeSet<&str> = exported.lines().collect();
    assert_eq!((lines.len(), exported.lines().count()), (20, 20), "{exported}");
    assert!(
        lines.contains(r#"{"id":200,"note":"new"}"#) && lines.contains(r#"{"id":250,"total":"much"}"#),
        "{exported}"
    );
    ask("PUT", &walk.index("/_mapping"), json!({"properties": {"note": {"type": "text"}}})).await;
    walk.send(50, r#"{"id":ID,"note":"new"}"#);
    walk.mended(20).await;

    // What a server does that has no disk left.
    ask("PUT", &walk.index("/_settings"), json!({"index.blocks.read_only_allow_delete": true})).await;
    walk.send(100, "");
    let said = walk.trouble("index-blocked").await;
    assert!(said.contains("free disk space"), "{said}");
    ask("PUT", &walk.index("/_settings"), json!({"index.blocks.read_only_allow_delete": null})).await;
    walk.mended(20).await;

    proxy.set(Mode::Hold);
    walk.send(100, "");
    let gone = |view: &Value| !view["error"].is_null();
    let view = walk.node.until("orders", "without its server", gone).await;
    let code = view["error"]["code"].as_str().unwrap();
    assert!(["timed-out", "unreachable", "unavailable"].contains(&code), "{view:#}");
    assert!(view["error"]["message"].as_str().unwrap().contains("localhost"), "{view:#}");
    proxy.set(Mode::Pass);
    proxy.cut();
    walk.mended(20).await;

    // Somebody deletes the index, and the server makes one with a mapping of its own.
    ask("DELETE", &walk.index(""), Value::Null).await;
    walk.send(100, "");
    let said = walk.trouble("index-replaced").await;
    assert!(said.contains("\"beginning\"") && said.contains("delet"), "{said}");
    ask("DELETE", &walk.index(""), Value::Null).await;
    let set = ["checkpoint", "set", "orders", "--to", "beginning", "--force", "--server", &walk.node.url];
    let (code, stdout, stderr) = output(&set);
    assert_eq!(code, 0, "{stdout}{stderr}");
    walk.node.start("orders").await;
    // The new index does not know the field any more.
    let wanted = walk.sent - 30;
    let mut found = Value::Null;
    for _ in 0..600 {
        ask("POST", &walk.index("/_refresh?ignore_unavailable=true"), Value::Null).await;
        found = ask("GET", &walk.index("/_count?ignore_unavailable=true"), Value::Null).await["count"].clone();
        if found == wanted {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(found, wanted, "{server}: all is written again");
    let (status, stopped) = walk.node.post("/api/pipelines/orders/stop").await;
    assert_eq!((status, &stopped["status"]), (200, &json!("stopped")), "{stopped:#}");
    assert_balanced(&stopped);

    let verified = tokio::task::block_in_place(|| {
        dataflow(&["verify", "orders", "--server", &walk.node.url, "--config", &config]).output().unwrap()
    });
    let said = String::from_utf8_lossy(&verified.stdout).into_owned() + &String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success(), "{said}");

    // Once more, and the operator goes on without what is gone: the ledger says how much that is.
    walk.node.start("orders").await;
    ask("DELETE", &walk.index(""), Value::Null).await;
    walk.send(100, "");
    // It may not have been open yet.
    let gone = |view: &Value| ["index-replaced", "index-missing"].iter().any(|code| view["error"]["code"] == *code);
    walk.node.until("orders", "failed again", gone).await;
    ask("DELETE", &walk.index(""), Value::Null).await;
    let (code, stdout, stderr) =
        output(&["checkpoint", "set", "orders", "--to", "journal", "--force", "--server", &walk.node.url]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    walk.node.start("orders").await;
    walk.send(100, "");
    let through = |view: &Value| {
        let read = count(view, "recordsRead") - count(view, "recordsInFlight");
        view["error"].is_null() && view["metrics"]["lag"] == 0 && read > 0
    };
    let view = walk.node.until("orders", "through", through).await;
    assert_balanced(&view);
    assert!(count(&view, "recordsLost") >= wanted, "{server}: {view:#}");
    ask("DELETE", &walk.index(""), Value::Null).await;
    walk.topic.remove().await;
}
