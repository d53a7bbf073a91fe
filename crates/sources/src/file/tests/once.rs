//! Files that are read once: whatever their names, each is read to its end, and no further.
use super::*;
use crate::file::{identity::Identity, names::partition};
use std::os::unix::fs::symlink;

/// What was read, and how far.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) positions: Positions,
    pub(super) texts: Vec<String>,
    pub(super) lost: usize,
    bytes_lost: u64,
    pub(super) warnings: Vec<Notice>,
}

impl Reading {
    /// Reads on: all (of files that are followed, until nothing comes), or so many batches of one record each.
    pub(super) async fn on(&mut self, source: &FileSource, most: usize) -> Result<(), Error> {
        let mut cx = context();
        cx.batch.max_records = 1;
        let mut reader = source.clone().build().open(&cx, lane(&self.positions)).await?;
        let mut batches = Vec::new();
        let ended = loop {
            if batches.len() == most {
                break Ok(());
            }
            let patience = if source.follow { QUIET } else { PATIENCE };
            match tokio::time::timeout(patience, reader.read()).await {
                Ok(Ok(Read::Records(records))) => batches.push(records),
                Ok(Ok(Read::End)) | Err(_) => break Ok(()),
                Ok(Err(error)) => break Err(error),
            }
        };
        self.warnings.extend(reader.warnings());
        remember(&mut self.positions, &batches);
        self.texts.extend(texts(&batches));
        let lost = batches.iter().filter_map(|batch| batch.lost.as_ref());
        self.lost += lost.clone().count();
        self.bytes_lost += lost.map(|lost| lost.bytes).sum::<u64>();
        ended
    }
}

pub(super) const ALL: usize = usize::MAX;

pub(super) fn lines(name: &str, ids: std::ops::Range<u32>) -> String {
    ids.map(|id| format!("\"{name}{id}\"\n")).collect()
}

#[tokio::test]
async fn a_file_with_several_names_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("b.json"), lines("b", 0..2)).unwrap();
    symlink("b.json", path("a.json")).unwrap();
    fs::hard_link(path("b.json"), path("c.json")).unwrap();
    // Of the same content, but another file.
    fs::write(path("d.json"), lines("b", 0..2)).unwrap();
    let mut reading = Reading::default();
    for follow in [false, true] {
        let mut reading = Reading::default();
        let source = source(&path("*.json"), json!({"follow": follow, "pollInterval": "10ms"}));
        match follow {
            false => reading.on(&source, ALL).await.unwrap(),
            true => {
                let mut reader = open(&source, &Positions::new()).await.unwrap();
                reading.texts = texts(&some(&mut *reader, 4).await);
            }
        }
        assert_eq!(reading.texts.concat(), "\"b0\"\"b1\"".repeat(2), "follow: {follow}");
    }
    // Nor under the other names later.
    let source = source(&path("*.json"), json!({}));
    reading.on(&source, 1).await.unwrap();
    fs::remove_file(path("a.json")).unwrap();
    for _ in 0..2 {
        reading.on(&source, ALL).await.unwrap();
        assert_eq!(reading.texts.concat(), "\"b0\"\"b1\"".repeat(2));
    }
}

#[tokio::test]
async fn a_half_read_file_goes_on_under_its_new_name() {
    for (what, new, replaced) in [
        ("matched", "z.json", false),
        ("matched, before it", "0.json", false),
        ("not matched any more", "b.done", false),
        ("replaced", "z.json", true),
        ("replaced, before it", "0.json", true),
        ("replaced, not matched any more", "b.done", true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("a.json"), lines("a", 0..3)).unwrap();
        fs::write(path("b.json"), lines("b", 0..3)).unwrap();
        let source = source(&path("*.json"), json!({}));
        let mut reading = Reading::default();
        reading.on(&source, 5).await.unwrap();
        assert_eq!(reading.texts.last().unwrap(), "\"b0\"", "{what}");
        fs::rename(path("b.json"), path(new)).unwrap();
        if replaced {
            fs::write(path("b.json"), lines("n", 0..2)).unwrap();
        }
        for more in [2, 1, ALL, ALL] {
            reading.on(&source, more).await.unwrap();
        }
        let mut expected = lines("a", 0..3) + &lines("b", 0..3);
        if replaced {
            expected += &lines("n", 0..2);
        }
        reading.texts.sort();
        assert_eq!(reading.texts.join("\n") + "\n", expected, "{what}");
        assert_eq!(reading.lost, 0);
    }
}

