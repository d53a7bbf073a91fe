//! gzip: members one after the other. Zeros after a member, as tapes and block devices leave them, are passed over, as
//! gzip itself does.
use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, Read};

/// The first byte of each member.
const MAGIC: u8 = 0x1f;

/// The content of all members.
#[derive(Debug)]
pub(super) enum Members<R> {
    /// In a member.
    In(GzDecoder<R>),
    /// After the last one.
    After(R),
    /// Only while the state changes.
    Nowhere,
}

impl<R: BufRead> Members<R> {
    pub(super) fn new(bytes: R) -> Self {
        Self::In(GzDecoder::new(bytes))
    }

    /// What is decompressed.
    pub(super) fn get_ref(&self) -> &R {
        match self {
            Self::In(member) => member.get_ref(),
            Self::After(bytes) => bytes,
            Self::Nowhere => unreachable!("the state is set before anybody looks"),
        }
    }

    /// The next byte that is no padding; none at the end.
    fn next_byte(bytes: &mut R) -> io::Result<Option<u8>> {
        loop {
            let there = bytes.fill_buf()?;
            let zeros = there.iter().take_while(|byte| **byte == 0).count();
            match there.get(zeros) {
                None if zeros == 0 => return Ok(None),
                found => {
                    let found = found.copied();
                    bytes.consume(zeros);
                    if found.is_some() {
                        return Ok(found);
                    }
                }
            }
        }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(self, Self::Nowhere) {
                Self::In(mut member) => {
                    let read = member.read(block);
                    let ended = matches!(read, Ok(0)) && !block.is_empty();
                    *self = if ended { Self::After(member.into_inner()) } else { Self::In(member) };
                    if !ended {
                        return read;
                    }
                }
                Self::After(mut bytes) => {
                    let next = Self::next_byte(&mut bytes);
                    *self = if let Ok(Some(MAGIC)) = next { Self::new(bytes) } else { Self::After(bytes) };
                    match next? {
                        Some(MAGIC) => {}
                        None => return Ok(0),
                        Some(_) => {
                            let what = "something else follows the compressed data";
                            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                        }
                    }
                }
                Self::Nowhere => unreachable!("the state is set before anybody reads"),
            }
        }
    }
}
