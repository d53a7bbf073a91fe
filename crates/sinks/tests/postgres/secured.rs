//! A server of the test's own, with TLS: who gets in, and what is said to whom who doesn't.
use dataflow_sdk::{Error, SinkConfig, sink::CommitError};
use dataflow_sinks::PostgresSink;
use dataflow_testkit::{
    fixture::{context, fence, open_lane, output, token},
    own::{Authority, Identity, Postgres},
};
use serde_json::{Value, json};

const HBA: &str = "hostssl all mutual 127.0.0.1/32 scram-sha-256 clientcert=verify-ca
hostnossl all encrypted 127.0.0.1/32 reject
host all all 127.0.0.1/32 scram-sha-256
host all all ::1/128 scram-sha-256";

const TABLE: &str = "create table if not exists target (id int primary key, name text)";

struct World {
    server: Postgres,
    folder: tempfile::TempDir,
}

impl World {
    fn put(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Opens the sink, and writes a row.
    async fn write(&self, name: &str, login: &str, mode: &str, tls: Value) -> Result<(), Error> {
        let url = format!("postgres://{login}@localhost:{}/postgres?{mode}", self.server.port);
        let config = json!({"url": url, "table": "target", "key": "id", "tls": tls});
        let config: PostgresSink = serde_json::from_value(config).unwrap();
        assert_eq!(config.check(), []);
        let fence = fence(name, 1);
        let opened = config.build().open(&context(name), open_lane(&fence)).await?;
        let mut writer = opened.writer;
        let row = output(&opened.demand, 0, &[(Some(1), Some(name))]);
        let done = match writer.commit(&[row].into(), &token(&fence, 1)).await {
            Ok(_) => Ok(()),
            Err(CommitError::Failed(error)) => Err(error),
            Err(error @ CommitError::Rejected(_)) => panic!("{error:?}"),
        };
        writer.close().await;
        done
    }
}

fn refused(done: Result<(), Error>, name: &str, code: &str, words: &str) {
    match (done, code) {
        (Ok(()), "") => {}
        (Ok(()), code) => panic!("{name}: done, and not {code}"),
        (Err(error), code) => {
            let said = format!("{error:?}");
            assert!(error.code() == code && said.contains(words), "{name}: {said}");
            assert!(!said.contains("secret") && !said.contains("PRIVATE"), "{name}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls_is_checked_as_far_as_sslmode_says() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let Some(server) = Postgres::new(HBA) else { return };
    let mut world = World { server, folder: tempfile::tempdir().unwrap() };
    let ca = json!({"ca": world.put("ca.pem", &ours.pem())});
    let none = json!(null);
    let modes = [
        ("verify-full", "sslmode=verify-full", &ca),
        ("verify-ca", "sslmode=verify-ca", &ca),
        ("require-ca", "sslmode=require", &ca),
        ("safe", "connect_timeout=9", &ca),
        ("system", "sslmode=verify-full", &none),
        ("require", "sslmode=require", &none),
        ("prefer", "sslmode=prefer", &none),
        ("default", "connect_timeout=9", &none),
    ];
    let (unknown, name, expired, tls) =
        ("certificate-unknown", "certificate-name", "certificate-expired", "tls-failed");
    let host = ["localhost"];
    for (what, identity, codes) in [
        ("right", Some(ours.issue(&host)), ["", "", "", "", unknown, "", "", ""]),
        ("another-host", Some(ours.issue(&["db.example.com"])), [name, "", "", name, unknown, "", "", ""]),
        ("expired", Some(ours.issue_expired(&host)), [expired, expired, expired, expired, expired, "", "", ""]),
        ("unknown", Some(theirs.issue(&host)), [unknown, unknown, unknown, unknown, unknown, "", "", ""]),
        ("no-tls", None, [tls, tls, tls, tls, tls, tls, "", ""]),
    ] {
        world.server.start(identity.as_ref(), None);
        world.server.run(TABLE);
        for ((mode, url, tls), code) in modes.iter().zip(codes) {
            let name = format!("{what}-{mode}");
            refused(world.write(&name, "dataflow:secret", url, (*tls).clone()).await, &name, code, "");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_refused_with_what_is_wrong_with_it() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let Some(server) = Postgres::new(HBA) else { return };
    let mut world = World { server, folder: tempfile::tempdir().unwrap() };
    let ca = world.put("ca.pem", &ours.pem());
    world.server.start(Some(&ours.issue(&["localhost"])), Some(&ours.pem()));
    world.server.run(TABLE);
    world.server.run(
        "create role mutual superuser login password 'secret'; create role encrypted superuser login password 'secret'; \
         create role expired superuser login password 'secret' valid until '2021-02-03'",
    );
    let shows = |name: &str, identity: &Identity| json!({"ca": ca, "cert": world.put(name, &identity.cert), "key": identity.key});
    let full = "sslmode=verify-full";
    let plain = json!({"ca": ca});
    for (name, login, mode, tls, code, words) in [
        ("client", "mutual:secret", full, shows("alice", &ours.issue_for_client("alice")), "", ""),
        ("no-client", "mutual:secret", full, plain.clone(), "client-certificate", "tls.cert"),
        (
            "their-client",
            "mutual:secret",
            full,
            shows("bob", &theirs.issue_for_client("bob")),
            "client-certificate",
            "tls.cert",
        ),
        ("old-client", "mutual:secret", full, shows("eve", &ours.issue_expired(&[])), "client-certificate", "tls.cert"),
        ("clear", "encrypted:secret", "sslmode=disable", json!(null), "access-denied", "connect with TLS"),
        ("encrypted", "encrypted:secret", full, plain.clone(), "", ""),
        ("password", "dataflow:wrong", full, plain.clone(), "access-denied", "password authentication failed"),
        ("expired", "expired:secret", full, plain.clone(), "access-denied", "whether the password has expired"),
        ("nobody", "nobody:secret", full, plain.clone(), "access-denied", "password authentication failed"),
    ] {
        refused(world.write(name, login, mode, tls).await, name, code, words);
    }
}