#[tokio::test]
async fn a_file_that_is_gone_before_its_end_is_a_lost_position() {
    for choice in ["fail", "earliest", "latest"] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["a", "b", "c"] {
            fs::write(path(&format!("{name}.json")), lines(name, 0..3)).unwrap();
        }
        let source = source(&path("*.json"), json!({"onPositionLost": choice}));
        let mut reading = Reading::default();
        reading.on(&source, 5).await.unwrap();
        // All of a was read, one of b, nothing of c.
        for name in ["a.json", "b.json"] {
            fs::remove_file(path(name)).unwrap();
        }
        let went_on = reading.on(&source, ALL).await;
        match choice {
            "fail" => {
                let error = went_on.unwrap_err();
                let Error::PositionLost { partition, reason, .. } = &error else { panic!("{error}") };
                assert!(partition.0.ends_with("b.json") && reason.contains("removed"), "{error}");
            }
            _ => {
                went_on.unwrap();
                assert_eq!((reading.lost, reading.texts.last().unwrap().as_str()), (1, "\"c2\""));
                reading.on(&source, ALL).await.unwrap();
                assert_eq!((reading.lost, reading.texts.len()), (1, 7), "said once");
            }
        }
    }
}

/// What was begun before the pattern was narrowed is left where it is, also if it is gone.
#[tokio::test]
async fn a_file_that_is_not_wanted_any_more_is_left() {
    for (narrow, gone) in [("a*.json", false), ("a*.json", true), ("/./a*.json", true)] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["a", "b"] {
            fs::write(path(&format!("{name}.json")), lines(name, 0..3)).unwrap();
        }
        let mut reading = Reading::default();
        reading.on(&source(&path("*.json"), json!({})), 5).await.unwrap();
        assert_eq!(reading.texts.last().unwrap(), "\"b0\"");
        fs::write(path("a2.json"), lines("c", 0..1)).unwrap();
        if gone {
            fs::remove_file(path("b.json")).unwrap();
        }
        let narrow: FileSource =
            serde_json::from_value(json!({"path": format!("{}/{narrow}", dir.path().display())})).unwrap();
        reading.on(&narrow, ALL).await.unwrap();
        assert_eq!(reading.texts[4..], ["\"c0\""], "gone: {gone}");
    }
}

/// A link that leads nowhere is said and waited for, wherever it sorts.
#[tokio::test]
async fn a_link_to_nothing_stops_no_file_that_is_followed() {
    for link in ["0.json", "z.json"] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("a.json"), lines("a", 0..2)).unwrap();
        symlink("later", path(link)).unwrap();
        let source = source(&path("*.json"), json!({"follow": true, "pollInterval": "10ms"}));
        let mut reader = open(&source, &Positions::new()).await.unwrap();
        let mut read = some(&mut *reader, 2).await;
        // Nothing comes, but it is said all the same.
        tokio::time::timeout(QUIET, reader.read()).await.unwrap_err();
        let warnings = reader.warnings();
        let codes: Vec<_> = warnings.iter().map(|warning| warning.key().0).collect();
        assert_eq!(codes, ["dangling-link"], "{link}");
        fs::write(path("later"), lines("l", 0..1)).unwrap();
        read.extend(some(&mut *reader, 1).await);
        assert_eq!(texts(&read), ["\"a0\"", "\"a1\"", "\"l0\""], "{link}");
        let taken_back = dataflow_sdk::batch::Notice::over("dangling-link", warnings[0].key().1);
        assert_eq!(reader.warnings(), [taken_back], "{link}");
    }
}

/// An inode is used again at once by some file systems; a file of the same length and beginning is another one.
#[tokio::test]
async fn another_file_in_the_place_of_one_is_noticed() {
    let head = "x".repeat(2_000);
    let whole = |middle: &str| format!("\"{head}\"\n\"{middle}1\"\n\"{middle}2\"\n\"{middle}3\"\n");
    for again in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        fs::write(&path, whole("a")).unwrap();
        let source = source(&path, json!({}));
        let mut reading = Reading::default();
        reading.on(&source, 2).await.unwrap();
        if again {
            fs::remove_file(&path).unwrap();
        }
        fs::write(&path, whole("b")).unwrap();
        let error = reading.on(&source, ALL).await.unwrap_err();
        assert_eq!(error.code(), "position-lost");
    }
}

