//! zstd: frames one after the other. A file may grow by more of them after its end was read.
use std::io::{self, BufRead, Read};
use zstd::Decoder;

/// The content of all frames.
pub(super) enum Frames<R: BufRead> {
    /// In a frame, or before one.
    In(Decoder<'static, R>),
    /// After the last one.
    After(R),
    /// Only while the state changes.
    Nowhere,
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(bytes: R) -> io::Result<Self> {
        Decoder::with_buffer(bytes).map(Self::In)
    }

    /// What is decompressed.
    pub(super) fn get_ref(&self) -> &R {
        match self {
            Self::In(frames) => frames.get_ref(),
            Self::After(bytes) => bytes,
            Self::Nowhere => unreachable!("the state is set before anybody looks"),
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, block: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(self, Self::Nowhere) {
                Self::In(mut frames) => {
                    let read = frames.read(block);
                    let ended = matches!(read, Ok(0)) && !block.is_empty();
                    *self = if ended { Self::After(frames.finish()) } else { Self::In(frames) };
                    return read;
                }
                Self::After(mut bytes) => match bytes.fill_buf().map(<[u8]>::is_empty) {
                    Ok(false) => *self = Self::new(bytes)?,
                    ended => {
                        *self = Self::After(bytes);
                        return ended.map(|_| 0);
                    }
                },
                Self::Nowhere => unreachable!("the state is set before anybody reads"),
            }
        }
    }
}
