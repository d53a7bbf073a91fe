//! Connections, and what a user may not do.
use crate::target::*;

#[tokio::test]
async fn a_token_table_that_can_not_be_made_shows_its_ddl() {
    let Some(target) = Target::new("create table users (id int, name text)", json!({})).await else { return };
    let role = format!("poor_{}", target.schema);
    let grant = format!(
        "create role {role} login password 'poor'; grant usage on schema {0} to {role}; grant all on users to {role}",
        target.schema
    );
    if target.client.batch_execute(&grant).await.is_err() {
        return; // the user of the tests may not make roles
    }
    let url = target.url().replace("dataflow:dataflow@", &format!("{role}:poor@"));
    let sink: PostgresSink = serde_json::from_value(json!({"url": url, "table": "users"})).unwrap();
    let error = sink.build().open(&context("p"), open_lane(&fence("p", 1))).await.unwrap_err();
    let Error::Fatal { code, fix: Some(fix), .. } = &error else { panic!("{error:?}") };
    assert_eq!(*code, "access-denied");
    assert!(fix.contains("create table") && fix.contains("dataflow_tokens") && fix.contains("primary key"), "{fix}");
    target
        .client
        .batch_execute(&format!("drop schema {} cascade; drop owned by {role}; drop role {role}", target.schema))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_connection_that_is_lost_is_made_anew() {
    let Some(target) = Target::new("create table users (id int, name text)", json!({})).await else { return };
    let Opened { mut writer, demand, .. } = target.try_open(1).await.unwrap();
    let application =
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'dataflow' and query like $1";
    target.client.query(application, &[&format!("%{}%", target.schema)]).await.unwrap();
    let mut sequence = 1;
    for attempt in 0.. {
        assert!(attempt < 20, "it does not recover");
        match writer
            .commit(&[output(&demand, 0, &[(Some(1), Some("a"))])].into(), &token(&fence("p", 1), sequence))
            .await
        {
            Ok(_) if sequence == 3 => break,
            Ok(_) => sequence += 1,
            Err(error) => {
                assert!(matches!(&error, CommitError::Failed(Error::Transient { .. })), "{error:?}");
                let opened = target.try_open(1).await.unwrap();
                sequence = opened.token.map_or(0, |token| token.sequence) + 1;
                writer = opened.writer;
            }
        }
    }
    assert_eq!(target.rows().await.len(), 3);
    target.drop().await;
}

#[tokio::test]
async fn servers_that_can_not_be_reached_are_named_without_the_password() {
    let open = |url: &str| {
        let sink: PostgresSink = serde_json::from_value(json!({"url": url, "table": "users"})).unwrap();
        async move { sink.build().open(&context("p"), open_lane(&fence("p", 1))).await.unwrap_err() }
    };
    let error = open("postgres://me:secret@127.0.0.1:1/db").await;
    assert!(matches!(&error, Error::Transient { code: "unreachable", .. }), "{error:?}");
    assert!(error.to_string().contains("127.0.0.1:1/db") && !error.to_string().contains("secret"), "{error}");
    if connect().await.is_none() {
        return;
    }
    let error = open(&SERVER.replace("/dataflow", "/nowhere_at_all")).await;
    assert!(error.code() == "access-denied" || error.code() == "database-missing", "{error:?}");
    let error = open("postgres://dataflow:dataflow@127.0.0.1:5432/nowhere_at_all").await;
    assert_eq!(error.code(), "database-missing", "{error}");
}

/// What a session was given when it began (a role's settings, the server it reached) is not kept beyond an opening.
#[tokio::test]
async fn settings_of_new_sessions_hold_from_the_next_opening_on() {
    let setup = "create table users (id int, name text)";
    let Some(mut target) = Target::new(setup, json!({})).await else { return };
    let role = format!("changing_{}", target.schema);
    let other = format!("{}_other", target.schema);
    let make = format!(
        "create role {role} login password 'changing'; create schema {other}; create table {other}.users (id int, name text); \
         grant all on schema {0}, {other} to {role}; grant all on users, {other}.users to {role}; \
         alter role {role} set search_path to {0}",
        target.schema
    );
    if target.client.batch_execute(&make).await.is_err() {
        return; // the user of the tests may not make roles
    }
    let url = SERVER.replace("dataflow:dataflow@", &format!("{role}:changing@"));
    target.more = json!({"url": url});
    let set = async |what: &str| {
        target.client.batch_execute(&format!("alter role {role} {what}")).await.unwrap();
    };
    let write = async |epoch: u64| {
        let mut opened = target.try_open(epoch).await.map_err(CommitError::from)?;
        let sequence = opened.token.map_or(0, |token| token.sequence) + 1;
        let rows = [output(&opened.demand, 0, &[(Some(1), Some("a"))])];
        opened.writer.commit(&rows.clone().into(), &token(&fence("p", epoch), sequence)).await
    };
    write(1).await.unwrap();
    set("set default_transaction_read_only to on").await;
    let error = write(2).await.unwrap_err();
    let CommitError::Failed(Error::Transient { code: "server-read-only", fix: Some(fix), .. }) = &error else {
        panic!("{error:?}")
    };
    assert!(fix.contains("default_transaction_read_only"), "{fix}");
    set("reset default_transaction_read_only").await;
    write(3).await.expect("it recovers");
    set(&format!("set search_path to {other}")).await;
    write(4).await.unwrap();
    assert_eq!(target.rows().await.len(), 2);
    assert_eq!(target.texts(&format!("select count(*)::text from {other}.users")).await, [Some("1".into())]);
    let end = format!(
        "drop schema {other} cascade; drop schema {} cascade; drop owned by {role}; drop role {role}",
        target.schema
    );
    target.client.batch_execute(&end).await.unwrap();
}

/// However many pipelines there are: a server that lets in few clients is never asked for more.
#[tokio::test]
async fn many_lanes_share_a_few_connections() {
    let Some(target) = Target::new("create table users (id bigint, name text)", json!({})).await else { return };
    let config = json!({"table": "users", "url": format!("{}&application_name={}", target.url(), target.schema), "maxConnections": 3});
    let sink: PostgresSink = serde_json::from_value(config).unwrap();
    let lanes = (0..50).map(|lane| {
        let (sink, fence) = (sink.clone().build(), fence(&format!("p{lane}"), 1));
        async move { (lane, sink.open(&context("p"), open_lane(&fence)).await.unwrap(), fence) }
    });
    let lanes = futures::future::join_all(lanes).await;
    let sessions = async || {
        let count = "select count(*) from pg_stat_activity where application_name = $1";
        target.client.query_one(count, &[&target.schema]).await.unwrap().get::<_, i64>(0)
    };
    // Each opening has the sessions from before it replaced, and the server takes a while to end those.
    while sessions().await > 3 {}
    let work = futures::future::join_all(lanes.into_iter().map(async |(lane, mut opened, fence)| {
        for sequence in 1..=5 {
            let rows = [output(&opened.demand, 0, &[(Some(lane), Some("a"))])];
            opened.writer.commit(&rows.clone().into(), &token(&fence, sequence)).await.unwrap();
        }
    }));
    let mut most = 0;
    let watch = async {
        loop {
            most = most.max(sessions().await);
        }
    };
    tokio::select! {
        _ = work => {}
        _ = watch => {}
    }
    assert_eq!(target.texts("select count(*)::text from users").await, [Some("250".into())]);
    assert!((1..=3).contains(&most), "{most}");
    target.drop().await;
}