/// Removed and made anew under another name: the inode may be the same, the bytes are, the file isn't.
#[tokio::test]
async fn the_same_export_of_another_day_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let source = source(&path("*.json"), json!({}));
    let mut reading = Reading::default();
    for day in 1..=3 {
        fs::write(path(&format!("{day}.json")), lines("a", 0..2)).unwrap();
        reading.on(&source, ALL).await.unwrap();
        assert_eq!(reading.texts.len(), 2 * day);
        fs::remove_file(path(&format!("{day}.json"))).unwrap();
        std::thread::sleep(Duration::from_millis(20)); // a file system's clock ticks
    }
}

#[tokio::test]
async fn a_last_line_that_grows_after_it_was_taken_is_noticed() {
    for (rest, lost) in [("\n", false), ("\r\n", false), ("\n\"b\"\n", false), ("2\"\n", true), ("2", true)] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        fs::write(&path, "id,n\n1,ab\n2,a").unwrap();
        let source = source(&path, json!({}));
        let mut reading = Reading::default();
        reading.on(&source, ALL).await.unwrap();
        assert_eq!(reading.texts, ["1,ab", "2,a"]);
        append(&path, rest);
        match reading.on(&source, ALL).await {
            Ok(()) => assert!(!lost, "{rest:?}"),
            Err(error) => assert!(lost && error.to_string().contains("line break"), "{error}"),
        }
    }
}

#[tokio::test]
async fn what_follows_compressed_data() {
    let text = b"{\"a\":1}\n{\"a\":2}\n";
    for (tail, expected) in [
        (Vec::new(), Ok(2)),
        (vec![0; 10], Ok(2)),
        (vec![0; 1 << 20], Ok(2)),
        ([vec![0; 512], gzip(b"{\"a\":3}\n")].concat(), Ok(3)),
        (b"garbage".to_vec(), Err("file-corrupt")),
        ([vec![0; 512], b"garbage".to_vec()].concat(), Err("file-corrupt")),
        (gzip(text)[..9].to_vec(), Err("file-cut-short")),
        (gzip(text)[..20].to_vec(), Err("file-cut-short")),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json.gz");
        fs::write(&path, [gzip(text), tail].concat()).unwrap();
        let mut reading = Reading::default();
        let read = reading.on(&source(&path, json!({})), ALL).await;
        assert_eq!(read.map(|()| reading.texts.len()).map_err(|error| error.code()), expected);
    }
}

#[tokio::test]
async fn a_last_line_without_a_line_break_is_what_the_spec_says() {
    for (name, text, unfinished) in [
        ("a.json", "{\"a\":1}\n{\"a\":2}", true),
        ("a.json", "{\"a\":1}\n{\"a\":2}\n", false),
        ("a.json", "{\"a\":1}\n{\"a\":2}\n  ", false),
        ("a.json", "{\"a\":2}", true),
        ("a.csv", "id\n1\n2", true),
        ("a.csv", "id\n1\n2\n\n", false),
        ("a.json.gz", "{\"a\":1}\n{\"a\":2}", true),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, if name.ends_with("gz") { gzip(text.as_bytes()) } else { text.into() }).unwrap();
        for (last_line, dead) in [("take", false), ("dead", unfinished)] {
            let batches = all(&source(&path, json!({"lastLine": last_line})), &Positions::new()).await;
            let last = batches.last().unwrap();
            assert_eq!(last.unfinished, dead.then(|| last.len() as u32 - 1), "{text:?} {last_line}");
        }
    }
}

/// Also where the number of files that may be open is far less than that of the files.
#[tokio::test]
async fn many_files_are_followed_in_turns() {
    let dir = tempfile::tempdir().unwrap();
    let path = |k: usize| dir.path().join(format!("{k}.log"));
    let write = |text: &str| (0..200).for_each(|k| append(&path(k), &format!("{text} {k}\n")));
    write("first");
    let source = source(&dir.path().join("*.log"), json!({"follow": true, "pollInterval": "10ms"}));
    let mut reader = open(&source, &Positions::new()).await.unwrap();
    let mut positions = Positions::new();
    for round in ["second", "third", "none"] {
        let batches = some(&mut *reader, 200).await;
        remember(&mut positions, &batches);
        let mut texts = texts(&batches);
        texts.dedup();
        assert_eq!(texts.len(), 200, "before the {round}");
        let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
        let open = open.filter(|fd| fs::read_link(fd.path()).is_ok_and(|to| to.starts_with(dir.path()))).count();
        // 64 are kept open; others may be open for the moment of a look.
        assert!((1..=80).contains(&open), "{open} are open");
        write(round);
    }
}

