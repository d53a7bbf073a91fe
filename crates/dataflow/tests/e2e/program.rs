//! The program under test.
use dataflow_testkit::program::Program;
pub(crate) use dataflow_testkit::program::{Node, assert_balanced, count, is, signal_to, wait};
use std::{path::Path, process::Command};

pub(crate) fn program() -> Program {
    Program::at(env!("CARGO_BIN_EXE_dataflow"))
}

/// The program with these arguments.
pub(crate) fn dataflow(args: &[&str]) -> Command {
    program().command(args)
}

/// What the program printed and how it ended.
pub(crate) fn output(args: &[&str]) -> (i32, String, String) {
    program().output(args)
}

/// A node on a free port that listens.
pub(crate) fn start(folder: &Path) -> Node {
    program().node(folder)
}

/// One value of a SQLite file.
pub(crate) fn query(database: &Path, sql: &str) -> i64 {
    let connection =
        rusqlite::Connection::open_with_flags(database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}
