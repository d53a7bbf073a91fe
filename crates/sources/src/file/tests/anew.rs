//! Files that are truncated, or written anew, and longer than before when they are looked at again.
use super::*;
use crate::{
    ahead::{Step, Work},
    file::follow::Follow,
};

/// More looks than a replaced file is waited for.
const IDLE: u32 = 12;

/// What comes until nothing does.
fn rest(work: &mut Follow) -> Result<Vec<Records>, Error> {
    let (mut batches, mut idle) = (Vec::new(), 0);
    while idle < IDLE {
        match work.step()? {
            Step::Records(records) => {
                batches.push(*records);
                idle = 0;
            }
            Step::Idle(pause) => {
                std::thread::sleep(pause);
                idle += 1;
            }
            Step::End => panic!("a followed file has no end"),
        }
    }
    Ok(batches)
}

fn rows(ids: std::ops::Range<u32>) -> String {
    ids.map(|id| format!("{{\"id\":{id}}}\n")).collect()
}

/// What a file begins with each time, how its first half-line goes, and in which format it is.
fn beginnings() -> Vec<(&'static str, &'static str, String, &'static str)> {
    let names: Vec<String> = (0..200).map(|field| format!("field{field}")).collect();
    vec![
        ("short", "json", String::new(), ""),
        ("a half line at the end", "json", String::new(), "{\"id\":"),
        ("a banner of more than 1 KiB", "json", format!("{{\"banner\":\"{}\"}}\n", "x".repeat(1100)), ""),
        ("a header of more than 1 KiB", "csv", names.join(",") + "\n", ""),
    ]
}

#[test]
fn a_file_that_was_truncated_and_has_outgrown_its_position_goes_on_in_its_copy() {
    for (what, format, begin, half) in beginnings() {
        for (pattern, restart, read) in [
            ("app.log", false, 20),
            ("app.log*", false, 20),
            ("app.log", true, 20),
            ("app.log*", true, 20),
            ("app.log", false, 2000),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name);
            let more = json!({"follow": true, "pollInterval": "1ms", "format": format});
            let source = source(&path(pattern), more);
            append(&path("app.log"), &(begin.clone() + &rows(0..read) + half));
            let mut positions = Positions::new();
            let mut work = Follow::new(source.clone(), &context(), positions.clone()).unwrap();
            let mut batches = rest(&mut work).unwrap();
            remember(&mut positions, &batches);
            let next =
                if half.is_empty() { rows(read..read + 5) } else { format!("{read}}}\n") + &rows(read + 1..read + 5) };
            append(&path("app.log"), &next);
            fs::copy(path("app.log"), path("app.log.1")).unwrap();
            fs::write(path("app.log"), begin.clone() + &rows(read + 5..3 * read + 400)).unwrap();
            if restart {
                work = Follow::new(source.clone(), &context(), positions.clone()).unwrap();
            }
            let come = rest(&mut work).unwrap();
            remember(&mut positions, &come);
            batches.extend(come);
            let expected: Vec<String> = rows(0..3 * read + 400).lines().map(str::to_owned).collect();
            let read_rows: Vec<String> = texts(&batches).into_iter().filter(|text| !text.contains("banner")).collect();
            let what = format!("{what}, {pattern}, restart: {restart}, {read} read");
            assert!(batches.iter().all(|batch| batch.lost.is_none()), "{what}");
            assert_eq!(read_rows, expected, "{what}");
        }
    }
}

