//! Whatever a rotation tool does, once or many times between two looks, with `follow` and without: each line is read once, and
//! nothing is taken for lost.
use super::*;
use crate::{
    ahead::{Step, Work},
    file::{follow::Follow, whole::Whole},
};
use std::path::PathBuf;

/// Looks without anything new until nothing more is expected; more than a replaced file's grace.
const IDLE: u32 = 12;
/// More generations than there ever are.
const MOST: u32 = 16;

/// What reads the files.
#[derive(Clone, Copy, Debug)]
enum Reads {
    /// Pattern, without `follow`.
    Once,
    /// Pattern, with `follow`.
    Follows,
    /// A pattern that older generations don't match, with `follow`. Nothing is compressed here, either.
    FollowsNew,
    /// The name alone, with `follow`. What is compressed before it was looked at can't be known, so nothing is.
    FollowsOne,
}

/// What the lines of a log say.
#[derive(Clone, Copy, Debug)]
enum Says {
    /// Each something else.
    Other,
    /// All the same.
    Same,
    /// The first two of each generation the same.
    SameHead,
}

const SAYS: [Says; 3] = [Says::Other, Says::Same, Says::SameHead];

#[derive(Clone, Copy, Debug)]
enum Event {
    /// So many lines.
    Append(u8),
    /// The file is there, and nothing in it.
    Touch,
    /// All generations are shifted.
    Rotate,
    /// The same; before that the last one is compressed, as by logrotate's `delaycompress`.
    Delay,
    /// A generation is compressed where it is.
    Compress(u8),
    /// All that is there is read.
    Read,
    /// Only so many batches are, and then the reader begins anew.
    Some(u8),
    /// The reader begins anew.
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (1..4u8).prop_map(Event::Append),
        1 => Just(Event::Touch),
        3 => Just(Event::Rotate),
        2 => Just(Event::Delay),
        2 => (0..4u8).prop_map(Event::Compress),
        5 => Just(Event::Read),
        1 => (1..4u8).prop_map(Event::Some),
        2 => Just(Event::Restart),
    ]
}

struct Model {
    dir: tempfile::TempDir,
    source: FileSource,
    reads: Reads,
    work: Option<Box<dyn Work>>,
    positions: Positions,
    texts: Vec<String>,
    /// What was written.
    lines: Vec<String>,
    says: Says,
    /// How many lines the file has that is written.
    own: u32,
}

impl Model {
    fn new(reads: Reads, first: Event, says: Says) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let name = match reads {
            Reads::FollowsOne => "app.log",
            Reads::FollowsNew => "*.log",
            Reads::Once | Reads::Follows => "app.log*",
        };
        let follow = !matches!(reads, Reads::Once);
        let source = source(&dir.path().join(name), json!({"follow": follow, "pollInterval": "1ms", "format": "json"}));
        let (work, positions, texts) = (None, Positions::new(), Vec::new());
        let mut model = Self { dir, source, reads, work, positions, texts, lines: Vec::new(), says, own: 0 };
        model.apply(first);
        // Nobody knows of what had another name before the first look.
        model.apply(Event::Read);
        model
    }

    /// A generation; the last one is 0.
    fn path(&self, nth: u32, packed: bool) -> PathBuf {
        let name = if nth == 0 { "app.log".to_owned() } else { format!("app.log.{nth}") };
        self.dir.path().join(if packed { name + ".gz" } else { name })
    }

    fn compress(&self, nth: u32) {
        let path = self.path(nth, false);
        if matches!(self.reads, Reads::FollowsOne | Reads::FollowsNew) || !path.exists() {
            return;
        }
        let (packed, written) = (self.path(nth, true), fs::metadata(&path).unwrap().modified().unwrap());
        fs::write(&packed, gzip(&fs::read(&path).unwrap())).unwrap();
        // Some tools keep the time of the last change.
        if self.lines.len() % 2 == 1 {
            fs::File::options().write(true).open(packed).unwrap().set_modified(written).unwrap();
        }
        fs::remove_file(path).unwrap();
    }

    fn rotate(&mut self) {
        if !self.path(0, false).exists() {
            return;
        }
        self.own = 0;
        std::thread::sleep(Duration::from_millis(10)); // rotations are further apart than a file system's clock ticks
        for nth in (0..MOST).rev() {
            for packed in [false, true] {
                fs::rename(self.path(nth, packed), self.path(nth + 1, packed)).ok();
            }
        }
    }

    fn apply(&mut self, event: Event) {
        match event {
            Event::Append(lines) => {
                let mut text = String::new();
                for _ in 0..lines {
                    let line = match self.says {
                        Says::Same => "{}".to_owned(),
                        Says::SameHead if self.own < 2 => "begin".to_owned(),
                        Says::SameHead | Says::Other => format!("line {}", self.lines.len()),
                    };
                    text += &format!("{line}\n");
                    self.lines.push(line);
                    self.own += 1;
                }
                append(&self.path(0, false), &text);
            }
            Event::Touch => append(&self.path(0, false), ""),
            Event::Rotate => self.rotate(),
            Event::Delay => {
                self.compress(1);
                self.rotate();
            }
            // Who writes to it still is asked to let go of it first.
            Event::Compress(nth) => self.compress(u32::from(nth) + 1),
            Event::Read => self.read(usize::MAX),
            Event::Some(batches) => {
                self.read(batches.into());
                self.work = None;
            }
            Event::Restart => self.work = None,
        }
    }

    fn read(&mut self, most: usize) {
        let mut cx = context();
        cx.batch.max_records = 2;
        let work = self.work.get_or_insert_with(|| match self.source.follow {
            true => Box::new(Follow::new(self.source.clone(), &cx, self.positions.clone()).unwrap()),
            false => Box::new(Whole::new(self.source.clone(), &cx, self.positions.clone()).unwrap()),
        });
        let (mut read, mut idle) = (Vec::new(), 0);
        while read.len() < most && idle < IDLE {
            match work.step().unwrap() {
                Step::Records(records) => {
                    read.push(*records);
                    idle = 0;
                }
                Step::Idle(pause) => {
                    std::thread::sleep(pause);
                    idle += 1;
                }
                Step::End => {
                    self.work = None;
                    break;
                }
            }
        }
        assert!(read.iter().all(|batch| batch.lost.is_none()), "nothing was lost");
        remember(&mut self.positions, &read);
        self.texts.extend(texts(&read));
    }

    fn check(&mut self) {
        // What follows a file that was renamed tells that nobody writes to it any more.
        self.apply(Event::Append(1));
        self.apply(Event::Read);
        self.apply(Event::Restart);
        self.apply(Event::Read);
        self.texts.sort_unstable();
        self.lines.sort_unstable();
        assert_eq!(self.texts, self.lines);
    }
}

