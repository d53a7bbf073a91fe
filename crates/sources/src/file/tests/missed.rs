//! Generations that are gone before they were read, and what of that can be known.
use super::{
    once::{ALL, Reading, lines},
    *,
};
use crate::{
    ahead::{Step, Work},
    file::follow::Follow,
};
use std::os::unix::fs::symlink;

/// More than a file system's clock ticks.
fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

/// Shifts the generations of `app.log`, and writes the next one.
fn rotate(dir: &Path, text: &str) {
    let path = |nth: u32| dir.join(if nth == 0 { "app.log".to_owned() } else { format!("app.log.{nth}") });
    pause();
    (0..9).rev().for_each(|nth| fs::rename(path(nth), path(nth + 1)).unwrap_or_default());
    append(&path(0), text);
}

/// Which of three generations that came while nobody looked are removed; whether older ones are there or not.
#[tokio::test]
async fn a_gap_in_the_numbers_of_generations_is_a_lost_position() {
    for (removed, kept) in [(&[1][..], "bd"), (&[2], "cd"), (&[1, 2], "d"), (&[], "bcd")] {
        for (pattern, older, choice) in [
            ("app.log", false, "fail"),
            ("app.log", true, "earliest"),
            ("app.log", true, "latest"),
            ("app.log*", true, "fail"),
            ("app.log*", false, "earliest"),
            ("*.log", true, "fail"),
        ] {
            let what = format!("{pattern}, without {removed:?}, older ones: {older}, {choice}");
            let dir = tempfile::tempdir().unwrap();
            let more = json!({"follow": true, "pollInterval": "5ms", "onPositionLost": choice, "format": "json"});
            let source = source(&dir.path().join(pattern), more);
            if older {
                append(&dir.path().join("app.log.1"), "\"old0\"\n");
                pause();
            }
            append(&dir.path().join("app.log"), &lines("a", 0..2));
            let mut reading = Reading::default();
            reading.on(&source, ALL).await.unwrap();
            reading.texts.retain(|text| !text.contains("old"));
            ["b", "c", "d"].iter().for_each(|name| rotate(dir.path(), &lines(name, 0..2)));
            removed.iter().for_each(|nth| fs::remove_file(dir.path().join(format!("app.log.{nth}"))).unwrap());
            std::thread::sleep(Duration::from_millis(50)); // nobody is rotating any more
            let came = reading.on(&source, ALL).await;
            let mut expected = lines("a", 0..2);
            match (choice, came) {
                (_, came) if removed.is_empty() => {
                    came.unwrap();
                    assert_eq!(reading.lost, 0, "{what}");
                    kept.chars().for_each(|name| expected += &lines(&name.to_string(), 0..2));
                }
                ("fail", Err(Error::PositionLost { reason, .. })) => {
                    let names: Vec<_> = removed.iter().map(|nth| format!("app.log.{nth}")).collect();
                    assert!(names.iter().all(|name| reason.contains(name)), "{what}: {reason}");
                    assert_eq!(reading.on(&source, ALL).await.unwrap_err().code(), "position-lost", "{what}");
                    continue;
                }
                ("earliest", Ok(())) => {
                    assert_eq!(reading.lost, 1, "{what}");
                    kept.chars().for_each(|name| expected += &lines(&name.to_string(), 0..2));
                }
                // What comes before the gap is read, and what comes from now on.
                ("latest", Ok(())) => {
                    assert_eq!(reading.lost, 1, "{what}");
                    expected += &if removed == [1] { lines("b", 0..2) } else { String::new() };
                }
                (_, came) => panic!("{what}: {came:?}, {:?}", reading.texts),
            }
            reading.texts.sort();
            assert_eq!(reading.texts.join("\n") + "\n", expected, "{what}");
            // And it is said once.
            reading.on(&source, ALL).await.unwrap();
            assert_eq!(reading.lost, usize::from(!removed.is_empty()), "{what}");
        }
    }
}

/// Numbers that grow with time have gaps where old generations are removed.
#[tokio::test]
async fn generations_whose_numbers_grow_with_time_may_be_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let source = source(&path("app.log"), json!({"follow": true, "pollInterval": "5ms"}));
    append(&path("app.log.6"), "\"old\"\n");
    pause();
    let mut reading = Reading::default();
    for nth in 7..10 {
        append(&path("app.log"), &format!("{nth}\n"));
        reading.on(&source, ALL).await.unwrap();
        pause();
        fs::rename(path("app.log"), path(&format!("app.log.{nth}"))).unwrap();
    }
    append(&path("app.log"), "10\n");
    std::thread::sleep(Duration::from_millis(50));
    reading.on(&source, ALL).await.unwrap();
    assert_eq!((reading.texts.join(" ").as_str(), reading.lost), ("7 8 9 10", 0));
}

