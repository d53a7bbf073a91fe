//! Whatever is done to the files, in whatever order, and wherever the reader is stopped: each line is read once. A file that is
//! written anew at last, with all that it held, is a lost position.
use super::{replaced::Save, *};
use crate::{
    ahead::{Step, Work},
    file::follow::Follow,
};
use std::{
    os::unix::fs::{MetadataExt, symlink},
    path::PathBuf,
};

/// Looks without anything new until nothing more is expected; more than a replaced file's grace.
const IDLE: u32 = 12;

#[derive(Clone, Copy, Debug)]
enum Event {
    /// So many lines.
    Append(u8),
    /// A line, of which the rest comes with the next lines.
    Half,
    /// By a new name.
    Rename,
    /// By a copy, and truncation.
    CopyTruncate,
    /// Somebody copies it by that name, and does no more, which is seen.
    Copy,
    /// A generation is compressed where it is.
    Compress(u8),
    /// The same, but it is kept until it is compressed once more.
    Pack(u8),
    /// Another name of the file.
    Link,
    Symlink,
    /// The oldest one, if it was read.
    Remove,
    /// All that is there is read.
    Read,
    /// Only so many batches are.
    Some(u8),
    /// The reader begins anew; the last batches of so many were not kept.
    Restart(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (1..5u8).prop_map(Event::Append),
        1 => Just(Event::Half),
        3 => Just(Event::Rename),
        3 => Just(Event::CopyTruncate),
        3 => (0..3u8).prop_map(Event::Compress),
        1 => (0..3u8).prop_map(Event::Pack),
        1 => Just(Event::Link),
        1 => Just(Event::Symlink),
        2 => Just(Event::Remove),
        5 => Just(Event::Read),
        3 => (1..4u8).prop_map(Event::Some),
        3 => (0..4u8).prop_map(Event::Restart),
    ]
}

/// Without compressing what was found and maybe not begun: a copy that is compressed then is taken for lost, though it is read as
/// what its original became.
fn begun_before_compressed(mut events: Vec<Event>) -> Vec<Event> {
    let mut in_part = false;
    events.retain(|event| {
        match event {
            Event::Some(_) => in_part = true,
            Event::Read => in_part = false,
            _ => {}
        }
        !(in_part && matches!(event, Event::Compress(_) | Event::Pack(_)))
    });
    events
}

/// What happens between two rotations of either kind.
fn round() -> impl Strategy<Value = Vec<Event>> {
    let looks = || {
        prop_oneof![
            5 => Just(vec![Event::Read]),
            1 => Just(vec![]),
            1 => Just(vec![Event::Some(1)]),
            2 => Just(vec![Event::Restart(0), Event::Read]),
            1 => Just(vec![Event::Restart(0)]),
        ]
    };
    let compression = prop_oneof![
        2 => Just(vec![]),
        3 => Just(vec![Event::Compress(0)]),
        1 => Just(vec![Event::Compress(1)]),
        1 => Just(vec![Event::Pack(0)]),
    ];
    let rotation = prop_oneof![Just(vec![Event::Rename]), Just(vec![Event::CopyTruncate])];
    let append = (1..5u8).prop_map(|lines| vec![Event::Append(lines)]);
    (append, looks(), rotation, looks(), compression, looks()).prop_map(
        |(append, first, rotation, next, compression, last)| {
            [append, first, rotation, next, compression, last].concat()
        },
    )
}

struct Model {
    dir: tempfile::TempDir,
    source: FileSource,
    pattern: bool,
    work: Option<Follow>,
    /// What was read and kept before the work began, and what came since.
    positions: Positions,
    texts: Vec<String>,
    since: Vec<Records>,
    written: u32,
    /// Whether there was nothing at first.
    empty: bool,
    half: bool,
    links: u32,
    /// Generations that were removed.
    generations: u32,
    read_through: bool,
}

impl Model {
    fn new(pattern: bool, empty: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        append(&dir.path().join("app.log"), if empty { "" } else { "start\n" });
        let name = if pattern { "app.log*" } else { "app.log" };
        let source = source(
            &dir.path().join(name),
            json!({"follow": true, "pollInterval": "1ms", "format": "json", "onPositionLost": "fail"}),
        );
        let mut model = Self {
            dir,
            source,
            pattern,
            work: None,
            positions: Positions::new(),
            texts: Vec::new(),
            since: Vec::new(),
            written: 0,
            empty,
            half: false,
            links: 0,
            generations: 0,
            read_through: false,
        };
        // Without a pattern nobody knows of files that had another name before the first look.
        if !pattern {
            model.apply(Event::Read);
        }
        model
    }

