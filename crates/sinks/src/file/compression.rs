//! Compression of what is appended: each commit is a frame of its own, so that cutting a file back to a commit leaves a whole file.
use schemars::JsonSchema;
use serde::Deserialize;
use std::{
    io::{self, Read, Write},
    path::Path,
};

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Compression {
    /// The compression by a path's extension.
    pub fn of(path: &Path) -> Self {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("gz" | "gzip") => Self::Gzip,
            Some("zst" | "zstd") => Self::Zstd,
            _ => Self::None,
        }
    }

    /// One frame with these bytes; nothing for nothing.
    pub(super) fn frame(self, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            _ if bytes.is_empty() => Ok(bytes),
            Self::None => Ok(bytes),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(&bytes)?;
                encoder.finish()
            }
            Self::Zstd => zstd::stream::encode_all(bytes.as_slice(), zstd::DEFAULT_COMPRESSION_LEVEL),
        }
    }

    /// A reader of what is in a file.
    pub(super) fn reader<'a>(self, file: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::None => Box::new(file),
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(file)),
            Self::Zstd => Box::new(zstd::stream::Decoder::new(file)?),
        })
    }
}
