//! What another build has written: its shard stays closed, says what to do, and is not touched.
use crate::house::{House, question};
use dataflow_core::{
    id::{PipelineId, Seq},
    shard::ShardId,
};
use dataflow_engine::region::{Action, AskError, Query};
use dataflow_journal::{Appended, Journal, Memory, store::Log, stored::Row};
use std::sync::Arc;

#[tokio::test(start_paused = true)]
async fn an_unknown_event_closes_its_shard() {
    let memory = Memory::new();
    let mut house = House::on("unknown-event", Journal::new(Arc::new(memory.clone())), 1, 1).await;
    let spec = house.spec();
    house.create(spec).await;
    house.crash().await;
    let shard = ShardId::of(&PipelineId::try_from("p").unwrap());
    let head = memory.head(shard).await.unwrap();
    let body = r#"{"v":1,"number":2,"at":1,"actor":"a","command":"later","event":{"pipelinePaused":{}}}"#;
    let row = Row { seq: head.next_seq, pipeline: "p".into(), number: 2, kind: 0, body: body.into() };
    assert_eq!(memory.append(shard, head.epoch, head.next_seq, vec![row]).await, Appended::Applied);
    let before = memory.read(shard, Seq(1), 100).await.unwrap();

    house.build().await;
    let closed = house.region().overview().await.closed;
    let says = |why: &str| why.contains("`pipelinePaused`") && why.contains("Run the one that wrote it or a newer one");
    assert!(closed.len() == 1 && says(&closed[0]), "{closed:?}");
    for refused in [house.ask(question(Query::State)).await, house.act(Action::Start { sink: None }).await] {
        assert!(matches!(&refused, Err(AskError::Damaged(why)) if says(why)), "{refused:?}");
    }
    house.shutdown().await;
    assert_eq!(memory.read(shard, Seq(1), 100).await.unwrap(), before);
}
