//! Locks of writers that are frozen.
use crate::target::*;

#[tokio::test]
async fn a_lock_of_a_frozen_writer_is_broken() {
    let Some(target) = Target::new("create table users (id int, name text)", json!({})).await else { return };
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    writer.commit(&[output(&demand, 0, &[(Some(1), Some("a"))])].into(), &token(&fence("p", 1), 1)).await.unwrap();
    let frozen = connect().await.unwrap();
    let lock = format!("begin; update {}.dataflow_tokens set sequence = 2", target.schema);
    frozen.batch_execute(&lock).await.unwrap();
    let opened = target.try_open(2).await.unwrap();
    assert_eq!(opened.token.map(|token| token.sequence), Some(1));
    assert!(frozen.batch_execute("commit").await.is_err(), "its session was ended");
    target.drop().await;
}

/// All connections of the pool wait for a lock, so none of them is free to break it.
#[tokio::test]
async fn a_lock_is_broken_even_if_all_connections_wait_for_it() {
    let setup = "create table users (id int, name text)";
    let Some(target) = Target::new(setup, json!({"maxConnections": 2})).await else { return };
    let lanes = ["p", "q"];
    let open = |pipeline, epoch| {
        let (sink, fence) = (target.sink(), fence(pipeline, epoch));
        async move { sink.open(&context(pipeline), open_lane(&fence)).await }
    };
    for pipeline in lanes {
        open(pipeline, 1).await.unwrap();
    }
    let frozen = connect().await.unwrap();
    let lock = format!("begin; update {}.dataflow_tokens set sequence = 2", target.schema);
    frozen.batch_execute(&lock).await.unwrap();
    let [first, second] = lanes.map(|pipeline| open(pipeline, 2));
    let (first, second) = tokio::join!(first, second);
    first.unwrap();
    second.unwrap();
    target.drop().await;
}

/// Who is frozen while it makes or widens a table holds no lane's row yet, but keeps all others from making theirs.
#[tokio::test]
async fn a_writer_frozen_while_it_makes_a_table_does_not_hold_back_others() {
    let Some(target) = Target::new("", json!({"columns": {"id": "bigint", "name": "text"}})).await else { return };
    let frozen = connect().await.unwrap();
    frozen.batch_execute("begin; select pg_advisory_xact_lock(hashtextextended('dataflow', 0))").await.unwrap();
    let opened = tokio::time::timeout(std::time::Duration::from_secs(60), target.try_open(2)).await;
    opened.expect("waited for without end").unwrap();
    assert!(frozen.batch_execute("commit").await.is_err(), "its session was ended");
    target.drop().await;
}

/// Who waits for the lock of a frozen one before us is as alive as we are.
#[tokio::test]
async fn others_that_wait_to_make_tables_are_not_ended() {
    let columns = json!({"columns": {"id": "bigint", "name": "text"}, "fenceTimeout": "2s"});
    let Some(target) = Target::new("", columns).await else { return };
    let frozen = connect().await.unwrap();
    frozen.batch_execute("begin; select pg_advisory_xact_lock(hashtextextended('dataflow', 0))").await.unwrap();
    let waiting = connect().await.unwrap();
    let pid: i32 = waiting.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
    let queued = tokio::task::spawn(async move {
        waiting.batch_execute("begin; select pg_advisory_xact_lock(hashtextextended('dataflow', 0)); commit").await
    });
    let in_queue = "select count(*) from pg_stat_activity where pid = $1 and wait_event_type = 'Lock'";
    while target.client.query_one(in_queue, &[&pid]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(!queued.is_finished(), "another one has ended the frozen session");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    target.try_open(1).await.unwrap();
    queued.await.unwrap().expect("ended, although it only waited");
    target.drop().await;
}

#[tokio::test]
async fn a_lock_that_may_not_be_broken_names_its_holder() {
    let Some(target) = Target::new("create table users (id int, name text)", json!({})).await else { return };
    let role = format!("weak_{}", target.schema);
    let grant = format!(
        "create role {role} login password 'weak'; grant usage, create on schema {0} to {role}; grant all on all tables in schema {0} to {role}",
        target.schema
    );
    if target.client.batch_execute(&grant).await.is_err() {
        return; // the user of the tests may not make roles
    }
    target.try_open(1).await.unwrap();
    target
        .client
        .batch_execute(&format!("grant all on all tables in schema {} to {role}", target.schema))
        .await
        .unwrap();
    target.client.batch_execute("begin; update dataflow_tokens set sequence = 0").await.unwrap();
    let url = target.url().replace("dataflow:dataflow@", &format!("{role}:weak@"));
    let sink: PostgresSink =
        serde_json::from_value(json!({"url": url, "table": "users", "fenceTimeout": "200ms"})).unwrap();
    let error = sink.build().open(&context("p"), open_lane(&fence("p", 2))).await.unwrap_err();
    assert!(
        matches!(&error, Error::Transient { code: "locked", message, .. } if message.contains("user dataflow")),
        "{error:?}"
    );
    target
        .client
        .batch_execute(&format!(
            "rollback; drop schema {} cascade; drop owned by {role}; drop role {role}",
            target.schema
        ))
        .await
        .unwrap();
}

/// Whoever keeps a commit waiting is named, whatever it is that is locked.
#[tokio::test]
async fn a_lock_that_a_commit_waits_for_names_its_holder() {
    for lock in ["lock table users", "update dataflow_tokens set sequence = sequence", "update users set name = 'b'"] {
        let setup = "create table users (id int primary key, name text)";
        let Some(mut target) = Target::new(setup, json!({})).await else { return };
        // Longer than it takes to look.
        target.more = json!({"url": format!("{}%20-clock_timeout%3D8s", target.url()), "key": "id"});
        let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
        let rows = [output(&demand, 0, &[(Some(1), Some("a"))])];
        writer.commit(&rows.clone().into(), &token(&fence("p", 1), 1)).await.unwrap();
        let holder = connect().await.unwrap();
        let pid: i32 = holder.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);
        let begin = format!("set application_name = 'night-job'; set search_path to {}; begin; {lock}", target.schema);
        holder.batch_execute(&begin).await.unwrap();
        let error = writer.commit(&rows.clone().into(), &token(&fence("p", 1), 2)).await.unwrap_err();
        let CommitError::Failed(Error::Transient { code: "locked", message, .. }) = &error else {
            panic!("{lock}: {error:?}")
        };
        let named = format!("session {pid} of user dataflow (night-job from ");
        assert!(message.contains(&named) && message.contains("idle in transaction"), "{lock}: {message}");
        holder.batch_execute("rollback").await.unwrap();
        target.drop().await;
    }
}
