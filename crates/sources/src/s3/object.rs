//! The bytes of an object, read in blocks. A block is of the content that was listed, or there is none: what was written since is
//! never mixed with what came before.
use super::list::Listed;
use crate::file;
use bytes::Bytes;
use dataflow_s3::{Connection, Request, Trouble};
use dataflow_sdk::Error;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, IF_MATCH, RANGE};
use std::{
    collections::VecDeque,
    fmt,
    io::{self, Read, Seek, SeekFrom},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{runtime::Handle, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// A bucket for those who wait on a thread of their own.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    pub(super) connection: Connection,
    pub(super) runtime: Handle,
    pub(super) stop: CancellationToken,
}

impl Bucket {
    /// Waits for an answer, unless the run ends.
    pub(super) fn wait<T>(&self, answer: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        self.runtime.block_on(async {
            tokio::select! {
                answer = answer => answer,
                () = self.stop.cancelled() => Err(Error::transient("closed", "the run has ended").into()),
            }
        })
    }
}

/// An object, from which is read at any place. Holds some blocks, and reads the next one ahead.
pub(super) struct Object {
    bucket: Bucket,
    pub(super) listed: Listed,
    /// Bytes of a block.
    block: u64,
    /// Most blocks that are held.
    most: usize,
    blocks: Mutex<Blocks>,
}

#[derive(Default)]
struct Blocks {
    /// By number; the one that was used last is the last.
    held: VecDeque<(u64, Bytes)>,
    ahead: Option<(u64, JoinHandle<Result<Bytes, Trouble>>)>,
    /// Why the last block could not be read: who reads the bytes knows of I/O alone.
    trouble: Option<Trouble>,
}

impl fmt::Debug for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("listed", &self.listed).finish_non_exhaustive()
    }
}

impl Object {
    pub(super) fn new(bucket: Bucket, listed: Listed, block: u64, most: usize) -> Self {
        Self { bucket, listed, block, most, blocks: Mutex::default() }
    }

    /// What is behind the failure of whoever read its bytes.
    pub(super) fn trouble(&self, error: Error) -> Trouble {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.trouble.take().unwrap_or(Trouble::Failed(error))
    }

    /// The block of this number.
    fn block(&self, number: u64) -> Result<Bytes, Trouble> {
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = blocks.held.iter().position(|(held, _)| *held == number)
            && let Some(found) = blocks.held.remove(at)
        {
            let bytes = found.1.clone();
            blocks.held.push_back(found);
            return Ok(bytes);
        }
        let coming = blocks.ahead.take_if(|(ahead, _)| *ahead == number);
        let bytes = match coming {
            Some((_, task)) => self.bucket.wait(async {
                let lost = |error| Trouble::Failed(Error::fatal("internal", format!("a request failed: {error}")));
                task.await.map_err(lost)?
            })?,
            None => self.bucket.wait(fetch(self.bucket.connection.clone(), self.listed.clone(), self.range(number)))?,
        };
        // Whoever takes one block after the other takes the next, too.
        let in_turn = number == 0 || blocks.held.iter().any(|(held, _)| held + 1 == number);
        while blocks.held.len() >= self.most {
            blocks.held.pop_front();
        }
        blocks.held.push_back((number, bytes.clone()));
        let next = number + 1;
        if in_turn && next * self.block < self.listed.size && blocks.held.iter().all(|(held, _)| *held != next) {
            let task = fetch(self.bucket.connection.clone(), self.listed.clone(), self.range(next));
            if let Some((_, old)) = blocks.ahead.replace((next, self.bucket.runtime.spawn(task))) {
                old.abort();
            }
        }
        Ok(bytes)
    }

    /// From a byte to the one behind the last.
    fn range(&self, number: u64) -> (u64, u64) {
        let begin = number * self.block;
        (begin, (begin + self.block).min(self.listed.size))
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        if let Some((_, task)) = self.blocks.lock().unwrap_or_else(PoisonError::into_inner).ahead.take() {
            task.abort();
        }
    }
}

impl file::Bytes for Object {
    fn length(&self) -> io::Result<u64> {
        Ok(self.listed.size)
    }

    fn read_at(&self, into: &mut [u8], at: u64) -> io::Result<usize> {
        if at >= self.listed.size || into.is_empty() {
            return Ok(0);
        }
        let number = at / self.block;
        match self.block(number) {
            Ok(bytes) => {
                let begin = usize::try_from(at - number * self.block).unwrap_or(usize::MAX);
                let there = bytes.get(begin..).unwrap_or_default();
                let count = there.len().min(into.len());
                into[..count].copy_from_slice(&there[..count]);
                Ok(count)
            }
            Err(trouble) => {
                self.blocks.lock().unwrap_or_else(PoisonError::into_inner).trouble = Some(trouble);
                Err(io::Error::other("the object can't be read"))
            }
        }
    }
}

async fn fetch(bucket: Connection, listed: Listed, (begin, end): (u64, u64)) -> Result<Bytes, Trouble> {
    let (range, etag) = (format!("bytes={begin}-{}", end - 1), format!("\"{}\"", listed.etag));
    let headers = [(RANGE, range.as_str()), (IF_MATCH, etag.as_str())];
    let asked = Request { doing: "read", of: &listed.key, key: Some(&listed.key), query: &[], headers: &headers };
    let answer = bucket.get(asked).await?;
    // Whoever ignores the condition still says what it has sent.
    if said(&answer.headers, ETAG.as_str()).is_some_and(|said| said.trim_matches('"') != listed.etag) {
        return Err(Trouble::Changed);
    }
    let whole = begin == 0 && end == listed.size;
    let ranged = said(&answer.headers, CONTENT_RANGE.as_str());
    let expected = format!("bytes {begin}-{}/{}", end - 1, listed.size);
    if answer.body.len() as u64 != end - begin || ranged.map_or(!whole, |ranged| ranged != expected) {
        let place = bucket.place(&listed.key);
        let message = format!(
            "{place}: {} bytes came ({}) where bytes {begin} to {end} of {} were asked for",
            answer.body.len(),
            ranged.unwrap_or("without a range"),
            listed.size
        );
        return Err(Trouble::Failed(Error::fatal("unsupported", message).fix(
            "see whether a proxy between the node and the server alters answers: ranges of objects have to come as they are",
        )));
    }
    Ok(answer.body)
}

fn said<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// An object that is read from its beginning on.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) object: Arc<Object>,
    pub(super) at: u64,
}

impl Read for Cursor {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = file::Bytes::read_at(&*self.object, into, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.object.listed.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// One byte of an object.
pub(super) async fn byte(bucket: &Connection, listed: &Listed, at: u64) -> Result<u8, Trouble> {
    let bytes = fetch(bucket.clone(), listed.clone(), (at, at + 1)).await?;
    Ok(bytes.first().copied().unwrap_or_default())
}
