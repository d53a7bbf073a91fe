//! Names that are no text, and what is no file.
use super::{
    once::{ALL, Reading},
    *,
};
use crate::file::lost::known;
use dataflow_sdk::source::Kept;
use std::{ffi::OsStr, os::unix::ffi::OsStrExt, os::unix::fs::symlink, path::PathBuf};

#[tokio::test]
async fn names_that_are_no_utf8_are_read_like_any_other() {
    for follow in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &[u8]| -> PathBuf { dir.path().join(OsStr::from_bytes(name)) };
        fs::write(path(b"caf\xe9.json"), "1\n2\n").unwrap();
        fs::write(path(b"caf\xe8.json"), "3\n").unwrap();
        fs::write(path(b"line\nbreak.json"), "4\n").unwrap();
        let source = source(&dir.path().join("*.json"), json!({"follow": follow, "pollInterval": "10ms"}));
        let mut positions = Positions::new();
        for (expected, files) in [(4, 3), (1, 1)] {
            let mut reader = open(&source, &positions).await.unwrap();
            let batches = match follow {
                true => some(&mut *reader, expected).await,
                false => read_all(&mut *reader).await.unwrap(),
            };
            remember(&mut positions, &batches);
            assert_eq!(texts(&batches).len(), expected);
            assert_eq!(batches.iter().filter(|batch| !batch.is_empty()).count(), files);
            for batch in batches {
                assert_eq!(batch.shared[0].1, *batch.partition.0);
            }
            append(&path(b"caf\xe9.json"), "5\n");
        }
        let names: Vec<_> = positions.keys().map(|name| name.0.rsplit('/').next().unwrap().to_owned()).collect();
        assert_eq!(names, ["caf\\xE8.json", "caf\\xE9.json", "line\\x0Abreak.json"]);
    }
}

#[tokio::test]
async fn what_matches_and_is_no_file_is_not_passed_over_in_silence() {
    let matched = |make: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.json"), "1\n").unwrap();
        make(&dir.path().join("b.json"));
        dir
    };
    let fifo = |path: &Path| {
        assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
    };
    let socket = |path: &Path| {
        std::os::unix::net::UnixListener::bind(path).unwrap();
    };
    let link = |path: &Path| symlink("nowhere", path).unwrap();
    let circle = |path: &Path| symlink(path, path).unwrap();
    let device = |path: &Path| symlink("/dev/zero", path).unwrap();
    let folder = |path: &Path| fs::create_dir(path).unwrap();
    type Case<'a> = (&'a dyn Fn(&Path), Result<&'a str, &'a str>);
    let cases: [Case<'_>; 6] = [
        (&fifo, Ok("not-a-file")),
        (&socket, Ok("not-a-file")),
        (&device, Ok("not-a-file")),
        (&link, Err("file-missing")),
        (&circle, Ok("link-circle")),
        (&folder, Ok("is-a-directory")),
    ];
    for (make, expected) in cases {
        let dir = matched(make);
        let mut reader = open(&source(&dir.path().join("*.json"), json!({})), &Positions::new()).await.unwrap();
        let (read, warnings) = (read_all(&mut *reader).await, reader.warnings());
        match expected {
            Ok(code) => {
                assert_eq!(read.unwrap().len(), 1);
                assert_eq!(warnings.iter().map(|warning| warning.key().0).collect::<Vec<_>>(), [code]);
                assert!(warnings[0].holding().unwrap().message.contains("b.json"));
            }
            Err(code) => {
                let error = read.unwrap_err();
                assert_eq!(error.code(), code, "{error}");
                assert!(error.to_string().contains("b.json"), "{error}");
            }
        }
    }
}

/// However often it is looked at: what can't be read stops nothing that can.
#[tokio::test]
async fn what_is_no_file_stops_none_that_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    append(&path("a.json"), "1\n");
    append(&path("d.json"), "1\n");
    let fifo = |name: &str| {
        assert!(std::process::Command::new("mkfifo").arg(path(name)).status().unwrap().success());
    };
    let source = source(&path("*.json"), json!({"follow": true, "pollInterval": "10ms"}));
    let mut reader = open(&source, &Positions::new()).await.unwrap();
    assert_eq!(texts(&some(&mut *reader, 2).await).len(), 2);
    fifo("b.json");
    std::os::unix::net::UnixListener::bind(path("c.json")).unwrap();
    fs::remove_file(path("d.json")).unwrap();
    fifo("d.json");
    append(&path("a.json"), "2\n");
    assert_eq!(texts(&some(&mut *reader, 1).await), ["2"]);
    let told: std::collections::BTreeSet<String> =
        reader.warnings().into_iter().map(|warning| format!("{} {}", warning.key().0, warning.key().1)).collect();
    for name in ["b.json", "c.json", "d.json"] {
        assert!(told.contains(&format!("not-a-file {}", path(name).display())), "{name}: {told:?}");
    }
}