/// Whatever is known of a file that goes before it was read whole: that it was found, or how far it was read.
#[tokio::test]
async fn what_goes_unread_is_named_and_passed_over_by_choice_only() {
    for (follow, choice, kind) in [
        (false, "fail", "json"),
        (true, "fail", "json"),
        (false, "earliest", "json"),
        (true, "latest", "json"),
        (false, "fail", "json.gz"),
        (true, "earliest", "json.gz"),
    ] {
        let what = format!("follow: {follow}, {choice}, {kind}");
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let file = |name: &str| path(&format!("{name}.{kind}"));
        let pack = |text: String| if kind == "json" { text.into_bytes() } else { gzip(text.as_bytes()) };
        for name in ["a", "b", "c", "d"] {
            fs::write(file(name), pack(lines(name, 0..3))).unwrap();
        }
        fs::write(path("e.csv"), "id\n").unwrap();
        fs::write(path("f.json"), "").unwrap();
        let more = json!({"onPositionLost": choice, "follow": follow, "pollInterval": "10ms"});
        let source = source(&path("*"), more);
        let mut reading = Reading::default();
        reading.on(&source, 2).await.unwrap();
        // One that was begun, one that was not, and one that held nothing.
        let unread = [file("a"), file("d")].map(|path| (fs::metadata(&path).unwrap().len(), path));
        for path in unread.iter().map(|(_, path)| path).chain([&path("f.json")]) {
            fs::remove_file(path).unwrap();
        }
        let read = |name: &str| reading.texts.iter().filter(|text| text.contains(name)).count() as u64;
        let left: Vec<u64> =
            if kind == "json" { vec![15 - 5 * read("a"), 15] } else { unread.iter().map(|(size, _)| *size).collect() };
        assert!((1..3).contains(&read("a")) && read("d") == 0, "{what}: {:?}", reading.texts);
        if choice == "fail" {
            let before = reading.texts.len();
            for _ in 0..2 {
                let error = reading.on(&source, ALL).await.unwrap_err();
                let Error::PositionLost { partition, reason, .. } = &error else { panic!("{error}") };
                assert_eq!(partition.0.as_ref(), unread[0].1.to_str().unwrap(), "{what}");
                for ((size, path), left) in unread.iter().zip(&left) {
                    assert!(reason.contains(&format!("{left} of its {size} bytes were not read")), "{what}: {error}");
                    assert!(error.to_string().contains(path.to_str().unwrap()), "{what}: {error}");
                }
            }
            assert_eq!(reading.texts.len(), before, "{what}");
            // A user chooses; then it goes on, and says what is lost.
            let (built, to) = (source.clone().build(), Positions::new());
            let given_up = built.given_up(&context(), &reading.positions, to).await.unwrap();
            assert_eq!(given_up.len(), 2, "{what}");
            reading.positions.extend(given_up);
        }
        for _ in 0..2 {
            reading.on(&source, ALL).await.unwrap();
            assert_eq!((reading.lost, reading.bytes_lost), (2, left.iter().sum()), "{what}: said once");
        }
        let came = ["b", "c"].map(|name| reading.texts.iter().filter(|text| text.contains(name)).count());
        assert_eq!(came, [3, 3], "{what}: {:?}", reading.texts);
        // A file that takes the name of one that was given up is another one.
        fs::write(file("a"), pack(lines("n", 0..2))).unwrap();
        reading.on(&source, ALL).await.unwrap();
        assert_eq!(reading.texts.iter().filter(|text| text.contains('n')).count(), 2, "{what}: {:?}", reading.texts);
        assert_eq!(reading.lost, 2, "{what}");
    }
}