/// Nothing that came since is taken for what follows what was read.
#[test]
fn without_a_copy_it_is_a_lost_position() {
    for (what, format, begin, half) in beginnings() {
        for (choice, restart) in [("fail", false), ("earliest", false), ("fail", true), ("earliest", true)] {
            let what = format!("{what}, {choice}, restart: {restart}");
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("app.log");
            let more = json!({"follow": true, "pollInterval": "1ms", "format": format, "onPositionLost": choice});
            let source = source(&path, more);
            append(&path, &(begin.clone() + &rows(0..20) + half));
            let mut positions = Positions::new();
            let mut work = Follow::new(source.clone(), &context(), positions.clone()).unwrap();
            remember(&mut positions, &rest(&mut work).unwrap());
            fs::write(&path, begin.clone() + &rows(20..400)).unwrap();
            if restart {
                work = Follow::new(source.clone(), &context(), positions.clone()).unwrap();
            }
            match (choice, rest(&mut work)) {
                ("fail", Err(Error::PositionLost { reason, .. })) => {
                    assert!(reason.contains("was rewritten"), "{what}: {reason}");
                    assert_eq!(reason.contains(&format!("{} bytes", half.len())), !half.is_empty(), "{what}: {reason}");
                }
                ("earliest", Ok(batches)) => {
                    let lost: Vec<u64> = batches.iter().filter_map(|batch| Some(batch.lost.as_ref()?.bytes)).collect();
                    assert_eq!(lost, [half.len() as u64], "{what}");
                    let read: Vec<_> = texts(&batches).into_iter().filter(|text| !text.contains("banner")).collect();
                    assert_eq!(read, rows(20..400).lines().collect::<Vec<_>>(), "{what}");
                }
                (_, came) => panic!("{what}: {:?}", came.map(|batches| texts(&batches).len())),
            }
        }
    }
}

/// Also one that is not followed, between two batches.
#[test]
fn a_file_that_is_written_anew_while_it_is_read_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    let banner = format!("{{\"banner\":\"{}\"}}\n", "x".repeat(1100));
    fs::write(&path, banner.clone() + &rows(0..100_000)).unwrap();
    let source = source(&path, json!({}));
    let mut work = crate::file::whole::Whole::new(source, &context(), Positions::new()).unwrap();
    let Step::Records(first) = work.step().unwrap() else { panic!("no records") };
    fs::write(&path, banner + &rows(500_000..700_000)).unwrap();
    let error = loop {
        match work.step() {
            Ok(Step::Records(records)) => {
                assert!(texts(&[*records]).iter().all(|text| text.len() < 14), "rows of the new content were read");
            }
            Ok(_) => panic!("nothing was noticed"),
            Err(error) => break error,
        }
    };
    assert!(!first.is_empty());
    assert_eq!(error.code(), "position-lost");
}

/// Files that took the place of another, and were copied and truncated then, all between two looks.
#[test]
fn a_rename_and_then_a_copy_between_two_looks_lose_nothing() {
    for pattern in ["app.log", "app.log*"] {
        for way in ["rc", "rcc", "rcr", "crc", "rrc", "rcrc", "crcr", "rccr", "ccr", "rcrcrc"] {
            for restart in [false, true] {
                let dir = tempfile::tempdir().unwrap();
                let path = |nth: usize| match nth {
                    0 => dir.path().join("app.log"),
                    nth => dir.path().join(format!("app.log.{nth}")),
                };
                let source = source(&dir.path().join(pattern), json!({"follow": true, "pollInterval": "1ms"}));
                append(&path(0), "0\n1\n");
                let mut positions = Positions::new();
                let mut work = Follow::new(source.clone(), &context(), positions.clone()).unwrap();
                let mut batches = rest(&mut work).unwrap();
                remember(&mut positions, &batches);
                let mut written = 2;
                let mut more = || {
                    append(&path(0), &format!("{written}\n{}\n", written + 1));
                    written += 2;
                    std::thread::sleep(Duration::from_millis(10)); // more than a file system's clock ticks
                };
                for (generations, step) in way.chars().enumerate() {
                    for nth in (1..=generations).rev() {
                        fs::rename(path(nth), path(nth + 1)).unwrap();
                    }
                    if step == 'r' {
                        fs::rename(path(0), path(1)).unwrap();
                    } else {
                        fs::copy(path(0), path(1)).unwrap();
                        fs::OpenOptions::new().write(true).open(path(0)).unwrap().set_len(0).unwrap();
                    }
                    more();
                }
                if restart {
                    work = Follow::new(source.clone(), &context(), positions.clone()).unwrap();
                }
                let what = format!("{way}, {pattern}, restart: {restart}");
                batches.extend(rest(&mut work).unwrap_or_else(|error| panic!("{what}: {error}")));
                let mut read: Vec<u32> = texts(&batches).iter().map(|text| text.parse().unwrap()).collect();
                read.sort_unstable();
                assert_eq!(read, (0..written).collect::<Vec<_>>(), "{what}");
            }
        }
    }
}
