//! An object that is being written.
use super::{encoder::Encoder, handle::Object};
use bytes::Bytes;
use tokio::time::Instant;

/// Bytes of a part: all of an object have the same size but the last, as some servers ask for.
pub(crate) const PART: usize = 8 << 20;

/// An object that is being written.
pub(super) struct Open {
    pub(super) folder: String,
    pub(super) key: String,
    pub(super) encoder: Encoder,
    pub(super) since: Instant,
    pub(super) rows: u64,
    /// None: nothing was uploaded yet.
    pub(super) upload: Option<String>,
    /// Parts that were handed out, and the ETags of those that are uploaded.
    pub(super) parts: Vec<Option<String>>,
    /// Bytes that were handed out.
    pub(super) sent: u64,
    pub(super) finished: bool,
}

/// A part that is to be uploaded.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) key: String,
    pub(super) number: usize,
    /// Whether it is all of its object.
    pub(super) is_all: bool,
    pub(super) bytes: Bytes,
}

impl Open {
    /// Bytes so far, as far as they are known.
    pub(super) fn bytes(&mut self) -> u64 {
        self.sent + (self.encoder.buffer().len() + self.encoder.pending()) as u64
    }

    /// Bytes that are in memory.
    pub(super) fn held(&mut self) -> usize {
        self.encoder.buffer().len() + self.encoder.pending()
    }

    /// The parts that are whole; of a finished object, all.
    pub(super) fn cut(&mut self) -> Vec<Part> {
        let mut cut = Vec::new();
        loop {
            let buffer = self.encoder.buffer();
            let length = match buffer.len() {
                PART.. => PART,
                0 => break,
                rest if self.finished => rest,
                _ => break,
            };
            let rest = buffer.split_off(length);
            let bytes = Bytes::from(std::mem::replace(buffer, rest));
            self.sent += bytes.len() as u64;
            let is_all = self.finished && self.sent == bytes.len() as u64 && self.encoder.buffer().is_empty();
            cut.push(Part { key: self.key.clone(), number: self.parts.len(), is_all, bytes });
            self.parts.push(None);
        }
        cut
    }

    /// The object once it is finished and all of it is uploaded.
    pub(super) fn sealed(&self) -> Option<Object> {
        let parts = self.parts.iter().cloned().collect::<Option<Vec<String>>>()?;
        let upload = self.upload.clone().filter(|_| self.finished)?;
        Some(Object { key: self.key.clone(), upload, parts, bytes: self.sent, rows: self.rows })
    }
}