/// A file that is known, however far it was read, says nothing of the one whose name it takes.
#[tokio::test]
async fn a_file_over_which_a_known_one_is_moved_is_lost() {
    // All of a is read then, one record of b, nothing of c and d.
    for (what, how, from, over, left) in [
        ("an unread one over a half-read one", "mv", "d", "b", 10),
        ("a read one over a half-read one", "mv", "a", "b", 10),
        ("an unread one over an unread one", "mv", "d", "c", 15),
        ("a half-read one over an unread one", "mv", "b", "c", 15),
        ("a read one over an unread one", "mv", "a", "c", 15),
        ("an unread one over a read one", "mv", "d", "a", 0),
        ("a link to an unread one", "ln -s", "d", "b", 10),
        ("a link to a read one", "ln -s", "a", "b", 10),
        ("another name of an unread one", "ln", "d", "b", 10),
        ("the other one was moved away before", "keep", "d", "b", 0),
        ("and a new one comes where that was", "renew", "d", "b", 10),
    ] {
        for choice in ["fail", "earliest", "latest"] {
            let what = format!("{what}, {choice}");
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(format!("{name}.json"));
            for name in ["a", "b", "c", "d"] {
                fs::write(path(name), lines(name, 0..3)).unwrap();
            }
            let source = source(&path("*"), json!({"onPositionLost": choice}));
            let mut reading = Reading::default();
            while reading.texts.last().is_none_or(|text| text != "\"b0\"") {
                reading.on(&source, 1).await.unwrap();
            }
            let size = fs::metadata(path(over)).unwrap().len();
            if how == "keep" {
                fs::rename(path(over), dir.path().join("kept")).unwrap();
            }
            match how {
                "ln" | "ln -s" => {
                    fs::remove_file(path(over)).unwrap();
                    let link = if how == "ln" { fs::hard_link } else { |from, to| symlink(from, to) };
                    link(path(from), path(over)).unwrap();
                }
                _ => fs::rename(path(from), path(over)).unwrap(),
            }
            if how == "renew" {
                fs::write(path(from), lines("n", 0..2)).unwrap();
            }
            if choice == "fail" && left > 0 {
                let error = reading.on(&source, ALL).await.unwrap_err();
                let Error::PositionLost { partition, reason, .. } = &error else { panic!("{what}: {error}") };
                assert_eq!(partition.0.as_ref(), path(over).to_str().unwrap(), "{what}");
                assert!(reason.contains(&format!("{left} of its {size} bytes were not read")), "{what}: {error}");
                // A user goes on without it.
                let built = source.clone().build();
                let given_up = built.given_up(&context(), &reading.positions, Positions::new()).await.unwrap();
                assert_eq!(given_up.len(), 1, "{what}");
                reading.positions.extend(given_up);
            }
            for _ in 0..2 {
                reading.on(&source, ALL).await.unwrap();
                let lost = usize::from(left > 0);
                assert_eq!((reading.lost, reading.bytes_lost), (lost, left), "{what}: said once");
            }
            let mut expected: Vec<String> = ["a", "b", "c", "d"]
                .iter()
                .flat_map(|name| {
                    let count = if *name == over { 3 - left as u32 / 5 } else { 3 };
                    lines(name, 0..count).lines().map(str::to_owned).collect::<Vec<_>>()
                })
                .collect();
            expected.extend(lines("n", 0..if how == "renew" { 2 } else { 0 }).lines().map(str::to_owned));
            reading.texts.sort();
            assert_eq!(reading.texts, expected, "{what}");
        }
    }
}

/// Where a user goes on under the name, in the file that was moved there, that is where this goes on.
#[tokio::test]
async fn a_place_chosen_in_a_known_file_that_was_moved_over_another_counts_what_is_lost() {
    for beginning in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(format!("{name}.json"));
        for name in ["b", "c", "d"] {
            fs::write(path(name), lines(name, 0..3)).unwrap();
        }
        let source = source(&path("*"), json!({}));
        let mut reading = Reading::default();
        reading.on(&source, 1).await.unwrap();
        fs::rename(path("b"), path("c")).unwrap();
        assert_eq!(reading.on(&source, ALL).await.unwrap_err().code(), "position-lost");
        let built = source.clone().build();
        let to = match beginning {
            true => built.resolve(&context(), &Edge::Beginning).await.unwrap(),
            false => {
                let mut to = reading.positions.clone();
                to.insert(partition(&path("c")), Position::offset(0));
                to
            }
        };
        reading.positions = built.given_up(&context(), &reading.positions, to).await.unwrap();
        for _ in 0..2 {
            reading.on(&source, ALL).await.unwrap();
            assert_eq!((reading.lost, reading.bytes_lost), (1, 15), "beginning: {beginning}");
        }
        let expected = lines("b", 0..1) + &lines("b", 0..3) + &lines("d", 0..3);
        assert_eq!(reading.texts.join("\n") + "\n", expected, "beginning: {beginning}");
    }
}

