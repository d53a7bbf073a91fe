//! A broker of the test's own, with TLS, logins and rights of all kinds: who gets in, and what is said to whom who doesn't.
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use dataflow_sdk::{Error, SinkConfig, batch::Demand, sink::CommitError};
use dataflow_sinks::KafkaSink;
use dataflow_testkit::{
    fixture::{context, fence, open_lane, output, token},
    own::{Authority, Grant, Identity, Kafka, Listener},
    witness,
};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
};

const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required \
    user_admin=\"hunter22\" user_no-topic=\"hunter22\" user_no-id=\"hunter22\" user_no-tokens=\"hunter22\" user_all=\"hunter22\" user_reader=\"hunter22\" user_watcher=\"hunter22\";";
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
const OAUTH: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
    unsecuredLoginStringClaim_sub=\"admin\";";

struct World {
    kafka: Kafka,
    ca: String,
    folder: tempfile::TempDir,
    authority: Authority,
    provider: String,
}

impl World {
    async fn new() -> Option<Self> {
        let (authority, other) = (Authority::new("ours"), Authority::new("theirs"));
        let host = ["127.0.0.1"];
        let right = authority.issue(&host);
        let tls = |name, identity: &Identity| Listener { name, tls: Some(identity.clone()), ..Listener::default() };
        let login =
            |name, mechanism, module: &str| Listener { login: Some((mechanism, module.into())), ..tls(name, &right) };
        let listeners = [
            tls("RIGHT", &right),
            tls("NAME", &authority.issue(&["kafka.example.com"])),
            tls("OLD", &authority.issue_expired(&host)),
            tls("OTHER", &other.issue(&host)),
            Listener { clients: Some(authority.pem()), ..tls("MUTUAL", &right) },
            login("SCRAM", "SCRAM-SHA-512", SCRAM),
            Listener { tls: None, ..login("PASSWORD", "PLAIN", PLAIN) },
            login("TOKEN", "OAUTHBEARER", OAUTH),
        ];
        let more = [("super.users", "User:ANONYMOUS;User:admin;User:CN=admin")];
        let kafka = Kafka::start(&listeners, &[("admin", "hunter22")], &more)?;
        let folder = tempfile::tempdir().unwrap();
        let ca = folder.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).unwrap();
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", kafka.at("PLAIN")).create().unwrap();
        let topic = NewTopic::new("target", 3, TopicReplication::Fixed(1));
        admin.create_topics([&topic], &AdminOptions::new()).await.unwrap()[0].as_ref().unwrap();
        Some(Self { kafka, ca: ca.display().to_string(), folder, authority, provider: provider() })
    }

    fn put(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Path::new(&path).display().to_string()
    }

    /// Opens a lane of a pipeline of this name, and commits a record.
    async fn write(&self, pipeline: &str, listener: &str, settings: Value) -> Result<(), Error> {
        let mut config = json!({"brokers": self.kafka.at(listener), "topic": "target"});
        config.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let config: KafkaSink = serde_json::from_value(config).unwrap();
        assert_eq!(config.check(), []);
        let fence = fence(pipeline, 1);
        let mut writer = config.build().open(&context(pipeline), open_lane(&fence)).await?.writer;
        let row = output(&Demand::Documents, 0, &[(Some(1), Some(pipeline))]);
        let committed = writer.commit(&[row].into(), &token(&fence, 1)).await;
        writer.close().await;
        match committed {
            Ok(_) => Ok(()),
            Err(CommitError::Failed(error)) => Err(error),
            Err(error @ CommitError::Rejected(_)) => panic!("{error:?}"),
        }
    }

    /// The pipelines whose record is in the topic, once for each.
    fn written(&self) -> Vec<String> {
        let records = witness::read_at(&self.kafka.at("PLAIN"), "target", "read_committed");
        let name =
            |payload: &[u8]| serde_json::from_slice::<Value>(payload).unwrap()["name"].as_str().unwrap().to_owned();
        let mut names: Vec<_> = records.iter().map(|record| name(rdkafka::Message::payload(record).unwrap())).collect();
        names.sort();
        names
    }
}

