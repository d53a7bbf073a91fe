//! The container: a header, and blocks of rows, each after the other, with a marker between them.
use super::{
    super::Source,
    value::{Bytes, SHORT},
};
use dataflow_sdk::Error;
use flate2::read::DeflateDecoder;
use std::{fmt, io::Read};

/// How a file begins.
const MAGIC: &[u8; 4] = b"Obj\x01";
/// Most bytes of a header, and of a block once it is decompressed.
const MOST_HEADER: usize = 16 << 20;
const MOST_BLOCK: u64 = 1 << 30;
/// Bytes of a marker, and of the two numbers before a block at most.
const SYNC: usize = 16;
const NUMBERS: usize = 20;

/// A place where the file ends in the middle of something.
#[derive(Debug)]
pub(super) struct Cut {
    what: &'static str,
    at: u64,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it ends within {} at byte {}", self.what, self.at)
    }
}

/// What comes before the first block.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) schema: String,
    pub(super) codec: Codec,
    pub(super) sync: [u8; SYNC],
    /// Where the first block begins.
    pub(super) end: u64,
}

/// How blocks are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    None,
    Deflate,
    Snappy,
    Zstd,
}

/// A block, and where it lies.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) rows: u64,
    begin: u64,
    length: u64,
    /// Where the next one begins.
    pub(super) end: u64,
}

/// The header of a file; or that it isn't whole.
pub(super) fn header(source: &Source) -> Result<Result<Header, Cut>, Error> {
    let mut wanted = 64 << 10;
    loop {
        let bytes = source.at(0, wanted)?;
        if !MAGIC.starts_with(&bytes[..bytes.len().min(4)]) {
            return Err(source.not("Avro", &bytes[..bytes.len().min(64)]));
        }
        let all = bytes.len() < wanted;
        match parse(source, &bytes)? {
            Some(header) => return Ok(Ok(header)),
            None if all => return Ok(Err(Cut { what: "the header", at: bytes.len() as u64 })),
            None if wanted >= MOST_HEADER => return Err(source.unsupported("its header has more than 16 MiB")),
            None => wanted *= 4,
        }
    }
}

/// None: there is too little of it.
fn parse(source: &Source, all: &[u8]) -> Result<Option<Header>, Error> {
    let (mut schema, mut codec) = (None, Codec::None);
    let mut bytes = Bytes::new(all.get(4..).unwrap_or_default());
    let short = |why: &'static str| if why == SHORT { Ok(None) } else { Err(source.damaged("in its header", why)) };
    loop {
        let count = match bytes.long() {
            Ok(0) => break,
            Ok(count) => count,
            Err(why) => return short(why),
        };
        if count < 0
            && let Err(why) = bytes.long()
        {
            return short(why);
        }
        for _ in 0..count.unsigned_abs() {
            let (key, value) = match bytes.sized().and_then(|key| Ok((key, bytes.sized()?))) {
                Ok(entry) => entry,
                Err(why) => return short(why),
            };
            match key {
                b"avro.schema" => schema = Some(String::from_utf8_lossy(value).into_owned()),
                b"avro.codec" => {
                    codec = match value {
                        b"null" | b"" => Codec::None,
                        b"deflate" => Codec::Deflate,
                        b"snappy" => Codec::Snappy,
                        b"zstandard" => Codec::Zstd,
                        other => {
                            let other = String::from_utf8_lossy(other);
                            let error = source.unsupported(format!("its codec is {other:?}"));
                            return Err(error.fix("write it with the codec null, deflate, snappy or zstandard"));
                        }
                    }
                }
                _ => {}
            }
        }
    }
    let Ok(sync) = bytes.take(SYNC) else { return Ok(None) };
    let Some(schema) = schema else { return Err(source.damaged("in its header", "it has no schema")) };
    let mut marker = [0; SYNC];
    marker.copy_from_slice(sync);
    Ok(Some(Header { schema, codec, sync: marker, end: (all.len() - bytes.left()) as u64 }))
}

/// The block that begins at a place; none at the end of the file, or, as the error, what of it is missing.
pub(super) fn next(source: &Source, begin: u64, sync: &[u8; SYNC]) -> Result<Result<Option<Block>, Cut>, Error> {
    let place = || format!("in the block at byte {begin}");
    let numbers = source.at(begin, NUMBERS)?;
    if numbers.is_empty() {
        return Ok(Ok(None));
    }
    let cut = || Ok(Err(Cut { what: "the block", at: begin }));
    let mut bytes = Bytes::new(&numbers);
    let (rows, length) = match bytes.long().and_then(|rows| Ok((rows, bytes.long()?))) {
        Ok(numbers) => numbers,
        Err(SHORT) => return cut(),
        Err(why) => return Err(source.damaged(&place(), why)),
    };
    let (Ok(rows), Ok(length)) = (u64::try_from(rows), u64::try_from(length)) else {
        return Err(source.damaged(&place(), "its length is negative"));
    };
    let data = begin + (numbers.len() - bytes.left()) as u64;
    let Some(end) = data.checked_add(length) else { return Err(source.damaged(&place(), "its length is no number")) };
    if length > MOST_BLOCK {
        return Err(source.unsupported(format!("the block at byte {begin} has more than 1 GiB")));
    }
    if end + SYNC as u64 > source.len()? {
        return cut();
    }
    if source.at(end, SYNC)? != sync {
        return Err(source.damaged(&place(), "the marker that should follow it is not there"));
    }
    Ok(Ok(Some(Block { rows, begin: data, length, end: end + SYNC as u64 })))
}

impl Block {
    /// Its content, decompressed.
    pub(super) fn bytes(&self, source: &Source, codec: Codec) -> Result<Vec<u8>, Error> {
        let place = || format!("in the block whose content begins at byte {}", self.begin);
        let packed = source.at(self.begin, self.length as usize)?;
        if (packed.len() as u64) < self.length {
            return Err(source.damaged(&place(), "the file was truncated"));
        }
        let whole = |reader: &mut dyn Read| {
            let mut bytes = Vec::new();
            let count =
                reader.take(MOST_BLOCK + 1).read_to_end(&mut bytes).map_err(|why| source.damaged(&place(), why))?;
            match count as u64 > MOST_BLOCK {
                true => Err(source.unsupported(format!("the block at byte {} has more than 1 GiB", self.begin))),
                false => Ok(bytes),
            }
        };
        match codec {
            Codec::None => Ok(packed),
            Codec::Deflate => whole(&mut DeflateDecoder::new(&packed[..])),
            Codec::Zstd => {
                let decoder = zstd::stream::read::Decoder::new(&packed[..]);
                whole(&mut decoder.map_err(|why| source.damaged(&place(), why))?)
            }
            Codec::Snappy => {
                let Some((data, sum)) = packed.split_last_chunk::<4>() else {
                    return Err(source.damaged(&place(), "its checksum is missing"));
                };
                if snap::raw::decompress_len(data).is_ok_and(|length| length as u64 > MOST_BLOCK) {
                    return Err(source.unsupported(format!("the block at byte {} has more than 1 GiB", self.begin)));
                }
                let bytes = snap::raw::Decoder::new().decompress_vec(data);
                let bytes = bytes.map_err(|why| source.damaged(&place(), why))?;
                match crc32fast::hash(&bytes) == u32::from_be_bytes(*sum) {
                    true => Ok(bytes),
                    false => Err(source.damaged(&place(), "its checksum is wrong")),
                }
            }
        }
    }
}
