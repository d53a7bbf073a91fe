//! Files that are replaced by one that holds again what was read: refused, whether somebody looks meanwhile or not.
use super::*;
use crate::{
    ahead::{Step, Work},
    file::{follow::Follow, whole::Whole},
};
use std::path::PathBuf;

/// How a file is written anew.
#[derive(Clone, Copy, Debug)]
pub(super) enum Save {
    /// Another file is moved over it.
    Over,
    /// It is removed, and another one is made.
    Anew,
    /// The same, and the removal is seen.
    Later,
    /// It is moved over, and has another name beside it.
    Linked,
    /// And in another folder.
    LinkedElsewhere,
    /// It is kept under another name, as editors do.
    Kept,
    /// And in another folder.
    KeptElsewhere,
}

impl Save {
    pub(super) const ALL: [Self; 7] =
        [Self::Over, Self::Anew, Self::Later, Self::Linked, Self::LinkedElsewhere, Self::Kept, Self::KeptElsewhere];

    /// Does it; `seen` lets readers look.
    pub(super) fn apply(self, path: &Path, text: &[u8], seen: &mut dyn FnMut()) {
        let beside = |name: &str| path.with_file_name(name);
        let elsewhere = |name: &str| {
            fs::create_dir_all(beside("elsewhere")).unwrap();
            beside("elsewhere").join(name)
        };
        let (new, kept): (PathBuf, PathBuf) = (elsewhere("new"), elsewhere("kept"));
        fs::write(&new, text).unwrap();
        match self {
            Self::Over => {}
            Self::Anew => fs::remove_file(path).unwrap(),
            Self::Later => {
                fs::remove_file(path).unwrap();
                seen();
            }
            Self::Linked => fs::hard_link(path, beside("kept~")).unwrap(),
            Self::LinkedElsewhere => fs::hard_link(path, kept).unwrap(),
            Self::Kept => fs::rename(path, beside("kept~")).unwrap(),
            Self::KeptElsewhere => fs::rename(path, kept).unwrap(),
        }
        fs::rename(new, path).unwrap();
    }
}

/// What comes until nothing does for longer than a replaced file is waited for.
fn rest(work: &mut dyn Work) -> Result<Vec<Records>, Error> {
    let (mut batches, mut idle) = (Vec::new(), 0);
    while idle < 12 {
        match work.step()? {
            Step::Records(records) => {
                batches.push(*records);
                assert!(batches.len() < 100, "it comes to no end: {:?}", batches.last());
                idle = 0;
            }
            Step::Idle(pause) => {
                std::thread::sleep(pause);
                idle += 1;
            }
            Step::End => break,
        }
    }
    Ok(batches)
}

fn rows(ids: std::ops::Range<u32>) -> String {
    ids.map(|id| format!("{id}\n")).collect()
}

/// A file that is read and written anew.
#[derive(Clone, Copy, Debug)]
struct Case {
    name: &'static str,
    pattern: &'static str,
    save: Save,
    /// So many more lines than before.
    more: u32,
    /// What the file had begun as its next line.
    half: &'static str,
    follow: bool,
    /// Whether the reader looks on.
    running: bool,
    choice: &'static str,
}

impl Case {
    fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for (name, pattern) in
            [("a.json", "a.json"), ("a.json", "a.*"), ("a.csv", "a.csv"), ("a.csv", "a.*"), ("a.json.gz", "a.*")]
        {
            for save in Save::ALL {
                for (more, half, choice) in
                    [(0, "", "fail"), (3, "", "fail"), (3, "4", "fail"), (3, "", "earliest"), (3, "", "latest")]
                {
                    for (follow, running) in [(true, true), (true, false), (false, false)] {
                        if half.is_empty() || follow && !name.ends_with(".gz") {
                            cases.push(Self { name, pattern, save, more, half, follow, running, choice });
                        }
                    }
                }
            }
        }
        cases
    }

    fn bytes(&self, text: String) -> Vec<u8> {
        if self.name.ends_with(".gz") { gzip(text.as_bytes()) } else { text.into_bytes() }
    }

    fn check(&self) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(self.name);
        let csv = self.name.ends_with(".csv");
        let more = json!({
            "follow": self.follow, "pollInterval": "1ms", "onPositionLost": self.choice,
            "format": if csv { "csv" } else { "json" },
        });
        let source = source(&dir.path().join(self.pattern), more);
        let begin = |positions: &Positions| -> Result<Box<dyn Work>, Error> {
            let (source, positions) = (source.clone(), positions.clone());
            Ok(match self.follow {
                true => Box::new(Follow::new(source, &context(), positions)?),
                false => Box::new(Whole::new(source, &context(), positions)?),
            })
        };
        let first = self.bytes(if csv { "id\n".to_owned() } else { String::new() } + &rows(0..4));
        fs::write(&path, [&first, self.half.as_bytes()].concat()).unwrap();
        let mut positions = Positions::new();
        let mut work = begin(&positions).unwrap();
        let mut read = rest(&mut *work).unwrap();
        remember(&mut positions, &read);
        let next = if self.more > 0 { self.bytes(rows(4..4 + self.more)) } else { Vec::new() };
        let mut came = Vec::new();
        self.save.apply(&path, &[first, next].concat(), &mut || {
            let seen = match self.running {
                true => rest(&mut *work),
                false => begin(&positions).and_then(|mut work| rest(&mut *work)),
            };
            came = seen.unwrap_or_default();
            remember(&mut positions, &came);
        });
        if !self.running {
            work = begin(&positions).unwrap();
        }
        match (self.choice, rest(&mut *work)) {
            ("fail", Err(Error::PositionLost { .. })) => {
                let again = begin(&positions).and_then(|mut work| rest(&mut *work));
                assert_eq!(again.unwrap_err().code(), "position-lost", "{self:?}");
            }
            ("earliest" | "latest", Ok(batches)) => {
                remember(&mut positions, &batches);
                came.extend(batches);
                assert_eq!(came.iter().filter(|batch| batch.lost.is_some()).count(), 1, "{self:?}");
                read.extend(came);
                let again = if self.choice == "earliest" { 0..4 + self.more } else { 0..0 };
                let expected = rows(0..4) + &rows(again);
                assert_eq!(texts(&read), expected.lines().collect::<Vec<_>>(), "{self:?}");
                let later = rest(&mut *begin(&positions).unwrap()).unwrap();
                assert!(texts(&later).is_empty(), "{self:?}: {:?}", texts(&later));
            }
            (_, came) => panic!("{self:?}: {:?}", came.map(|batches| texts(&batches))),
        }
    }
}

#[test]
fn a_file_that_is_written_anew_is_a_lost_position_whether_somebody_looks_or_not() {
    let cases = Case::all();
    std::thread::scope(|scope| {
        // They wait more than they work.
        let workers: Vec<_> = cases
            .chunks(cases.len().div_ceil(16))
            .map(|cases| {
                scope.spawn(move || {
                    cases.iter().map(|case| std::panic::catch_unwind(|| case.check()).is_ok()).filter(|ok| !ok).count()
                })
            })
            .collect();
        let failed: usize = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
        assert_eq!(failed, 0, "of {} cases", cases.len());
    });
}