/// A path that is written otherwise is the same one, with its positions.
#[tokio::test]
async fn a_path_is_the_same_however_it_is_written() {
    for pattern in ["a.json", "*.json"] {
        for follow in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let root = dir.path().to_str().unwrap().to_owned();
            append(&dir.path().join("a.json"), "1\n2\n");
            let spelled = |at: &str| {
                let path = format!("{at}{pattern}");
                source(Path::new(&path), json!({"follow": follow, "pollInterval": "10ms", "format": "json"}))
            };
            let plain = spelled(&format!("{root}/"));
            let mut positions = Positions::new();
            let mut read = Vec::new();
            for at in ["/", "//", "/./", "/.//./", "/"] {
                let source = spelled(&format!("{root}{at}"));
                assert!(source.reads_like(&plain), "{at}");
                let mut reader = open(&source, &positions).await.unwrap();
                let batches = match follow {
                    true => some(&mut *reader, if positions.is_empty() { 2 } else { 0 }).await,
                    false => read_all(&mut *reader).await.unwrap(),
                };
                remember(&mut positions, &batches);
                read.extend(texts(&batches));
                assert!(positions.keys().all(|name| source.keeps(&plain, name) == Kept::Yes), "{at}");
            }
            assert_eq!((read.concat().as_str(), positions.len()), ("12", 1), "{pattern}, follow: {follow}");
        }
    }
}

/// What was read of a file holds, whichever path to it is given next, and whatever was done to it meanwhile.
#[tokio::test]
async fn a_file_is_read_on_by_whatever_path_leads_to_it() {
    let one = ["~/in/a.json", "/in/a.json", "~/linked/a.json", "/soft.json", "/hard/a.json", "/in/../in/a.json"];
    let pattern = ["~/in/a*.json", "/in/a*.json", "/linked/*.json", "/i*/a.json", "/hard/a*.json", "~/**/a.json"];
    for (paths, follow, rotated) in [
        (one, false, false),
        (one, true, false),
        (one, false, true),
        (one, true, true),
        (pattern, false, false),
        (pattern, true, false),
        (pattern, false, true),
        (pattern, true, true),
    ] {
        let dir = tempfile::tempdir_in(".").unwrap();
        let (absolute, relative) = (dir.path().canonicalize().unwrap(), dir.path().file_name().unwrap());
        let at = |name: &str| absolute.join(name);
        ["in", "hard"].iter().for_each(|folder| fs::create_dir(at(folder)).unwrap());
        append(&at("in/a.json"), "");
        fs::hard_link(at("in/a.json"), at("hard/a.json")).unwrap();
        symlink("in", at("linked")).unwrap();
        symlink("in/a.json", at("soft.json")).unwrap();
        let (mut reading, mut before, mut written) = (Reading::default(), None::<FileSource>, 0);
        // What is rotated is no longer what the other name leads to.
        let paths =
            paths.iter().chain(&paths[..1]).filter(|path| !rotated || !path.contains("hard") && !path.contains("**"));
        for (step, path) in paths.enumerate() {
            let what = format!("{path}, follow: {follow}, rotated: {rotated}");
            append(&at("in/a.json"), &format!("{step}\n"));
            written += 1;
            if rotated && step > 0 {
                std::thread::sleep(Duration::from_millis(10)); // more than a file system's clock ticks
                for nth in (1..step).rev() {
                    fs::rename(at(&format!("in/a.json.{nth}")), at(&format!("in/a.json.{}", nth + 1))).unwrap();
                }
                fs::rename(at("in/a.json"), at("in/a.json.1")).unwrap();
                append(&at("in/a.json"), &format!("{step} anew\n"));
                written += 1;
            }
            let path = match path.strip_prefix('~') {
                Some(path) => format!("{}{path}", relative.to_str().unwrap()),
                None => format!("{}{path}", absolute.display()),
            };
            let source = source(Path::new(&path), json!({"follow": follow, "pollInterval": "5ms", "format": "json"}));
            let live = reading.positions.iter().filter(|(_, at)| !known(at).is_some_and(|known| known.is_over()));
            for (partition, _) in live {
                assert_eq!(source.keeps(before.as_ref().unwrap(), partition), Kept::Yes, "{what}: {partition}");
            }
            reading.on(&source, ALL).await.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!((reading.texts.len(), reading.lost), (written, 0), "{what}: {:?}", reading.texts);
            before = Some(source);
        }
    }
}

/// A position is that of a file: of two names, only one has it, and the other is told.
#[tokio::test]
async fn a_file_has_no_position_under_two_names() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["a.jsonl", "other.jsonl"] {
        fs::write(at(name), "{}\n{}\n").unwrap();
    }
    fs::hard_link(at("a.jsonl"), at("hard.jsonl")).unwrap();
    symlink(at("a.jsonl"), at("soft.jsonl")).unwrap();
    let source = source(&at("*.jsonl"), json!({"follow": true})).build();
    let read_as = |name: &str| Positions::from([(at(name).to_str().unwrap().into(), Position::offset(3))]);
    for (before, named, refused) in [
        ("", &["a.jsonl", "hard.jsonl"][..], true),
        ("", &["hard.jsonl", "soft.jsonl"], true),
        ("a.jsonl", &["soft.jsonl"], true),
        ("soft.jsonl", &["a.jsonl"], true),
        ("a.jsonl", &["a.jsonl", "other.jsonl"], false),
        ("gone.jsonl", &["a.jsonl"], false),
    ] {
        let before = if before.is_empty() { Positions::new() } else { read_as(before) };
        let given = named.iter().map(|name| (at(name).to_str().unwrap().to_owned(), "3".to_owned())).collect();
        let placed = source.place(&context(), &before, &given).await.unwrap();
        assert_eq!(placed.is_err(), refused, "{before:?} {named:?}: {placed:?}");
        let told = placed.err().unwrap_or_default();
        let says =
            |problem: &dataflow_sdk::Problem| problem.message.contains("same file") || problem.code != "bad-position";
        assert!(!refused || told.iter().any(says), "{told:?}");
    }
}
