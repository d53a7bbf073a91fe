//! That a compressed file ends with a whole frame: nobody could read what is written after half of one.
use super::Compression;
use dataflow_sdk::Error;
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek},
    os::unix::fs::FileExt,
    path::Path,
};

/// The first `length` bytes of a file are whole frames.
pub(super) fn whole(mut file: &File, path: &Path, length: u64, compression: Compression) -> Result<(), Error> {
    if compression == Compression::None || length == 0 {
        return Ok(());
    }
    let read = file.rewind().and_then(|()| io::copy(&mut compression.reader(file.take(length))?, &mut io::sink()));
    let Err(error) = read else { return Ok(()) };
    let begin: &[u8] = if compression == Compression::Gzip { b"\x1f\x8b" } else { b"\x28\xb5\x2f\xfd" };
    let mut found = vec![0; begin.len()];
    let path = path.display();
    let (message, fix) = if file.read_exact_at(&mut found, 0).is_err() || found != begin {
        let message = format!("{path} is not compressed, although its name or the spec says so");
        (message, "set compression: none, move the file away, or give the sink another path".into())
    } else {
        let message = format!(
            "{path} can't be decompressed to its end ({error}), so anything written after it could not be read"
        );
        let kept = frames(file, length, compression);
        let fix = format!(
            "cut off what can't be read (keep the first {kept} bytes: `truncate -s {kept}`) or move the file away, and start again; \
             or give the sink another path"
        );
        (message, fix)
    };
    Err(Error::fatal("not-whole", message).fix(fix).for_user())
}

/// The bytes of the whole frames at the beginning of a file.
fn frames(mut file: &File, length: u64, compression: Compression) -> u64 {
    let mut whole = 0;
    if file.rewind().is_err() {
        return whole;
    }
    let mut text = BufReader::new(Counted { inner: file.take(length), read: 0 });
    loop {
        if text.fill_buf().is_ok_and(<[u8]>::is_empty) {
            return whole;
        }
        let read = match compression {
            Compression::None => return length,
            Compression::Gzip => io::copy(&mut flate2::bufread::GzDecoder::new(&mut text), &mut io::sink()),
            Compression::Zstd => zstd::stream::read::Decoder::with_buffer(&mut text)
                .and_then(|decoder| io::copy(&mut decoder.single_frame(), &mut io::sink())),
        };
        if read.is_err() {
            return whole;
        }
        whole = text.get_ref().read - text.buffer().len() as u64;
    }
}

/// Counts what is read.
struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(bytes)?;
        self.read += read as u64;
        Ok(read)
    }
}
