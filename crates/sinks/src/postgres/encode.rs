//! Encodes rows in PostgreSQL's binary form: for a COPY, or as one array per column.
use super::{exact::Exact, list::List, numeric, types::Wire};
use crate::table::{Said, Slot, keys::Place};
use arrow::{
    array::{
        Array, AsArray, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
        Int16Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
    },
    datatypes::{
        Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    },
};
use dataflow_core::types::Type;
use dataflow_sdk::{Error, batch::Cells};

/// Days and microseconds from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// PostgreSQL's first day, in 4714 BC, counted from its epoch.
const FIRST_DAY: i32 = -2_451_545;
const FIRST_MICROS: i64 = FIRST_DAY as i64 * 86_400_000_000;

/// An arrow column with the conversion to PostgreSQL's form.
enum Reader<'a> {
    Boolean(&'a BooleanArray),
    Smallint(&'a Int16Array),
    Integer(&'a Int32Array),
    Bigint(&'a Int64Array),
    Real(&'a Float32Array),
    Double(&'a Float64Array),
    Decimal(&'a Decimal128Array),
    Number(&'a StringArray),
    Text(&'a StringArray),
    /// JSON with the version byte of jsonb.
    Jsonb(&'a StringArray),
    /// JSON arrays.
    List(&'a StringArray, List),
    Uuid(&'a StringArray),
    Time(&'a TimestampMicrosecondArray),
    Date(&'a Date32Array),
    Bytes(&'a BinaryArray),
}

impl<'a> Reader<'a> {
    fn new(slot: &Slot, wire: &Wire, array: &'a dyn Array) -> Result<Self, Error> {
        let reader = match slot.column.ty {
            Type::Boolean => array.as_boolean_opt().map(Self::Boolean),
            Type::Smallint => array.as_primitive_opt::<Int16Type>().map(Self::Smallint),
            Type::Integer => array.as_primitive_opt::<Int32Type>().map(Self::Integer),
            Type::Bigint => array.as_primitive_opt::<Int64Type>().map(Self::Bigint),
            Type::Real => array.as_primitive_opt::<Float32Type>().map(Self::Real),
            Type::Double => array.as_primitive_opt::<Float64Type>().map(Self::Double),
            Type::Decimal { .. } => array.as_primitive_opt::<Decimal128Type>().map(Self::Decimal),
            Type::Number => array.as_string_opt().map(Self::Number),
            Type::Json if wire.list.is_some() => {
                array.as_string_opt().zip(wire.list).map(|(array, list)| Self::List(array, list))
            }
            Type::Json if wire.base == "jsonb" => array.as_string_opt().map(Self::Jsonb),
            Type::Text | Type::Json | Type::Any => array.as_string_opt().map(Self::Text),
            Type::Uuid => array.as_string_opt().map(Self::Uuid),
            Type::Timestamp | Type::Datetime => array.as_primitive_opt::<TimestampMicrosecondType>().map(Self::Time),
            Type::Date => array.as_primitive_opt::<Date32Type>().map(Self::Date),
            Type::Binary => array.as_binary_opt().map(Self::Bytes),
        };
        reader.ok_or_else(|| {
            let message = format!(
                "column {} arrived as {}, but was requested as {}",
                slot.column.name,
                array.data_type(),
                slot.column.ty
            );
            Error::fatal("internal", message).for_user()
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Boolean(array) => array.is_null(row),
            Self::Smallint(array) => array.is_null(row),
            Self::Integer(array) => array.is_null(row),
            Self::Bigint(array) => array.is_null(row),
            Self::Real(array) => array.is_null(row),
            Self::Double(array) => array.is_null(row),
            Self::Decimal(array) => array.is_null(row),
            Self::Number(array) | Self::Text(array) | Self::Jsonb(array) | Self::Uuid(array) => array.is_null(row),
            Self::List(array, _) => array.is_null(row),
            Self::Time(array) => array.is_null(row),
            Self::Date(array) => array.is_null(row),
            Self::Bytes(array) => array.is_null(row),
        }
    }

    /// Appends a value after its length, if the column would return it unchanged.
    fn write(&self, row: usize, exact: Exact, out: &mut Vec<u8>) -> Result<(), String> {
        if self.is_null(row) {
            out.extend_from_slice(&(-1i32).to_be_bytes());
            return Ok(());
        }
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        match self {
            Self::Boolean(array) => out.push(array.value(row).into()),
            Self::Smallint(array) => out.extend_from_slice(&array.value(row).to_be_bytes()),
            Self::Integer(array) => out.extend_from_slice(&array.value(row).to_be_bytes()),
            Self::Bigint(array) => out.extend_from_slice(&array.value(row).to_be_bytes()),
            Self::Real(array) => out.extend_from_slice(&array.value(row).to_be_bytes()),
            Self::Double(array) => out.extend_from_slice(&array.value(row).to_be_bytes()),
            Self::Decimal(array) => {
                if !numeric::write_short(array.value(row), array.scale(), out) {
                    numeric::write(&array.value_as_string(row), out)?;
                }
            }
            Self::Number(array) => {
                numeric::write(&exact.read(array.value(row))?, out)?;
            }
            Self::Text(array) => {
                write_text(&exact.read(array.value(row))?, out)?;
            }
            Self::List(array, list) => out.extend_from_slice(list.write(array.value(row))?.as_bytes()),
            Self::Jsonb(array) => {
                out.push(1);
                write_text(array.value(row), out)?;
            }
            Self::Uuid(array) => {
                let text = array.value(row);
                let uuid = uuid::Uuid::try_parse(text).map_err(|error| format!("{text:?} is not a uuid: {error}"))?;
                out.extend_from_slice(uuid.as_bytes());
            }
            Self::Time(array) => {
                exact.refuses_micros(array.value(row)).map_or(Ok(()), Err)?;
                let micros = array.value(row).checked_sub(EPOCH_MICROS).filter(|micros| *micros >= FIRST_MICROS);
                let micros = micros.ok_or("the time is out of range")?;
                out.extend_from_slice(&micros.to_be_bytes());
            }
            Self::Date(array) => {
                let days = array.value(row).checked_sub(EPOCH_DAYS).filter(|days| *days >= FIRST_DAY);
                let days = days.ok_or("the date is out of range")?;
                out.extend_from_slice(&days.to_be_bytes());
            }
            Self::Bytes(array) => out.extend_from_slice(array.value(row)),
        }
        let length = i32::try_from(out.len() - start - 4).map_err(|_| "the value is over 2 GiB")?;
        out[start..start + 4].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

fn write_text(text: &str, out: &mut Vec<u8>) -> Result<(), String> {
    if text.as_bytes().contains(&0) {
        return Err("it contains the character U+0000, which PostgreSQL can't store".into());
    }
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// The columns of all outputs of a commit, ready to be encoded.
pub(super) struct Encoder<'a> {
    slots: &'a [Slot],
    wires: &'a [Wire],
    /// By output, then by slot.
    columns: Vec<Vec<Reader<'a>>>,
}

/// Rows that can't be encoded, with the reasons.
pub(super) type Refused = Vec<(Place, String)>;

impl<'a> Encoder<'a> {
    pub(super) fn new(slots: &'a [Slot], wires: &'a [Wire], batches: &[&'a Cells]) -> Result<Self, Error> {
        let of_batch = |batch: &&'a Cells| {
            let columns = slots.iter().zip(wires).zip(batch.columns());
            columns.map(|((slot, wire), array)| Reader::new(slot, wire, array.as_ref())).collect()
        };
        Ok(Self { slots, wires, columns: batches.iter().map(of_batch).collect::<Result<_, _>>()? })
    }

    fn refused(&self, slot: usize, cause: &str) -> String {
        let slot = &self.slots[slot];
        format!("column {} ({}): {cause}", slot.column.name, slot.declared)
    }

    /// Encodes these fields of the rows as the data of `copy … from stdin (format binary)`.
    pub(super) fn copy(&self, fields: &[usize], places: &[Place]) -> Result<Vec<u8>, Refused> {
        let mut out = Vec::with_capacity(places.len() * fields.len() * 12 + 32);
        out.extend_from_slice(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0");
        let mut refused = Vec::new();
        for place in places {
            out.extend_from_slice(&(fields.len() as i16).to_be_bytes());
            for slot in fields {
                let column = &self.columns[place.output][*slot];
                if let Err(cause) = column.write(place.row, self.wires[*slot].exact, &mut out) {
                    refused.push((*place, self.refused(*slot, &cause)));
                    break;
                }
            }
        }
        out.extend_from_slice(&(-1i16).to_be_bytes());
        if refused.is_empty() { Ok(out) } else { Err(refused) }
    }

    /// Returns which of these rows have values that can't be sent.
    pub(super) fn refusals(&self, rows: &[(Said, Place)]) -> Refused {
        let mut out = Vec::new();
        let refusal = |(said, place): &(Said, Place)| {
            let columns = &self.columns[place.output];
            let mut causes = said.fields.iter().filter_map(|slot| {
                out.clear();
                let cause = columns[*slot].write(place.row, self.wires[*slot].exact, &mut out).err()?;
                Some((*place, self.refused(*slot, &cause)))
            });
            causes.next()
        };
        rows.iter().filter_map(refusal).collect()
    }

    /// Encodes the rows as one array for each of these fields.
    pub(super) fn arrays(&self, fields: &[usize], places: &[Place]) -> Result<Vec<Vec<u8>>, Refused> {
        let mut refused: Refused = Vec::new();
        let arrays = fields.iter().copied().map(|slot| {
            let exact = self.wires[slot].exact;
            let nulls = places.iter().any(|place| self.columns[place.output][slot].is_null(place.row));
            let mut out = Vec::with_capacity(places.len() * 12 + 20);
            // Number of dimensions, null flag, element type, length and lower bound of the one dimension.
            let dimensions = i32::from(!places.is_empty());
            for number in [dimensions, i32::from(nulls), self.wires[slot].oid as i32, places.len() as i32, 1]
                .into_iter()
                .take(3 + 2 * dimensions as usize)
            {
                out.extend_from_slice(&number.to_be_bytes());
            }
            for place in places {
                if let Err(cause) = self.columns[place.output][slot].write(place.row, exact, &mut out) {
                    refused.push((*place, self.refused(slot, &cause)));
                }
            }
            out
        });
        let arrays = arrays.collect();
        refused.sort_by_key(|(place, _)| (place.output, place.row));
        refused.dedup_by_key(|(place, _)| *place);
        if refused.is_empty() { Ok(arrays) } else { Err(refused) }
    }
}