/// The same while they are read: what is open is read to its end, what is not is lost.
#[tokio::test]
async fn an_unread_file_over_which_a_known_one_is_moved_under_a_reader_is_lost() {
    for from in ["a", "d"] {
        for choice in ["fail", "earliest", "latest"] {
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(format!("{name}.json"));
            // More than is read ahead.
            fs::write(path("a"), lines("a", 0..200_000)).unwrap();
            fs::write(path("c"), lines("c", 0..3)).unwrap();
            fs::write(path("d"), lines("d", 0..3)).unwrap();
            let source = source(&path("*"), json!({"onPositionLost": choice}));
            let mut reader = open(&source, &Positions::new()).await.unwrap();
            let Read::Records(first) = reader.read().await.unwrap() else { panic!("no records") };
            let mut batches = vec![first];
            fs::rename(path(from), path("c")).unwrap();
            let error = loop {
                match reader.read().await {
                    Ok(Read::Records(records)) => batches.push(records),
                    Ok(Read::End) => break None,
                    Err(error) => break Some(error),
                }
            };
            let what = format!("{from}, {choice}: {error:?}");
            assert_eq!(
                error.is_some_and(|error| error.to_string().contains("15 of its 15 bytes")),
                choice == "fail",
                "{what}"
            );
            let lost: Vec<u64> = batches.iter().filter_map(|batch| Some(batch.lost.as_ref()?.bytes)).collect();
            if choice != "fail" {
                assert_eq!(lost, [15], "{what}");
                assert_eq!(texts(&batches).len(), 200_003, "{what}");
            }
        }
    }
}

/// Where a user goes on in what has taken its place, or holds something else now.
#[tokio::test]
async fn what_was_not_read_of_a_file_that_was_replaced_is_counted() {
    for (what, kind, follow) in [
        ("plain", "json", false),
        ("followed", "json", true),
        ("compressed", "json.gz", false),
        ("empty", "json", false),
    ] {
        for (place, in_place) in [(Edge::Beginning, false), (Edge::End, false), (Edge::Beginning, true)] {
            let what = format!("{what}, {place:?}, in place: {in_place}");
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(format!("a.{kind}"));
            let pack = |text: String| if kind == "json" { text.into_bytes() } else { gzip(text.as_bytes()) };
            fs::write(&path, pack(lines("a", 0..9))).unwrap();
            let source = source(&path, json!({"follow": follow, "pollInterval": "10ms"}));
            let mut reading = Reading::default();
            reading.on(&source, 2).await.unwrap();
            assert_eq!(reading.texts.len(), 2, "{what}");
            let unread = if kind == "json" { 35 } else { fs::metadata(&path).unwrap().len() };
            let new = if what.starts_with("empty") { Vec::new() } else { pack(lines("n", 0..3)) };
            if in_place {
                fs::write(&path, new).unwrap();
            } else {
                fs::write(dir.path().join("new"), new).unwrap();
                fs::rename(dir.path().join("new"), &path).unwrap();
            }
            let error = reading.on(&source, ALL).await.unwrap_err();
            assert!(error.to_string().contains(&format!("{unread} bytes of it were not read")), "{what}: {error}");
            let built = source.clone().build();
            let to = built.resolve(&context(), &place).await.unwrap();
            reading.positions = built.given_up(&context(), &reading.positions, to).await.unwrap();
            for _ in 0..2 {
                reading.on(&source, ALL).await.unwrap();
            }
            assert_eq!((reading.lost, reading.bytes_lost), (1, unread), "{what}: said once");
            if what.starts_with("empty") {
                fs::write(&path, lines("n", 0..3)).unwrap();
            } else if kind == "json" {
                append(&path, &lines("n", 3..4));
            }
            reading.on(&source, ALL).await.unwrap();
            let new = reading.texts.split_off(2);
            let expected = match (place, kind, what.starts_with("empty")) {
                (_, "json", true) => 3,
                (Edge::Beginning, "json", _) => 4,
                (Edge::Beginning, ..) => 3,
                (Edge::End, "json", _) => 1,
                (Edge::End, ..) => 0,
            };
            assert_eq!(new.len(), expected, "{what}: {new:?}");
            assert_eq!(reading.lost, 1, "{what}");
        }
    }
}

