//! Handshakes with a server that shows certificates of all kinds.
use crate::{Material, Tls, Verify, failure, probe};
use dataflow_sdk::Paths;
use dataflow_testkit::own::{Authority, Identity};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use std::{io::Write, net::TcpListener, sync::Arc, time::Duration};

/// A server that shakes hands with one client. `clients`: the authority of their certificates.
fn serve(identity: &Identity, clients: Option<&str>, tls12: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let versions: &[&rustls::SupportedProtocolVersion] =
        if tls12 { &[&rustls::version::TLS12] } else { &[&rustls::version::TLS13] };
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_protocol_versions(versions).unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
            let provider = Arc::new(ring::default_provider());
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            builder.with_client_cert_verifier(verifier)
        }
    };
    let cert = CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let config = Arc::new(builder.with_single_cert(vec![cert], key).unwrap());
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
        while stream.conn.is_handshaking() && stream.conn.complete_io(&mut stream.sock).is_ok() {}
        drop(stream.flush());
    });
    port
}

fn code(material: &Material, verify: Verify, port: u16) -> (&'static str, String) {
    let client = material.client(verify).unwrap();
    match probe(client, "localhost", port, Duration::from_secs(5)) {
        Ok(()) => ("", String::new()),
        Err(error) => {
            let failure = failure("the server", &error).unwrap_or_else(|| panic!("not of TLS: {error}"));
            (failure.code(), failure.to_string())
        }
    }
}

fn trusting(ca: &str) -> Material {
    Material { ca: Some(ca.into()), client: None }
}

#[test]
fn each_certificate_is_taken_or_refused_for_what_it_is() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let own = Identity::self_signed(&["localhost"], false);
    let old = Identity::self_signed(&["localhost"], true);
    let right = ours.issue(&["localhost", "127.0.0.1"]);
    let wrong = ours.issue(&["db.example.com"]);
    let nameless = ours.issue_for_client("localhost");
    let expired = ours.issue_expired(&["localhost"]);
    let unknown = theirs.issue(&["localhost"]);
    let ca = ours.pem();
    for (what, shown, trusted, expected) in [
        ("right", &right, &ca, ["", "", ""]),
        ("another host", &wrong, &ca, ["certificate-name", "", ""]),
        ("no host", &nameless, &ca, ["certificate-name", "", ""]),
        ("expired", &expired, &ca, ["certificate-expired", "certificate-expired", ""]),
        ("another authority", &unknown, &ca, ["certificate-unknown", "certificate-unknown", ""]),
        ("self-signed", &own, &ca, ["certificate-unknown", "certificate-unknown", ""]),
        ("self-signed and trusted", &own, &own.cert, ["", "", ""]),
        ("self-signed, trusted and expired", &old, &old.cert, ["certificate-expired", "certificate-expired", ""]),
    ] {
        for (verify, expected) in [Verify::Full, Verify::Authority, Verify::Nothing].into_iter().zip(expected) {
            for tls12 in [false, true] {
                let found = code(&trusting(trusted), verify, serve(shown, None, tls12));
                assert_eq!(found.0, expected, "{what}, {verify:?}, TLS 1.2: {tls12}: {}", found.1);
            }
        }
    }
    let words = |shown| code(&trusting(&ca), Verify::Full, serve(shown, None, false)).1;
    assert_eq!(words(&wrong), "the certificate of the server is not for localhost, but for db.example.com");
    assert!(words(&nameless).ends_with("no subject alternative names"), "{}", words(&nameless));
    assert!(words(&expired).ends_with("has expired on 2021-02-03T00:00:00Z"), "{}", words(&expired));
}

#[test]
fn a_client_shows_its_certificate_where_one_is_asked_for() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let server = ours.issue(&["localhost"]);
    let with = |identity: Identity| Material { client: Some((identity.cert, identity.key)), ..trusting(&ours.pem()) };
    for (what, material, expected) in [
        ("none", trusting(&ours.pem()), "client-certificate"),
        ("right", with(ours.issue_for_client("alice")), ""),
        ("of another authority", with(theirs.issue_for_client("alice")), "client-certificate"),
        ("expired", with(ours.issue_expired(&[])), "client-certificate"),
    ] {
        let found = code(&material, Verify::Full, serve(&server, Some(&ours.pem()), false));
        assert_eq!(found.0, expected, "{what}: {}", found.1);
    }
}

#[test]
fn a_server_without_tls_is_said_to_have_none() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let ca = Authority::new("ours").pem();
    let found = code(&trusting(&ca), Verify::Full, port);
    assert_eq!(found.0, "tls-failed", "{}", found.1);
}

#[test]
fn files_are_read_where_they_may_be_and_named_where_they_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let authority = Authority::new("ours");
    let client = authority.issue_for_client("alice");
    let other = authority.issue_for_client("bob");
    for (name, text) in [("ca", &*authority.pem()), ("cert", &client.cert), ("text", "hello"), ("empty", "")] {
        std::fs::write(at(name), text).unwrap();
    }
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED PRIVATE KEY-----";
    let all = Paths::default();
    let with = |ca: &str, key: &str| {
        Tls { ca: Some(at(ca)), cert: Some(at("cert")), key: Some(key.into()) }
            .read(&all)
            .and_then(|material| material.client(Verify::Full))
    };
    assert!(with("ca", &client.key).is_ok());
    for (ca, key, word) in [
        ("missing", &*client.key, "missing can't be read"),
        ("text", &client.key, "no certificate"),
        ("empty", &client.key, "no certificate"),
        ("ca", "hello", "no private key"),
        ("ca", encrypted, "encrypted"),
        ("ca", &other.key, "KeyMismatch"),
    ] {
        let error = with(ca, key).unwrap_err();
        assert!(error.code() == "certificate-unreadable" && error.to_string().contains(word), "{word}: {error}");
        assert!(!error.to_string().contains("aGVsbG8"), "{error}");
    }
    let elsewhere = Paths { allowed: Some(vec![folder.path().join("elsewhere")]), ..Paths::default() };
    let tls = Tls { ca: Some(at("ca")), ..Tls::default() };
    assert_eq!(tls.read(&elsewhere).unwrap_err().code(), "path-not-allowed");
    assert!(tls.read(&elsewhere.granting(&[at("ca").into()])).is_ok(), "the operator has named it");
}
