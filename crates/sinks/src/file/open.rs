//! Opening: lock the file, then cut it back to what the journal says.
use super::{
    Compression, FileSink, Format, IfExists,
    choices::told,
    handle::Handle,
    lines::Csv,
    mark::Mark,
    still::{appended, gone, long_enough, same, same_end, unmarked},
    whole::whole,
    writer::{FileWriter, Found},
};
use crate::{
    on_disk::{self, FileId},
    owner::{Owner, may_write_again, written_before},
};
use dataflow_core::types::Type;
use dataflow_sdk::{
    Error, Paths,
    batch::{Column, Demand, Warning},
    sink::{OpenLane, Opened},
};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::Path,
    sync::Weak,
};

/// Opens the file for the one writer that it may have. `wanted` is gone once nobody waits for it any more: it may be late,
/// and must not cut back what a later writer has written since.
pub(super) fn open(config: &FileSink, paths: &Paths, lane: &OpenLane, wanted: &Weak<()>) -> Result<Opened, Error> {
    let path = &config.path;
    paths.admit(path)?;
    let journalled = lane.journalled.as_ref().and_then(|progress| progress.handle.clone());
    let journalled = journalled.map(Handle::from_json).transpose()?;
    let earlier = lane.earlier.clone().map(Handle::from_json).transpose()?;
    let mut file = match (journalled.as_ref().or(earlier.as_ref()), path.exists()) {
        (Some(handle), false) => {
            not_dangling(path)?;
            return Err(gone(path, handle));
        }
        _ => open_or_create(path)?,
    };
    lock(&file, path)?;
    // Asked under the lock: who is still wanted now was opened before any later writer, which has to wait for the lock.
    if wanted.strong_count() == 0 {
        return Err(Error::transient(
            "dropped",
            format!("opening {} was cancelled because the run ended", path.display()),
        ));
    }
    let metadata = file.metadata().map_err(|error| on_disk::failure("look at", path, &error))?;
    if !metadata.is_file() {
        let message = format!("{} is not a regular file, so it can't be truncated after a crash", path.display());
        return Err(Error::fatal("not-a-file", message)
            .fix("give the path of a regular file, or use the stdout sink")
            .for_user());
    }
    let there =
        There { path, file: &file, id: FileId::from(&metadata), length: metadata.len(), mark: Mark::read(&file) };
    let replaces = journalled.is_none() && config.if_exists == IfExists::Replace && lane.first;
    let taken_over = there.is_taken_over(lane, replaces)?;
    let known = journalled.as_ref().or(earlier.as_ref());
    let opened = match journalled.as_ref().filter(|_| !taken_over) {
        Some(handle) => there.check(handle, lane).map(|handle| (handle, false)),
        None => there.begin(config.if_exists, lane, known, taken_over).map(|handle| (handle, true)),
    };
    let (mut handle, fresh) = opened.map_err(|refusal| match known {
        Some(handle) => told(refusal, config, &there, lane, handle),
        None => refusal,
    })?;
    if let Some(mark) = there.mark.as_ref().filter(|mark| mark.fences(lane)) {
        let (path, Mark { epoch, opening, .. }) = (path.display(), mark);
        return Err(Error::Fenced(format!("{path} was opened by a later owner (epoch {epoch}, opening {opening})")));
    }
    if there.length > handle.length {
        file.set_len(handle.length).map_err(|error| on_disk::failure("cut back", path, &error))?;
    }
    let of_ancestor = |mark: &&Mark| {
        mark.branch.pipeline() == lane.fence.branch.pipeline() && lane.ancestors.contains(&mark.owner.incarnation)
    };
    let rows = there.mark.as_ref().filter(|_| may_write_again(lane) && handle.length > 0).filter(of_ancestor);
    let rows = rows.map_or(0, |mark| mark.ledger.rows_written);
    let mut mark = Mark::new(lane, there.mark, handle.base, handle.length);
    let begins = mark.begin.iter().map(|begin| (mark.generation, begin.clone())).collect();
    let marked = mark.write(&file);
    handle.marked = marked.is_ok();
    let before = (rows > 0).then(|| written_before(lane, &path.display().to_string(), rows));
    let warnings = marked.err().map(|error| no_mark(path, &error)).into_iter().chain(before).collect();
    let (compression, csv) = (config.compression(), config.csv());
    if fresh {
        whole(&file, path, handle.length, compression)?;
    }
    let columns = columns(config, &file, handle.length, compression, csv)?;
    let joins = compression == Compression::None && handle.length == handle.base && unended(&file, handle.length);
    file.seek(SeekFrom::Start(handle.length)).map_err(|error| on_disk::failure("position in", path, &error))?;
    let demand = match (config.format(), &columns) {
        (Format::Json, _) => Demand::Lines,
        (Format::Csv, None) => Demand::AllColumns,
        (Format::Csv, Some(names)) => demand(names),
    };
    let handle_json = (fresh || known.is_some_and(|known| known.last)).then(|| handle.to_json()).transpose()?;
    let csv = config.is_csv().then_some(csv);
    let (header, before) = (config.header, lane.counted);
    let found = Found { file, handle, mark, before, compression, csv, header, columns, joins };
    let writer = Box::new(FileWriter::new(found));
    Ok(Opened { writer, token: None, others: Vec::new(), begins, demand, warnings, handle: handle_json })
}

