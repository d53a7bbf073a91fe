//! The process itself: its folder, its address, its settings.
use crate::program::{dataflow, output, start};
use std::{fs, os::unix::fs::PermissionsExt, process::Stdio};

#[tokio::test]
async fn a_folder_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let node = start(folder.path());
    assert_eq!(fs::metadata(folder.path().join("node")).unwrap().permissions().mode() & 0o777, 0o700);
    let (code, _, stderr) = output(&["serve", "--listen", "127.0.0.1:0", "--data-dir", path]);
    assert_eq!(code, 1);
    assert!(stderr.contains(&format!("in use by process {}", node.pid())) && stderr.contains(path), "{stderr}");
    // The first one noticed nothing.
    assert_eq!(node.get("/health/live").await["status"], "live");
    node.kill();
    start(folder.path());
}

#[tokio::test]
async fn an_address_in_use_is_told_with_what_to_do() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = start(one.path());
    let address = node.url.trim_start_matches("http://");
    for command in ["serve", "demo"] {
        let (code, _, stderr) = output(&[command, "--listen", address, "--data-dir", other.path().to_str().unwrap()]);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains(address) && stderr.contains("--listen"), "{stderr}");
    }
}

#[test]
fn it_does_not_listen_beyond_loopback() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, stderr) = output(&["serve", "--listen", "0.0.0.0:0", "--data-dir", folder.path().to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(stderr.contains("no authentication"), "{stderr}");
    assert!(!folder.path().join("node").exists());
}

#[test]
fn wrong_settings_are_told_all_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("dataflow.toml");
    fs::write(&config, "listn = \"x\"\n[connections.kafkaa.default]\nbrokers = \"a:1\"\n").unwrap();
    let data = folder.path().join("data");
    let mut serve = dataflow(&["serve", "--config", config.to_str().unwrap(), "--listen", "127.0.0.1:0"]);
    let output = serve.env("DATAFLOW_DATA_DIR", &data).stdin(Stdio::null()).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("did you mean \"listen\""), "{stderr}");
    assert!(stderr.contains("connections.kafkaa") && stderr.contains("did you mean \"kafka\""), "{stderr}");
    assert!(!data.exists(), "what is wrong leaves nothing behind");
}

#[test]
fn a_journal_that_is_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("node")).unwrap();
    fs::write(folder.path().join("node/journal.db"), "this is no database, but long enough to be looked at").unwrap();
    let (code, _, stderr) =
        output(&["serve", "--listen", "127.0.0.1:0", "--data-dir", folder.path().to_str().unwrap()]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("journal.db"), "{stderr}");
}

#[test]
fn the_demo_ends_by_itself_and_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let (code, stdout, stderr) =
            output(&["demo", "--exit", "--listen", "127.0.0.1:0", "--data-dir", folder.path().to_str().unwrap()]);
        assert_eq!(code, 0, "{stdout}{stderr}");
        assert!(stdout.contains("10,000  records read") && stdout.contains("the ledger balances"), "{stdout}");
    }
}