/// What was read is read again, as `verify` does, from the beginning of the file that it is known by at its end.
#[tokio::test]
async fn a_file_that_was_read_and_compressed_is_read_again() {
    for follow in [false, true] {
        for (pattern, to, next) in [
            ("app.log", "app.log.gz", false),
            ("app.log", "app.log.gz", true),
            ("app.log", "app.log.1.gz", true),
            ("app.log*", "app.log.gz", false),
            ("app.log*", "app.log.1.zst", true),
            ("*.log", "app.log.1.gz", true),
            ("*.log", "app.log.gz", false),
        ] {
            let what = format!("{pattern}, {to}, replaced: {next}, follow: {follow}");
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name);
            fs::write(path("app.log"), lines("a", 0..4)).unwrap();
            let source = source(&path(pattern), json!({"follow": follow, "pollInterval": "10ms", "format": "json"}));
            let mut reading = Reading::default();
            reading.on(&source, ALL).await.unwrap();
            let text = fs::read(path("app.log")).unwrap();
            fs::write(path(to), if to.ends_with("zst") { zstd(&text) } else { gzip(&text) }).unwrap();
            fs::remove_file(path("app.log")).unwrap();
            if next {
                fs::write(path("app.log"), lines("n", 0..2)).unwrap();
            }
            let ends = reading.positions.into_iter();
            let begins: Positions = ends.map(|(name, at)| (name, Position { at: "0".into(), ..at })).collect();
            let cx = Context { again: true, ..context() };
            let mut reader = source.clone().build().open(&cx, lane(&begins)).await.unwrap();
            let mut again = Vec::new();
            while texts(&again).len() < 4 {
                match tokio::time::timeout(PATIENCE, reader.read()).await.unwrap() {
                    Ok(Read::Records(records)) if begins.contains_key(&records.partition) => again.push(records),
                    Ok(Read::Records(_)) => {}
                    other => panic!("{what}: {:?}, {:?}", other.err(), texts(&again)),
                }
            }
            assert_eq!(texts(&again).join("\n") + "\n", lines("a", 0..4), "{what}");
        }
    }
}

/// Of a file that was followed to its end nobody knows whether more was written: it is no loss, and said.
#[tokio::test]
async fn a_file_that_goes_after_its_end_was_read_is_no_loss() {
    for pattern in ["a.log", "*.log"] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        append(&path("a.log"), &lines("a", 0..2));
        let source = source(&path(pattern), json!({"follow": true, "pollInterval": "10ms"}));
        let mut reading = Reading::default();
        reading.on(&source, ALL).await.unwrap();
        fs::remove_file(path("a.log")).unwrap();
        for said in [1, 0] {
            let mut reader = open(&source, &reading.positions).await.unwrap();
            remember(&mut reading.positions, &some(&mut *reader, 0).await);
            let warnings = reader.warnings();
            assert_eq!(warnings.iter().filter(|warning| warning.key().0 == "file-removed").count(), said, "{pattern}");
        }
        append(&path("a.log"), &lines("b", 0..2));
        reading.on(&source, ALL).await.unwrap();
        assert_eq!((reading.texts.concat().as_str(), reading.lost), ("\"a0\"\"a1\"\"b0\"\"b1\"", 0), "{pattern}");
    }
}

/// A file that is renamed before or after it was begun is read on, with and without a reader, whether its new name matches.
#[tokio::test]
async fn what_was_found_is_read_under_whatever_name() {
    for (follow, to) in [(false, "z.json"), (false, "b.done"), (true, "z.json"), (true, "b.done"), (true, "c.done")] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        for name in ["a", "b", "c"] {
            fs::write(path(&format!("{name}.json")), lines(name, 0..3)).unwrap();
        }
        fs::hard_link(path("b.json"), path("link.json")).unwrap();
        let source = source(&path("*.json"), json!({"follow": follow, "pollInterval": "10ms"}));
        let mut reading = Reading::default();
        reading.on(&source, 2).await.unwrap();
        fs::remove_file(path("link.json")).unwrap();
        fs::rename(path(&format!("{}.json", if to == "c.done" { "c" } else { "b" })), path(to)).unwrap();
        for most in [1, 2, ALL, ALL] {
            reading.on(&source, most).await.unwrap();
        }
        reading.texts.sort();
        let expected = lines("a", 0..3) + &lines("b", 0..3) + &lines("c", 0..3);
        assert_eq!(reading.texts.join("\n") + "\n", expected, "{follow}, {to}");
        assert_eq!(reading.lost, 0);
    }
}

