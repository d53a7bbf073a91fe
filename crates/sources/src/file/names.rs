//! The names of files in positions, metadata and messages.
//!
//! A path is bytes, a name is text. A path that is UTF-8 is its own name; a byte that is not, a control character and a
//! backslash are written `\xE9`, `\x0A`, `\\`, so that no two paths have the same name, and a name can be printed.
use dataflow_core::position::{Partition, Positions};
use dataflow_sdk::Problem;
use std::{
    ffi::OsString,
    fs,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::{Component, Path, PathBuf},
};

/// The name of a path.
pub(super) fn name(path: &Path) -> String {
    let mut name = String::new();
    for chunk in path.as_os_str().as_bytes().utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '\\' => name.push_str("\\\\"),
                control if control.is_ascii_control() => escape(&mut name, control as u8),
                other => name.push(other),
            }
        }
        for byte in chunk.invalid() {
            escape(&mut name, *byte);
        }
    }
    name
}

fn escape(name: &mut String, byte: u8) {
    name.push_str(&format!("\\x{byte:02X}"));
}

/// The path that has a name.
pub(super) fn path(name: &str) -> PathBuf {
    let (mut bytes, mut rest) = (Vec::new(), name);
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let hex = rest.strip_prefix('x').and_then(|rest| rest.get(..2));
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte);
            rest = &rest[3..];
        } else {
            bytes.push(b'\\');
            rest = rest.strip_prefix('\\').unwrap_or(rest);
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    OsString::from_vec(bytes).into()
}

/// A path as it is given, without what makes no difference: `./in//a` is `in/a`.
pub(super) fn plain(path: impl AsRef<Path>) -> PathBuf {
    let parts = path.as_ref().components().filter(|part| *part != Component::CurDir);
    let plain: PathBuf = parts.collect();
    if plain.as_os_str().is_empty() { path.as_ref().to_owned() } else { plain }
}

/// The partition of a file: its name.
pub(super) fn partition(path: &Path) -> Partition {
    Partition(name(path).into())
}

/// What is wrong with positions that are `placed` beside those `before`: one file would have two of them, under different names.
pub(super) fn same_file(before: &Positions, placed: &Positions) -> Vec<Problem> {
    let file = |partition: &Partition| fs::metadata(path(&partition.0)).ok().map(|meta| (meta.dev(), meta.ino()));
    let is_one = |one: &Partition, other: &Partition| file(one).is_some_and(|one| file(other) == Some(one));
    let problem = |one: &Partition, other: &Partition, fix: String| {
        let message = format!("{one} and {other} are the same file, which is read once");
        Problem::new("to.positions", "bad-position", message).fix(fix)
    };
    let mut problems = Vec::new();
    for (at, one) in placed.keys().enumerate() {
        let twice = placed.keys().skip(at + 1).find(|other| is_one(one, other));
        let known = before.keys().find(|other| !placed.contains_key(*other) && is_one(one, other));
        problems.extend(twice.map(|other| problem(one, other, "give the position of one of them".into())));
        problems.extend(known.map(|known| problem(one, known, format!("give the position of {known}"))));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::ffi::OsStr;

    #[test]
    fn names_can_be_read() {
        for (bytes, expected) in [
            (b"logs/caf\xc3\xa9.jsonl".as_slice(), "logs/café.jsonl"),
            (b"logs/caf\xe9.jsonl", "logs/caf\\xE9.jsonl"),
            (b"a\nb", "a\\x0Ab"),
            (b"a\\xE9", "a\\\\xE9"),
        ] {
            assert_eq!(name(Path::new(OsStr::from_bytes(bytes))), expected);
        }
    }

    #[test]
    fn spellings_of_a_path_are_one() {
        for (given, expected) in [
            ("a", "a"),
            ("./a", "a"),
            (".//./b/./a", "b/a"),
            ("/x//y/./a", "/x/y/a"),
            ("//x/a", "/x/a"),
            ("/x/../a", "/x/../a"),
            (".", "."),
        ] {
            assert_eq!(plain(given), Path::new(expected), "{given}");
        }
    }

    proptest! {
        #[test]
        fn a_name_has_one_path(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'\\'), Just(b'x'), Just(b'E')], 0..12)) {
            let given = Path::new(OsStr::from_bytes(&bytes));
            prop_assert_eq!(path(&name(given)), given);
        }
    }
}
