//! Parquet and Avro files through the whole program: killed at commits, each row arrives once, in the types of its columns, and `verify` proves
//! it.
use crate::program::{is, output, program, query};
use dataflow_testkit::fault_points::VARIABLE;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn each_row_arrives_once_whatever_is_killed() {
    for name in ["groups.parquet", "blocks.avro"] {
        let folder = tempfile::tempdir().unwrap();
        let (database, data) = (folder.path().join("rows.db"), folder.path().join("data"));
        let path = format!("{}/../sources/tests/tables/{name}", env!("CARGO_MANIFEST_DIR"));
        let spec = json!({
            "pipelineId": "rows",
            "source": {"type": "file", "path": path},
            "sink": {"type": "sqlite", "path": database, "table": "rows", "mode": "append"},
            "batch": {"maxRecords": 13},
            "checkpointInterval": "10ms",
        });
        let fault = |fault| program().try_node(&data, &[], &[(VARIABLE, fault)]);
        let mut node = fault("after:sink-commit@2=kill").unwrap();
        node.create_and_start(&spec).await;
        assert!(!node.ended().success());
        // In the middle of a row group, and of a block.
        let written = query(&database, "select count(*) from rows");
        assert!((1..1_000).contains(&written) && written % 100 != 0, "{written}");
        // It goes on by itself, and may fall before it listens.
        let again = fault("before:sink-commit@1=kill").map_or_else(|status| status, |mut node| node.ended());
        assert!(!again.success());
        let node = program().node_with(&data, &[], &[]);
        node.until("rows", "completed", is("completed")).await;
        assert_eq!(query(&database, "select count(*) from rows"), 1_000, "{name}");
        assert_eq!(
            query(&database, "select count(distinct id) + max(id) from rows where typeof(id) = 'integer'"),
            1_999
        );
        let verify = || output(&["verify", "rows", "--server", &node.url, "--output", "json"]);
        let (code, stdout, stderr) = tokio::task::block_in_place(verify);
        let report: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stderr}"));
        assert_eq!((code, &report["verified"]), (0, &json!(true)), "{report:#}");
    }
}
