//! The door of a node, by raw connections: half of a request, too much of one, and many of them.
use crate::program::{program, start};
use serde_json::json;
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

fn connect(url: &str) -> TcpStream {
    let stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// What comes back until the connection ends; one that is reset may lose the end of it.
fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        bytes.extend_from_slice(&piece[..count]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn ask(url: &str, request: &[u8]) -> String {
    let mut stream = connect(url);
    // Who refuses may close before all of it is taken.
    drop(stream.write_all(request));
    answer(&mut stream)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_no_client_sends_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path());
    let get = |rest: &str| format!("GET {rest}\r\nConnection: close\r\n\r\n").into_bytes();
    let many: String = (0..100).map(|number| format!("\r\nX-{number}: 1")).collect();
    let large = format!("/health/live HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(100 << 10));
    let post = |length: usize| {
        format!(
            "POST /api/pipelines HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let cases: [(Vec<u8>, &str); 12] = [
        (get("/health/live HTTP/1.1\r\nHost: localhost"), "200"),
        (get("/health/live HTTP/1.0"), "200"),
        (get("/health/live HTTP/1.1"), "400"),
        (get("/health/live HTTP/1.1\r\nHost: localhost\r\nHost: localhost"), "400"),
        (get("/health/live HTTP/1.1\r\nHost: evil.test"), "403"),
        (get("http://evil.test/health/live HTTP/1.1\r\nHost: localhost"), "403"),
        (get("http://localhost/health/live HTTP/1.1\r\nHost: evil.test"), "403"),
        (get("http://localhost/health/live HTTP/1.1\r\nHost: localhost"), "200"),
        (get(&format!("/health/live HTTP/1.1\r\nHost: localhost{many}")), "431"),
        (get(&large), "431"),
        (post(100 << 20).into_bytes(), "413"),
        ([post(2 << 20).into_bytes(), vec![b' '; 2 << 20]].concat(), "413"),
    ];
    for (request, status) in cases {
        let said = ask(&node.url, &request);
        let shown = String::from_utf8_lossy(&request[..request.len().min(120)]).into_owned();
        assert!(
            said.starts_with(&format!("HTTP/1.1 {status}")) || said.starts_with(&format!("HTTP/1.0 {status}")),
            "{shown}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_request_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let node = start(folder.path());
    let head = b"POST /api/pipelines HTTP/1.1\r\nHost: localhost\r\n";
    let mut silent = connect(&node.url);
    let mut headers = connect(&node.url);
    headers.write_all(head).unwrap();
    let mut body = connect(&node.url);
    body.write_all(&[head, &b"Content-Length: 100\r\n\r\n{\"pipelineId\":"[..]].concat()).unwrap();
    assert_eq!(answer(&mut silent), "");
    assert!(!answer(&mut headers).contains("200 OK"));
    assert!(answer(&mut body).starts_with("HTTP/1.1 408"));
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_half_open_connections_lock_nobody_out() {
    let folder = tempfile::tempdir().unwrap();
    let node = program().node(&folder.path().join("data"));
    node.create_and_start(&json!({"pipelineId": "p", "source": {"type": "http"}, "sink": {"type": "blackhole"}})).await;
    let beginnings: [&[u8]; 4] = [
        b"",
        b"GET /api/pipe",
        b"POST /api/pipelines HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{",
        b"POST /api/pipelines/p/batches HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16000000\r\n\r\n{",
    ];
    let open = |beginning: &[u8]| {
        let mut stream = connect(&node.url);
        drop(stream.write_all(beginning));
        stream
    };
    for round in 0..5 {
        // More than there may be; of every kind, and of one kind.
        let held: Vec<TcpStream> =
            (0..700).map(|number| open(beginnings[if round == 0 { number % 4 } else { round - 1 }])).collect();
        let answers = async {
            let batch = json!({"batchId": format!("b{round}"), "records": [{"data": {"a": 1}}]});
            for (method, path, body) in
                [("GET", "/health/live", None), ("POST", "/api/pipelines/p/batches", Some(&batch))]
            {
                // A connection that idles in the client's pool may have had to make room for the others.
                let (status, said) = loop {
                    if let Ok(answer) = node.try_request(method, path, body).await {
                        break answer;
                    }
                };
                assert_eq!(status, 200, "{said}");
            }
        };
        // While all of them are held.
        tokio::time::timeout(Duration::from_secs(120), answers).await.expect("an answer in spite of the others");
        drop(held);
    }
}