/// A file that can't say whose it is does not tell of a journal that is older than it.
fn no_mark(path: &Path, error: &str) -> Warning {
    let path = path.display();
    Warning {
        code: "no-mark",
        subject: path.to_string(),
        message: format!(
            "{path} can't keep an extended attribute with its counted length ({error}): if the node's data folder is restored from a backup, lines delivered after the backup are cut off and written again"
        ),
        records: 0,
    }
}

/// CSV cells are asked for as JSON, so that every value arrives as it was written.
pub(crate) fn demand(names: &[String]) -> Demand {
    Demand::Columns(names.iter().map(|name| Column { name: name.clone(), ty: Type::Any }).collect())
}

/// Whether what was there at first ends in the middle of a line.
fn unended(file: &File, length: u64) -> bool {
    let mut last = [b'\n'];
    length > 0 && file.read_exact_at(&mut last, length - 1).is_ok() && last != *b"\n"
}

fn not_dangling(path: &Path) -> Result<(), Error> {
    let (Ok(to), false) = (path.read_link(), path.exists()) else { return Ok(()) };
    let message = format!("{} is a symbolic link to {}, which does not exist", path.display(), to.display());
    Err(Error::fatal("dangling-link", message)
        .fix("create the file that it points to, or give that file's own path")
        .for_user())
}

fn open_or_create(path: &Path) -> Result<File, Error> {
    not_dangling(path)?;
    let open = |create| OpenOptions::new().read(true).write(true).create_new(create).open(path);
    let opened = open(false).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => open(true).and_then(|file| {
            // A file that is made must be found again after a crash of the machine.
            let folder = on_disk::folder(path);
            File::open(folder).and_then(|folder| folder.sync_all())?;
            Ok(file)
        }),
        _ => Err(error),
    });
    opened.map_err(|error| on_disk::failure("open", path, &error))
}

fn lock(file: &File, path: &Path) -> Result<(), Error> {
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => {
            let holder = dataflow_locks::holder(path);
            let writer = Mark::read(file).filter(|_| holder == dataflow_locks::THIS_PROCESS);
            let writer = writer.map_or_else(String::new, |mark| format!(", the pipeline {}", mark.branch));
            let message = format!("{} is locked by {holder}{writer}: each pipeline needs its own file", path.display());
            Error::transient("locked", message)
        }
        TryLockError::Error(error) => on_disk::failure("lock", path, &error),
    })
}

/// The file that is there.
pub(super) struct There<'a> {
    pub(super) path: &'a Path,
    pub(super) file: &'a File,
    id: FileId,
    pub(super) length: u64,
    pub(super) mark: Option<Mark>,
}

