//! Triggers and rules that may drop written rows: a commit counts what its statements report, so only a comparison
//! detects that.
use dataflow_sdk::batch::Warning;
use std::collections::BTreeSet;

/// Words that may stand between a verb and its table.
const BETWEEN: [&str; 10] = ["from", "only", "table", "into", "or", "ignore", "replace", "abort", "fail", "rollback"];

/// Splits SQL into words: lower case, names without quotes.
pub fn words(sql: &str) -> Vec<String> {
    let plain = sql.replace(['"', '`', '[', ']'], "");
    let words = plain.split(|letter: char| !letter.is_alphanumeric() && !matches!(letter, '_' | '$' | '.'));
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// Returns whether statements with these words delete or change rows of one of these tables, as far as their text
/// shows: dynamic SQL may delete from any table.
pub fn reach(words: &[String], tables: &[&str]) -> bool {
    let is_one = |word: &String| tables.iter().any(|table| word.rsplit('.').next() == Some(&*table.to_lowercase()));
    let deletes = |at: usize| match words[at].as_str() {
        "delete" => words.get(at + 1).is_some_and(|word| word == "from"),
        "truncate" => true,
        _ => false,
    };
    let mut composed = false;
    (0..words.len()).any(|at| {
        composed |= words[at] == "execute";
        let verb = deletes(at) || matches!(words[at].as_str(), "update" | "merge");
        let table = words[at + 1..].iter().find(|word| !BETWEEN.contains(&word.as_str()));
        verb && table.is_some_and(is_one) || composed && deletes(at)
    })
}

/// The warning about triggers and rules that may drop rows of a table.
pub fn warning(table: &str, by: &BTreeSet<String>) -> Option<Warning> {
    let names = by.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let message = format!(
        "table {table} may drop, divert or change rows that a commit counts as written ({names}): `dataflow verify` compares \
         the actual content"
    );
    (!by.is_empty()).then(|| Warning { code: "may-drop-rows", subject: table.into(), message, records: 0 })
}
