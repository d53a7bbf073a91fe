//! Writes values of columns as text and as JSON.
use super::interval;
use crate::{decode::JSON, json::write_string};
use arrow::{
    array::{Array, ArrayRef, AsArray, GenericListArray, OffsetSizeTrait},
    datatypes::{
        ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type,
        Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
        TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
    },
    util::display::{ArrayFormatter, FormatOptions},
};

/// Why a value can't be written.
pub(super) type Why = &'static str;

/// Writes the value of a row that is not NULL.
pub(super) type Write<'a> = Box<dyn Fn(usize, &mut Vec<u8>) -> Result<(), Why> + 'a>;

/// The written form of a column's values.
pub(super) enum Form<'a> {
    /// Text that may need escapes or quotes.
    Text(Box<dyn Fn(usize) -> &'a str + 'a>),
    /// Digits, signs and letters that JSON puts in quotes: a point in time, base64, …
    Quoted(Write<'a>),
    /// A JSON value.
    Json(Write<'a>),
}

/// Returns a writer of a column's values as JSON: NULL as null, texts of a `raw` column as they are.
pub(super) fn json<'a>(array: &'a ArrayRef, raw: bool) -> Write<'a> {
    if let (Some(union), DataType::Union(fields, _)) = (array.as_union_opt(), array.data_type()) {
        let parts: Vec<Write<'a>> =
            fields.iter().map(|(id, field)| json(union.child(id), field.name() == JSON)).collect();
        return Box::new(move |row, out| parts[union.type_id(row) as usize](union.value_offset(row), out));
    }
    let write: Write<'a> = match form(array) {
        Form::Text(text) if raw => Box::new(move |row, out| {
            out.extend_from_slice(text(row).as_bytes());
            Ok(())
        }),
        Form::Text(text) => Box::new(move |row, out| {
            write_string(text(row), out);
            Ok(())
        }),
        Form::Quoted(write) => Box::new(move |row, out| {
            out.push(b'"');
            write(row, out)?;
            out.push(b'"');
            Ok(())
        }),
        Form::Json(write) => write,
    };
    let nulls = array.logical_nulls();
    Box::new(move |row, out| {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            out.extend_from_slice(b"null");
            return Ok(());
        }
        let before = out.len();
        write(row, out).inspect_err(|_| {
            out.truncate(before);
            out.extend_from_slice(b"null");
        })
    })
}