impl There<'_> {
    /// Whether another of this pipeline wrote to it last, and is to be taken over. Who `replaces` what was there need not go on
    /// after it, unless its own journal is older than that.
    fn is_taken_over(&self, lane: &OpenLane, replaces: bool) -> Result<bool, Error> {
        match &self.mark {
            Some(Mark { branch, owner, generation, .. })
                if branch.pipeline() == lane.fence.branch.pipeline()
                    && (branch, owner) != (&lane.fence.branch, &Owner::of(lane))
                    && self.length > 0
                    && (!replaces || owner.journal == lane.journal) =>
            {
                let unknown = *branch != lane.fence.branch && !lane.siblings.contains(generation);
                owner.is_taken_over(lane, unknown, &self.path.display().to_string())
            }
            _ => Ok(false),
        }
    }

    /// The file must be the one that the journal knows, and hold what was committed; a hash of the end of that.
    fn holds(&self, handle: &Handle) -> Result<u64, Error> {
        same(self.path, self.id, handle)?;
        long_enough(self.path, self.length, handle)?;
        same_end(self.path, self.file, handle)
    }

    /// A file that this pipeline has written to. What comes after what counts is cut off: it must be what this pipeline left
    /// uncommitted, nothing that any journal counts or that others wrote.
    fn check(&self, handle: &Handle, lane: &OpenLane) -> Result<Handle, Error> {
        let tail = self.holds(handle)?;
        let more = self.length > handle.length;
        match &self.mark {
            Some(mark) if more && !mark.is_of(&lane.fence) => {
                Err(appended(self.path, self.length, handle.length, Some(mark)))
            }
            Some(mark) if more && mark.is_ahead(lane, handle.length) => Err(self.behind(mark, handle.length)),
            Some(Mark { left: Some(left), .. }) if self.length > (*left).max(handle.length) => {
                Err(appended(self.path, self.length, (*left).max(handle.length), None))
            }
            None if more && handle.marked => Err(unmarked(self.path, self.length, handle.length)),
            _ => Ok(Handle { path: self.path.to_owned(), tail: Some(tail), last: false, ..handle.clone() }),
        }
    }

    /// The first opening of a generation. What the pipeline wrote in `earlier` ones must be there, and stays; nor may there be
    /// anything of others after it.
    fn begin(
        &self,
        if_exists: IfExists,
        lane: &OpenLane,
        earlier: Option<&Handle>,
        taken_over: bool,
    ) -> Result<Handle, Error> {
        let fence = &lane.fence;
        // Who takes the file over goes on after what is there, whether or not its own lines are.
        let earlier = earlier.filter(|earlier| !taken_over || self.holds(earlier).is_ok());
        if let Some(earlier) = earlier {
            self.holds(earlier)?;
        }
        let found = self.length;
        let base = match (&self.mark, earlier) {
            _ if taken_over => found,
            // Where there can be a mark and is none, nothing tells whose it is that comes after.
            (None, Some(earlier)) if !earlier.marked && !self.is_chosen(lane) => self.check(earlier, lane)?.length,
            (Some(_), Some(earlier)) => self.check(earlier, lane)?.length,
            (Some(mark), None) if mark.is_of(fence) => {
                let (since, ahead) = match mark.generation == fence.generation {
                    true => (mark.base, mark.counted > mark.base),
                    false => (0, mark.is_unknown(lane)),
                };
                if found > since && ahead {
                    return Err(self.behind(mark, mark.base));
                }
                found
            }
            _ if found == 0 || if_exists == IfExists::Append || self.is_chosen(lane) => found,
            _ if if_exists == IfExists::Replace && lane.first => 0,
            _ => {
                let message = format!("{} already exists, with {found} bytes", self.path.display());
                let fix = match if_exists {
                    IfExists::Replace => {
                        "move it away or set ifExists to append: it may not be this pipeline's, and is emptied only when the pipeline starts for the first time"
                    }
                    IfExists::Append | IfExists::Fail => "move it away, or set ifExists to append or replace",
                };
                return Err(Error::fatal("file-exists", message).fix(fix).for_user());
            }
        };
        let FileId { device, inode } = self.id;
        let origin = earlier.map_or(base, |earlier| earlier.origin);
        let path = self.path.to_owned();
        let handle = Handle {
            path,
            device,
            inode,
            length: base,
            base,
            origin,
            head: None,
            tail: None,
            marked: false,
            last: false,
        };
        handle.sealed(self.file).map_err(|error| on_disk::failure("look at", self.path, &error))
    }

    /// Whether a user has decided to go on after what is there, whatever it is.
    fn is_chosen(&self, lane: &OpenLane) -> bool {
        let remembered = lane.remembered.clone().and_then(|handle| Handle::from_json(handle).ok());
        remembered.is_some_and(|handle| handle.path == self.path)
    }

    /// A later journal has counted more of the file than the one that opens it.
    fn behind(&self, mark: &Mark, counted: u64) -> Error {
        let path = self.path.display();
        let message = format!(
            "the journal is behind the sink: it counts {counted} bytes of {path}, but a later journal of this pipeline \
                has counted {}. The data folder may have been restored from a backup",
            mark.counted
        );
        let unknown = "; but the file could not record where the partitions began, so a source with `start: latest` \
             continues at its end if the journal is older than the first start";
        let fix = format!(
            "bring back the newer data folder, or truncate the file to {counted} bytes so that the rest is written again, once; \
             or force the checkpoint to \"journal\" (--force) to keep the whole file and append the rest again, doubled{}",
            if mark.begin.is_none() { unknown } else { "" }
        );
        let begins = [(mark.generation, mark.begin.clone().unwrap_or_default())].into();
        Error::Contradicts { code: "journal-behind", message, fix, begins, ledger: Some(Box::new(mark.ledger)) }
    }
}

/// The columns of a CSV file: those named, otherwise those of its header. None: not known before the first batch.
pub(super) fn columns(
    config: &FileSink,
    mut file: &File,
    length: u64,
    compression: Compression,
    csv: Csv,
) -> Result<Option<Vec<String>>, Error> {
    let read_header = config.is_csv() && config.header && length > 0;
    if !read_header {
        return Ok(config.columns.clone());
    }
    let unreadable = |error: &dyn std::fmt::Display| {
        let message = format!("the header of {} can't be read: {error}", config.path.display());
        Error::fatal("not-csv", message).fix("name another file, or set ifExists: replace").for_user()
    };
    let text = file.rewind().and_then(|()| compression.reader(file)).map_err(|error| unreadable(&error))?;
    let header = csv.names(text).map_err(|error| unreadable(&error))?.unwrap_or_default();
    let mut names: Vec<&str> = header.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| format!("names {} twice", pair[0]));
    if let Some(why) = twice.or_else(|| names.is_empty().then(|| "names no column".into())) {
        let message = format!("the header of {} {why}: it can't be told which field goes where", config.path.display());
        return Err(Error::fatal("bad-header", message)
            .fix("correct the header, name another file, or set ifExists: replace")
            .for_user());
    }
    match &config.columns {
        Some(columns) if *columns != header => {
            let message =
                format!("{} has the columns {}, not {}", config.path.display(), header.join(", "), columns.join(", "));
            Err(Error::fatal("columns-differ", message).fix("omit columns, or write to another file").for_user())
        }
        _ => Ok(Some(header)),
    }
}
