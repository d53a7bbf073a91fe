//! TLS, by a proxy of the test's own before each server: who is trusted, and what is said of whom who is not.
use crate::target::{Target, on_each};
use dataflow_testkit::own::{Authority, Identity, gate};
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn servers_are_trusted_by_their_authority_and_name() {
    on_each(|url| async move {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let (ours, others) = (Authority::new("ours"), Authority::new("others"));
        let (ca, other_ca) = (put("ca.pem", &ours.pem()), put("other.pem", &others.pem()));
        let (good, client) = (ours.issue(&["localhost"]), ours.issue_for_client("client"));
        let cert = put("client.pem", &client.cert);
        let tls = |ca: &str| json!({"ca": ca});
        let cases: [(&str, Identity, bool, Value, &str); 8] = [
            ("good", good.clone(), false, tls(&ca), ""),
            ("another authority", good.clone(), false, tls(&other_ca), "certificate-unknown"),
            ("the system's", good.clone(), false, Value::Null, "certificate-unknown"),
            ("another name", ours.issue(&["elsewhere.example"]), false, tls(&ca), "certificate-name"),
            ("expired", ours.issue_expired(&["localhost"]), false, tls(&ca), "certificate-expired"),
            ("no file", good.clone(), false, tls("/nowhere/ca.pem"), "certificate-unreadable"),
            ("a client's", good.clone(), true, json!({"ca": ca, "cert": cert, "key": client.key}), ""),
            ("no client's", good.clone(), true, tls(&ca), "client-certificate"),
        ];
        for (name, identity, asks, tls, code) in cases {
            let port = gate::secured(url, Arc::default(), &identity, asks.then_some(&ours)).await;
            let target = Target::new(url, json!({"url": format!("https://localhost:{port}"), "tls": tls}));
            let opened = target.open().await.map(drop);
            match (opened, code) {
                (Ok(()), "") => {
                    assert!(target.write(vec![(Some("a"), Some(r#"{"n":1}"#))]).await.is_empty(), "{name}");
                    assert_eq!(target.documents().await.len(), 1, "{name}");
                }
                (Ok(()), code) => panic!("{name}: opened, and not {code}"),
                (Err(error), code) => assert_eq!(error.code(), code, "{name}: {error:?}"),
            }
        }
        // TLS where there is none, and none where there is.
        let plain = Target::new(url, json!({"url": url.replace("http:", "https:")}));
        assert_eq!(plain.open().await.map(drop).unwrap_err().code(), "tls-failed");
        let port = gate::secured(url, Arc::default(), &good, None).await;
        let bare = Target::new(url, json!({"url": format!("http://localhost:{port}")}));
        let error = bare.open().await.map(drop).unwrap_err();
        assert!(error.to_string().contains("localhost"), "{error}");
    })
    .await;
}
