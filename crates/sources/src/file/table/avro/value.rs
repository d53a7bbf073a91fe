//! The values of a block, as they are written into records.
use super::{
    super::{number, parquet::interval},
    schema::{Id, Kind, Schema},
};
use dataflow_formats::encode::Value;

/// Deepest nesting of values.
const MOST_LEVELS: usize = 512;
/// Most bytes of a record.
const MOST: usize = 1 << 30;

type Result<T> = std::result::Result<T, &'static str>;

const SHORT: &str = "it is shorter than its rows";

/// Bytes that are read one value after the other.
#[derive(Debug)]
pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many are left.
    pub(super) fn left(&self) -> usize {
        self.0.len()
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A whole number, in as many bytes as it needs.
    pub(super) fn long(&mut self) -> Result<i64> {
        let mut value = 0_u64;
        for nth in 0..10 {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << (7 * nth);
            if byte & 0x80 == 0 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err("a number has more than 64 bits")
    }

    /// Bytes after their number.
    pub(super) fn sized(&mut self) -> Result<&'a [u8]> {
        let count = usize::try_from(self.long()?).map_err(|_| "a length is negative")?;
        self.take(count)
    }
}

/// The fields of a row, one after the other.
pub(super) struct Fields<'s, 'b, 'a> {
    schema: &'s Schema,
    bytes: &'b mut Bytes<'a>,
}

impl Fields<'_, '_, '_> {
    /// Writes the next one.
    pub(super) fn write(&mut self, column: usize, out: &mut Vec<u8>) -> Result<()> {
        let id = match &self.schema.kinds[self.schema.root] {
            Kind::Record(fields) => fields[column].1,
            _ => self.schema.root,
        };
        self.schema.value(id, self.bytes, 0, out)
    }
}

impl Schema {
    /// The fields of the next row.
    pub(super) fn fields<'s, 'b, 'a>(&'s self, bytes: &'b mut Bytes<'a>) -> Fields<'s, 'b, 'a> {
        Fields { schema: self, bytes }
    }

    /// Writes the next row as a JSON value.
    pub(super) fn write(&self, bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Result<()> {
        self.value(self.root, bytes, 0, out)
    }

    fn value(&self, id: Id, bytes: &mut Bytes<'_>, level: usize, out: &mut Vec<u8>) -> Result<()> {
        if level > MOST_LEVELS {
            return Err("its values are nested more than 512 levels deep");
        }
        let value = match &self.kinds[id] {
            Kind::Null => Value::Null,
            Kind::Boolean => Value::Boolean(match bytes.take(1)?[0] {
                0 => false,
                1 => true,
                _ => return Err("a boolean is neither true nor false"),
            }),
            Kind::Int => Value::Integer(int(bytes)?.into()),
            Kind::Long => Value::Integer(bytes.long()?),
            Kind::Float => Value::Real(f32::from_le_bytes(array(bytes)?)),
            Kind::Double => Value::Double(f64::from_le_bytes(array(bytes)?)),
            Kind::Bytes => Value::Binary(bytes.sized()?),
            Kind::Fixed(size) => Value::Binary(bytes.take(*size)?),
            Kind::Text => {
                let text = bytes.sized()?;
                std::str::from_utf8(text).map_or(Value::Foreign(text), Value::Text)
            }
            Kind::Enum(symbols) => {
                let nth = usize::try_from(int(bytes)?).ok();
                Value::Text(nth.and_then(|nth| symbols.get(nth)).ok_or("an enum has no such symbol")?)
            }
            Kind::Date => Value::Date(int(bytes)?),
            Kind::Time(per_second) => {
                let value = if *per_second == 1_000 { int(bytes)?.into() } else { bytes.long()? };
                super::super::time(value, *per_second)
            }
            Kind::Timestamp(per_second, zone) => super::super::moment(bytes.long()?, *per_second, *zone),
            Kind::Decimal(scale, size) => {
                let unscaled = if let Some(size) = size { bytes.take(*size)? } else { bytes.sized()? };
                number::decimal(unscaled, *scale, out);
                return Ok(());
            }
            Kind::BigDecimal => {
                let mut inner = Bytes::new(bytes.sized()?);
                let (unscaled, scale) = (inner.sized()?, inner.long()?);
                let scale = u32::try_from(scale).ok().filter(|scale| *scale <= 1 << 16);
                number::decimal(unscaled, scale.ok_or("a decimal has no such scale")?, out);
                return Ok(());
            }
            Kind::Uuid => {
                out.push(b'"');
                number::uuid(bytes.take(16)?, out);
                out.push(b'"');
                return Ok(());
            }
            Kind::Duration => {
                interval(bytes.take(12)?, out);
                return Ok(());
            }
            Kind::Union(branches) => {
                let nth = usize::try_from(bytes.long()?).ok();
                let branch = nth.and_then(|nth| branches.get(nth)).ok_or("a union has no such branch")?;
                return self.value(*branch, bytes, level + 1, out);
            }
            Kind::Record(fields) => {
                out.push(b'{');
                for (nth, (key, id)) in fields.iter().enumerate() {
                    if nth > 0 {
                        out.push(b',');
                    }
                    out.extend_from_slice(key);
                    self.value(*id, bytes, level + 1, out)?;
                }
                out.push(b'}');
                return Ok(());
            }
            Kind::Array(items) => {
                out.push(b'[');
                blocks(bytes, |bytes, first| {
                    if !first {
                        out.push(b',');
                    }
                    self.value(*items, bytes, level + 1, out)?;
                    fits(out)
                })?;
                out.push(b']');
                return Ok(());
            }
            Kind::Map(values) => {
                out.push(b'{');
                blocks(bytes, |bytes, first| {
                    if !first {
                        out.push(b',');
                    }
                    let key = bytes.sized()?;
                    std::str::from_utf8(key).map_or(Value::Foreign(key), Value::Text).write(out);
                    out.push(b':');
                    self.value(*values, bytes, level + 1, out)?;
                    fits(out)
                })?;
                out.push(b'}');
                return Ok(());
            }
        };
        value.write(out);
        Ok(())
    }
}

/// The items of an array or a map, which come in blocks.
fn blocks<'a>(bytes: &mut Bytes<'a>, mut item: impl FnMut(&mut Bytes<'a>, bool) -> Result<()>) -> Result<()> {
    let mut first = true;
    loop {
        let count = bytes.long()?;
        if count == 0 {
            return Ok(());
        }
        if count < 0 {
            bytes.long()?; // how many bytes it has
        }
        for _ in 0..count.unsigned_abs() {
            item(bytes, std::mem::take(&mut first))?;
        }
    }
}

fn fits(out: &[u8]) -> Result<()> {
    if out.len() > MOST { Err("its values have more than 1 GiB") } else { Ok(()) }
}

fn int(bytes: &mut Bytes<'_>) -> Result<i32> {
    i32::try_from(bytes.long()?).map_err(|_| "an int has more than 32 bits")
}

fn array<const N: usize>(bytes: &mut Bytes<'_>) -> Result<[u8; N]> {
    bytes.take(N)?.try_into().map_err(|_| SHORT)
}
