//! A gate before a real search server, as reverse proxies are: it asks for a login, takes no large requests, and turns some away.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]
use super::{Authority, Identity};
use serde_json::json;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::WebPkiClientVerifier,
    },
};

/// What a gate asks for, and what it does.
#[derive(Debug, Default)]
pub struct Rules {
    /// The header that a request needs.
    pub login: Mutex<Option<&'static str>>,
    /// Most bytes of a body.
    pub most: Option<usize>,
    /// So many bulk requests are turned away, with this status.
    pub turned_away: Option<(AtomicU32, u16)>,
    /// Of each bulk request the server gets so many actions; for the others it has no room.
    pub room: Option<usize>,
    /// What paths begin with.
    pub prefix: &'static str,
    /// Bulk requests with the first text are refused with the second.
    pub spoilt: Option<(&'static str, &'static str)>,
    /// Searches may ask for so many documents at once, and so many of their later pages are turned away all the same.
    pub page: Option<(u64, AtomicU32)>,
    /// The largest body that came.
    pub largest: Mutex<usize>,
}

/// Opens a gate; returns where it is.
///
/// # Panics
/// If there is no port.
pub async fn open(server: &'static str, rules: Arc<Rules>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, server, rules.clone()));
        }
    });
    at
}

/// Opens a gate that speaks TLS with this certificate, and asks clients for one of an authority, if one is given; returns its port.
///
/// # Panics
/// If there is no port, or the certificate is none.
pub async fn secured(server: &'static str, rules: Arc<Rules>, identity: &Identity, clients: Option<&Authority>) -> u16 {
    let provider = Arc::new(ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
            config.with_client_cert_verifier(verifier)
        }
    };
    let cert = CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(vec![cert], key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, rules) = (acceptor.clone(), rules.clone());
            tokio::spawn(async move { serve(acceptor.accept(stream).await.ok()?, server, rules).await });
        }
    });
    port
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    server: &'static str,
    rules: Arc<Rules>,
) -> Option<()> {
    let mut read = Vec::new();
    loop {
        let end = loop {
            match read.windows(4).position(|end| end == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None if stream.read_buf(&mut read).await.ok()? == 0 => return None,
                None => {}
            }
        };
        let head = String::from_utf8(read.drain(..end).collect()).ok()?;
        let header = |name: &str| {
            let lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).next()
        };
        let length: usize = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        while read.len() < length {
            stream.read_buf(&mut read).await.ok()?;
        }
        let body: Vec<u8> = read.drain(..length).collect();
        {
            let mut largest = rules.largest.lock().unwrap();
            *largest = length.max(*largest);
        }
        let mut line = head.lines().next()?.split(' ');
        let (method, path) = (line.next()?, line.next()?);
        let refusal = match () {
            () if rules
                .login
                .lock()
                .unwrap()
                .is_some_and(|login| header("authorization").as_deref() != Some(login)) =>
            {
                Some(401)
            }
            () if rules.most.is_some_and(|most| length > most) => Some(413),
            () if path.contains("_search")
                && rules.page.as_ref().is_some_and(|page| is_too_much(page, path, &body)) =>
            {
                Some(429)
            }
            () if path.contains("_bulk") => rules.turned_away.as_ref().and_then(|(left, status)| {
                let left = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                left.is_ok().then_some(*status)
            }),
            () => None,
        };
        let spoilt =
            rules.spoilt.filter(|(part, _)| path.contains("_bulk") && String::from_utf8_lossy(&body).contains(part));
        let (status, text) = match refusal {
            None if let Some((_, said)) = spoilt => (400, said.to_owned()),
            Some(status) => (status, "<html>the gate says no</html>".to_owned()),
            None => {
                let path = path.strip_prefix(rules.prefix)?;
                let (body, left_out) = match rules.room.filter(|_| path.contains("_bulk")) {
                    Some(room) => cut(&body, room),
                    None => (body, 0),
                };
                let client = reqwest::Client::builder()
                    .tls_backend_preconfigured(dataflow_tls::unused())
                    .no_proxy()
                    .build()
                    .unwrap();
                let request = client.request(method.parse().unwrap(), format!("{server}{path}")).body(body);
                let kind = header("content-type").unwrap_or_else(|| "application/json".into());
                let answer = request.header("content-type", kind).send().await.ok()?;
                let status = answer.status().as_u16();
                let text = answer.text().await.ok()?;
                (status, if left_out > 0 { without_room(&text, left_out) } else { text })
            }
        };
        let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{text}", text.len());
        stream.write_all(answer.as_bytes()).await.ok()?;
    }
}

/// The first actions of a bulk request, and how many others there are.
fn cut(body: &[u8], room: usize) -> (Vec<u8>, usize) {
    let (mut kept, mut count) = (Vec::new(), 0);
    let mut lines = body.split_inclusive(|byte| *byte == b'\n');
    while let Some(action) = lines.next() {
        let document = if action.starts_with(b"{\"delete\"") { None } else { lines.next() };
        count += 1;
        if count <= room {
            kept.extend_from_slice(action);
            kept.extend_from_slice(document.unwrap_or_default());
        }
    }
    (kept, count.saturating_sub(room))
}

/// The server's answer, and that of one whose queue is full.
fn without_room(answer: &str, left_out: usize) -> String {
    let mut answer: serde_json::Value = serde_json::from_str(answer).unwrap();
    let error =
        json!({"type": "es_rejected_execution_exception", "reason": "rejected execution of coordinating operation"});
    let items = answer["items"].as_array_mut().unwrap();
    items.extend((0..left_out).map(|_| json!({"index": {"status": 429, "error": error}})));
    answer.to_string()
}

fn is_too_much((most, scrolls): &(u64, AtomicU32), path: &str, body: &[u8]) -> bool {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap();
    match body["size"].as_u64() {
        Some(size) => size > *most,
        None if body["scroll"].is_null() => false,
        None => {
            path.contains("scroll")
                && scrolls.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
        }
    }
}