/// Returns the written form of a column's values.
pub(super) fn form<'a>(array: &'a ArrayRef) -> Form<'a> {
    match array.data_type() {
        DataType::Null => Form::Json(Box::new(|_, out| {
            out.extend_from_slice(b"null");
            Ok(())
        })),
        DataType::Boolean => {
            let array = array.as_boolean();
            Form::Json(Box::new(|row, out| {
                out.extend_from_slice(if array.value(row) { b"true" } else { b"false" });
                Ok(())
            }))
        }
        DataType::Int8 => integer::<Int8Type>(array),
        DataType::Int16 => integer::<Int16Type>(array),
        DataType::Int32 => integer::<Int32Type>(array),
        DataType::Int64 => integer::<Int64Type>(array),
        DataType::UInt8 => integer::<UInt8Type>(array),
        DataType::UInt16 => integer::<UInt16Type>(array),
        DataType::UInt32 => integer::<UInt32Type>(array),
        DataType::UInt64 => integer::<UInt64Type>(array),
        DataType::Float32 => {
            let array = array.as_primitive::<Float32Type>();
            Form::Json(Box::new(|row, out| finite(array.value(row), array.value(row).is_finite(), out)))
        }
        DataType::Float64 => {
            let array = array.as_primitive::<Float64Type>();
            Form::Json(Box::new(|row, out| finite(array.value(row), array.value(row).is_finite(), out)))
        }
        DataType::Decimal128(_, scale) => {
            let (array, scale) = (array.as_primitive::<Decimal128Type>(), *scale);
            Form::Json(Box::new(move |row, out| {
                decimal(array.value(row), scale, out);
                Ok(())
            }))
        }
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            Form::Text(Box::new(|row| array.value(row)))
        }
        DataType::LargeUtf8 => {
            let array = array.as_string::<i64>();
            Form::Text(Box::new(|row| array.value(row)))
        }
        DataType::Utf8View => {
            let array = array.as_string_view();
            Form::Text(Box::new(|row| array.value(row)))
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            Form::Quoted(Box::new(|row, out| {
                base64(array.value(row), out);
                Ok(())
            }))
        }
        DataType::LargeBinary => {
            let array = array.as_binary::<i64>();
            Form::Quoted(Box::new(|row, out| {
                base64(array.value(row), out);
                Ok(())
            }))
        }
        DataType::BinaryView => {
            let array = array.as_binary_view();
            Form::Quoted(Box::new(|row, out| {
                base64(array.value(row), out);
                Ok(())
            }))
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            Form::Quoted(Box::new(|row, out| {
                base64(array.value(row), out);
                Ok(())
            }))
        }
        DataType::Date32 => {
            let array = array.as_primitive::<Date32Type>();
            Form::Quoted(Box::new(|row, out| {
                date(i64::from(array.value(row)), out);
                Ok(())
            }))
        }
        DataType::Timestamp(TimeUnit::Second, zone) => time::<TimestampSecondType>(array, 1, zone.is_some()),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => {
            time::<TimestampMillisecondType>(array, 1_000, zone.is_some())
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            time::<TimestampMicrosecondType>(array, 1_000_000, zone.is_some())
        }
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => {
            time::<TimestampNanosecondType>(array, 1_000_000_000, zone.is_some())
        }
        DataType::List(_) => list(array.as_list::<i32>()),
        DataType::LargeList(_) => list(array.as_list::<i64>()),
        DataType::FixedSizeList(_, size) => {
            let (array, size) = (array.as_fixed_size_list(), *size as usize);
            let item = json(array.values(), false);
            Form::Json(Box::new(move |row, out| items(row * size..(row + 1) * size, &item, out)))
        }
        DataType::Struct(fields) => {
            let array = array.as_struct();
            let members: Vec<(Vec<u8>, Write<'a>)> = fields
                .iter()
                .zip(array.columns())
                .map(|(field, column)| (key(field.name()), json(column, false)))
                .collect();
            Form::Json(Box::new(move |row, out| {
                let mut open = b'{';
                for (key, write) in &members {
                    out.push(open);
                    out.extend_from_slice(key);
                    write(row, out)?;
                    open = b',';
                }
                out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
                Ok(())
            }))
        }
        DataType::Interval(_) | DataType::Duration(_) => match interval::writer(array) {
            Some(interval) => Form::Quoted(Box::new(move |row, out| {
                out.extend_from_slice(interval(row).as_bytes());
                Ok(())
            })),
            None => Form::Json(Box::new(|_, _| Err(NO_TEXT))),
        },
        // Types that no expression returns (maps, …): as arrow shows them, as text.
        _ => {
            let options = FormatOptions::new();
            match ArrayFormatter::try_new(array, &options) {
                Ok(_) => Form::Json(Box::new(move |row, out| {
                    let formatter = ArrayFormatter::try_new(array, &FormatOptions::new()).map_err(|_| NO_TEXT)?;
                    write_string(&formatter.value(row).try_to_string().map_err(|_| NO_TEXT)?, out);
                    Ok(())
                })),
                Err(_) => Form::Json(Box::new(|_, _| Err(NO_TEXT))),
            }
        }
    }
}

const NO_TEXT: Why = "whose type can't be written as JSON";

/// Encodes a key and its colon.
pub fn key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 3);
    write_string(name, &mut key);
    key.push(b':');
    key
}

fn list<O: OffsetSizeTrait>(array: &GenericListArray<O>) -> Form<'_> {
    let item = json(array.values(), false);
    let offsets = array.value_offsets();
    Form::Json(Box::new(move |row, out| items(offsets[row].as_usize()..offsets[row + 1].as_usize(), &item, out)))
}

fn items(range: std::ops::Range<usize>, item: &Write<'_>, out: &mut Vec<u8>) -> Result<(), Why> {
    out.push(b'[');
    let first = range.start;
    for at in range {
        if at > first {
            out.push(b',');
        }
        item(at, out)?;
    }
    out.push(b']');
    Ok(())
}

fn integer<T: ArrowPrimitiveType<Native: Into<i128>>>(array: &ArrayRef) -> Form<'_> {
    let array = array.as_primitive::<T>();
    Form::Json(Box::new(|row, out| {
        whole(array.value(row).into(), out);
        Ok(())
    }))
}

