//! The open objects of a lane: which rows go where, when one is full, and how many there may be.
use super::{
    encoder::Encoder,
    handle::Object,
    layout::Layout,
    object::{Open, PART, Part},
    record,
    rows::{Chunk, Rows},
};
use dataflow_sdk::{
    Error,
    batch::{Column, Output, Warning},
    sink::CommitError,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// A row group of Parquet is not ended before it has so many bytes.
const LEAST_OF_A_GROUP: usize = 1 << 20;

/// The names of the objects of an opening.
pub(super) struct Names {
    /// What those of the generation have in common.
    pub(super) series: String,
    pub(super) lane: u32,
    /// Nobody else's: whatever is restored from wherever, and whoever wakes up, no name is used again.
    pub(super) nonce: String,
}

/// The open objects of a lane.
pub(super) struct OpenObjects {
    config: Arc<Layout>,
    rows: Rows,
    pub(super) columns: Vec<Column>,
    names: Names,
    /// Objects that were begun.
    number: u64,
    /// By folder.
    open: HashMap<String, Open>,
    /// Finished ones whose parts are on their way, by key.
    finished: BTreeMap<String, Open>,
    /// Those all of whose parts are uploaded; they stay until they are published.
    pub(super) sealed: Vec<Object>,
    /// Whether a full object asks for a checkpoint.
    is_full: bool,
    /// Objects that were closed early since that was said.
    early: u64,
}

impl OpenObjects {
    pub(super) fn new(config: Arc<Layout>, columns: Vec<Column>, names: Names) -> Self {
        Self {
            rows: Rows::new(&config),
            config,
            columns,
            names,
            number: 0,
            open: HashMap::new(),
            finished: BTreeMap::new(),
            sealed: Vec::new(),
            is_full: false,
            early: 0,
        }
    }

    /// Takes the rows of a commit; returns how many, and the parts that are to be uploaded.
    pub(super) fn take(&mut self, outputs: &[Output], commit: u64) -> Result<(u64, Vec<Part>), CommitError> {
        let rows = self.rows.sort(outputs)?;
        let mut taken = 0;
        for (output, by_folder) in outputs.iter().zip(rows) {
            for (folder, rows) in by_folder {
                let mut rows = rows.as_slice();
                while !rows.is_empty() {
                    let config = self.config.clone();
                    let object = self.object(&folder, commit)?;
                    let most = config.roll.max_records.map_or(u64::MAX, |most| most - object.rows);
                    let now = &rows[..rows.len().min(usize::try_from(most).unwrap_or(usize::MAX))];
                    let written = Chunk { config: &config, output, rows: now }.write(object)?;
                    object.rows += written as u64;
                    taken += written as u64;
                    rows = &rows[written..];
                    let full = config.roll.max_records == Some(object.rows) || object.bytes() >= config.roll.max_bytes;
                    if full {
                        self.is_full = true;
                        self.finish(&folder)?;
                    }
                }
            }
        }
        self.make_room()?;
        Ok((taken, self.cut()))
    }

    /// The open object of a folder; begun if there is none.
    fn object(&mut self, folder: &str, commit: u64) -> Result<&mut Open, Error> {
        if !self.open.contains_key(folder) {
            if self.open.len() >= self.config.max_open_objects as usize {
                self.finish_oldest()?;
            }
            self.number += 1;
            let Names { series, lane, nonce } = &self.names;
            let name = record::name(series, *lane, commit);
            let key = format!("{folder}{name}-{nonce}-{:06}.{}", self.number, self.config.extension());
            let begun = Open {
                folder: folder.into(),
                key,
                encoder: Encoder::new(&self.config, &self.columns)?,
                since: Instant::now(),
                rows: 0,
                upload: None,
                parts: Vec::new(),
                sent: 0,
                finished: false,
            };
            self.open.insert(folder.into(), begun);
        }
        self.open.get_mut(folder).ok_or_else(|| Error::fatal("internal", "an object was lost while it was open"))
    }

    fn finish(&mut self, folder: &str) -> Result<(), Error> {
        if let Some(mut object) = self.open.remove(folder) {
            object.encoder.finish()?;
            object.finished = true;
            self.finished.insert(object.key.clone(), object);
        }
        Ok(())
    }

    /// Closes the oldest object before it is full.
    fn finish_oldest(&mut self) -> Result<(), Error> {
        let oldest = self.open.values().min_by(|one, other| (one.since, &one.key).cmp(&(other.since, &other.key)));
        if let Some(folder) = oldest.map(|oldest| oldest.folder.clone()) {
            self.early += 1;
            self.finish(&folder)?;
        }
        Ok(())
    }

    /// Holds no more in memory than it may, whole parts aside, which go at once: first ends row groups, then closes objects.
    fn make_room(&mut self) -> Result<(), Error> {
        while self.open.values_mut().map(|object| object.held() % PART).sum::<usize>() as u64
            > self.config.max_open_bytes
        {
            match self.open.values_mut().max_by_key(|object| object.encoder.pending()) {
                Some(object) if object.encoder.pending() > LEAST_OF_A_GROUP => object.encoder.flush()?,
                _ => self.finish_oldest()?,
            }
        }
        Ok(())
    }

    /// What is to be uploaded now.
    fn cut(&mut self) -> Vec<Part> {
        self.open.values_mut().chain(self.finished.values_mut()).flat_map(Open::cut).collect()
    }

    /// Closes all objects; returns what is left to be uploaded.
    pub(super) fn finish_all(&mut self) -> Result<Vec<Part>, Error> {
        let folders: Vec<String> = self.open.keys().cloned().collect();
        folders.iter().try_for_each(|folder| self.finish(folder))?;
        self.is_full = false;
        Ok(self.cut())
    }

    /// Whether what is open is to be sealed now.
    pub(super) fn is_due(&self) -> bool {
        let max_age: Duration = self.config.roll.max_age.into();
        self.is_full || self.open.values().any(|object| object.since.elapsed() >= max_age)
    }

    /// Whether rows were taken that are not in a sealed object.
    pub(super) fn has_open(&self) -> bool {
        !self.open.is_empty() || !self.finished.is_empty()
    }

    fn of_key(&mut self, key: &str) -> Option<&mut Open> {
        match self.finished.get_mut(key) {
            Some(object) => Some(object),
            None => self.open.values_mut().find(|object| object.key == key),
        }
    }

    /// The upload of the object that a part is for.
    pub(super) fn upload(&mut self, key: &str) -> Option<String> {
        self.of_key(key)?.upload.clone()
    }

    pub(super) fn begun(&mut self, key: &str, upload: String) {
        if let Some(object) = self.of_key(key) {
            object.upload = Some(upload);
        }
    }

    pub(super) fn uploaded(&mut self, key: &str, number: usize, etag: String) {
        if let Some(part) = self.of_key(key).and_then(|object| object.parts.get_mut(number)) {
            *part = Some(etag);
        }
        if let Some(sealed) = self.finished.get(key).and_then(Open::sealed) {
            self.finished.remove(key);
            self.sealed.push(sealed);
        }
    }

    /// The uploads that are under way, or sealed and not known to be published.
    pub(super) fn uploads(&self) -> impl Iterator<Item = (&str, &str)> {
        let open = self.open.values().chain(self.finished.values());
        let open = open.filter_map(|object| Some((object.key.as_str(), object.upload.as_deref()?)));
        open.chain(self.sealed.iter().map(|object| (object.key.as_str(), object.upload.as_str())))
    }

    /// What to tell the user.
    pub(super) fn warnings(&mut self) -> Vec<Warning> {
        let early = std::mem::take(&mut self.early);
        let warning = || Warning {
            code: "closed-early",
            subject: "path".into(),
            message: format!(
                "objects were closed before they were full, because records went to more than {} folders at a time, or their open \
                 objects held more than {} bytes: raise maxOpenObjects or maxOpenBytes, or use a path with fewer values",
                self.config.max_open_objects, self.config.max_open_bytes
            ),
            records: early,
        };
        (early > 0).then(warning).into_iter().collect()
    }
}
