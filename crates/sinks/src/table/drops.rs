//! What triggers and rules may do to rows that were written: a commit counts what its statements report, so that only a
//! comparison tells.
use dataflow_sdk::batch::Warning;
use std::collections::BTreeSet;

/// What may stand between a verb and its table.
const BETWEEN: [&str; 10] = ["from", "only", "table", "into", "or", "ignore", "replace", "abort", "fail", "rollback"];

/// The words of SQL in lower case, names without their quotes.
pub fn words(sql: &str) -> Vec<String> {
    let plain = sql.replace(['"', '`', '[', ']'], "");
    let words = plain.split(|letter: char| !letter.is_alphanumeric() && !matches!(letter, '_' | '$' | '.'));
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// Whether statements of these words delete or change rows of one of these tables, as far as that can be told: what is put
/// together when they run may delete from any.
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

/// What is said of triggers and rules that may drop rows of a table.
pub fn warning(table: &str, by: &BTreeSet<String>) -> Option<Warning> {
    let names = by.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let message = format!(
        "table {table} may drop, divert or change rows that a commit counts as written ({names}): `dataflow verify` compares \
         what is there"
    );
    (!by.is_empty()).then(|| Warning { code: "may-drop-rows", subject: table.into(), message, records: 0 })
}