/// Compressed by whatever rotates it, at whatever time: what was read is not read again, and the rest is.
#[tokio::test]
async fn a_file_that_is_compressed_goes_on_in_what_it_became() {
    for follow in [false, true] {
        for (what, pattern, most, to, kept, next) in [
            ("half-read, in place", "app.log*", 2, "app.log.gz", false, false),
            ("half-read, in place, as zstd", "app.log*", 2, "app.log.zst", false, false),
            ("half-read, in place, not matched", "*.log", 2, "app.log.gz", false, false),
            ("half-read, in place, no pattern", "app.log", 2, "app.log.gz", false, false),
            ("half-read, rotated", "app.log*", 2, "app.log.1.gz", false, true),
            ("half-read, rotated, not matched", "*.log", 2, "app.log.1.gz", false, true),
            ("half-read, rotated, no pattern", "app.log", 2, "app-20261231.log.gz", false, true),
            ("half-read, kept", "app.log*", 2, "app.log.gz", true, false),
            ("not read, kept", "app.log*", 0, "app.log.gz", true, false),
            ("read, in place", "app.log*", ALL, "app.log.gz", false, false),
            ("read, rotated", "app.log*", ALL, "app.log.1.gz", false, true),
            ("read, kept", "app.log*", ALL, "app.log.gz", true, false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name);
            fs::write(path("app.log"), lines("a", 0..4)).unwrap();
            let more = json!({"follow": follow, "pollInterval": "10ms", "format": "json"});
            let source = source(&path(pattern), more);
            let mut reading = Reading::default();
            if most > 0 {
                reading.on(&source, most).await.unwrap();
            }
            let text = fs::read(path("app.log")).unwrap();
            let packed = if to.ends_with("zst") { zstd(&text) } else { gzip(&text) };
            if kept {
                // While it is being written.
                fs::write(path(to), &packed[..packed.len() / 2]).unwrap();
                reading.on(&source, 1).await.unwrap();
            }
            fs::write(path(to), packed).unwrap();
            if !kept {
                fs::remove_file(path("app.log")).unwrap();
            }
            if next {
                fs::write(path("app.log"), lines("n", 0..2)).unwrap();
            }
            for most in [1, ALL, ALL, ALL] {
                match reading.on(&source, most).await {
                    Err(error) if ["no-match", "file-missing"].contains(&error.code()) => {} // all was read
                    read => read.unwrap_or_else(|error| panic!("{what}, follow: {follow}: {error}")),
                }
                if kept && reading.texts.len() == 4 {
                    fs::remove_file(path("app.log")).ok();
                }
            }
            reading.texts.sort();
            let expected = lines("a", 0..4) + &if next { lines("n", 0..2) } else { String::new() };
            assert_eq!(reading.texts.join("\n") + "\n", expected, "{what}, follow: {follow}");
            assert_eq!(reading.lost, 0, "{what}, follow: {follow}");
        }
    }
}

/// By its name alone a compressed file is no other's.
#[tokio::test]
async fn a_compressed_file_of_other_content_is_read() {
    for follow in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("app.log"), lines("a", 0..4)).unwrap();
        fs::write(path("app.log.gz"), gzip(lines("b", 0..4).as_bytes())).unwrap();
        fs::write(path("other.log.gz"), gzip(lines("a", 0..4).as_bytes())).unwrap();
        let source = source(&path("*"), json!({"follow": follow, "pollInterval": "10ms", "format": "json"}));
        let mut reading = Reading::default();
        for most in [2, ALL, ALL] {
            reading.on(&source, most).await.unwrap();
        }
        reading.texts.sort();
        let twice: String = lines("a", 0..4).split_inclusive('\n').map(|line| line.repeat(2)).collect();
        assert_eq!(reading.texts.join("\n") + "\n", twice + &lines("b", 0..4), "follow: {follow}");
    }
}

/// As a stop leaves it: two names know of one file, and one of them reads on.
#[tokio::test]
async fn a_file_that_two_names_know_of_is_read_once() {
    for (follow, read, there, next) in [
        (false, 0, "a", "b"),
        (false, 0, "b", "a"),
        (false, 0, "c", "a"),
        (false, 2, "a", "b"),
        (false, 2, "b", "a"),
        (false, 2, "c", "a"),
        (true, 0, "a", "b"),
        (true, 0, "b", "a"),
        (true, 0, "c", "a"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(format!("{name}.json"));
        fs::write(path(there), lines("x", 0..3)).unwrap();
        fs::write(path(next), lines("y", 0..3)).unwrap();
        let source = source(&path("*"), json!({"follow": follow, "pollInterval": "10ms"}));
        let at = 5 * u64::from(read);
        let known = Identity::of(&fs::File::open(path(there)).unwrap(), at).unwrap();
        let position = Position::offset(at).of(&known.to_string());
        let positions = ["a", "b"].iter().map(|name| (partition(&path(name)), position.clone())).collect();
        let mut reading = Reading { positions, ..Reading::default() };
        for most in [1, 1, ALL, ALL] {
            reading.on(&source, most).await.unwrap();
        }
        reading.texts.sort();
        let expected = lines("x", read..3) + &lines("y", 0..3);
        assert_eq!(reading.texts.join("\n") + "\n", expected, "{follow}, {read}, {there}");
        assert_eq!(reading.lost, 0);
    }
}
