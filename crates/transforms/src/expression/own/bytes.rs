//! Functions of bytes. A text stands for its bytes in UTF-8.
use super::{
    Own, cast,
    texts::{each, strings},
};
use arrow::{
    array::{ArrayRef, AsArray, BinaryArray, StringArray},
    datatypes::DataType::{Binary, Utf8},
};
use base64::{
    Engine as _, alphabet,
    engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD},
};
use datafusion_common::{DataFusionError, Result, exec_err};
use datafusion_expr::ScalarUDF;
use md5::Md5;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use std::sync::Arc;

/// The characters in a line of base64.
const LINE: usize = 76;

pub(super) fn all() -> Vec<Arc<ScalarUDF>> {
    vec![
        Own::of("md5", &[&[Utf8]], Utf8, |columns| each(&columns[0], |text| Ok(hex(&Md5::digest(text))))),
        digest::<Sha224>("sha224"),
        digest::<Sha256>("sha256"),
        digest::<Sha384>("sha384"),
        digest::<Sha512>("sha512"),
        Own::of("encode", &[&[Binary, Utf8], &[Utf8, Utf8]], Utf8, encode),
        Own::of("decode", &[&[Utf8, Utf8]], Binary, decode),
    ]
}

fn digest<D: Digest>(name: &'static str) -> Arc<ScalarUDF> {
    Own::of(name, &[&[Binary], &[Utf8]], Binary, |columns| {
        let bytes = cast(&columns[0], &Binary)?;
        let digests = bytes.as_binary::<i32>().iter().map(|bytes| bytes.map(|bytes| D::digest(bytes).to_vec()));
        Ok(Arc::new(digests.collect::<BinaryArray>()))
    })
}

fn encode(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let bytes = cast(&columns[0], &Binary)?;
    let rows = bytes.as_binary::<i32>().iter().zip(strings(&columns[1]));
    let texts = rows.map(|(bytes, format)| match (bytes, format) {
        (Some(bytes), Some("hex")) => Ok(Some(hex(bytes))),
        (Some(bytes), Some("base64")) => Ok(Some(base64(bytes))),
        (Some(_), Some(other)) => exec_err!("there is no format {other:?}: write 'hex' or 'base64'"),
        _ => Ok(None),
    });
    Ok(Arc::new(texts.collect::<Result<StringArray>>()?))
}

fn decode(columns: &[ArrayRef]) -> Result<ArrayRef> {
    let rows = strings(&columns[0]).iter().zip(strings(&columns[1]));
    let bytes = rows.map(|(text, format)| match (text, format) {
        (Some(text), Some("hex")) => from_hex(text).map(Some),
        (Some(text), Some("base64")) => from_base64(text).map(Some),
        (Some(_), Some(other)) => exec_err!("there is no format {other:?}: write 'hex' or 'base64'"),
        _ => Ok(None),
    });
    Ok(Arc::new(bytes.collect::<Result<Vec<Option<Vec<u8>>>>>()?.into_iter().collect::<BinaryArray>()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn from_hex(text: &str) -> Result<Vec<u8>> {
    let mut made = Vec::with_capacity(text.len() / 2);
    let mut bytes = text.bytes();
    // Blanks may stand between bytes, but not inside one.
    while let Some(high) = bytes.find(|byte| !blank(*byte)) {
        let digit = |byte: u8| (byte as char).to_digit(16);
        match (digit(high), bytes.next().and_then(digit)) {
            (Some(high), Some(low)) => made.push((high * 16 + low) as u8),
            _ => return exec_err!("{text:?} is not hexadecimal"),
        }
    }
    Ok(made)
}

/// Writes base64 in lines, as in MIME.
fn base64(bytes: &[u8]) -> String {
    let mut text = STANDARD.encode(bytes);
    for end in (1..text.len().div_ceil(LINE)).rev() {
        text.insert(end * LINE, '\n');
    }
    text
}

fn from_base64(text: &str) -> Result<Vec<u8>> {
    const LENIENT: GeneralPurpose =
        GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
    let written: Vec<u8> = text.bytes().filter(|byte| !blank(*byte)).collect();
    LENIENT.decode(written).map_err(|_| DataFusionError::Execution(format!("{text:?} is not base64")))
}