/// Few cases, as they wait for files; more, if the environment says so.
fn config() -> ProptestConfig {
    let more = std::env::var_os("PROPTEST_CASES").is_some();
    let default = ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::default() };
    if more { default } else { ProptestConfig { cases: 60, ..default } }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn rotated_lines_are_read_once(
        reads in prop::sample::select(vec![Reads::Once, Reads::Follows, Reads::FollowsNew, Reads::FollowsOne]),
        first in prop::sample::select(vec![Event::Append(2), Event::Touch, Event::Restart]),
        says in prop::sample::select(SAYS.to_vec()),
        events in prop::collection::vec(event(), 1..24),
    ) {
        // Which compressed file was made of which of several equal ones, times and names don't always tell: the cases below name those
        // in which they do.
        let compressed = events.iter().any(|event| matches!(event, Event::Delay | Event::Compress(_)));
        let says = if compressed && matches!(reads, Reads::Once | Reads::Follows) { Says::Other } else { says };
        let nothing = !matches!(reads, Reads::FollowsOne) && matches!(first, Event::Restart);
        let mut model = Model::new(reads, if nothing { Event::Touch } else { first }, says);
        events.into_iter().for_each(|event| model.apply(event));
        model.check();
    }
}

#[test]
fn rotations_that_are_worth_a_name() {
    use Event::*;
    let round = |of: &[Event], times: usize| of.repeat(times);
    let every = &[Reads::Once, Reads::Follows, Reads::FollowsNew, Reads::FollowsOne][..];
    let one = &[Reads::FollowsOne][..];
    let mut wrong = Vec::new();
    for (what, reads, first, events) in [
        ("again and again", every, Append(2), round(&[Rotate, Append(2), Read], 5)),
        ("again and again, stopped each time", every, Append(2), round(&[Restart, Rotate, Append(2), Read], 5)),
        ("stopped where nothing has its name", every, Append(2), round(&[Rotate, Read, Restart, Append(2), Read], 4)),
        ("twice between two looks", every, Append(2), round(&[Rotate, Append(1), Rotate, Append(2), Read], 3)),
        ("compressed a rotation later", every, Append(2), round(&[Delay, Append(2), Read], 5)),
        ("the same, stopped each time", every, Append(2), round(&[Restart, Delay, Append(2), Read], 5)),
        ("compressed at once", every, Append(2), round(&[Rotate, Compress(0), Append(2), Read], 5)),
        ("the same, stopped each time", every, Append(2), round(&[Restart, Rotate, Compress(0), Append(2), Read], 5)),
        (
            "compressed where it is, after more rotations",
            every,
            Append(2),
            [Rotate, Read, Append(2), Read, Rotate, Read, Append(2), Read, Compress(0), Read].to_vec(),
        ),
        (
            "rotated, and rotated again where nothing has its name, once it is compressed",
            every,
            Append(2),
            [Delay, Append(1), Read, Rotate, Read, Append(3), Restart, Delay, Read].to_vec(),
        ),
        ("compressed where nothing has its name", every, Append(2), [Rotate, Append(2), Rotate, Delay].to_vec()),
        ("empty at first", every, Touch, [Append(2), Rotate, Append(2), Read].to_vec()),
        ("empty at first, stopped", every, Touch, [Restart, Append(2), Rotate, Append(2), Read].to_vec()),
        ("empty in between", every, Append(2), round(&[Restart, Rotate, Touch, Read, Append(1)], 4)),
        ("empty, rotated more than once", every, Touch, [Append(2), Rotate, Append(1), Rotate, Append(2)].to_vec()),
        ("not there for a while", every, Append(2), [Rotate, Read, Restart, Append(1), Rotate, Append(1)].to_vec()),
        (
            "stopped after a batch, twice, once it is rotated again",
            every,
            Append(2),
            [Rotate, Delay, Append(1), Some(1), Rotate, Append(1), Some(1)].to_vec(),
        ),
        (
            "two generations compressed, the newer one read in part",
            every,
            Append(2),
            [Append(3), Rotate, Append(2), Append(1), Read, Append(3), Rotate, Append(2), Delay, Compress(2)].to_vec(),
        ),
        (
            "compressed after another one that was read",
            every,
            Append(2),
            [Rotate, Append(2), Read, Delay, Some(1), Read, Append(2), Rotate, Delay].to_vec(),
        ),
        (
            "compressed after the one that was read, and stopped",
            every,
            Append(2),
            [Rotate, Append(3), Delay, Delay, Some(1), Touch, Read, Rotate, Read].to_vec(),
        ),
        ("compressed between two looks", every, Append(2), [Rotate, Append(1), Rotate, Append(1), Delay].to_vec()),
        ("the same, before a longer one", every, Append(2), [Rotate, Append(1), Rotate, Append(3), Delay].to_vec()),
        (
            "the same, after the next one was begun",
            every,
            Append(2),
            [Rotate, Append(1), Rotate, Append(1), Compress(0), Append(1)].to_vec(),
        ),
        (
            "compressed by the name that another generation had",
            every,
            Append(2),
            [Rotate, Append(1), Read, Rotate, Touch, Compress(2), Append(2), Rotate, Delay].to_vec(),
        ),
        (
            "compressed when the next one has as many lines as another one has read",
            every,
            Append(2),
            [Append(3), Rotate, Append(1), Read, Delay, Delay].to_vec(),
        ),
        ("not there at first", one, Restart, [Append(2), Rotate, Append(2), Read].to_vec()),
        ("not there at first, stopped", one, Restart, [Restart, Append(2), Rotate, Append(2), Rotate].to_vec()),
        ("not there at first, nor at the next look", one, Restart, [Append(2), Rotate, Read, Append(1)].to_vec()),
    ] {
        for reads in reads {
            for says in SAYS {
                let events = events.clone();
                let holds = std::panic::catch_unwind(|| {
                    let mut model = Model::new(*reads, first, says);
                    events.into_iter().for_each(|event| model.apply(event));
                    model.check();
                });
                wrong.extend(holds.is_err().then(|| format!("{what}: {reads:?}, {says:?}")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Reads what there is at one look, without a pause.
pub(super) fn look(work: &mut Follow) -> Vec<String> {
    let mut read = Vec::new();
    loop {
        match work.step().unwrap() {
            Step::Records(records) => read.push(*records),
            Step::Idle(_) => return texts(&read),
            Step::End => panic!("a followed file has no end"),
        }
    }
}

#[test]
fn one_look_reads_all_generations_that_are_over() {
    for name in ["app.log", "app.log*"] {
        let dir = tempfile::tempdir().unwrap();
        let path = |nth: u32| dir.path().join(if nth == 0 { "app.log".to_owned() } else { format!("app.log.{nth}") });
        let source = source(&dir.path().join(name), json!({"follow": true, "pollInterval": "1h"}));
        append(&path(0), "0\n");
        let mut work = Follow::new(source, &context(), Positions::new()).unwrap();
        assert_eq!(look(&mut work), ["0"], "{name}");
        let pause = || std::thread::sleep(Duration::from_millis(10)); // more than a file system's clock ticks
        for generation in 1..=4 {
            pause();
            (0..4).rev().for_each(|nth| fs::rename(path(nth), path(nth + 1)).unwrap_or_default());
            append(&path(0), &format!("{generation}\n"));
        }
        let mut read = look(&mut work);
        // Of the last two, a writer may still have the older one open.
        std::thread::sleep(Duration::from_secs(2));
        read.extend(look(&mut work));
        read.sort();
        assert_eq!(read, ["1", "2", "3", "4"], "{name}, renamed");
        append(&path(0), "5\n");
        pause();
        fs::copy(path(0), dir.path().join("app.log.0")).unwrap();
        fs::write(path(0), "6\n").unwrap();
        let mut read = look(&mut work);
        read.sort();
        assert_eq!(read, ["5", "6"], "{name}, copied and truncated");
    }
}

/// Without a pattern, nothing reads what was compressed between two looks: that is said, of nothing else.
#[test]
fn a_generation_that_was_compressed_unread_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let pack = |name: &str| {
        fs::write(path(&format!("{name}.gz")), gzip(&fs::read(path(name)).unwrap())).unwrap();
        fs::remove_file(path(name)).unwrap();
    };
    let source = source(&path("app.log"), json!({"follow": true, "pollInterval": "1ms"}));
    append(&path("app.log.1"), "long ago\n");
    append(&path("app.log"), "0\n");
    let mut work = Follow::new(source, &context(), Positions::new()).unwrap();
    assert_eq!(look(&mut work), ["0"]);
    for written in [2, 3] {
        std::thread::sleep(Duration::from_millis(10)); // more than a file system's clock ticks
        for (older, name) in [("app.log.3", "app.log.2"), ("app.log.2", "app.log.1"), ("app.log.1", "app.log")] {
            fs::rename(path(name), path(older)).unwrap_or_default();
        }
        append(&path("app.log"), &format!("{written}\n"));
    }
    ["app.log.1", "app.log.3"].into_iter().for_each(pack);
    let mut read = Vec::new();
    for _ in 0..IDLE {
        std::thread::sleep(Duration::from_millis(1));
        read.extend(look(&mut work));
    }
    assert_eq!(read, ["3"]);
    let warned = work.warnings();
    let named: Vec<_> = warned.iter().map(Notice::key).collect();
    assert_eq!(named, [("generation-missed", path("app.log.1.gz").to_str().unwrap())]);
}

/// A generation is read as long as its writer writes. What comes later is read under its new name, or said.
#[tokio::test(start_paused = true)]
async fn what_is_written_to_a_generation_after_its_end_is_said() {
    for (name, last, told) in [("app.log", &["new"][..], vec!["written-late"]), ("app.log*", &["new", "late"], vec![])]
    {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let source = source(&path(name), json!({"follow": true, "pollInterval": "1s"}));
        append(&path("app.log"), "0\n");
        let mut work = Follow::new(source, &context(), Positions::new()).unwrap();
        assert_eq!(look(&mut work), ["0"]);
        let mut writer = fs::File::options().append(true).open(path("app.log")).unwrap();
        fs::rename(path("app.log"), path("app.log.1")).unwrap();
        std::thread::sleep(Duration::from_millis(10)); // more than a file system's clock ticks
        append(&path("app.log"), "new\n");
        for text in ["1", "2", "3"] {
            assert!(look(&mut work).is_empty(), "{name}");
            tokio::time::advance(Duration::from_millis(700)).await;
            writeln!(writer, "{text}").unwrap();
            assert_eq!(look(&mut work), [text], "{name}");
        }
        let mut read = Vec::new();
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(1)).await;
            read.extend(look(&mut work));
        }
        writeln!(writer, "late").unwrap();
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(1)).await;
            read.extend(look(&mut work));
        }
        assert_eq!(read, last, "{name}");
        let warned = work.warnings();
        let codes: Vec<_> = warned.iter().map(|notice| notice.key().0).collect();
        assert_eq!(codes, told, "{name}");
    }
}

/// A generation that was deleted is held open no longer, so that its space is free again.
#[tokio::test(start_paused = true)]
async fn a_deleted_generation_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let source = source(&path("app.log"), json!({"follow": true, "pollInterval": "1s"}));
    append(&path("app.log"), "0\n");
    let mut work = Follow::new(source, &context(), Positions::new()).unwrap();
    assert_eq!(look(&mut work), ["0"]);
    fs::rename(path("app.log"), path("app.log.1")).unwrap();
    std::thread::sleep(Duration::from_millis(10)); // more than a file system's clock ticks
    append(&path("app.log"), "new\n");
    let mut read = Vec::new();
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(1)).await;
        read.extend(look(&mut work));
    }
    assert_eq!(read, ["new"]);
    let held = || {
        let files = fs::read_dir("/proc/self/fd").unwrap().filter_map(|file| fs::read_link(file.unwrap().path()).ok());
        files.filter(|file| file.to_str().unwrap().starts_with(path("app.log.1").to_str().unwrap())).count()
    };
    assert_eq!(held(), 1);
    fs::remove_file(path("app.log.1")).unwrap();
    assert!(look(&mut work).is_empty());
    assert_eq!(held(), 0);
    assert!(work.warnings().is_empty());
}
