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

/// What a statement does to a table.
#[derive(Clone, Copy, Debug)]
pub struct Effect<'a> {
    /// `insert`, `replace` (which inserts, and deletes what is in the way), `update`, `delete`, `truncate` or `merge`.
    pub verb: &'a str,
    /// The name of the table, without its schema.
    pub table: &'a str,
}

/// Returns what statements with these words do, as far as their text shows.
pub fn effects(words: &[String]) -> impl Iterator<Item = Effect<'_>> {
    let mut last = "";
    words.iter().enumerate().filter_map(move |(at, verb)| {
        let next = words.get(at + 1).map_or("", String::as_str);
        let holds = match verb.as_str() {
            "delete" => next == "from",
            "insert" => matches!(next, "into" | "or"),
            "replace" => next == "into",
            "update" | "truncate" | "merge" => true,
            _ => false,
        };
        let table = words[at + 1..].iter().find(|word| !BETWEEN.contains(&word.as_str()))?;
        let table = match verb == "update" && table == "set" {
            // `insert … on conflict do update set …`
            true => last,
            false => table.rsplit('.').next()?,
        };
        if holds && verb == "insert" {
            last = table;
        }
        holds.then_some(Effect { verb, table })
    })
}

/// Returns whether statements with these words delete or change rows of one of these tables, as far as their text
/// shows: dynamic SQL may delete from any table.
pub fn reach(words: &[String], tables: &[&str]) -> bool {
    let is_one = |table: &str| tables.iter().any(|one| table == one.to_lowercase());
    let composed = words.iter().position(|word| word == "execute").unwrap_or(words.len());
    let deletes = |verb: &str| matches!(verb, "delete" | "truncate");
    effects(words).any(|Effect { verb, table }| verb != "insert" && is_one(table))
        || effects(&words[composed..]).any(|Effect { verb, .. }| deletes(verb))
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