    fn path(&self, nth: u32) -> PathBuf {
        match nth {
            0 => self.dir.path().join("app.log"),
            nth => self.dir.path().join(format!("app.log.{nth}")),
        }
    }

    fn packed(&self, nth: u32) -> PathBuf {
        self.path(nth).with_added_extension("gz")
    }

    /// Only with a pattern that matches what is compressed. As by `gzip`, what has several names is left as it is.
    fn compress(&self, nth: u32, keep: bool) {
        let (path, packed) = (self.path(nth), self.packed(nth));
        if !self.pattern || !fs::metadata(&path).is_ok_and(|meta| meta.nlink() == 1) {
            return;
        }
        if !packed.exists() {
            fs::write(&packed, gzip(&fs::read(&path).unwrap())).unwrap();
            // Some tools keep the time of the last change.
            if self.written % 2 == 1 {
                let written = fs::metadata(&path).unwrap().modified().unwrap();
                fs::File::options().write(true).open(packed).unwrap().set_modified(written).unwrap();
            }
        }
        if !keep {
            fs::remove_file(path).unwrap();
        }
    }

    fn append(&mut self, lines: u8) {
        let mut text = String::new();
        for _ in 0..lines {
            let begun = std::mem::take(&mut self.half);
            text += &if begun { "rest\n".to_owned() } else { format!("line {}\n", self.written) };
            self.written += 1;
        }
        append(&self.path(0), &text);
    }

    /// All that was begun is ended before the file goes.
    fn end_line(&mut self) {
        if self.half {
            self.append(1);
        }
    }

    fn shift(&mut self) {
        self.end_line();
        std::thread::sleep(Duration::from_millis(10)); // rotations are further apart than a file system's clock ticks
        for nth in (1..=self.generations).rev() {
            let plain = fs::rename(self.path(nth), self.path(nth + 1));
            plain.or(fs::rename(self.packed(nth), self.packed(nth + 1))).unwrap();
        }
        self.generations += 1;
    }

    fn apply(&mut self, event: Event) {
        let changes = !matches!(event, Event::Read | Event::Some(_) | Event::Restart(_) | Event::Remove);
        self.read_through &= !changes;
        match event {
            Event::Append(lines) => self.append(lines),
            Event::Half => {
                self.end_line();
                append(&self.path(0), &format!("line {} ", self.written));
                self.half = true;
            }
            Event::Rename => {
                self.shift();
                fs::rename(self.path(0), self.path(1)).unwrap();
                self.append(1);
            }
            Event::CopyTruncate => {
                self.shift();
                fs::copy(self.path(0), self.path(1)).unwrap();
                fs::OpenOptions::new().write(true).open(self.path(0)).unwrap().set_len(0).unwrap();
                self.append(1);
            }
            // One that is not seen while its original is there is a file of its own.
            Event::Copy => {
                self.shift();
                fs::copy(self.path(0), self.path(1)).unwrap();
                self.apply(Event::Read);
            }
            Event::Compress(nth) => self.compress(u32::from(nth) + 1, false),
            Event::Pack(nth) => self.compress(u32::from(nth) + 1, true),
            Event::Link | Event::Symlink => {
                self.links += 1;
                let link = self.dir.path().join(format!("app.log.link{}", self.links));
                match event {
                    Event::Link => fs::hard_link(self.path(0), link).unwrap(),
                    _ => symlink("app.log", link).unwrap(),
                }
            }
            Event::Remove if self.read_through && self.generations > 0 => {
                let plain = fs::remove_file(self.path(self.generations));
                plain.or(fs::remove_file(self.packed(self.generations))).unwrap();
                self.generations -= 1;
            }
            Event::Remove => {}
            Event::Read => {
                self.read(usize::MAX);
                self.keep(0);
                self.read_through = true;
            }
            Event::Some(batches) => self.read(batches.into()),
            Event::Restart(forget) => {
                self.keep(forget.into());
                self.work = None;
            }
        }
    }

    fn read(&mut self, most: usize) {
        self.try_read(most).unwrap();
    }

