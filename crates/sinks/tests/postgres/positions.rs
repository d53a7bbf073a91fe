//! What a commit stores of a lane that has many partitions.
use crate::target::*;
use dataflow_core::{
    id::Incarnation,
    position::Position,
    token::{Fence, Token},
};
use dataflow_sdk::sink::{OpenLane, TakeOver};
use dataflow_testkit::fixture::many_files;

/// The token says where all of 5,000 files are, and a commit writes where the few are that it has moved.
#[tokio::test]
async fn a_commit_stores_what_it_moved() {
    let more = json!({"columns": {"id": "bigint", "name": "text"}, "mode": "append"});
    let Some(target) = Target::new("", more).await else { return };
    let fence = fence("p", 1);
    let mut opened = target.try_open(1).await.unwrap();
    let mut positions = many_files(5_000);
    for sequence in 1..=100 {
        let file = positions.keys().nth(sequence as usize * 37).unwrap().clone();
        positions.insert(file, Position::offset(sequence));
        let token = Token { positions: positions.clone().into(), ..token(&fence, sequence) };
        let rows = [output(&opened.demand, 0, &[(Some(1), Some("a"))])];
        opened.writer.commit(&rows.clone().into(), &token).await.unwrap();
        if sequence < 3 {
            continue; // the first one stores all
        }
        let stored = "select sum(pg_column_size(t) + octet_length(positions::text))::bigint from dataflow_tokens t \
            where xmin = (select xmin from dataflow_tokens order by sequence desc limit 1)";
        let stored: i64 = target.client.query_one(stored, &[]).await.unwrap().get(0);
        assert!(stored < 40_000, "commit {sequence} stored {stored} bytes");
    }
    target.drop().await;
}

/// Whoever takes a table over that is called otherwise now gets all positions.
#[tokio::test]
async fn pages_follow_a_renamed_table() {
    let more = json!({"columns": {"id": "bigint", "name": "text"}, "mode": "append"});
    let Some(mut target) = Target::new("", more.clone()).await else { return };
    let own = fence("p", 1);
    let mut opened = target.try_open(1).await.unwrap();
    let token = Token { positions: many_files(100).into(), ..token(&own, 1) };
    opened.writer.commit(&[output(&opened.demand, 0, &[(Some(1), Some("a"))])].into(), &token).await.unwrap();
    drop(opened);
    target.client.batch_execute("alter table users rename to people").await.unwrap();
    target.more["table"] = json!("people");
    assert_eq!(target.try_open(2).await.unwrap().token.unwrap().positions, token.positions);
    let incarnation = Incarnation::try_from("1-other").unwrap();
    let taker = OpenLane {
        journal: "another".into(),
        take_over: TakeOver::AnotherNode,
        ..open_lane(&Fence { incarnation, ..own })
    };
    let taken = target.sink().open(&context("p"), taker).await.unwrap();
    assert_eq!(taken.others.iter().map(|token| &token.positions).collect::<Vec<_>>(), [&token.positions]);
    target.drop().await;
}

/// A token that lacks a page is not taken for one of a lane that has never read those files.
#[tokio::test]
async fn a_token_without_a_page_is_unreadable() {
    let more = json!({"columns": {"id": "bigint", "name": "text"}, "mode": "append"});
    let Some(target) = Target::new("", more).await else { return };
    let mut opened = target.try_open(1).await.unwrap();
    let token = Token { positions: many_files(100).into(), ..token(&fence("p", 1), 1) };
    opened.writer.commit(&[output(&opened.demand, 0, &[(Some(1), Some("a"))])].into(), &token).await.unwrap();
    let lose = "delete from dataflow_tokens where page = (select max(page) from dataflow_tokens)";
    target.client.batch_execute(lose).await.unwrap();
    let error = target.try_open(2).await.unwrap_err();
    assert_eq!(error.code(), "token-unreadable", "{error}");
    target.drop().await;
}
