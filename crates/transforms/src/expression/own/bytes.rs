//! Functions of bytes. A text is taken as its bytes in UTF-8.
use super::{
    Own,
    texts::{each, strings},
};
use arrow::{
    array::{ArrayRef, AsArray, BinaryArray, StringArray},
    compute::cast,
    datatypes::DataType::{Binary, Utf8},
};
use datafusion_common::{Result, exec_err};
use datafusion_expr::ScalarUDF;
use md5::Md5;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use std::sync::Arc;

/// Characters of a line of base64.
const LINE: usize = 76;
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

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
    // Blanks may stand between bytes, not within one.
    while let Some(high) = bytes.find(|byte| !blank(*byte)) {
        let digit = |byte: u8| (byte as char).to_digit(16);
        match (digit(high), bytes.next().and_then(digit)) {
            (Some(high), Some(low)) => made.push((high * 16 + low) as u8),
            _ => return exec_err!("{text:?} is not hexadecimal"),
        }
    }
    Ok(made)
}

fn base64(bytes: &[u8]) -> String {
    let mut made = String::with_capacity(bytes.len() * 4 / 3 + 4);
    for (index, three) in bytes.chunks(3).enumerate() {
        if index > 0 && index * 4 % LINE == 0 {
            made.push('\n');
        }
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let sixth = BASE64[(bits >> (18 - 6 * at)) as usize & 63];
            made.push(if at > three.len() { '=' } else { sixth as char });
        }
    }
    made
}

fn from_base64(text: &str) -> Result<Vec<u8>> {
    let mut made = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count, mut padding) = (0_u32, 0, 0);
    for byte in text.bytes().filter(|byte| !blank(*byte)) {
        let sixth = match BASE64.iter().position(|known| *known == byte) {
            Some(sixth) if padding == 0 => sixth as u32,
            None if byte == b'=' && count >= 2 => {
                padding += 1;
                0
            }
            _ => return exec_err!("{text:?} is not base64"),
        };
        (bits, count) = (bits << 6 | sixth, count + 1);
        if count == 4 {
            let three = bits.to_be_bytes();
            made.extend_from_slice(&three[1..4 - padding.min(2)]);
            (bits, count) = (0, 0);
        }
    }
    if count != 0 || padding > 2 {
        return exec_err!("{text:?} is not base64");
    }
    Ok(made)
}
