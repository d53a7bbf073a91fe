//! Drives a flow on a node: creates and starts the pipeline if necessary, pushes, and stops it if it doesn't end by
//! itself.
use super::Flow;
use crate::program::{Node, PATIENCE};
use serde_json::{Value, json};
use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

/// Records in a pushed batch.
pub(super) const PUSHED: u64 = 50;

/// How far a flow came on a node.
#[derive(Debug)]
pub enum Driven {
    /// To its end, with the pipeline's final view.
    Through(Value),
    /// The node died.
    Died(ExitStatus),
}

impl Flow {
    /// Drives the flow to its end, or until the node dies.
    pub async fn drive(&mut self, node: &mut Node) -> Driven {
        let begun = Instant::now();
        loop {
            match self.step(node).await {
                Ok(Some(view)) => return Driven::Through(view),
                Ok(None) => tokio::time::sleep(Duration::from_millis(5)).await,
                // The node is probably dying; its exit shows it.
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
            if let Some(status) = node.has_ended() {
                return Driven::Died(status);
            }
            assert!(begun.elapsed() < PATIENCE * 2, "the flow does not end");
        }
    }

    /// Takes the next step; returns the pipeline's view once the flow has ended. Every step can be repeated.
    async fn step(&mut self, node: &Node) -> reqwest::Result<Option<Value>> {
        let path = format!("/api/pipelines/{}", Self::ID);
        let (code, view) = node.try_request("GET", &path, None).await?;
        if code == 404 {
            // An earlier request whose answer was lost may be carried out only now; the same holds for the requests
            // below.
            self.expect(node.try_request("POST", "/api/pipelines", Some(&self.spec())).await?, &[201, 409]);
            return Ok(None);
        }
        self.expect((code, view.clone()), &[200]);
        match view["status"].as_str() {
            Some("configured") => {
                self.expect(node.try_request("POST", &format!("{path}/start?wait=0s"), None).await?, &[200, 202, 409]);
                Ok(None)
            }
            Some("running") if self.pair.is_bounded() => Ok(None),
            Some("running") if self.push(node, &path).await? => Ok(None),
            Some("running") => {
                if self.is_read(&view) && self.all(&view, |of| of["metrics"]["recordsInFlight"] == json!(0)) {
                    self.expect(node.try_request("POST", &format!("{path}/stop"), None).await?, &[200, 409]);
                }
                Ok(None)
            }
            // Killed while it stopped: the next start finds the commits that the sink accepted meanwhile.
            Some("stopped") if !self.is_read(&view) => {
                self.expect(node.try_request("POST", &format!("{path}/start?wait=0s"), None).await?, &[200, 202, 409]);
                Ok(None)
            }
            Some("completed" | "stopped") => Ok(Some(view)),
            Some("failed") if self.restored.is_some() && view["error"]["retryAt"].is_null() => {
                self.choose(node, &path, &view).await?;
                Ok(None)
            }
            _ => panic!("the pipeline can't continue: {view:#}"),
        }
    }

    /// Returns whether everything is read. A batch pushed again is delivered by the time it is answered.
    fn is_read(&self, view: &Value) -> bool {
        self.again().is_some() || self.all(view, |of| of["metrics"]["recordsRead"] == json!(self.data.records))
    }

    /// Whether this is true of what the view says of each sink.
    fn all(&self, view: &Value, is_true: impl Fn(&Value) -> bool) -> bool {
        self.sinks.iter().all(|sink| is_true(sink.of(view)))
    }

    fn again(&self) -> Option<&Vec<u64>> {
        self.restored.as_ref()?.again.as_ref()
    }

    /// Pushes the next batch, if there is one.
    async fn push(&mut self, node: &Node, path: &str) -> reqwest::Result<bool> {
        let (name, wait) = if self.again().is_some() { ("again", "?wait=delivered") } else { ("batch", "") };
        let numbers = self.again().cloned().unwrap_or_else(|| (0..self.data.records).collect());
        if self.pair.source != super::Place::Http || self.pushed * PUSHED >= numbers.len() as u64 {
            return Ok(false);
        }
        let batch = self.batch(name, numbers);
        let answer = node.try_request("POST", &format!("{path}/batches{wait}"), Some(&batch)).await?;
        // The pipeline was just refused; pushes are refused, too, until the user has chosen.
        if self.restored.is_some() && answer.0 == 409 {
            return Ok(true);
        }
        self.expect(answer, &[200]);
        self.pushed += 1;
        Ok(true)
    }

    /// The next batch of records of these numbers.
    pub(super) fn batch(&self, name: &str, numbers: Vec<u64>) -> Value {
        let before = usize::try_from(self.pushed * PUSHED).expect("few records");
        let some = numbers.into_iter().skip(before).take(usize::try_from(PUSHED).expect("few records"));
        let record = |n| json!({"data": serde_json::from_str::<Value>(&self.data.line(n)).expect("it is JSON")});
        json!({"batchId": format!("{name}-{}", self.pushed), "records": some.map(record).collect::<Vec<_>>()})
    }

    pub(super) fn expect(&self, (code, body): (u16, Value), allowed: &[u16]) {
        // 503: the node is shutting down.
        assert!(allowed.contains(&code) || code == 503, "{code}: {body}");
    }
}
