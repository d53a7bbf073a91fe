//! The page about the lifecycle is what the code does.
use dataflow_core::pipeline::testing::{diagram, matrix, table};
use std::{fs, path::Path};

fn page() -> String {
    let table = table();
    format!(
        "# The life of a pipeline\n\n\
        Made from the code by `UPDATE_DOCS=1 cargo test -p dataflow-core lifecycle`; a test compares.\n\n\
        ```mermaid\n{}```\n\n\
        *running* has the status `running`, and so have *stopping*, *restarting* and *updating*: it was told to stop, and\n\
        what is under way is being settled. An update is made once it has stopped, in one step with the stop and the\n\
        start; one that can't be made then is refused, and the pipeline goes on as it was. *failed* and *retrying* have the\n\
        status `failed`; *retrying* is started again by the restart policy, or at once by an update of what it does. A deleted\n\
        pipeline's history stays, and its id may be used again.\n\n\
        ## What may happen when\n\n\
        **bold**: the phase that follows; `=`: taken, and the phase stays; `·`: changes nothing; *italic*: turned down\n\
        with this code. *opening* is a running pipeline whose run is not open yet. The run of the table is number 10;\n\
        \"an old run\" has a lower number, \"a new run\" a higher one. The pipeline of the table has an `http` source.\n\n{}",
        diagram(&table),
        matrix(&table)
    )
}

#[test]
fn the_page_is_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lifecycle.md");
    #[allow(clippy::disallowed_methods, reason = "a test's own switch, no setting of the product")]
    if std::env::var("UPDATE_DOCS").is_ok() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, page()).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page(),
        "docs/lifecycle.md is out of date: run UPDATE_DOCS=1 cargo test -p dataflow-core lifecycle"
    );
}
