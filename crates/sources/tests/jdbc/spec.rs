//! What can be seen of a spec without asking its database.
use dataflow_sdk::SourceConfig;
use dataflow_sources::jdbc::JdbcSource;
use serde_json::{Value, json};

#[test]
fn all_that_is_wrong_with_a_spec_is_found_at_once() {
    let found = |config: Value| -> Vec<String> {
        let config: JdbcSource = serde_json::from_value(config).unwrap();
        let mut paths: Vec<_> =
            config.check().into_iter().map(|problem| format!("{}: {}", problem.path, problem.code)).collect();
        paths.sort();
        paths
    };
    let url = "postgres://u@h/d";
    for (config, expected) in [
        (json!({"url": url, "table": "a", "mode": "bulk"}), vec![]),
        (
            json!({"url": "jdbc:sqlserver://h", "mode": "incrementing", "timestampColumn": "at", "pollInterval": "0s", "fetchSize": 0, "keyColumns": []}),
            vec![
                "fetchSize: out-of-range",
                "incrementingColumn: missing-field",
                "keyColumns: too-few",
                "pollInterval: out-of-range",
                "table: missing-field",
                "timestampColumn: contradiction",
                "url: unsupported",
            ],
        ),
        (json!({"url": url, "query": "select 1", "mode": "bulk"}), vec!["keyColumns: missing-field"]),
        (
            json!({"url": url, "query": "select 1", "table": "a", "mode": "timestamp+incrementing"}),
            vec!["incrementingColumn: missing-field", "query: contradiction", "timestampColumn: missing-field"],
        ),
        (json!({"table": "a", "mode": "bulk", "delay": "1s"}), vec!["delay: contradiction", "url: missing-field"]),
        (json!({"url": "sqlite:/data/a.db", "table": "a.b.c", "mode": "bulk"}), vec![]),
        (
            json!({"url": "jdbc:sqlite:a.db?cache=shared", "table": "a", "mode": "bulk", "tls": {}}),
            vec!["url: unsupported"],
        ),
        (json!({"url": "sqlite:a.db", "table": "a", "mode": "bulk", "tls": {}}), vec!["tls: contradiction"]),
        (json!({"url": "sqlite::memory:", "table": "a", "mode": "bulk"}), vec!["url: invalid-value"]),
        (json!({"url": url, "table": "a.b.c", "mode": "bulk"}), vec!["table: invalid-value"]),
        (json!({"url": "jdbc:mariadb://h/d?user=u&password=p", "table": "a", "mode": "bulk", "tls": {}}), vec![]),
        (
            json!({"url": "mysql://u@h/d?sslMode=DISABLED", "table": "a.b.c", "mode": "bulk", "tls": {}}),
            vec!["table: invalid-value", "tls: contradiction"],
        ),
        (json!({"url": "mysql://u@h", "table": "a", "mode": "bulk"}), vec!["url: invalid-value"]),
    ] {
        assert_eq!(found(config.clone()), expected, "{config}");
    }
}
