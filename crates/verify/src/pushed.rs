//! Pushed records: the node keeps none after the checkpoint, so a file of them replaces the inbox.
use crate::{Error, Options};
use async_trait::async_trait;
use bytes::Bytes;
use dataflow_api_types::Claims;
use dataflow_sdk::{
    Error as ConnectorError,
    declared::Declared,
    inbox::{Inbox, Pushed},
};
use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// The number of records returned at once.
const BATCH: usize = 1_000;

/// Opens the inbox of a pipeline, if its source accepts pushed records.
pub(crate) async fn inbox(
    claims: &Claims,
    declared: &Declared,
    options: &Options,
) -> Result<Option<Arc<dyn Inbox>>, Error> {
    match (declared.source.pushes.is_some(), &options.records) {
        (false, None) => Ok(None),
        (false, Some(_)) => Err(Error::not_now(
            format!(
                "{} reads its records from a {} source, not from a file of pushed records",
                claims.pipeline_id, claims.spec.source.kind
            ),
            "leave out --records",
        )),
        (true, None) => Err(Error::not_now(
            "pushed records are not kept after delivery, so they can't be read again",
            "pass the accepted records in their order: --records FILE, with one {\"id\": …, \"data\": …} per line",
        )),
        (true, Some(path)) => Ok(Some(Arc::new(Lines::open(path)?))),
    }
}

/// Pushed records, one per line.
#[derive(Debug)]
struct Lines {
    path: PathBuf,
    reading: Mutex<Reading>,
    records: u64,
}

#[derive(Debug)]
struct Reading {
    lines: BufReader<File>,
    at: u64,
}

impl Lines {
    fn open(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::Claims(format!("{} can't be read: {error}", path.display()));
        if !std::fs::metadata(path).map_err(failed)?.is_file() {
            let what = format!("{} is no regular file: the records are read more than once", path.display());
            return Err(Error::not_now(what, "write them to a file, and name that with --records"));
        }
        let open = || File::open(path).map(BufReader::new).map_err(failed);
        let mut records = 0;
        for line in open()?.lines() {
            records += u64::from(!line.map_err(failed)?.trim().is_empty());
        }
        Ok(Self { path: path.into(), reading: Mutex::new(Reading { lines: open()?, at: 0 }), records })
    }

    /// Reads the records from a place on.
    fn read(&self, from: u64) -> Result<Pushed, ConnectorError> {
        let failed =
            |error| ConnectorError::fatal("io", format!("{} can't be read: {error}", self.path.display())).for_user();
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if reading.at > from {
            *reading = Reading { lines: BufReader::new(File::open(&self.path).map_err(failed)?), at: 0 };
        }
        let (mut body, mut line, mut taken) = (b"{\"batchId\":\"records\",\"records\":[".to_vec(), Vec::new(), 0);
        while taken < BATCH {
            line.clear();
            if reading.lines.read_until(b'\n', &mut line).map_err(failed)? == 0 {
                break;
            }
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            if reading.at >= from {
                if taken > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(text);
                taken += 1;
            }
            reading.at += 1;
        }
        body.extend_from_slice(b"]}");
        Ok(Pushed { from, to: from + taken as u64, digest: "".into(), at: 0, body: Bytes::from(body) })
    }
}

#[async_trait]
impl Inbox for Lines {
    async fn next(&self, from: u64) -> Result<Pushed, ConnectorError> {
        if from >= self.records {
            return std::future::pending().await;
        }
        self.read(from)
    }

    async fn received(&self) -> Result<u64, ConnectorError> {
        Ok(self.records)
    }
}