    fn try_read(&mut self, most: usize) -> Result<(), Error> {
        let mut cx = context();
        cx.batch.max_records = 2;
        let positions = &self.positions;
        let source = &self.source;
        let work = match &mut self.work {
            Some(work) => work,
            none => none.insert(Follow::new(source.clone(), &cx, positions.clone())?),
        };
        let (mut read, mut idle) = (0, 0);
        while read < most && idle < IDLE {
            match work.step()? {
                Step::Records(records) => {
                    self.since.push(*records);
                    (read, idle) = (read + 1, 0);
                }
                Step::Idle(pause) => {
                    std::thread::sleep(pause);
                    idle += 1;
                }
                Step::End => panic!("a followed file has no end"),
            }
        }
        Ok(())
    }

    /// Keeps what was read but for the last batches.
    fn keep(&mut self, forget: usize) {
        self.since.truncate(self.since.len().saturating_sub(forget));
        let kept = std::mem::take(&mut self.since);
        assert!(kept.iter().all(|batch| batch.lost.is_none()), "nothing was lost");
        remember(&mut self.positions, &kept);
        self.texts.extend(texts(&kept));
    }

    /// The file that is written is written anew, by a reader's look or between two readers.
    fn save(mut self, save: Save, running: bool) {
        let path = self.path(0);
        let text = fs::read(&path).unwrap();
        assert!(!text.is_empty() || self.written == 0);
        if !running {
            self.work = None;
        }
        save.apply(&path, &[text, b"more\n".to_vec()].concat(), &mut || {
            if running {
                self.read(usize::MAX);
                self.keep(0);
            }
        });
        match self.try_read(usize::MAX) {
            Err(Error::PositionLost { .. }) => {}
            came => panic!("{save:?}, running: {running}: {came:?}: {:?}", texts(&self.since)),
        }
    }

    fn check(&mut self) {
        self.end_line();
        self.read(usize::MAX);
        self.keep(0);
        let mut read: Vec<u32> = Vec::new();
        for text in &self.texts {
            match text.as_str() {
                "start" => read.push(0),
                line => read.push(1 + line.split(' ').nth(1).unwrap().parse::<u32>().unwrap()),
            }
        }
        read.sort_unstable();
        assert_eq!(read, (u32::from(self.empty)..=self.written).collect::<Vec<_>>(), "{:#?}", self.texts);
    }
}

/// Few cases, as they wait for files; more, if the environment says so.
fn config() -> ProptestConfig {
    let more = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::default() };
    if more { default } else { ProptestConfig { cases: 40, ..default } }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn each_line_is_read_once(
        pattern in any::<bool>(),
        empty in any::<bool>(),
        events in prop::collection::vec(event(), 1..14),
        save in prop::sample::select(Save::ALL.to_vec()),
        running in any::<bool>(),
    ) {
        let mut model = Model::new(pattern, empty);
        begun_before_compressed(events).into_iter().for_each(|event| model.apply(event));
        model.check();
        if !model.texts.is_empty() {
            model.save(save, running);
        }
    }

    #[test]
    fn rotations_of_both_kinds_are_read_once(
        empty in any::<bool>(),
        rounds in prop::collection::vec(round(), 2..6),
    ) {
        let mut model = Model::new(true, empty);
        begun_before_compressed(rounds.concat()).into_iter().for_each(|event| model.apply(event));
        model.check();
    }
}

