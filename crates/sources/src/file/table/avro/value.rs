//! The values of a block, as they are written into records.
use super::{
    super::{
        number::{self, MOST_SCALE},
        parquet::interval,
    },
    schema::{Id, Kind, Schema},
};
use dataflow_formats::encode::Value;

/// Most bytes of a value: a block has no more.
const MOST_BYTES: usize = 1 << 30;
/// Most values of a record, and how deep they are nested at most. A record of fewer values may be too large or too deep: it is one
/// nevertheless, and what comes after it is read.
const MOST_VALUES: usize = 1 << 26;
const MOST_LEVELS: usize = 1 << 20;

type Result<T> = std::result::Result<T, &'static str>;

pub(super) const SHORT: &str = "it is shorter than its rows";
pub(super) const LONGER: &str = "it is longer than its rows";

const TOO_LONG: &str = "a number has more than 64 bits";

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
        Err(TOO_LONG)
    }

    /// Bytes after their number.
    pub(super) fn sized(&mut self) -> Result<&'a [u8]> {
        let count = usize::try_from(self.long()?).ok().filter(|count| *count <= MOST_BYTES);
        self.take(count.ok_or("a length is negative, or more than 1 GiB")?)
    }
}

/// The fields of a row, one after the other.
pub(super) struct Fields<'s, 'b, 'a> {
    schema: &'s Schema,
    bytes: &'b mut Bytes<'a>,
    /// Whether it is the last row of its block.
    last: bool,
    /// How many values it may still have.
    values: usize,
}

impl Fields<'_, '_, '_> {
    /// Writes the next one. Of what goes beyond `until` in `out` not all is written.
    pub(super) fn write(&mut self, column: usize, out: &mut Vec<u8>, until: usize) -> Result<()> {
        let id = match &self.schema.kinds[self.schema.root] {
            Kind::Record(fields) => fields[column].1,
            _ => self.schema.root,
        };
        self.schema.value(id, self.bytes, &mut self.values, out, until)
    }

    /// There is nothing else in the block after its last row.
    pub(super) fn end(&self) -> Result<()> {
        if self.last && self.bytes.left() > 0 { Err(LONGER) } else { Ok(()) }
    }

    /// Passes over the row.
    pub(super) fn pass(mut self) -> Result<()> {
        self.schema.value(self.schema.root, self.bytes, &mut self.values, &mut Vec::new(), 0)?;
        self.end()
    }
}

/// A value that has others in it, of which some are still to come.
enum Open<'s> {
    Record(std::slice::Iter<'s, (Vec<u8>, Id)>, bool),
    Array(Items),
    Map(Items),
}

/// The items of an array or a map, which come in blocks.
struct Items {
    id: Id,
    /// How many are left of the block.
    left: u64,
    first: bool,
}

impl Items {
    fn new(id: Id) -> Self {
        Self { id, left: 0, first: true }
    }

    /// Whether there is another one.
    fn next(&mut self, bytes: &mut Bytes<'_>, out: &mut Vec<u8>) -> Result<bool> {
        if self.left == 0 {
            let count = bytes.long()?;
            if count < 0 {
                bytes.long()?; // how many bytes it has
            }
            self.left = count.unsigned_abs();
            if self.left == 0 {
                return Ok(false);
            }
        }
        self.left -= 1;
        if !std::mem::take(&mut self.first) {
            out.push(b',');
        }
        Ok(true)
    }
}

impl Open<'_> {
    /// Which value comes next in it, if one does.
    fn next(&mut self, bytes: &mut Bytes<'_>, out: &mut Vec<u8>, until: usize) -> Result<Option<Id>> {
        match self {
            Self::Record(fields, first) => {
                let Some((key, id)) = fields.next() else {
                    out.push(b'}');
                    return Ok(None);
                };
                if !std::mem::take(first) {
                    out.push(b',');
                }
                out.extend_from_slice(key);
                Ok(Some(*id))
            }
            Self::Array(items) => {
                if items.next(bytes, out)? {
                    return Ok(Some(items.id));
                }
                out.push(b']');
                Ok(None)
            }
            Self::Map(items) => {
                if items.next(bytes, out)? {
                    text(bytes.sized()?, out, until);
                    out.push(b':');
                    return Ok(Some(items.id));
                }
                out.push(b'}');
                Ok(None)
            }
        }
    }
}

