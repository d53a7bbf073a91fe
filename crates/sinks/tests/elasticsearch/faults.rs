//! What is no fault of a document: nothing becomes a dead letter, and it goes on once that is mended.
use crate::target::{Target, ask, on_each, output, write};
use dataflow_core::pipeline::event::LaneProgress;
use dataflow_sdk::{Error, sink::OpenLane};
use dataflow_testkit::fixture::{fence, open_lane, token};
use dataflow_testkit::own::gate::{self, Rules};
use dataflow_testkit::proxy::Proxy;
use serde_json::{Value, json};
use std::sync::Arc;

const ONE: Option<&str> = Some(r#"{"n":1}"#);

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_or_closed_index_is_waited_for() {
    on_each(|url| async move {
        let target = Target::new(url, json!({}));
        let mut writer = target.open().await.unwrap().writer;
        let mut sequence = 0;
        for (path, block, unblock, code) in [
            ("/_settings", json!({"index.blocks.write": true}), json!({"index.blocks.write": null}), "index-blocked"),
            (
                "/_settings",
                json!({"index.blocks.read_only": true}),
                json!({"index.blocks.read_only": null}),
                "index-blocked",
            ),
            // What a server sets where the disk is full.
            (
                "/_settings",
                json!({"index.blocks.read_only_allow_delete": true}),
                json!({"index.blocks.read_only_allow_delete": null}),
                "index-blocked",
            ),
            ("/_close", Value::Null, Value::Null, "index-closed"),
        ] {
            sequence += 1;
            let id = sequence.to_string();
            let rows = [(Some(id.as_str()), ONE)];
            let method = if path == "/_close" { "POST" } else { "PUT" };
            ask(method, &target.at(path), block.clone()).await;
            let error =
                write(&mut *writer, output(&rows), sequence).await.err().unwrap_or_else(|| panic!("{url}: {block}"));
            assert!(matches!(error, Error::Transient { fix: Some(_), .. }), "{url} {block}: {error:?}");
            assert_eq!(error.code(), code, "{url}: {error}");
            let Error::Transient { fix: Some(fix), .. } = &error else { unreachable!() };
            let full = block.to_string().contains("allow_delete");
            assert!(fix.contains(if full { "free disk space" } else { target.index.as_str() }), "{url}: {fix}");
            ask(method, &target.at(if path == "/_close" { "/_open" } else { path }), unblock).await;
            write(&mut *writer, output(&rows), sequence).await.unwrap();
            assert_eq!(target.documents().await.len() as u64, sequence, "{url}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_no_ids_is_refused_at_once() {
    on_each(|url| async move {
        let (one, two) = (Target::new(url, json!({})), Target::new(url, json!({})));
        for index in [&one, &two] {
            ask("PUT", &index.at(""), json!({})).await;
        }
        let alias = |name: &str, indices: &[&Target]| {
            let add = indices.iter().map(|of| json!({"add": {"index": of.index, "alias": name}}));
            json!({"actions": add.collect::<Vec<_>>()})
        };
        let of_two = Target::new(url, json!({}));
        ask("POST", &format!("{url}/_aliases"), alias(&of_two.index, &[&one, &two])).await;
        assert_eq!(of_two.open().await.unwrap_err().code(), "unsupported", "{url}");
        let of_one = Target::new(url, json!({}));
        ask("POST", &format!("{url}/_aliases"), alias(&of_one.index, &[&one])).await;
        assert!(of_one.write(vec![(Some("a"), ONE)]).await.is_empty());
        assert_eq!(one.documents().await.len(), 1, "{url}: an alias of one index will do");

        let stream = Target::new(url, json!({}));
        let template = format!("{url}/_index_template/{}", stream.index);
        ask("PUT", &template, json!({"index_patterns": [stream.index], "data_stream": {}, "priority": 300})).await;
        let error = stream.open().await.unwrap_err();
        assert_eq!(error.code(), "unsupported", "{url}: {error}");
        ask("DELETE", &format!("{url}/_data_stream/{}", stream.index), Value::Null).await;
        ask("DELETE", &template, Value::Null).await;
    })
    .await;
}

/// Whoever deletes the index, or makes it anew, deletes what was delivered.
#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_is_gone_or_another_one_is_told_of() {
    on_each(|url| async move {
        let target = Target::new(url, json!({}));
        let opened = target.open().await.unwrap();
        let (mut writer, handle) = (opened.writer, opened.handle.unwrap());
        write(&mut *writer, output(&[(Some("a"), ONE)]), 1).await.unwrap();
        let counters = token(&fence("p", 1), 1).with_rows(1).counters;
        let progress = LaneProgress { sequence: 1, counters, handle: Some(handle.clone()), ..LaneProgress::default() };
        let again = || OpenLane { first: false, journalled: Some(progress.clone()), ..open_lane(&fence("p", 2)) };
        let opened = target.open_as(again()).await.unwrap();
        assert_eq!(opened.handle, None, "{url}: it is as it was");
        ask("DELETE", &target.at(""), Value::Null).await;
        let error = target.open_as(again()).await.unwrap_err();
        assert!(matches!(error, Error::Contradicts { code: "index-missing", .. }), "{url}: {error:?}");
        ask("PUT", &target.at(""), json!({})).await;
        let error = target.open_as(again()).await.unwrap_err();
        assert!(matches!(error, Error::Contradicts { code: "index-replaced", .. }), "{url}: {error:?}");
        // A user has decided: the generation begins anew.
        let opened = target.open_as(OpenLane { journalled: None, remembered: Some(handle), ..again() }).await.unwrap();
        assert!(opened.handle.is_some(), "{url}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_is_not_made_where_the_server_makes_none() {
    on_each(|url| async move {
        let target = Target::new(url, json!({}));
        let settings = format!("{url}/_cluster/settings");
        let auto = |value: Value| json!({"persistent": {"action.auto_create_index": value}});
        ask("PUT", &settings, auto(json!(format!("-{},*", target.index)))).await;
        let error = target.open().await.err();
        let mut asked = Target::new(url, json!({"createIndex": {}}));
        asked.index.clone_from(&target.index);
        let made = asked.open().await.map(drop);
        ask("PUT", &settings, auto(Value::Null)).await;
        assert_eq!(error.map(|error| error.code()), Some("index-missing"), "{url}");
        assert!(made.is_ok(), "{url}: {made:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_out_of_reach_is_waited_for_and_the_next_one_asked() {
    on_each(|url| async move {
        let nobody = "http://127.0.0.1:9";
        let target = Target::new(url, json!({"url": nobody}));
        let error = target.open().await.unwrap_err();
        assert_eq!(error.code(), "unreachable", "{error}");
        let target = Target::new(url, json!({"url": [nobody, url]}));
        assert!(target.write(vec![(Some("a"), ONE)]).await.is_empty());
        assert_eq!(target.documents().await.len(), 1);
        // One that goes under a run.
        let first = Proxy::start(url.trim_start_matches("http://").parse().unwrap()).unwrap();
        let target = Target::new(url, json!({"url": [format!("http://{}", first.address()), url.to_owned()]}));
        let mut writer = target.open().await.unwrap().writer;
        write(&mut *writer, output(&[(Some("a"), ONE)]), 1).await.unwrap();
        drop(first);
        let mut gone = 0;
        while let Err(error) = write(&mut *writer, output(&[(Some("b"), ONE)]), 2).await {
            assert!(matches!(error, Error::Transient { .. }) && gone < 2, "{url}: {error:?}");
            gone += 1;
            writer = target.open().await.unwrap().writer;
        }
        assert_eq!(target.documents().await.len(), 2, "{url}");
        // Something else than a search server.
        let target = Target::new(url, json!({"url": "http://127.0.0.1:9000"}));
        assert!(matches!(target.open().await.unwrap_err(), Error::Fatal { .. }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_is_sent_whole_and_a_wrong_one_is_told_of() {
    on_each(|url| async move {
        let encoded = "Basic dXM6ZXI6cEBzcy93w7ZyZCM="; // us:er:p@ss/wörd#
        let key = "ApiKey aWQ6a2V5"; // id:key
        for (more, login) in [
            (json!({"user": "us:er", "password": "p@ss/wörd#"}), encoded),
            (json!({"in": "us%3Aer:p%40ss%2Fw%C3%B6rd%23@"}), encoded),
            (json!({"apiKey": "aWQ6a2V5"}), key),
            (json!({"apiKey": "id:key"}), key),
        ] {
            let gate = gate::open(url, Arc::new(Rules { login: Some(login).into(), ..Rules::default() })).await;
            let mut more = more;
            let user = more["in"].as_str().unwrap_or_default().to_owned();
            more.as_object_mut().unwrap().shift_remove("in");
            more["url"] = json!(gate.replace("http://", &format!("http://{user}")));
            let target = Target::new(url, more);
            assert!(target.write(vec![(Some("a"), ONE)]).await.is_empty());
            assert_eq!(target.documents().await.len(), 1, "{url} {login}");
            let wrong = Target::new(url, json!({"url": gate, "user": "u", "password": "secret"}));
            let error = wrong.open().await.unwrap_err();
            assert_eq!(error.code(), "login-failed", "{error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_sent_in_parts() {
    on_each(|url| async move {
        let rules = Arc::new(Rules { most: Some(4_000), ..Rules::default() });
        let target = Target::new(url, json!({"url": gate::open(url, rules.clone()).await}));
        let large = format!("{{\"text\":\"{}\"}}", "x".repeat(5_000));
        let ids: Vec<String> = (0..300).map(|id| format!("{id:03}")).collect();
        let rows = ids
            .iter()
            .enumerate()
            .map(|(row, id)| (Some(id.as_str()), Some(if row == 77 { &*large } else { r#"{"n":1}"# })));
        let refused = target.write(rows.collect()).await;
        assert_eq!(refused.keys().copied().collect::<Vec<_>>(), [77], "{refused:?}");
        assert!(refused[&77].contains("too large"), "{refused:?}");
        assert_eq!(target.documents().await.len(), 299, "{url}");
        // What is known to be too much is not tried.
        let rules = Arc::new(Rules::default());
        let gate = gate::open(url, rules.clone()).await;
        let target = Target::new(url, json!({"url": gate, "maxRequestBytes": 4_000}));
        target.write(ids.iter().map(|id| (Some(id.as_str()), ONE)).collect()).await;
        assert!(*rules.largest.lock().unwrap() <= 4_000);
        assert_eq!(target.documents().await.len(), 300, "{url}");
    })
    .await;
}

/// A whole request is the run's to repeat; of one that gets on, what is left is sent at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_is_asked_again() {
    on_each(|url| async move {
        for status in [429, 503] {
            let rules = Rules { turned_away: Some((3.into(), status)), ..Rules::default() };
            let target = Target::new(url, json!({"url": gate::open(url, Arc::new(rules)).await}));
            let (_, again) = target.write_again(&output(&[(Some("a"), ONE), (Some("b"), ONE)])).await;
            assert_eq!((target.documents().await.len(), again), (2, 3), "{url} {status}");
        }
        let rules = Rules { room: Some(3), ..Rules::default() };
        let target = Target::new(url, json!({"url": gate::open(url, Arc::new(rules)).await}));
        let ids: Vec<String> = (0..7).map(|id| id.to_string()).collect();
        let mut rows: Vec<_> = ids.iter().map(|id| (Some(id.as_str()), ONE)).collect();
        rows.push((Some("0"), Some(r#"{"n":2}"#)));
        let (committed, again) = target.write_again(&output(&rows)).await;
        let found = target.documents().await;
        assert_eq!((committed.rows_written, found.len(), again), (8, 7, 0), "{url}");
        assert_eq!(found[0].source, r#"{"n":2}"#, "{url}: in their order");
        // A proxy without a server behind it: nothing is known of the request.
        let rules = Rules { turned_away: Some((1.into(), 502)), ..Rules::default() };
        let target = Target::new(url, json!({"url": gate::open(url, Arc::new(rules)).await}));
        let mut writer = target.open().await.unwrap().writer;
        let error = write(&mut *writer, output(&[(Some("a"), ONE)]), 1).await.unwrap_err();
        assert!(matches!(error, Error::Transient { code: "unavailable", .. }), "{error:?}");
    })
    .await;
}

/// One of two indices has no shard: its documents are sent again, in their order.
#[tokio::test(flavor = "multi_thread")]
async fn documents_without_a_shard_are_sent_again() {
    on_each(|url| async move {
        let (there, lacks) = (Target::new(url, json!({})), Target::new(url, json!({})));
        let nowhere = json!({"settings": {"index.routing.allocation.require.box": "none", "number_of_replicas": 0}});
        ask("PUT", &format!("{}?wait_for_active_shards=0", lacks.at("")), nowhere).await;
        ask("PUT", &there.at(""), json!({})).await;
        let target = Target::new(url, json!({"index": "{index}", "requestTimeout": "4s"}));
        let mut rows = output(&[(Some("a"), ONE), (Some("b"), ONE), (Some("c"), ONE), (Some("b"), Some(r#"{"n":2}"#))]);
        let names = [&there.index, &lacks.index, &there.index, &lacks.index];
        rows.side = vec![Arc::new(arrow::array::StringArray::from_iter_values(names))];
        let mut writer = target.open().await.unwrap().writer;
        let error = write(&mut *writer, rows.clone(), 1).await.unwrap_err();
        assert!(matches!(error, Error::Transient { code: "busy" | "timed-out", .. }), "{url}: {error:?}");
        ask("PUT", &lacks.at("/_settings"), json!({"index.routing.allocation.require.box": null})).await;
        let (committed, _) = target.write_again(&rows).await;
        assert_eq!(committed.rows_written, 4, "{url}");
        assert_eq!(there.documents().await.len(), 2, "{url}");
        let found = lacks.documents().await;
        assert_eq!(
            found.iter().map(|doc| doc.source.as_str()).collect::<Vec<_>>(),
            [r#"{"n":2}"#],
            "{url}: in their order"
        );
    })
    .await;
}

/// A record of a past month holds its lane up, and the message says which index to open.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_index_that_a_record_names_is_told_of() {
    on_each(|url| async move {
        let (open, closed) = (Target::new(url, json!({})), Target::new(url, json!({})));
        for index in [&open, &closed] {
            ask("PUT", &index.at(""), json!({})).await;
        }
        ask("POST", &closed.at("/_close"), Value::Null).await;
        let target = Target::new(url, json!({"index": "{index}"}));
        let mut rows = output(&[(Some("a"), ONE), (Some("b"), ONE)]);
        rows.side = vec![Arc::new(arrow::array::StringArray::from_iter_values([&open.index, &closed.index]))];
        let mut writer = target.open().await.unwrap().writer;
        let error = write(&mut *writer, rows.clone(), 1).await.unwrap_err();
        let Error::Transient { code: "index-closed", fix: Some(fix), .. } = &error else { panic!("{url}: {error:?}") };
        assert!(fix.contains(&closed.index), "{url}: {fix}");
        ask("POST", &closed.at("/_open"), Value::Null).await;
        write(&mut *writer, rows, 1).await.unwrap();
        assert_eq!((open.documents().await.len(), closed.documents().await.len()), (1, 1), "{url}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_a_path() {
    on_each(|url| async move {
        let gate = gate::open(url, Arc::new(Rules { prefix: "/search/es", ..Rules::default() })).await;
        let target = Target::new(url, json!({"url": format!("{gate}/search/es/")}));
        assert!(target.write(vec![(Some("a"), ONE)]).await.is_empty());
        assert_eq!(target.documents().await.len(), 1, "{url}");
    })
    .await;
}