#[test]
fn orders_of_events_that_are_worth_a_name() {
    use Event::*;
    for (what, pattern, events) in [
        ("a copy of what was read", true, vec![Append(3), Read, CopyTruncate, Read]),
        ("a copy between two looks", true, vec![Some(1), CopyTruncate, Some(2), Some(2), Read, Read]),
        ("a copy of what was not read yet", true, vec![Append(3), Some(1), CopyTruncate, Read]),
        ("the same, without a pattern", false, vec![Append(3), Some(1), CopyTruncate, Read]),
        (
            "a copy whose original was renamed before that is seen",
            true,
            vec![Read, CopyTruncate, Read, CopyTruncate, Rename],
        ),
        ("a copy of a half line", true, vec![Read, Half, Read, CopyTruncate]),
        ("while nobody looked", true, vec![Append(3), Read, Append(2), Restart(0), CopyTruncate, Append(1), Read]),
        (
            "twice while nobody looked",
            true,
            vec![Append(3), Read, Restart(0), CopyTruncate, Append(2), CopyTruncate, Read],
        ),
        (
            "a copy that is seen before its original is truncated",
            true,
            vec![Append(3), Read, Copy, Read, Append(2), Read],
        ),
        ("copied, truncated and renamed", false, vec![Append(3), Read, Append(2), CopyTruncate, Rename, Read]),
        ("the same, half-read", false, vec![Append(5), Some(1), CopyTruncate, Append(2), Rename, Rename, Read]),
        ("the same, while nobody looked", false, vec![Append(3), Restart(0), Append(2), CopyTruncate, Rename, Read]),
        (
            "the same, stopped in the copy",
            false,
            vec![Append(9), Some(1), CopyTruncate, Append(2), Rename, Some(2), Restart(0), Rename, Read],
        ),
        (
            "copied twice and renamed",
            false,
            vec![Append(3), Restart(0), CopyTruncate, Append(2), CopyTruncate, Append(2), Rename, Append(2), Read],
        ),
        (
            "a rename after a copy that was read",
            false,
            vec![CopyTruncate, Read, Append(2), Rename, Read, Restart(0), Rename, Read],
        ),
        (
            "copied, truncated and renamed, with a pattern",
            true,
            vec![Append(3), Read, Append(2), CopyTruncate, Rename, Read],
        ),
        ("a copy before a rename", true, vec![Append(3), Read, Copy, Read, Restart(0), Rename, Read, Restart(0), Read]),
        (
            "stopped right after it was found that a file goes on in its copy",
            true,
            vec![Read, CopyTruncate, Restart(0), Some(1), Restart(0)],
        ),
        (
            "a copy that is renamed before anything of it was read",
            true,
            vec![Append(4), Read, Restart(0), CopyTruncate, Some(1), CopyTruncate],
        ),
        (
            "the oldest generation goes and the next one takes its name while nobody looks",
            true,
            vec![Rename, Read, Restart(0), Remove, Rename],
        ),
        ("the same, by a copy", true, vec![Rename, Read, Restart(0), Remove, CopyTruncate]),
        (
            "linked while the file before it is read to its end",
            true,
            vec![Rename, Read, Rename, Some(2), Append(3), Link, Some(3), Restart(0)],
        ),
        (
            "renamed after a copy, and compressed",
            true,
            vec![Append(3), Read, CopyTruncate, Append(2), Read, Rename, Read, Compress(0), Read],
        ),
        (
            "both compressed",
            true,
            vec![Append(3), Read, CopyTruncate, Read, Compress(0), Read, Rename, Read, Compress(0), Read],
        ),
        (
            "the same, once the copy is gone",
            true,
            vec![Append(3), Read, CopyTruncate, Read, Remove, Append(2), Read, Rename, Read, Compress(0), Read],
        ),
        (
            "the same, a rotation later",
            true,
            vec![Append(3), Read, CopyTruncate, Read, Rename, Append(2), Read, Rename, Read, Compress(1), Read],
        ),
        (
            "the same, kept for a while",
            true,
            vec![Append(3), Read, CopyTruncate, Append(2), Read, Rename, Read, Pack(0), Read, Compress(0), Read],
        ),
        (
            "the same, stopped before it is renamed",
            true,
            vec![Append(3), Read, CopyTruncate, Read, Restart(0), Append(2), Rename, Read, Compress(0), Read],
        ),
        (
            "a copy that is compressed before it is read to its end",
            true,
            vec![Append(9), Some(1), CopyTruncate, Some(1), Compress(0), Read, Rename, Read, Compress(0), Read],
        ),
        (
            "copied and compressed before a look, then renamed while nobody looks",
            true,
            vec![Read, CopyTruncate, Compress(0), Append(1), Restart(0), Rename, Read, Compress(0), Read],
        ),
        (
            "copied twice, and compressed after a stop",
            true,
            vec![
                Read,
                CopyTruncate,
                Read,
                Restart(0),
                CopyTruncate,
                Read,
                Compress(0),
                Read,
                Rename,
                Read,
                Compress(0),
            ],
        ),
        ("linked, and renamed before it was begun", true, vec![Rename, Link, Rename, Some(3), Rename, Restart(2)]),
    ] {
        for empty in [false, true] {
            println!("{what}, empty at first: {empty}");
            let mut model = Model::new(pattern, empty);
            events.iter().for_each(|event| model.apply(*event));
            model.check();
        }
    }
}