/// An OpenID provider: it gives tokens to a client who knows its secret.
fn provider() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = BufReader::new(stream.try_clone().unwrap());
            let (mut length, mut login, mut line) = (0, String::new(), String::new());
            while request.read_line(&mut line).unwrap() > 2 {
                let lower = line.to_ascii_lowercase();
                if let Some(value) = lower.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if lower.starts_with("authorization: basic ") {
                    login = line["authorization: basic ".len()..].trim().to_owned();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            request.read_exact(&mut body).unwrap();
            let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
            let now = jiff::Timestamp::now().as_second();
            let claims = json!({"sub": "admin", "iat": now, "exp": now + 600, "scope": "kafka"});
            let token = format!("{}.{}.", part(json!({"alg": "none"})), part(claims));
            let known = base64::prelude::BASE64_STANDARD.encode("admin:hunter22");
            let (status, answer) =
                match login == known && body.starts_with(b"grant_type=client_credentials&scope=kafka") {
                    true => ("200 OK", json!({"access_token": token, "token_type": "Bearer", "expires_in": 600})),
                    false => {
                        ("401 Unauthorized", json!({"error": "invalid_client", "error_description": "no such client"}))
                    }
                };
            let answer = answer.to_string();
            write!(stream, "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}", answer.len()).unwrap();
        }
    });
    at
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_with_tls_and_logins_lets_in_who_may_and_others_hear_why_not() {
    let Some(world) = World::new().await else { return };
    let tls = json!({"ca": world.ca});
    let with = |tls: Value| json!({"securityProtocol": "SSL", "tls": tls});
    let shows = |name: &str, identity: Identity| {
        with(json!({"ca": world.ca, "cert": world.put(name, &identity.cert), "key": identity.key}))
    };
    let scram = |user: &str, password: &str, mechanism: &str| json!({"securityProtocol": "SASL_SSL", "saslMechanism": mechanism, "saslUsername": user, "saslPassword": password, "tls": tls});
    let plain = |user: &str, password: &str| json!({"securityProtocol": "SASL_PLAINTEXT", "saslMechanism": "PLAIN", "saslUsername": user, "saslPassword": password});
    let token = |secret: &str, url: &str| {
        json!({"securityProtocol": "SASL_SSL", "saslMechanism": "OAUTHBEARER", "tls": tls,
            "oauth": {"tokenUrl": url, "clientId": "admin", "clientSecret": secret, "scope": "kafka"}})
    };
    let theirs = Authority::new("theirs").issue_for_client("admin");
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let cases = [
        ("tls", "RIGHT", with(tls.clone()), "", ""),
        (
            "another-host",
            "NAME",
            with(tls.clone()),
            "certificate-name",
            "is not for 127.0.0.1, but for kafka.example.com",
        ),
        ("expired", "OLD", with(tls.clone()), "certificate-expired", "has expired on 2021-02-03"),
        ("unknown", "OTHER", with(tls.clone()), "certificate-unknown", "not trusted here"),
        ("system", "RIGHT", with(json!({})), "certificate-unknown", "not trusted here"),
        ("mutual", "MUTUAL", shows("admin.pem", world.authority.issue_for_client("admin")), "", ""),
        ("no-client", "MUTUAL", with(tls.clone()), "client-certificate", "certificate"),
        ("their-client", "MUTUAL", shows("theirs.pem", theirs), "client-certificate", "certificate"),
        ("scram", "SCRAM", scram("admin", "hunter22", "SCRAM-SHA-512"), "", ""),
        ("scram-password", "SCRAM", scram("admin", "hunter33", "SCRAM-SHA-512"), "login-failed", "SCRAM-SHA-512"),
        ("scram-nobody", "SCRAM", scram("nobody", "hunter22", "SCRAM-SHA-512"), "login-failed", "SCRAM-SHA-512"),
        ("scram-256", "SCRAM", scram("admin", "hunter22", "SCRAM-SHA-256"), "login-failed", "SCRAM-SHA-512"),
        ("plain", "PASSWORD", plain("admin", "hunter22"), "", ""),
        ("plain-password", "PASSWORD", plain("admin", "hunter33"), "login-failed", "Authentication failed"),
        ("token", "TOKEN", token("hunter22", &world.provider), "", ""),
        (
            "token-secret",
            "TOKEN",
            token("hunter33", &world.provider),
            "login-failed",
            "invalid_client (no such client)",
        ),
        ("token-nobody", "TOKEN", token("hunter22", &nobody), "unreachable", "OpenID provider is out of reach"),
    ];
    let mut expected = Vec::new();
    for (pipeline, listener, settings, code, words) in cases {
        let done = world.write(pipeline, listener, settings).await;
        match (done, code) {
            (Ok(()), "") => expected.push(pipeline.to_owned()),
            (Err(error), code) => {
                let said = format!("{error:?}");
                assert!(error.code() == code && said.contains(words), "{pipeline}: {said}\n{}", world.kafka.log());
                assert!(!said.contains("hunter") && !said.contains("PRIVATE"), "{pipeline}: {said}");
            }
            (Ok(()), code) => panic!("{pipeline}: done, and not {code}"),
        }
    }
    expected.sort();
    assert_eq!(world.written(), expected);
    rights(&world, &plain).await;
}

/// Each right that a pipeline needs is named where it is missing.
async fn rights(world: &World, plain: &impl Fn(&str, &str) -> Value) {
    let all = [("target", 2, [4, 8]), ("dataflow-tokens", 2, [3, 4]), ("dataflow-tokens", 5, [4, 8])];
    let users = [
        ("all", None),
        ("no-topic", Some(0)),
        ("no-tokens", Some(1)),
        ("no-id", Some(2)),
        ("reader", Some(0)),
        ("watcher", Some(1)),
    ];
    for (user, without) in users {
        let principal = format!("User:{user}");
        let grants = all.iter().enumerate().filter(|(index, _)| Some(*index) != without);
        let grants: Vec<Grant<'_>> = grants
            .flat_map(|(_, (prefix, resource, operations))| {
                operations.map(|operation| Grant { principal: &principal, resource: *resource, prefix, operation })
            })
            .collect();
        world.kafka.grant(&grants);
    }
    let more = |principal, prefix, operation| Grant { principal, resource: 2, prefix, operation };
    world.kafka.grant(&[more("User:reader", "target", 8), more("User:watcher", "dataflow-tokens", 3)]);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await; // until the broker knows them
    for (user, words) in [
        ("all", ""),
        ("no-topic", "grant this user WRITE and DESCRIBE on topic target"),
        ("reader", "grant this user WRITE and DESCRIBE on topic target"),
        ("watcher", "grant this user READ, WRITE and DESCRIBE on topic dataflow-tokens"),
        ("no-tokens", "grant this user READ, WRITE and DESCRIBE on topic dataflow-tokens"),
        ("no-id", "grant this user WRITE and DESCRIBE on transactional ids that begin with dataflow-tokens"),
    ] {
        match world.write(user, "PASSWORD", plain(user, "hunter22")).await {
            Ok(()) => assert_eq!(words, "", "{user}"),
            Err(error) => {
                let said = format!("{error:?}");
                assert!(error.code() == "access-denied" && said.contains(words) && !words.is_empty(), "{user}: {said}");
            }
        }
    }
}