/// Writes a whole number of 64 bits at most.
pub(super) fn whole(value: i128, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    digits(value.unsigned_abs() as u64, out);
}

/// Writes the digits of a whole number.
fn digits(mut value: u64, out: &mut Vec<u8>) {
    let mut text = [0; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}

/// Writes a whole number with at least `width` digits.
fn padded(value: i64, width: usize, out: &mut Vec<u8>) {
    let value = value.unsigned_abs();
    for place in (1..width as u32).rev().take_while(|place| value < 10_u64.pow(*place)) {
        let _ = place;
        out.push(b'0');
    }
    digits(value, out);
}

fn finite(value: impl serde::Serialize, finite: bool, out: &mut Vec<u8>) -> Result<(), Why> {
    if !finite {
        return Err("which JSON can't represent (NaN or infinity)");
    }
    float(value, out);
    Ok(())
}

/// Writes the shortest text that reads back as the same number, which is finite.
pub(super) fn float(value: impl serde::Serialize, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &value).unwrap_or_else(|error| unreachable!("numbers can be written: {error}"));
}

/// Writes a decimal without trailing zeros in its fraction.
fn decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let start = out.len();
    match u64::try_from(value.unsigned_abs()) {
        Ok(short) => digits(short, out),
        Err(_) => out.extend_from_slice(value.unsigned_abs().to_string().as_bytes()),
    }
    let Ok(mut fraction @ 1..) = usize::try_from(scale) else {
        out.extend(std::iter::repeat_n(b'0', if value == 0 { 0 } else { scale.unsigned_abs().into() }));
        return;
    };
    let missing = (fraction + 1).saturating_sub(out.len() - start);
    out.splice(start..start, std::iter::repeat_n(b'0', missing));
    while fraction > 0 && out.last() == Some(&b'0') {
        out.pop();
        fraction -= 1;
    }
    if fraction > 0 {
        out.insert(out.len() - fraction, b'.');
    }
}

/// Writes base64 in the standard alphabet, padded.
pub(super) fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (at, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            out.push(if at <= three.len() { ALPHABET[(bits >> shift) as usize & 63] } else { b'=' });
        }
    }
}

/// Writes days since 1970 as `2026-01-02`. Years beyond four digits have a sign.
pub(super) fn date(days: i64, out: &mut Vec<u8>) {
    // Years begin in March, so that the leap day is the last of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    match year {
        10_000.. => out.push(b'+'),
        ..0 => out.push(b'-'),
        _ => {}
    }
    padded(year, 4, out);
    out.push(b'-');
    padded(month, 2, out);
    out.push(b'-');
    padded(day, 2, out);
}

fn time<T: ArrowPrimitiveType<Native = i64>>(array: &ArrayRef, unit: i64, zone: bool) -> Form<'_> {
    let array = array.as_primitive::<T>();
    Form::Quoted(Box::new(move |row, out| {
        moment(array.value(row), unit, zone, out);
        Ok(())
    }))
}

/// Writes `2026-01-02T03:04:05.6`, with a `Z` if it has a zone. `unit`: how many of them are a second.
pub(super) fn moment(value: i64, unit: i64, zone: bool, out: &mut Vec<u8>) {
    instant(value.div_euclid(unit), value.rem_euclid(unit), unit, zone, out);
}

/// The same, of whole seconds and the units after these.
pub(super) fn instant(seconds: i64, after: i64, unit: i64, zone: bool, out: &mut Vec<u8>) {
    date(seconds.div_euclid(86_400), out);
    out.push(b'T');
    time_of_day(seconds.rem_euclid(86_400), out);
    fraction(after, unit, out);
    if zone {
        out.push(b'Z');
    }
}

/// Writes seconds since midnight as `03:04:05`.
pub(super) fn time_of_day(second: i64, out: &mut Vec<u8>) {
    padded(second / 3_600, 2, out);
    for part in [second / 60 % 60, second % 60] {
        out.push(b':');
        padded(part, 2, out);
    }
}

/// Writes `.6`, if there is anything after the seconds.
pub(super) fn fraction(after: i64, unit: i64, out: &mut Vec<u8>) {
    if after > 0 {
        out.push(b'.');
        padded(after, unit.ilog10() as usize, out);
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
}
