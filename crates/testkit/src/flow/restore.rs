//! A flow whose node was restored from a backup: it is refused because the journal lags the sink, makes the choice that
//! the refusal names, and pushes the records again that the sink lacks.
use super::{Flow, Place};
use crate::program::{Node, Program, assert_balanced};
use serde_json::{Value, json};
use std::{collections::BTreeSet, fs::OpenOptions};

/// The state of a flow's restore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Restored {
    /// The numbers of the records to push again: those that the sink lacked when the user chose. `None`: there was no
    /// choice.
    pub(super) again: Option<Vec<u64>>,
    /// The number of batches that were answered before the restore.
    answered: u64,
}

impl Flow {
    /// Adapts the flow to an older journal. Batches pushed since the backup are pushed again, as producers do that keep
    /// them for that long.
    pub async fn restored(&mut self) {
        let state = self.state().await;
        let answered = self.pushed;
        self.pushed = state.pipeline().map_or(0, |pipeline| pipeline.inbox.received).div_ceil(super::drive::PUSHED);
        self.restored = Some(Restored { again: None, answered });
    }

    /// Makes the choices that lead to exact content, according to the refusals and the guide, and starts the pipeline.
    pub(super) async fn choose(&mut self, node: &Node, path: &str, view: &Value) -> reqwest::Result<()> {
        let refused: Vec<_> =
            (0..self.sinks.len()).filter(|at| self.sinks[*at].of(view)["status"] == "failed").collect();
        for at in refused {
            let error = self.sinks[at].of(view)["error"].clone();
            self.choose_for(at, node, path, &error).await?;
        }
        while self.replays() && self.pushed < self.restored.as_ref().map_or(0, |restored| restored.answered) {
            let batch = self.batch("batch", (0..self.data.records).collect());
            let answer = node.try_request("POST", &format!("{path}/batches?replay=true"), Some(&batch)).await?;
            self.expect(answer, &[200]);
            self.pushed += 1;
        }
        self.expect(node.try_request("POST", &format!("{path}/start?wait=0s"), None).await?, &[200, 202]);
        Ok(())
    }

    /// Whether batches have to be pushed again in their order, as each sink has had others of them.
    fn replays(&self) -> bool {
        self.pair.source == Place::Http && self.sinks.len() > 1
    }

    async fn choose_for(&mut self, at: usize, node: &Node, path: &str, error: &Value) -> reqwest::Result<()> {
        let sink = &self.sinks[at];
        assert_eq!(error["code"], "journal-behind", "{error:#}");
        assert_eq!(error["sink"].as_str(), sink.name(), "{error:#}");
        let text = |name: &str| error[name].as_str().unwrap_or_default();
        match (self.pair.source, sink.place) {
            (_, Place::File) => {
                let length =
                    text("fix").split_once("truncate the file to ").and_then(|(_, rest)| rest.split_once(" bytes"));
                let length: u64 = length.and_then(|(length, _)| length.parse().ok()).expect("it names the length");
                let file = OpenOptions::new().write(true).open(sink.file()).expect("the output can be opened");
                assert!(length < file.metadata().expect("it has a length").len(), "there is something to cut");
                file.set_len(length).expect("it can be cut");
            }
            (_, place) if place.objects().is_some() => {
                let begin = text("fix").split_once("names begin with ").and_then(|(_, rest)| rest.split_once(" or"));
                let (begin, _) = begin.expect("it says which objects");
                let objects = sink.objects.as_ref().expect("there is a bucket");
                assert!(objects.remove_from(begin).await > 0, "there is something to remove");
            }
            (Place::Http, _) if self.replays() => assert!(text("fix").contains("?replay=true"), "{error:#}"),
            (Place::Http, _) => {
                assert!(text("message").contains("are gone") && text("fix").contains("push again"), "{error:#}");
                let there: BTreeSet<_> = sink.rows().await.iter().map(|row| row.id.unsigned_abs()).collect();
                let again = (0..self.data.records).filter(|n| !there.contains(n)).collect();
                let checkpoint = format!("{path}/checkpoint?{}", sink.query());
                if let Some(restored) = &mut self.restored {
                    restored.again = Some(again);
                }
                self.pushed = 0;
                let to = json!({"to": "end"});
                self.expect(node.try_request("PUT", &checkpoint, Some(&to)).await?, &[200]);
            }
            _ => panic!("{} continues by itself, as its source can be read again: {error:#}", self.pair),
        }
        Ok(())
    }

    /// Proves that each row is in its sink once. If everything was read again or taken over, the ledger is exact, too,
    /// and if the sink's end was cut, so is everything else.
    pub async fn prove_restored(&self, program: &Program, node: &Node, view: &Value) {
        let pushed_again = self.restored.as_ref().is_some_and(|restored| restored.again.is_some());
        for sink in &self.sinks {
            self.prove_rows(sink).await;
            if pushed_again {
                assert_balanced(sink.of(view));
                continue;
            }
            self.prove_ledger(sink, view);
            // Of a sink that was ahead, dead letters that were listed after the backup are lost.
            if sink.place.is_staged() {
                self.prove_letters(sink, node).await;
            }
        }
        if !pushed_again && self.sinks.iter().all(|sink| sink.place.is_staged()) {
            self.prove_verified(program, node);
        }
    }
}
