//! Compressed files beside those that they may have been made of.
use super::{
    once::{ALL, Reading, lines},
    *,
};

fn pack(name: &str, text: &str) -> Vec<u8> {
    if name.ends_with("zst") { zstd(text.as_bytes()) } else { gzip(text.as_bytes()) }
}

/// Only what is read itself can stand for a compressed copy of it, and then the copy is named.
#[tokio::test]
async fn a_compressed_file_is_left_out_only_for_one_that_is_read() {
    let (some, all) = (lines("a", 0..2), lines("a", 0..4));
    for (follow, name) in [(false, "a.json.gz"), (false, "a.json.zst"), (true, "a.json.gz")] {
        for (pattern, both) in [(name, false), ("*.[gz]*", false), ("a.json*", true), ("*", true)] {
            for (plain, packed, is_copy) in
                [(&all, &all, true), (&all, &some, true), (&some, &all, false), (&all, &lines("b", 0..3), false)]
            {
                for steps in [&[ALL, ALL][..], &[1, ALL], &[3, ALL]] {
                    let what = format!("{pattern}, {name}, follow: {follow}, {plain:?}, {packed:?}, {steps:?}");
                    let dir = tempfile::tempdir().unwrap();
                    let path = |name: &str| dir.path().join(name);
                    fs::write(path("a.json"), plain).unwrap();
                    fs::write(path(name), pack(name, packed)).unwrap();
                    let source = source(&path(pattern), json!({"follow": follow, "pollInterval": "5ms"}));
                    let mut reading = Reading::default();
                    for most in steps {
                        let said = reading.warnings.len();
                        reading.on(&source, *most).await.unwrap();
                        let said: Vec<_> = reading.warnings[said..].iter().map(|warning| warning.key().0).collect();
                        // When that is found depends on the turn.
                        let expected = if both && is_copy { &["compressed-copy"][..] } else { &[] };
                        assert!(said == expected || *most < ALL && said.is_empty(), "{what}: {said:?}");
                    }
                    reading.texts.sort();
                    let expected = match (both, is_copy) {
                        (true, true) => plain.clone(),
                        (true, false) => plain.clone() + packed,
                        (false, _) => packed.clone(),
                    };
                    let mut sorted: Vec<&str> = expected.lines().collect();
                    sorted.sort_unstable();
                    assert_eq!(reading.texts, sorted, "{what}");
                    assert_eq!(reading.lost, 0, "{what}");
                }
            }
        }
    }
}

/// A compressed file may grow by whole members or frames.
#[tokio::test]
async fn a_compressed_file_that_grows_is_read_on_and_alters_no_line() {
    for name in ["a.json.gz", "a.json.zst"] {
        for follow in [false, true] {
            for (first, torn) in [("10\n25\n", false), ("10\n25", true)] {
                for open in [false, true] {
                    let what = format!("{name}, follow: {follow}, {first:?}, open: {open}");
                    let dir = tempfile::tempdir().unwrap();
                    let path = dir.path().join(name);
                    fs::write(&path, pack(name, first)).unwrap();
                    let source = source(&path, json!({"follow": follow, "pollInterval": "5ms"}));
                    let grow = || {
                        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
                        std::io::Write::write_all(&mut file, &pack(name, "00\n7\n")).unwrap();
                    };
                    let mut reading = Reading::default();
                    let read = if open && follow {
                        let growing = async {
                            tokio::time::sleep(QUIET / 3).await;
                            grow();
                        };
                        tokio::join!(reading.on(&source, ALL), growing).0
                    } else {
                        reading.on(&source, ALL).await.unwrap();
                        grow();
                        reading.on(&source, ALL).await
                    };
                    assert_eq!(
                        read.err().map(|error| error.code().to_owned()),
                        torn.then(|| "position-lost".to_owned()),
                        "{what}"
                    );
                    let expected = if torn { &["10", "25"][..] } else { &["10", "25", "00", "7"] };
                    assert_eq!(reading.texts, expected, "{what}");
                }
            }
        }
    }
}

/// Blanks are no record, so what follows them is no more of one.
#[tokio::test]
async fn a_file_that_ends_in_blanks_may_grow() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    let source = source(&path, json!({}));
    let mut reading = Reading::default();
    let steps = ["{\"id\":1}\n   ", "{\"id\":1}\n   {\"id\":3}\n", "{\"id\":1}\n   {\"id\":3}\n3"];
    for text in steps {
        fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
        let there = fs::metadata(&path).unwrap().len() as usize;
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        std::io::Write::write_all(&mut file, &text.as_bytes()[there..]).unwrap();
        reading.on(&source, ALL).await.unwrap();
    }
    assert_eq!(reading.texts, ["{\"id\":1}", "{\"id\":3}", "3"]);
}
