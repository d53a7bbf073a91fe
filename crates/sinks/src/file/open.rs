//! Opening: lock the file, then cut it back to what the journal says.
use super::{Compression, FileSink, Format, IfExists, handle::Handle, lines::Csv, writer::FileWriter};
use crate::on_disk::{self, FileId};
use dataflow_core::types::Type;
use dataflow_sdk::{
    Error, Paths,
    batch::{Column, Demand},
    sink::Opened,
};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Seek, SeekFrom},
    os::unix::fs::FileExt,
    path::Path,
    sync::Weak,
};

const RESET: &str = "put the file back as it was, or choose: set the checkpoint to \"journal\" to go on with what is there, or to \"beginning\" to \
    write all again; `ifExists` then says what becomes of what is there";

/// Opens the file for the one writer that it may have. `wanted` is gone once nobody waits for it any more: it may be late,
/// and must not cut back what a later writer has written since.
pub(super) fn open(
    config: &FileSink,
    paths: &Paths,
    journalled: Option<serde_json::Value>,
    wanted: &Weak<()>,
) -> Result<Opened, Error> {
    let path = &config.path;
    paths.admit(path)?;
    let journalled = journalled.map(Handle::from_json).transpose()?;
    let mut file = match (&journalled, path.exists()) {
        (Some(handle), false) => return Err(gone(path, handle)),
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
        let message = format!("{} is no regular file, so it can't be cut back after a crash", path.display());
        return Err(Error::fatal("not-a-file", message)
            .fix("give the path of a regular file, or use the stdout sink")
            .for_user());
    }
    let (id, found) = (FileId::from(&metadata), metadata.len());
    let (handle, fresh) = match journalled {
        Some(handle) => (check(handle, path, id, found)?, false),
        None => (begin(config, id, found)?, true),
    };
    if found > handle.length {
        file.set_len(handle.length).map_err(|error| on_disk::failure("cut back", path, &error))?;
    }
    let compression = config.compression.unwrap_or_else(|| Compression::of(path));
    let csv = Csv { delimiter: config.delimiter as u8, quote: config.quote as u8 };
    let columns = columns(config, &mut file, handle.length, compression, csv)?;
    let joins = compression == Compression::None && handle.length == handle.base && unended(&file, handle.length);
    file.seek(SeekFrom::Start(handle.length)).map_err(|error| on_disk::failure("position in", path, &error))?;
    let demand = match (config.format, &columns) {
        (Format::Json, _) => Demand::Documents,
        (Format::Csv, None) => Demand::AllColumns,
        (Format::Csv, Some(names)) => demand(names),
    };
    let handle_json = fresh.then(|| handle.to_json()).transpose()?;
    let csv = (config.format == Format::Csv).then_some(csv);
    let writer = Box::new(FileWriter::new(file, handle, compression, csv, config.header, columns, joins));
    Ok(Opened { writer, token: None, demand, warnings: Vec::new(), handle: handle_json })
}

/// CSV cells are asked for as JSON, so that every value arrives as it was written.
pub(super) fn demand(names: &[String]) -> Demand {
    Demand::Columns(names.iter().map(|name| Column { name: name.clone(), ty: Type::Json }).collect())
}

/// Whether what was there at first ends in the middle of a line.
fn unended(file: &File, length: u64) -> bool {
    let mut last = [b'\n'];
    length > 0 && file.read_exact_at(&mut last, length - 1).is_ok() && last != *b"\n"
}

fn open_or_create(path: &Path) -> Result<File, Error> {
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
            let message = format!("{} is locked by {}", path.display(), dataflow_locks::holder(path));
            Error::transient("locked", message)
        }
        TryLockError::Error(error) => on_disk::failure("lock", path, &error),
    })
}

fn gone(path: &Path, handle: &Handle) -> Error {
    let message = format!("{} is gone; {} bytes of it were committed", path.display(), handle.length);
    Error::fatal("file-missing", message).fix(RESET).for_user()
}

/// A file that the journal knows: it must be the same one, and hold at least what was committed.
fn check(handle: Handle, path: &Path, id: FileId, found: u64) -> Result<Handle, Error> {
    if handle.id() != id {
        let message = format!(
            "{} is another file than the one this pipeline wrote to ({} bytes committed)",
            path.display(),
            handle.length
        );
        return Err(Error::fatal("file-replaced", message).fix(RESET).for_user());
    }
    if found < handle.length {
        let message = format!("{} has {found} bytes, fewer than the {} committed", path.display(), handle.length);
        return Err(Error::fatal("file-too-short", message).fix(RESET).for_user());
    }
    Ok(handle)
}

/// The first opening of a generation.
fn begin(config: &FileSink, id: FileId, found: u64) -> Result<Handle, Error> {
    let base = match config.if_exists {
        IfExists::Append => found,
        IfExists::Replace => 0,
        IfExists::Fail if found == 0 => 0,
        IfExists::Fail => {
            let message = format!("{} is there already, with {found} bytes", config.path.display());
            let error = Error::fatal("file-exists", message);
            return Err(error.fix("move it away, or set ifExists to append or replace").for_user());
        }
    };
    Ok(Handle { path: config.path.clone(), device: id.device, inode: id.inode, length: base, base })
}

/// The columns of a CSV file: those named, otherwise those of its header. None: not known before the first batch.
fn columns(
    config: &FileSink,
    file: &mut File,
    length: u64,
    compression: Compression,
    csv: Csv,
) -> Result<Option<Vec<String>>, Error> {
    let read_header = config.format == Format::Csv && config.header && length > 0;
    if !read_header {
        return Ok(config.columns.clone());
    }
    let unreadable = |error: &dyn std::fmt::Display| {
        let message = format!("the header of {} can't be read: {error}", config.path.display());
        Error::fatal("not-csv", message).fix("name another file, or set ifExists: replace").for_user()
    };
    let header = file.rewind().and_then(|()| compression.reader(&*file)).map_err(|error| unreadable(&error)).and_then(
        |text| {
            let mut reader = csv::ReaderBuilder::new().delimiter(csv.delimiter).quote(csv.quote).from_reader(text);
            reader
                .headers()
                .map(|names| names.iter().map(String::from).collect::<Vec<_>>())
                .map_err(|error| unreadable(&error))
        },
    )?;
    match &config.columns {
        Some(columns) if *columns != header => {
            let message =
                format!("{} has the columns {}, not {}", config.path.display(), header.join(", "), columns.join(", "));
            Err(Error::fatal("columns-differ", message).fix("leave columns out, or write to another file").for_user())
        }
        _ => Ok(Some(header)),
    }
}
