//! The proof: compares the actual fate of every record with the expected one.
use super::{
    Data, Fate, Flow, Place, Row, Sink,
    table::{self, TABLE},
};
use crate::program::{Node, Program, assert_balanced, count};
use serde_json::Value;
use std::{collections::BTreeMap, fs};

/// A dead letter: partition, place in it, stage, original bytes.
type Letter = (String, String, String, String);

impl Flow {
    /// Proves that each record met its fate once in each sink: rows, dead letters, and every count of the ledger.
    pub async fn prove(&self, node: &Node, view: &Value) {
        for sink in &self.sinks {
            self.prove_rows(sink).await;
            self.prove_letters(sink, node).await;
            self.prove_ledger(sink, view);
        }
    }

    /// Proves every count of a sink's ledger.
    pub(super) fn prove_ledger(&self, sink: &Sink, view: &Value) {
        let rows = self.expected_rows(sink).len() as u64;
        let filtered = self.fates(sink).filter(|fate| *fate == Fate::Filtered).count() as u64;
        let view = sink.of(view);
        assert_balanced(view);
        for (name, expected) in [
            ("recordsRead", self.data.records),
            ("recordsFiltered", filtered),
            ("recordsDelivered", rows),
            ("recordsDead", self.data.records - filtered - rows),
            ("recordsLost", 0),
            ("recordsInFlight", 0),
            ("rowsWritten", rows),
        ] {
            assert_eq!(count(view, name), expected, "{name} in {view:#}");
        }
    }

    fn fates(&self, sink: &Sink) -> impl Iterator<Item = Fate> {
        (0..self.data.records).map(|n| sink.fate(&self.data, n))
    }

    fn expected_rows(&self, sink: &Sink) -> Vec<Row> {
        let delivered = |fate| match fate {
            Fate::Delivered(row) => Some(row),
            Fate::Filtered | Fate::Dead(_) => None,
        };
        self.fates(sink).filter_map(delivered).collect()
    }

    /// Runs `dataflow verify` for the same proof; it knows nothing of [`Data`] and reads source, sinks and ledger.
    pub fn prove_verified(&self, program: &Program, node: &Node) {
        let mut args = vec!["verify", Self::ID, "--server", &node.url, "--output", "json"];
        let records = self.folder.join("pushed.jsonl");
        if self.pair.source == Place::Http {
            let lines = (0..self.data.records).map(|n| format!("{{\"data\":{}}}\n", self.data.line(n)));
            fs::write(&records, lines.collect::<String>()).expect("the pushed records can be written");
            args.extend(["--records", records.to_str().expect("the folder's name is UTF-8")]);
        }
        for sink in &self.sinks {
            let named = sink.name().into_iter().flat_map(|name| ["--sink", name]);
            let args: Vec<_> = args.iter().copied().chain(named).collect();
            let (code, report, stderr) = program.output(&args);
            assert_eq!(code, 0, "dataflow verify finds otherwise: {report}{stderr}");
        }
    }

    /// Proves that each row is in a sink once, with its content.
    pub(super) async fn prove_rows(&self, sink: &Sink) {
        let expected = self.expected_rows(sink);
        let mut rows = sink.rows().await;
        if self.pair.source == Place::Kafka {
            // Rows are ordered within each partition only.
            rows.sort_by_key(|row| row.id);
        }
        let mut seen: BTreeMap<i64, u64> = BTreeMap::new();
        rows.iter().for_each(|row| *seen.entry(row.id).or_default() += 1);
        let lost: Vec<i64> = expected.iter().map(|row| row.id).filter(|id| !seen.contains_key(id)).collect();
        let doubled: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
        let place = sink.place.name();
        assert!(lost.is_empty() && doubled.is_empty(), "{place}: rows lost: {lost:?}; doubled: {doubled:?}");
        for (row, expected) in rows.iter().zip(&expected) {
            assert_eq!(row, expected, "{place}: a row is another than it has to be, or in another place");
        }
        assert_eq!(rows.len(), expected.len(), "{place}: rows that should not be there");
    }

    pub(super) async fn prove_letters(&self, sink: &Sink, node: &Node) {
        let (mut expected, query) = (self.expected_letters(sink), sink.query());
        let mut letters = Vec::new();
        let mut after = "0".to_owned();
        loop {
            let path = format!("/api/pipelines/{}/dead-letters?limit=1000&after={after}&{query}", Self::ID);
            let page = node.get(&path).await;
            for item in page["items"].as_array().into_iter().flatten() {
                let path = format!("/api/pipelines/{}/dead-letters/{}?{query}", Self::ID, item["number"]);
                letters.push(letter(&node.get(&path).await));
            }
            match page["next"].as_str() {
                Some(next) => after = next.to_owned(),
                None => break,
            }
        }
        letters.sort();
        expected.sort();
        let lost: Vec<_> = expected.iter().filter(|letter| !letters.contains(letter)).collect();
        let extra: Vec<_> = letters.iter().filter(|letter| !expected.contains(letter)).collect();
        assert!(lost.is_empty() && extra.is_empty(), "dead letters lost: {lost:?}; not expected: {extra:?}");
        assert_eq!(letters, expected, "each dead letter once");
    }

    fn expected_letters(&self, sink: &Sink) -> Vec<Letter> {
        let mut letters = Vec::new();
        let mut bytes = 0;
        let mut offsets = [0; 4];
        for n in 0..self.data.records {
            let partition = Data::partition(n);
            let offset = &mut offsets[usize::try_from(partition).expect("one of four")];
            if let Fate::Dead(bad) = sink.fate(&self.data, n) {
                let (partition, position) = match (self.pair.source, &self.topic) {
                    (Place::Http, _) => ("http".into(), n.to_string()),
                    (Place::Generate, _) => ("generate/0".into(), n.to_string()),
                    (source, _) if source.is_table() => (TABLE.into(), table::position(n)),
                    (Place::S3, _) => self.bucket.as_ref().expect("there is one").place(&self.data, n),
                    (Place::Rest, _) => ("rest".into(), super::rest::position(n)),
                    (_, Some(topic)) => (format!("{}/{partition}", topic.name), offset.to_string()),
                    _ => (self.input().display().to_string(), bytes.to_string()),
                };
                letters.push((partition, position, bad.stage().into(), self.data.line(n)));
            }
            *offset += 1;
            bytes += self.data.line(n).len() as u64 + 1;
        }
        letters
    }
}

fn letter(item: &Value) -> Letter {
    let text = |name: &str| item[name].as_str().unwrap_or_else(|| panic!("no {name} in {item}")).to_owned();
    (text("partition"), text("position"), text("stage"), text("original"))
}
