//! The quick start of the README, word for word and twice in a row: only the port is another, and the program is the one
//! under test.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "the shell is looked for where the tests look for it")]
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// The commands of a section's `sh` blocks, in order.
fn commands(section: &str) -> Vec<String> {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let (_, rest) = readme.split_once(&format!("\n{section}\n")).unwrap();
    let section = rest.split("\n#").next().unwrap();
    let blocks = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

/// A fresh clone, as far as the quick start needs one.
fn fresh_clone() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("examples")).unwrap();
    for entry in fs::read_dir(Path::new(ROOT).join("examples")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), folder.path().join("examples").join(entry.file_name())).unwrap();
    }
    folder
}

fn shell(clone: &Path, line: &str) -> Command {
    let program: PathBuf = env!("CARGO_BIN_EXE_dataflow").into();
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(clone).env("PATH", path).stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DATAFLOW_")) {
        shell.env_remove(name);
    }
    shell
}

/// The node that the quick start leaves running; killed with the value.
struct Node(Child);

impl Node {
    /// Starts it on a port of its own; where it listens.
    fn start(clone: &Path, line: &str) -> (Self, String) {
        let mut command = shell(clone, &format!("exec {line}"));
        command.env("DATAFLOW_LISTEN", "127.0.0.1:0").stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let address = said.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{said:?}"));
        (Self(child), address.to_owned())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _killed = self.0.kill();
        let _gone = self.0.wait();
    }
}

#[test]
fn the_quick_start_runs_word_for_word_and_twice() {
    let clone = fresh_clone();
    let commands = commands("## Quick start");
    assert!(commands.len() >= 10, "{commands:#?}");
    for round in 1..=2 {
        let mut node: Option<(Node, String)> = None;
        for line in &commands {
            // What builds the program is not repeated: it is the one under test.
            if line.starts_with("cargo build") || line.starts_with("export PATH") {
                continue;
            }
            if line.starts_with("dataflow serve") {
                node = Some(Node::start(clone.path(), line));
                continue;
            }
            let (_, address) = node.as_ref().expect("a node is started first");
            let mut command = shell(clone.path(), &line.replace("127.0.0.1:8080", address));
            let output = command.env("DATAFLOW_SERVER", format!("http://{address}")).output().unwrap();
            let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            // The records that are broken on purpose end what looks at the outcome with 3.
            let outcome = line.starts_with("dataflow pipeline watch");
            let expected = if outcome { 3 } else { 0 };
            assert_eq!(output.status.code(), Some(expected), "round {round}: {line}\n{stdout}\n{stderr}");
            assert!(!stdout.contains("\"problems\":[{"), "round {round}: {line}\n{stdout}");
            if line.contains("dead-letters list adult-users") {
                assert!(stdout.lines().count() > 10, "round {round}: {line}\n{stdout}");
            }
        }
    }
}
