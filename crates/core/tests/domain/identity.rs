use dataflow_core::{
    branch::BranchId,
    id::{CommandId, PipelineId, RunId, TraceParent},
    ledger::Counters,
    position::{Partition, Position},
    problem::Problem,
    shard::{SHARDS, ShardId},
    time::Timestamp,
};
use std::collections::BTreeMap;

#[test]
fn pipeline_ids_are_slugs() {
    let longest = "a".repeat(128);
    for good in ["a", "User-Events_2.v1", "7", longest.as_str()] {
        assert_eq!(PipelineId::try_from(good).unwrap().as_str(), good);
    }
    let too_long = "a".repeat(129);
    for bad in ["", "-a", ".", "a b", "a/b", "ä", "a\n", too_long.as_str()] {
        assert!(PipelineId::try_from(bad).is_err(), "{bad:?}");
        assert!(serde_json::from_value::<PipelineId>(bad.into()).is_err(), "{bad:?}");
    }
    let error = PipelineId::try_from("a b").unwrap_err().to_string();
    assert_eq!(error, "pipelineId may contain letters, digits, '-', '_' and '.', but not ' '");
}

#[test]
fn command_ids_are_printable() {
    assert!(CommandId::try_from("6f1c 世界").is_ok());
    let too_long = "a".repeat(201);
    for bad in ["", "a\tb", "\u{7f}", too_long.as_str()] {
        assert!(CommandId::try_from(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn ids_are_plain_json() {
    let id = PipelineId::try_from("orders").unwrap();
    assert_eq!(serde_json::to_string(&id).unwrap(), "\"orders\"");
    assert_eq!(serde_json::to_string(&RunId(7).next()).unwrap(), "8");
}

#[test]
fn branches_are_numbers_of_a_pipeline() {
    let orders = PipelineId::try_from("orders").unwrap();
    for (number, key) in [(0, "orders"), (1, "orders/1"), (4_294_967_295, "orders/4294967295")] {
        let branch = BranchId::new(orders.clone(), number);
        assert_eq!((branch.as_str(), branch.pipeline(), branch.number()), (key, &orders, number));
        assert_eq!(BranchId::try_from(key).unwrap(), branch);
        assert_eq!(serde_json::to_value(&branch).unwrap(), key);
    }
    for bad in
        ["", "/1", "orders/", "orders/0", "orders/01", "orders/+1", "orders/1/1", "orders/x", "orders/4294967296"]
    {
        assert!(BranchId::try_from(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_shard_follows_from_the_id_for_ever() {
    let shard = |id: &str| ShardId::of(&PipelineId::try_from(id).unwrap()).0;
    // Part of the stored format: these never change.
    insta::assert_json_snapshot!(["a", "b", "orders", "user-events-pipeline"].map(|id| (id, shard(id))));
    let used: std::collections::BTreeSet<_> = (0..10_000).map(|n| shard(&format!("pipeline-{n}"))).collect();
    assert_eq!(used.len(), SHARDS);
    assert_eq!(ShardId::all().count(), SHARDS);
}

#[test]
fn positions_are_numbers_where_they_can_be() {
    assert_eq!(Position::offset(u64::MAX).as_offset(), Some(u64::MAX));
    let file = Position::offset(4096).of("66306:131:5f3c");
    assert_eq!((file.as_offset(), file.to_string()), (Some(4096), "4096".into()));
    let other = Position { at: "2026-01-01/7".into(), identity: None };
    assert_eq!(other.as_offset(), None);
    assert_ne!(file, Position::offset(4096));
    for position in [file, other] {
        let json = serde_json::to_string(&position).unwrap();
        assert_eq!(serde_json::from_str::<Position>(&json).unwrap(), position);
    }
    let map = BTreeMap::from([(Partition::from("a/0"), 1)]);
    assert_eq!(map.get("a/0"), Some(&1));
}

#[test]
fn time_does_not_wrap() {
    assert_eq!(Timestamp(-1).seconds(), -1);
    assert_eq!(Timestamp(1_999).seconds(), 1);
    assert_eq!(Timestamp(1).plus_millis(i64::MAX), Timestamp(i64::MAX));
}

#[test]
fn a_ledger_balances_if_each_record_has_one_fate() {
    let counters =
        Counters { read: 10, filtered: 1, delivered: 4, absorbed: 2, dead: 2, lost: 1, ..Counters::default() };
    assert!(counters.balances());
    let mut sum = counters;
    sum.add(&counters);
    assert_eq!((sum.read, sum.lost), (20, 2));
    assert!(sum.balances());
    assert!(!Counters { delivered: 5, ..counters }.balances());
}

#[test]
fn a_problem_is_seen_from_one_level_up() {
    let path = |path: &str, prefix| Problem::new(path, "code", "message").under(prefix).path;
    assert_eq!(path("", "source"), "source");
    assert_eq!(path("path", "source"), "source.path");
    assert_eq!(path("[0].condition", "transforms"), "transforms[0].condition");
    assert_eq!(path("path", ""), "path");
    let problem = Problem::new("a", "code", "is wrong").fix("mend it");
    assert_eq!(problem.to_string(), "a: is wrong (mend it)");
}

#[test]
fn a_traceparent_is_one_of_version_00_that_names_a_trace_and_a_span() {
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert_eq!(TraceParent::try_from(good).unwrap().as_str(), good);
    for bad in [
        "",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
    ] {
        assert!(TraceParent::try_from(bad).is_err(), "{bad}");
    }
}
