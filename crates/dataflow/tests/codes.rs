//! The guide to codes lists each code that the program has, and no other.
#![allow(clippy::unwrap_used)]
use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// What looks like a code and is none: names of threads, headers, features, choices.
const OTHERS: [&str; 43] = [
    "0-9",
    "adult-users",
    "api-key",
    "big-decimal",
    "column-type",
    "content-type",
    "dataflow-cli",
    "dataflow-data",
    "dataflow-tokens",
    "dataflow-unchanged",
    "date-time",
    "dead-letters",
    "encoding-type",
    "fault-points",
    "idempotency-key",
    "journal-reader",
    "journal-writer",
    "kebab-case",
    "list-type",
    "max-keys",
    "no-cache",
    "not-ready",
    "proxy-authorization",
    "reset-checkpoint",
    "sink-token",
    "start-after",
    "take-over",
    "time-micros",
    "time-millis",
    "us-ascii",
    "us-east-1",
    "utf-8",
    "verify-ca",
    "verify-full",
    "verify-identity",
    "x-address",
    "x-gzip",
    "x-path",
    "x-problems",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "x-replaced",
    "x-secret",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The program's own source files, without those for tests only.
fn sources(folder: &Path, all: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !["tests", "testing", "testkit", "target"].contains(&name) {
                sources(&path, all);
            }
        } else if name.ends_with(".rs") && name != "tests.rs" && path.components().any(|part| part.as_os_str() == "src")
        {
            all.push(path);
        }
    }
}

/// What the sources say.
#[derive(Default)]
struct Found {
    /// Texts in the places of codes (after `code:`, as an argument of what makes errors and findings), and all in kebab-case.
    codes: BTreeSet<String>,
    /// All texts that could be codes.
    words: BTreeSet<String>,
}

fn search(tokens: TokenStream, found: &mut Found) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (at, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => {
                let of_test = at > 0 && matches!(&tokens[at - 1], TokenTree::Ident(name) if name == "tests");
                if of_test {
                    continue;
                }
                if let (Some(place), Delimiter::Parenthesis) = (place_of_code(&tokens[..at]), group.delimiter()) {
                    found.codes.extend(argument(group.stream(), place));
                }
                search(group.stream(), found);
            }
            TokenTree::Literal(literal) => {
                let Some(text) = text(&literal.to_string()) else { continue };
                if text.contains('-') || named_code(&tokens[..at]) {
                    found.codes.insert(text.clone());
                }
                found.words.insert(text);
            }
            _ => {}
        }
    }
}

/// Which argument of a call is a code, by the call's name.
fn place_of_code(before: &[TokenTree]) -> Option<usize> {
    let name = |back: usize| before.len().checked_sub(back).map(|at| before[at].to_string()).unwrap_or_default();
    match (name(4).as_str(), name(1).as_str()) {
        ("Problem", "new") => Some(1),
        ("Finding", "new") | ("Error", "fatal" | "transient" | "contradicts") | ("Failure", "decide") => Some(0),
        _ => None,
    }
}

fn named_code(before: &[TokenTree]) -> bool {
    matches!(before, [.., TokenTree::Ident(name), TokenTree::Punct(colon)] if name == "code" && colon.as_char() == ':')
}

fn argument(arguments: TokenStream, place: usize) -> Option<String> {
    let arguments: Vec<TokenTree> = arguments.into_iter().collect();
    let mut all = arguments.split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ','));
    match all.nth(place)? {
        [TokenTree::Literal(literal)] => text(&literal.to_string()),
        _ => None,
    }
}

/// A text that could be a code.
fn text(literal: &str) -> Option<String> {
    let text = literal.strip_prefix('"')?.strip_suffix('"')?;
    let words = |text: &str| {
        text.split('-')
            .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
    };
    words(text).then(|| text.to_owned())
}

#[test]
fn the_guide_lists_all_codes() {
    let mut files = Vec::new();
    sources(&root().join("crates"), &mut files);
    let mut found = Found::default();
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        search(source.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display())), &mut found);
    }
    let used: BTreeSet<&str> = found.codes.iter().map(String::as_str).filter(|code| !OTHERS.contains(code)).collect();
    assert!(used.contains("fenced") && used.contains("csv-fields"), "the search finds nothing: {used:?}");

    let guide = fs::read_to_string(root().join("docs/guides/errors.md")).unwrap();
    let rows = guide.lines().filter_map(|line| line.strip_prefix("| `"));
    let first = rows.map(|row| row.split_once(" |").unwrap().0);
    let told: BTreeSet<&str> = first.flat_map(|cell| cell.split(", ")).map(|code| code.trim_matches('`')).collect();
    let missing: Vec<_> = used.difference(&told).collect();
    let gone: Vec<_> = told.iter().filter(|code| !found.words.contains(**code)).collect();
    assert!(
        missing.is_empty() && gone.is_empty(),
        "not in docs/guides/errors.md: {missing:#?}\nin no source file: {gone:#?}"
    );
}