/// A slow pipeline reads a generation that was removed, and others wait and are removed, too.
#[test]
fn generations_that_go_while_they_wait_are_counted() {
    for choice in ["fail", "earliest"] {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let more = json!({"follow": true, "pollInterval": "1ms", "onPositionLost": choice});
        append(&path("app.log"), "0\n1\n2\n");
        let mut cx = context();
        cx.batch.max_records = 1;
        let mut work = Follow::new(source(&path("app.log"), more), &cx, Positions::new()).unwrap();
        let Step::Records(first) = work.step().unwrap() else { panic!("nothing") };
        assert_eq!((texts(&[*first]).concat().as_str(), work.lag()), ("0", Some(4)));
        rotate(dir.path(), "3\n4\n");
        rotate(dir.path(), "5\n");
        rotate(dir.path(), "6\n");
        work.discover().unwrap();
        assert_eq!(work.lag(), Some(4 + 4 + 2 + 2), "all that waits is counted");
        ["app.log.3", "app.log.2"].iter().for_each(|name| fs::remove_file(path(name)).unwrap());
        let (mut read, mut lost) = (Vec::new(), Vec::new());
        let mut idle = 0;
        let ended = loop {
            match work.step() {
                Ok(Step::Records(records)) => {
                    lost.extend(records.lost.as_ref().map(|lost| lost.bytes));
                    read.push(*records);
                }
                Ok(Step::Idle(pause)) if idle < 20 => {
                    std::thread::sleep(pause);
                    idle += 1;
                }
                Ok(_) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        match choice {
            "fail" => {
                let Err(Error::PositionLost { reason, .. }) = ended else { panic!("{ended:?}, {:?}", texts(&read)) };
                assert!(reason.contains("4 bytes"), "{reason}");
            }
            _ => {
                ended.unwrap();
                assert_eq!((texts(&read).join(" ").as_str(), lost), ("1 2 5 6", vec![4]));
                assert_eq!(work.lag(), Some(0));
            }
        }
    }
}

/// As Kubernetes does: the log is a link, and what it leads to is rotated in its own folder.
#[tokio::test]
async fn a_file_that_is_rotated_where_a_link_leads_is_found_there() {
    for (follow, packed) in [(true, false), (false, false), (true, true), (false, true)] {
        let what = format!("follow: {follow}, compressed: {packed}");
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir_all(path("pods/x")).unwrap();
        fs::create_dir_all(path("containers")).unwrap();
        symlink("../pods/x/0.log", path("containers/x.log")).unwrap();
        let source = source(&path("containers/*.log"), json!({"follow": follow, "pollInterval": "5ms"}));
        append(&path("pods/x/0.log"), &lines("a", 0..2));
        let mut reading = Reading::default();
        reading.on(&source, ALL).await.unwrap();
        append(&path("pods/x/0.log"), &lines("a", 2..3));
        pause();
        let rotated = path("pods/x/0.log.20261129-200000");
        fs::rename(path("pods/x/0.log"), &rotated).unwrap();
        if packed {
            fs::write(path("pods/x/0.log.20261129-200000.gz"), gzip(&fs::read(&rotated).unwrap())).unwrap();
            fs::remove_file(&rotated).unwrap();
        }
        append(&path("pods/x/0.log"), &lines("b", 0..2));
        if follow && !packed {
            pause();
            fs::rename(path("pods/x/0.log"), path("pods/x/0.log.20261129-200001")).unwrap();
            append(&path("pods/x/0.log"), &lines("c", 0..2));
        }
        reading.on(&source, ALL).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let mut expected = lines("a", 0..3) + &lines("b", 0..2);
        if follow && !packed {
            expected += &lines("c", 0..2);
        }
        assert_eq!(reading.texts.join("\n") + "\n", expected, "{what}");
        assert_eq!(reading.lost, 0, "{what}");
    }
}

/// A last line without its line break waits for that as long as the compressed file may be written.
#[tokio::test]
async fn a_half_line_of_a_compressed_file_waits_for_the_rest() {
    for name in ["a.json.gz", "a.json.zst"] {
        let pack = |text: &str| if name.ends_with("zst") { zstd(text.as_bytes()) } else { gzip(text.as_bytes()) };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        fs::write(&path, pack("10\n2")).unwrap();
        let source = source(&path, json!({"follow": true, "pollInterval": "200ms"}));
        let mut reading = Reading::default();
        let growing = async {
            tokio::time::sleep(QUIET / 3).await;
            fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&pack("5\n7")).unwrap();
        };
        tokio::join!(reading.on(&source, ALL), growing).0.unwrap();
        assert_eq!(reading.texts, ["10", "25"], "{name}");
        // Nothing more comes: it is whole.
        std::thread::sleep(Duration::from_millis(1100));
        reading.on(&source, ALL).await.unwrap();
        assert_eq!(reading.texts, ["10", "25", "7"], "{name}");
    }
}
