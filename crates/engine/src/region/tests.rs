#![allow(clippy::unwrap_used)]
use super::*;
use dataflow_core::chunk::{ChunkId, ChunkKind, ChunkRef};

fn spec(text: &str) -> Box<PipelineSpec> {
    serde_json::from_str(text).unwrap()
}

/// Hashes are stored with events: a request that is repeated to a later version must get the one it had.
#[test]
fn a_request_has_the_same_hash_in_all_versions() {
    let least = r#"{"source":{"type":"file","path":"a.json"},"sink":{"type":"file","path":"b.json"}}"#;
    let most = r#"{"name":"n","description":"d","labels":{"b":"1","a":"2"},
        "source":{"type":"kafka","topics":["t"],"brokers":["b:9092"]},
        "transforms":[{"type":"filter","condition":"age > 18"}],
        "sink":{"type":"postgres","connection":"pg","table":"t"},
        "schema":{"z":"bigint","a":"text"},"onTypeMismatch":"null",
        "batch":{"maxRecords":10,"maxBytes":1000,"linger":"1s"},"lanes":2,"checkpointInterval":"2s",
        "stopTimeout":"3s","maxRecordBytes":2000,"maxInFlightBytes":100000,"restart":{"maxAttempts":1}}"#;
    let wait = Duration::from_secs(9);
    let positions = BTreeMap::from([("t/0".to_owned(), "7".to_owned())]);
    let reset = |to| Action::ResetCheckpoint { to, sink: None, force: false, take_over: false };
    let actions = [
        Action::Create(spec(least)),
        Action::Create(spec(most)),
        Action::Update { spec: spec(least), reset: false, retarget: false, force: false, wait },
        Action::Update { spec: spec(least), reset: false, retarget: true, force: false, wait },
        Action::Update { spec: spec(least), reset: true, retarget: false, force: true, wait },
        Action::Start { sink: None },
        Action::Stop { sink: None, wait },
        Action::Restart { sink: None, wait },
        reset(ResetPoint::Beginning),
        reset(ResetPoint::End),
        reset(ResetPoint::Positions(positions)),
        reset(ResetPoint::SinkToken),
        reset(ResetPoint::Journal),
        Action::ResetCheckpoint { to: ResetPoint::Journal, sink: None, force: true, take_over: false },
        Action::Delete { discard: false },
        Action::Delete { discard: true },
        Action::Ingest {
            batch_id: BatchId::try_from("b-1").unwrap(),
            records: 2,
            hash: "9f86d081884c7d65".into(),
            body: Bytes::from_static(b"[{},{}]"),
            delivered: Some(wait),
            replay: false,
        },
    ];
    let hashes: String = actions.iter().map(|action| format!("{:016x} {}\n", action.hash(), action.asked())).collect();
    assert_eq!(hashes, include_str!("../../golden/request-hashes.txt"));
}

#[test]
fn the_order_of_settings_is_no_other_request() {
    let hash = |text: &str| Action::Create(spec(text)).hash();
    let sink = r#""sink":{"type":"file","path":"b.json"}"#;
    let one = format!(r#"{{"source":{{"type":"file","path":"a.json"}},{sink}}}"#);
    let other = format!(r#"{{{sink},"source":{{"path":"a.json","type":"file"}}}}"#);
    assert_eq!(hash(&one), hash(&other));
    assert_ne!(hash(&one), hash(&one.replace("a.json", "c.json")));
}

fn missing() -> DeadLetter {
    let chunk = ChunkRef { id: ChunkId("c".into()), kind: ChunkKind::DeadLetters, records: 1 };
    crate::dead_letters::missing(&chunk)
}

/// Between nodes, bytes take a third more than they are, not four times as much.
#[test]
fn bytes_travel_as_base64() {
    let body: Vec<u8> = (0..=255).cycle().take(3_000).collect();
    let action = |body: Vec<u8>| Action::Ingest {
        batch_id: BatchId::try_from("b-1").unwrap(),
        records: 1,
        hash: String::new(),
        body: body.into(),
        delivered: None,
        replay: false,
    };
    let sent = serde_json::to_string(&action(body.clone())).unwrap();
    assert_eq!(sent.len(), serde_json::to_string(&action(Vec::new())).unwrap().len() + 4_000);
    let Action::Ingest { body: taken, .. } = serde_json::from_str(&sent).unwrap() else { panic!("{sent}") };
    assert_eq!(taken, body);

    let letter = DeadLetter { original: Some(body.clone()), ..missing() };
    let sent = serde_json::to_string(&letter).unwrap();
    assert!(sent.len() < 5_000, "{}", sent.len());
    assert_eq!(serde_json::from_str::<DeadLetter>(&sent).unwrap(), letter);
}
