//! Lets a flow go on a node: makes and starts it where that is still to do, pushes, and stops what does not end by itself.
use super::Flow;
use crate::program::{Node, PATIENCE};
use serde_json::{Value, json};
use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

/// Records in a pushed batch.
pub(super) const PUSHED: u64 = 50;

/// How far it came on this node.
#[derive(Debug)]
pub enum Driven {
    /// To its end: how the pipeline is then.
    Through(Value),
    /// The node is gone.
    Died(ExitStatus),
}

impl Flow {
    /// Drives the flow to its end, or until the node is gone.
    pub async fn drive(&mut self, node: &mut Node) -> Driven {
        let begun = Instant::now();
        loop {
            match self.step(node).await {
                Ok(Some(view)) => return Driven::Through(view),
                Ok(None) => tokio::time::sleep(Duration::from_millis(5)).await,
                // It is dying, most likely: the process says so itself.
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
            if let Some(status) = node.has_ended() {
                return Driven::Died(status);
            }
            assert!(begun.elapsed() < PATIENCE * 2, "the flow does not end");
        }
    }

    /// Does what is next; what the pipeline is like once it is through. Every step can be repeated.
    async fn step(&mut self, node: &Node) -> reqwest::Result<Option<Value>> {
        let path = format!("/api/pipelines/{}", Self::ID);
        let (code, view) = node.try_request("GET", &path, None).await?;
        if code == 404 {
            // An earlier request whose answer was lost may be carried out only now; so may those below.
            self.expect(node.try_request("POST", "/api/pipelines", Some(&self.spec())).await?, &[201, 409]);
            return Ok(None);
        }
        self.expect((code, view.clone()), &[200]);
        match view["status"].as_str() {
            Some("configured") => {
                self.expect(node.try_request("POST", &format!("{path}/start"), None).await?, &[200, 409]);
                Ok(None)
            }
            Some("running") if self.pair.is_bounded() => Ok(None),
            Some("running") if self.push(node, &path).await? => Ok(None),
            Some("running") => {
                if self.is_read(&view) && view["metrics"]["recordsInFlight"] == json!(0) {
                    self.expect(node.try_request("POST", &format!("{path}/stop"), None).await?, &[200, 409]);
                }
                Ok(None)
            }
            // Killed while it stopped: what the sink had taken meanwhile is found at the next start.
            Some("stopped") if !self.is_read(&view) => {
                self.expect(node.try_request("POST", &format!("{path}/start"), None).await?, &[200, 409]);
                Ok(None)
            }
            Some("completed" | "stopped") => Ok(Some(view)),
            Some("failed") if self.restored.is_some() && view["error"]["retryAt"].is_null() => {
                self.choose(node, &path, &view["error"]).await?;
                Ok(None)
            }
            _ => panic!("the pipeline can't go on: {view:#}"),
        }
    }

    /// Whether all is read. What is pushed again is delivered when it is answered.
    fn is_read(&self, view: &Value) -> bool {
        self.again().is_some() || view["metrics"]["recordsRead"] == json!(self.data.records)
    }

    fn again(&self) -> Option<&Vec<u64>> {
        self.restored.as_ref()?.again.as_ref()
    }

    /// Pushes the next batch, if there is one.
    async fn push(&mut self, node: &Node, path: &str) -> reqwest::Result<bool> {
        let (name, wait) = if self.again().is_some() { ("again", "?wait=delivered") } else { ("batch", "") };
        let of = |all: &mut dyn Iterator<Item = u64>| -> Vec<u64> {
            let before = usize::try_from(self.pushed * PUSHED).expect("few records");
            all.skip(before).take(usize::try_from(PUSHED).expect("few records")).collect()
        };
        let numbers = match self.again() {
            Some(again) => of(&mut again.iter().copied()),
            None => of(&mut (0..self.data.records)),
        };
        if self.pair.source != super::Place::Http || numbers.is_empty() {
            return Ok(false);
        }
        let records: Vec<Value> = numbers
            .into_iter()
            .map(|n| json!({"data": serde_json::from_str::<Value>(&self.data.line(n)).expect("it is JSON")}))
            .collect();
        let batch = json!({"batchId": format!("{name}-{}", self.pushed), "records": records});
        let answer = node.try_request("POST", &format!("{path}/batches{wait}"), Some(&batch)).await?;
        // Just refused, and so are pushes until the user has chosen.
        if self.restored.is_some() && answer.0 == 409 {
            return Ok(true);
        }
        self.expect(answer, &[200]);
        self.pushed += 1;
        Ok(true)
    }

    pub(super) fn expect(&self, (code, body): (u16, Value), allowed: &[u16]) {
        // 503: it is going down.
        assert!(allowed.contains(&code) || code == 503, "{code}: {body}");
    }
}
