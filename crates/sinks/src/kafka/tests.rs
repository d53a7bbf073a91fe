//! What is stored in the topic of tokens, held by golden files.
use super::ledger::{Entry, LaneId, Ledger, Opening, committed, opened};
use dataflow_core::{
    chunk::{ChunkId, ChunkKind, ChunkRef},
    id::{Epoch, Generation},
    ledger::Counters,
    position::{Partition, Position, Positions},
    token::{Fence, Token},
    warned::Warned,
};
use std::path::Path;

fn fence() -> Fence {
    Fence {
        branch: "orders".try_into().unwrap(),
        incarnation: "incarnation-1".try_into().unwrap(),
        generation: Generation::new(2, 0x5f3a),
        lane: 3,
        epoch: Epoch(7),
        opening: 4,
    }
}

fn shown(entries: &[Entry]) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let line = |entry: &Entry| format!("{}\t{}\n", text(&entry.key), entry.value.as_deref().map_or("".into(), text));
    entries.iter().map(line).collect()
}

/// What is stored is what its golden file has, and is read from it. That file is never changed after a release.
#[test]
fn tokens_of_version_1_are_read_and_written() {
    let at = |at: &str, identity: Option<&str>| Position { at: at.into(), identity: identity.map(Into::into) };
    let partition = |name: &str| Partition::from(name);
    let began = Positions::from([(partition("user-events/0"), at("10", Some("topic 5")))]);
    let opening = Opening {
        journal: "journal-1".into(),
        epoch: Epoch(7),
        opening: 4,
        topic: "out".into(),
        topic_id: Some("4b1e".into()),
        from: vec![10, 0, 7],
    };
    let warned =
        Warned { code: "ignored-field".into(), subject: "zip".into(), message: "no column".into(), records: 7 };
    let token = Token {
        fence: fence(),
        sequence: 12,
        positions: Positions::from([(partition("user-events/0"), at("500", None))]).into(),
        counters: Counters {
            read: 490,
            delivered: 480,
            dead: 10,
            rows_written: 480,
            batches: 2,
            ..Counters::default()
        },
        chunks: vec![ChunkRef {
            id: ChunkId("orders/incarnation-1/7/4".into()),
            kind: ChunkKind::DeadLetters,
            records: 10,
        }],
        warnings: [warned].into_iter().collect(),
        version: 0,
    };
    let before = Positions::from([(partition("user-events/1"), at("3", None))]);
    let mut entries = opened(&fence(), &opening, &began).unwrap();
    entries.extend(committed(&token, &before).unwrap());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/kafka-tokens/v1.tsv");
    if !file.exists() && std::env::var_os("GOLDEN").is_some_and(|how| how == "write") {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, shown(&entries)).unwrap();
    }
    let stored = std::fs::read_to_string(&file).unwrap();
    assert_eq!(shown(&entries), stored);

    let mut ledger = Ledger::new(fence().branch);
    for (line, offset) in stored.lines().zip(0..) {
        let (key, value) = line.split_once('\t').unwrap();
        ledger.take(key.as_bytes(), (!value.is_empty()).then_some(value.as_bytes()), offset).unwrap();
    }
    assert_eq!(ledger.token(&fence()).unwrap(), Some(token));
    let lane = &ledger.lanes[&LaneId::of(&fence())];
    assert_eq!((&lane.opening, &lane.began), (&Some(opening), &began));
}

#[test]
fn a_lane_keeps_the_id_of_its_transactions() {
    let id = LaneId::of(&fence()).transactional_id("dataflow-tokens");
    assert_eq!(id, "dataflow-tokens-orders-incarnation-1-2-5f3a-3");
}