impl Schema {
    /// The fields of the next row.
    pub(super) fn fields<'s, 'b, 'a>(&'s self, bytes: &'b mut Bytes<'a>, last: bool) -> Fields<'s, 'b, 'a> {
        Fields { schema: self, bytes, last, values: MOST_VALUES }
    }

    /// Writes a value, however deep it is nested: no stack ends before it.
    fn value(
        &self,
        mut id: Id,
        bytes: &mut Bytes<'_>,
        values: &mut usize,
        out: &mut Vec<u8>,
        until: usize,
    ) -> Result<()> {
        let until = until.max(out.len());
        let mut open = Vec::new();
        loop {
            *values = values.checked_sub(1).ok_or("it has more than 67,108,864 values")?;
            match &self.kinds[id] {
                Kind::Union(branches) => {
                    let nth = usize::try_from(bytes.long()?).ok();
                    id = *nth.and_then(|nth| branches.get(nth)).ok_or("a union has no such branch")?;
                    continue;
                }
                Kind::Record(fields) => {
                    out.push(b'{');
                    open.push(Open::Record(fields.iter(), true));
                }
                Kind::Array(items) => {
                    out.push(b'[');
                    open.push(Open::Array(Items::new(*items)));
                }
                Kind::Map(values) => {
                    out.push(b'{');
                    open.push(Open::Map(Items::new(*values)));
                }
                scalar => self::scalar(scalar, bytes, out, until)?,
            }
            if open.len() > MOST_LEVELS {
                return Err("its values are nested more than 1,048,576 levels deep");
            }
            id = loop {
                out.truncate(until);
                let Some(last) = open.last_mut() else { return Ok(()) };
                match last.next(bytes, out, until)? {
                    Some(next) => break next,
                    None => _ = open.pop(),
                }
            };
        }
    }
}

/// Writes what has no other value in it.
fn scalar(kind: &Kind, bytes: &mut Bytes<'_>, out: &mut Vec<u8>, until: usize) -> Result<()> {
    let value = match kind {
        Kind::Boolean => Value::Boolean(match bytes.take(1)?[0] {
            0 => false,
            1 => true,
            _ => return Err("a boolean is neither true nor false"),
        }),
        Kind::Int => Value::Integer(int(bytes)?.into()),
        Kind::Long => Value::Integer(bytes.long()?),
        Kind::Float => Value::Real(f32::from_le_bytes(array(bytes)?)),
        Kind::Double => Value::Double(f64::from_le_bytes(array(bytes)?)),
        Kind::Bytes => Value::Binary(begin(bytes.sized()?, out, until)),
        Kind::Fixed(size) => Value::Binary(begin(bytes.take(*size)?, out, until)),
        Kind::Text => {
            text(bytes.sized()?, out, until);
            return Ok(());
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
            let scale = u32::try_from(scale).ok().filter(|scale| *scale <= MOST_SCALE);
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
        Kind::Null | Kind::Union(_) | Kind::Record(_) | Kind::Array(_) | Kind::Map(_) => Value::Null,
    };
    value.write(out);
    Ok(())
}

fn text(text: &[u8], out: &mut Vec<u8>, until: usize) {
    let text = begin(text, out, until);
    std::str::from_utf8(text).map_or(Value::Foreign(text), Value::Text).write(out);
}

/// As much of a value as is written of it.
fn begin<'a>(value: &'a [u8], out: &[u8], until: usize) -> &'a [u8] {
    &value[..value.len().min(until.saturating_sub(out.len()) + 1)]
}

fn int(bytes: &mut Bytes<'_>) -> Result<i32> {
    i32::try_from(bytes.long()?).map_err(|_| "an int has more than 32 bits")
}

fn array<const N: usize>(bytes: &mut Bytes<'_>) -> Result<[u8; N]> {
    bytes.take(N)?.try_into().map_err(|_| SHORT)
}
