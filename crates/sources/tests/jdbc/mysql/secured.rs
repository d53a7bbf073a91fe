//! A server of the test's own, with TLS: who gets in, and what is said to whom who doesn't.
use crate::{context, open, source};
use dataflow_sdk::Error;
use dataflow_testkit::own::{Authority, Identity, Mariadb};
use serde_json::{Value, json};

struct World {
    server: Mariadb,
    folder: tempfile::TempDir,
}

impl World {
    fn put(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// Opens a table that has no row.
    async fn open(&self, login: &str, settings: &str, tls: Value) -> Result<(), Error> {
        let url = format!("mariadb://{login}@localhost:{}/shop?{settings}", self.server.port);
        let source = source(json!({"url": url, "table": "t", "mode": "bulk", "tls": tls}));
        open(&*source, &context(), None).await.map(drop)
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

const START: &str = "create database shop; create table shop.t (id int primary key); \
    create user reader@'%' identified by 'secret'; grant select on shop.* to reader@'%'";

#[tokio::test]
async fn a_server_with_tls_is_checked_as_far_as_ssl_mode_says() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let Some(server) = Mariadb::new() else { return };
    let mut world = World { server, folder: tempfile::tempdir().unwrap() };
    let ca = json!({"ca": world.put("ca.pem", &ours.pem())});
    let none = json!(null);
    let modes = [
        ("sslMode=VERIFY_IDENTITY", &ca),
        ("sslMode=verify-ca", &ca),
        ("sslMode=REQUIRED", &ca),
        ("", &ca),
        ("ssl-mode=verify_identity", &none),
        ("sslMode=trust", &none),
        ("sslMode=PREFERRED", &none),
        ("", &none),
    ];
    let (unknown, name, expired, tls) =
        ("certificate-unknown", "certificate-name", "certificate-expired", "tls-failed");
    let host = ["localhost"];
    world.server.start(None, None);
    world.server.run(START);
    for (what, identity, codes) in [
        ("right", Some(ours.issue(&host)), ["", "", "", "", unknown, "", "", ""]),
        ("another host", Some(ours.issue(&["db.example.com"])), [name, "", "", name, unknown, "", "", ""]),
        ("expired", Some(ours.issue_expired(&host)), [expired, expired, expired, expired, expired, "", "", ""]),
        ("unknown", Some(theirs.issue(&host)), [unknown, unknown, unknown, unknown, unknown, "", "", ""]),
        ("no TLS", None, [tls, tls, tls, tls, tls, tls, "", ""]),
    ] {
        world.server.start(identity.as_ref(), None);
        for ((settings, tls), code) in modes.iter().zip(codes) {
            let done = world.open("reader:secret", settings, (*tls).clone()).await;
            refused(done, &format!("{what}, {settings}, {tls}"), code, "");
        }
    }
}

#[tokio::test]
async fn a_login_needs_what_the_user_needs() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let Some(server) = Mariadb::new() else { return };
    let mut world = World { server, folder: tempfile::tempdir().unwrap() };
    let ca = world.put("ca.pem", &ours.pem());
    world.server.start(Some(&ours.issue(&["localhost"])), Some(&ours.pem()));
    world.server.run(START);
    world.server.run(
        "create user mutual@'%' identified by 'secret' require x509; create user encrypted@'%' identified by 'secret' require ssl; \
         create user curved@'%' identified via ed25519 using password('secret'); create user free@'%'; \
         grant select on shop.* to mutual@'%', encrypted@'%', curved@'%', free@'%'",
    );
    let shows = |name: &str, identity: &Identity| json!({"ca": ca, "cert": world.put(name, &identity.cert), "key": identity.key});
    let plain = json!({"ca": ca});
    let full = "sslMode=VERIFY_IDENTITY";
    for (login, settings, tls, code, words) in [
        ("mutual:secret", full, shows("alice", &ours.issue_for_client("alice")), "", ""),
        ("mutual:secret", full, plain.clone(), "access-denied", "user"),
        ("mutual:secret", full, shows("bob", &theirs.issue_for_client("bob")), "client-certificate", "tls.cert"),
        ("encrypted:secret", full, plain.clone(), "", ""),
        ("encrypted:secret", "sslMode=DISABLED", json!(null), "access-denied", "user"),
        ("reader:wrong", full, plain.clone(), "access-denied", "check user and password"),
        ("nobody:secret", full, plain.clone(), "access-denied", "check user and password"),
        ("curved:secret", full, plain.clone(), "login-failed", "ed25519"),
        ("free", "sslMode=DISABLED", json!(null), "", ""),
    ] {
        refused(world.open(login, settings, tls).await, login, code, words);
    }
}
