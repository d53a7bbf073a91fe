//! Pushed records.
use crate::house::{House, question};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_core::{
    id::BatchId,
    pipeline::{Rejected, Status},
    position::{Partition, Position, Positions},
};
use dataflow_engine::region::{Action, AskError, Query, Reply};
use dataflow_sdk::{
    Context, Error, Span,
    inbox::Inbox,
    records::{Layout, Records},
    source::{Assignment, Edge, Read, Reader, Source},
};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// Reads pushed bodies of which each line is a record.
#[derive(Debug)]
pub(crate) struct Pushes;

struct PushReader {
    inbox: Arc<dyn Inbox>,
    at: u64,
}

#[async_trait]
impl Source for Pushes {
    fn single_lane(&self) -> bool {
        true
    }
    async fn partitions(&self, _: &Context) -> Result<Vec<Partition>, Error> {
        Ok(vec!["http".into()])
    }
    async fn open(&self, cx: &Context, lane: Assignment) -> Result<Box<dyn Reader>, Error> {
        let at = lane.positions.get(&Partition::from("http")).and_then(Position::as_offset).unwrap_or(0);
        Ok(Box::new(PushReader { inbox: cx.inbox.clone().unwrap(), at }))
    }
    async fn resolve(&self, cx: &Context, to: &Edge) -> Result<Positions, Error> {
        let inbox = cx.inbox.as_ref().unwrap();
        let at = match to {
            Edge::Beginning => inbox.first().await?,
            Edge::End => inbox.received().await?,
        };
        Ok([("http".into(), Position::offset(at))].into())
    }
}

#[async_trait]
impl Reader for PushReader {
    async fn read(&mut self) -> Result<Read, Error> {
        let pushed = self.inbox.next(self.at).await?;
        let mut records = Records::empty("http".into(), Position::offset(self.at), Layout::Json);
        let mut start = 0;
        for (number, line) in (pushed.from..).zip(pushed.body.split(|byte| *byte == b'\n')) {
            if number >= self.at {
                records.spans.push(Span::new(start, start + line.len()));
                records.offsets.push(number);
            }
            start += line.len() + 1;
        }
        records.data = pushed.body;
        records.to = Position::offset(pushed.to).of(&pushed.digest);
        self.at = pushed.to;
        Ok(Read::Records(records))
    }

    fn warnings(&mut self) -> Vec<dataflow_sdk::batch::Notice> {
        Vec::new()
    }

    async fn close(self: Box<Self>) {}
}

pub(crate) fn push(id: &str, lines: &[&str], delivered: Option<Duration>) -> Action {
    pushed(id, lines, delivered, false)
}

pub(crate) fn pushed(id: &str, lines: &[&str], delivered: Option<Duration>, replay: bool) -> Action {
    Action::Ingest {
        batch_id: BatchId::try_from(id).unwrap(),
        records: lines.len() as u64,
        hash: lines.join("|"),
        body: Bytes::from(lines.join("\n")),
        delivered,
        replay,
    }
}

async fn house(name: &str) -> House {
    let mut house = House::new(name).await;
    let mut spec = house.spec();
    spec["source"] = json!({"type": "http"});
    house.create(spec).await;
    house
}

#[tokio::test(start_paused = true)]
async fn pushed_records_are_durable_on_receipt_and_flow_once_it_runs() {
    let mut house = house("push").await;
    let Ok(Reply::Received(first)) = house.act(push("a", &["{\"n\":1}", "{\"n\":2}"], None)).await else { panic!() };
    assert_eq!((first.accepted, first.to), (2, 2));
    house.crash().await;
    house.build().await;
    let Ok(Reply::Received(again)) = house.act(push("a", &["{\"n\":1}", "{\"n\":2}"], None)).await else { panic!() };
    assert_eq!(again.to, 2);
    let reused = house.act(push("a", &["{\"n\":3}"], None)).await;
    assert!(matches!(reused, Err(AskError::Rejected(Rejected::BatchIdReused))), "{reused:?}");
    house.start().await;
    let wait = Some(Duration::from_secs(30));
    let Ok(Reply::Received(second)) = house.act(push("b", &["{\"n\":3}"], wait)).await else { panic!() };
    assert_eq!((second.to, second.delivered, second.dead), (3, Some(true), Some(0)));
    assert_eq!(house.store.data(), ["{\"n\":1}", "{\"n\":2}", "{\"n\":3}"]);
    house.stop().await;
    let chunks = house.chunks().await;
    assert!(chunks.is_empty(), "bodies behind the checkpoint are collected: {chunks:?}");
    assert_eq!(house.get().await.status, Status::Stopped);
}

/// Who waits for a delivery hears how much of it there was none of, also who asks again.
#[tokio::test(start_paused = true)]
async fn dead_letters_of_a_batch_are_told_to_who_waits() {
    let mut house = house("dead-push").await;
    house.start().await;
    let wait = Some(Duration::from_secs(30));
    let dead = r#"{"a":"die"}"#;
    for (id, lines, expected) in [
        ("a", &[dead, "{\"n\":1}", dead][..], 2),
        ("b", &["{\"n\":2}"], 0),
        ("c", &[dead], 1),
        ("a", &[dead, "{\"n\":1}", dead], 2),
    ] {
        let Ok(Reply::Received(view)) = house.act(push(id, lines, wait)).await else { panic!() };
        assert_eq!((view.delivered, view.dead), (Some(true), Some(expected)), "{id}");
    }
}

/// What was told can be read, however rare checkpoints are.
#[tokio::test(start_paused = true)]
async fn dead_letters_that_are_told_can_be_read() {
    let mut house = House::new("dead-read").await;
    let mut spec = house.spec();
    (spec["source"], spec["checkpointInterval"]) = (json!({"type": "http"}), json!("1h"));
    house.create(spec).await;
    house.start().await;
    for (id, told) in [("a", 1), ("b", 2), ("c", 3)] {
        let pushed = push(id, &["{\"n\":1}", r#"{"a":"die"}"#], Some(Duration::from_secs(30)));
        let Ok(Reply::Received(view)) = house.act(pushed).await else { panic!() };
        assert_eq!((view.delivered, view.dead), (Some(true), Some(1)), "{id}");
        let listed =
            house.ask(question(Query::DeadLetters { bytes: false, after: Default::default(), limit: 10 })).await;
        let Ok(Reply::DeadLetters(page)) = listed else { panic!() };
        assert_eq!(page.letters.len(), told, "{id}");
        let one = house.ask(question(Query::DeadLetter(told as u64))).await;
        assert!(matches!(one, Ok(Reply::DeadLetter(_))), "{id}: {one:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn too_much_that_waits_is_refused() {
    let mut house = House::new("overload").await;
    let mut spec = house.spec();
    spec["source"] = json!({"type": "http", "maxPendingBytes": 10});
    house.create(spec).await;
    assert!(house.act(push("a", &["{\"n\":1}"], None)).await.is_ok());
    let refused = house.act(push("b", &["{\"n\":2}"], None)).await;
    assert!(matches!(refused, Err(AskError::Rejected(Rejected::Overloaded { .. }))), "{refused:?}");
}
