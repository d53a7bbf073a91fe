//! Pass 2: builds columns of a known type.
use super::{
    Cell, Common, Misfit, Text, Want,
    cell::Kind,
    misfit::{self, Asked, CLASS, NOT_JSON, SPELLING, SURROGATE, Why},
    number, remedy, scalar, time,
    varied::Value,
};
use crate::json;
use arrow::{
    array::{
        ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
        PrimitiveBuilder, StringBuilder, TimestampMicrosecondBuilder,
    },
    buffer::BooleanBuffer,
    datatypes::{ArrowPrimitiveType, DataType, Int16Type, Int32Type, Int64Type},
};
use dataflow_core::types::{Type, widen};
use dataflow_sdk::{batch::arrow_type, declared::Numbers};
use std::sync::Arc;

/// The values that pass 1 found for a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub cells: &'a [Cell],
    pub text: &'a Text<'a>,
    pub within: Option<&'static str>,
    pub path: &'a [String],
    /// The declared type of the field.
    pub declared: Option<Type>,
    /// Which numbers the columns of the sink hold, for the advice of misfits.
    pub numbers: Numbers,
    /// Whether untyped text counts as a number or boolean only in its canonical spelling, so that no information is
    /// lost.
    pub strict: bool,
}

impl<'a> Values<'a> {
    /// Values of no field in particular.
    pub(super) fn as_they_are(cells: &'a [Cell], text: &'a Text<'a>) -> Self {
        Self { cells, text, within: None, path: &[], declared: None, numbers: Numbers::Any, strict: true }
    }

    /// The type of a column that holds all of them and similar ones. Mixed values give JSON, `untyped` ones text.
    pub(super) fn common(&self, untyped: bool) -> Common {
        let (mut common, mut scratch) = (Common::default(), String::new());
        for cell in self.cells {
            let Some(own) = self.roomy(*cell, &mut scratch) else { continue };
            let before = *common.ty.get_or_insert(own);
            let ty = match widen(before, own) {
                Type::Json if untyped => Type::Text,
                ty => ty,
            };
            if ty != before && matches!(ty, Type::Json | Type::Text) {
                common.odd.get_or_insert_with(|| misfit::shortened(self.text.json(*cell)));
            }
            common.ty = Some(ty);
        }
        common
    }

    /// Counts the records that have the field.
    pub(super) fn present(&self) -> u64 {
        self.cells.iter().filter(|cell| !matches!(cell.kind, Kind::Missing | Kind::Barred)).count() as u64
    }

    /// Marks the records that lack the field; `None`: none does.
    pub(super) fn absent(&self) -> Option<BooleanBuffer> {
        let absent = BooleanBuffer::collect_bool(self.cells.len(), |row| self.cells[row].kind == Kind::Missing);
        (absent.count_set_bits() > 0).then_some(absent)
    }

    /// Counts the bytes of all values, to size a buffer.
    fn bytes(&self) -> usize {
        self.cells.iter().map(|cell| (cell.end - cell.start) as usize + 2).sum()
    }

    /// Appends every value to a builder. `append` gets a value, or `None` for NULL (which it must accept); a value that
    /// it rejects becomes NULL and a misfit.
    fn each(&self, asked: Asked, mut append: impl FnMut(Option<Cell>) -> Result<(), Why>) -> Vec<Misfit> {
        let mut misfits = Vec::new();
        for (row, cell) in (0..).zip(self.cells) {
            let value = (!matches!(cell.kind, Kind::Missing | Kind::Barred | Kind::Null)).then_some(*cell);
            let appended = if cell.kind == Kind::NotJson { Err(NOT_JSON) } else { append(value) };
            if let Err(why) = appended {
                misfits.push(self.misfit(row, *cell, asked, why));
                append(None).unwrap_or_else(|why| unreachable!("every builder takes NULL: {why}"));
            }
        }
        misfits
    }

    #[cold]
    pub(super) fn misfit(&self, row: u32, cell: Cell, asked: Asked, why: Why) -> Misfit {
        let (path, asked) = match cell.kind {
            // The whole field is.
            Kind::NotJson => (&self.path[..1], Asked::exactly(Type::Json)),
            _ => (self.path, Asked { declared: self.declared, numbers: self.numbers, ..asked }),
        };
        let parts = || self.within.into_iter().chain(path.iter().map(String::as_str));
        let (name, path) = (remedy::expression(parts()), parts().collect::<Vec<_>>().join("."));
        let cause = misfit::cause(&path, &name, cell, self.text, asked, why);
        Misfit { row, cause, suits: misfit::suits(cell, self.text, asked, why) }
    }

    /// The content of a string, or of untyped text.
    #[inline]
    fn string<'s>(&self, cell: Cell, scratch: &'s mut String) -> Result<&'s str, Why>
    where
        'a: 's,
    {
        match cell.kind {
            Kind::String => Ok(self.text.raw(cell)),
            Kind::Escaped | Kind::Untyped | Kind::Doubled => self.text.content(cell, scratch).ok_or(SURROGATE),
            _ => Err(CLASS),
        }
    }

    /// The text of a number.
    #[inline]
    fn number<'s>(&self, cell: Cell, scratch: &'s mut String) -> Result<&'s str, Why>
    where
        'a: 's,
    {
        match cell.kind {
            Kind::Number => Ok(self.text.raw(cell)),
            Kind::Untyped | Kind::Doubled => {
                let text = self.text.content(cell, scratch).unwrap_or_default();
                match (self.strict, text.trim_ascii()) {
                    (true, _) if number::is_plain(text) => Ok(text),
                    (true, trimmed) if number::is_number(trimmed) => Err(SPELLING),
                    (false, trimmed) if number::is_number(trimmed) => Ok(trimmed),
                    _ => Err(CLASS),
                }
            }
            _ => Err(CLASS),
        }
    }

    /// Returns the integer written by a text of digits only: the fast path for most numbers.
    #[inline]
    pub(super) fn integer(&self, cell: Cell, scratch: &mut String) -> Option<i64> {
        number::integer(self.number(cell, scratch).ok()?)
    }

    /// Returns a present value in its own type.
    pub(super) fn own<'s>(&self, cell: Cell, want: Want, scratch: &'s mut String) -> Result<Value<'s>, Why>
    where
        'a: 's,
    {
        match (want, cell.kind) {
            (_, Kind::NotJson) => Err(NOT_JSON),
            (Want::Time, _) => time::point(self.string(cell, scratch)?),
            (Want::Number, _) => number::own(self.number(cell, scratch)?),
            (_, Kind::Missing | Kind::Barred | Kind::Null) => Ok(Value::Null),
            (_, Kind::True) => Ok(Value::Boolean(true)),
            (_, Kind::False) => Ok(Value::Boolean(false)),
            (_, Kind::Number) => number::own(self.text.raw(cell)),
            (_, Kind::String | Kind::Escaped) => Ok(Value::Text(self.string(cell, scratch)?)),
            (_, Kind::Object | Kind::Array) => Ok(Value::Json(self.text.raw(cell))),
            (_, Kind::Untyped | Kind::Doubled) => {
                let text = self.text.content(cell, scratch).unwrap_or_default();
                Ok(match text {
                    "true" => Value::Boolean(true),
                    "false" => Value::Boolean(false),
                    text if number::is_plain(text) => number::own(text).unwrap_or(Value::Text(text)),
                    text => Value::Text(text),
                })
            }
        }
    }

    /// The type of a column that can hold a value and later ones of its kind; `None` for NULL. Every value has such a
    /// type.
    pub(super) fn roomy(&self, cell: Cell, scratch: &mut String) -> Option<Type> {
        // What is written 10.0 is whole by chance: the next one is 10.5.
        let number = |text: &str| if number::integer(text).is_some() { Type::Bigint } else { Type::Number };
        Some(match cell.kind {
            Kind::Missing | Kind::Barred | Kind::Null | Kind::NotJson => return None,
            Kind::True | Kind::False => Type::Boolean,
            Kind::Number => number(self.text.raw(cell)),
            Kind::String | Kind::Escaped => Type::Text,
            Kind::Object | Kind::Array => Type::Json,
            Kind::Untyped | Kind::Doubled => match self.text.content(cell, scratch).unwrap_or_default() {
                "true" | "false" => Type::Boolean,
                text if number::is_plain(text) => number(text),
                _ => Type::Text,
            },
        })
    }

    fn texts(
        &self,
        asked: Asked,
        mut append: impl FnMut(Cell, &mut String, &mut StringBuilder) -> Result<(), Why>,
    ) -> (ArrayRef, Vec<Misfit>) {
        let mut builder = StringBuilder::with_capacity(self.cells.len(), self.bytes());
        let mut scratch = String::new();
        let misfits = self.each(asked, |cell| match cell {
            Some(cell) => append(cell, &mut scratch, &mut builder),
            None => {
                builder.append_null();
                Ok(())
            }
        });
        (Arc::new(builder.finish()), misfits)
    }

    fn strings(&self, asked: Asked) -> (ArrayRef, Vec<Misfit>) {
        self.texts(asked, |cell, scratch, builder| {
            builder.append_value(self.string(cell, scratch)?);
            Ok(())
        })
    }

    fn primitives<T: ArrowPrimitiveType>(
        &self,
        asked: Asked,
        mut builder: PrimitiveBuilder<T>,
        mut take: impl FnMut(Cell, &mut String) -> Result<T::Native, Why>,
    ) -> (ArrayRef, Vec<Misfit>) {
        let mut scratch = String::new();
        let misfits = self.each(asked, |cell| {
            match cell {
                Some(cell) => builder.append_value(take(cell, &mut scratch)?),
                None => builder.append_null(),
            }
            Ok(())
        });
        (Arc::new(builder.finish()), misfits)
    }

    fn integers<T: ArrowPrimitiveType<Native: TryFrom<i64>>>(&self, asked: Asked) -> (ArrayRef, Vec<Misfit>) {
        self.primitives(asked, PrimitiveBuilder::<T>::with_capacity(self.cells.len()), |cell, scratch| {
            let text = self.number(cell, scratch)?;
            let value = match number::integer(text) {
                Some(value) => value,
                None => {
                    let decimal = number::decimal(text).ok_or("which is out of range")?;
                    let fits = if decimal.scale > 0 { "which is not an integer" } else { "which is out of range" };
                    decimal.integer().ok_or(fits)?
                }
            };
            T::Native::try_from(value).map_err(|_| "which is out of range")
        })
    }

    fn decimals(&self, asked: Asked, precision: u8, scale: u8) -> (ArrayRef, Vec<Misfit>) {
        let builder = Decimal128Builder::with_capacity(self.cells.len())
            .with_data_type(DataType::Decimal128(precision, scale as i8));
        self.primitives(asked, builder, |cell, scratch| {
            let text = self.number(cell, scratch)?;
            let decimal = number::decimal(text).ok_or("which has more digits than a decimal holds")?;
            decimal.rescale(precision, scale)
        })
    }

    fn booleans(&self, asked: Asked) -> (ArrayRef, Vec<Misfit>) {
        let mut builder = BooleanBuilder::with_capacity(self.cells.len());
        let mut scratch = String::new();
        let misfits = self.each(asked, |cell| {
            builder.append_option(match cell {
                None => None,
                Some(cell) => Some(match cell.kind {
                    Kind::True => true,
                    Kind::False => false,
                    Kind::Untyped | Kind::Doubled => {
                        let text = self.text.content(cell, &mut scratch).unwrap_or_default();
                        match text.parse() {
                            Ok(value) if self.strict => value,
                            _ if self.strict => Err(scalar::boolean(text.trim_ascii()).map_or(CLASS, |_| SPELLING))?,
                            _ => scalar::boolean(text.trim_ascii()).ok_or(CLASS)?,
                        }
                    }
                    _ => return Err(CLASS),
                }),
            });
            Ok(())
        });
        (Arc::new(builder.finish()), misfits)
    }

    fn binaries(&self, asked: Asked) -> (ArrayRef, Vec<Misfit>) {
        let mut builder = BinaryBuilder::with_capacity(self.cells.len(), self.bytes());
        let (mut scratch, mut bytes) = (String::new(), Vec::new());
        let misfits = self.each(asked, |cell| {
            match cell {
                Some(cell) => {
                    if !scalar::base64(self.string(cell, &mut scratch)?, &mut bytes) {
                        return Err("which is not base64");
                    }
                    builder.append_value(&bytes);
                }
                None => builder.append_null(),
            }
            Ok(())
        });
        (Arc::new(builder.finish()), misfits)
    }

    fn times(&self, asked: Asked, ty: Type) -> (ArrayRef, Vec<Misfit>) {
        let builder = TimestampMicrosecondBuilder::with_capacity(self.cells.len()).with_data_type(arrow_type(ty));
        let parse = if ty == Type::Datetime { time::local_micros } else { time::micros };
        self.primitives(asked, builder, |cell, scratch| parse(self.string(cell, scratch)?))
    }

    /// JSON values as written. Untyped text counts only if it is JSON: then it is what a JSON record would have there, so `null` is
    /// NULL.
    fn documents(&self, asked: Asked) -> (ArrayRef, Vec<Misfit>) {
        self.texts(asked, |cell, scratch, builder| {
            if !matches!(cell.kind, Kind::Untyped | Kind::Doubled) {
                builder.append_value(self.text.json(cell));
                return Ok(());
            }
            let text = self.text.content(cell, scratch).unwrap_or_default();
            match json::validate(text.as_bytes()).map_err(|_| NOT_JSON)?.kind {
                json::Kind::Null => builder.append_null(),
                _ => builder.append_value(text),
            }
            Ok(())
        })
    }

    /// Any values as JSON texts, as written. Untyped text becomes a JSON string.
    fn anything(&self, asked: Asked) -> (ArrayRef, Vec<Misfit>) {
        let mut string = Vec::new();
        self.texts(asked, |cell, scratch, builder| {
            if !matches!(cell.kind, Kind::Untyped | Kind::Doubled) {
                builder.append_value(self.text.json(cell));
                return Ok(());
            }
            string.clear();
            json::write_string(self.text.content(cell, scratch).unwrap_or_default(), &mut string);
            builder.append_value(String::from_utf8_lossy(&string));
            Ok(())
        })
    }

    /// Numbers as written; untyped text is rewritten as JSON numbers.
    fn number_texts(&self, asked: Asked) -> (ArrayRef, Vec<Misfit>) {
        self.texts(asked, |cell, scratch, builder| {
            let text = self.number(cell, scratch)?;
            match cell.kind {
                Kind::Number => builder.append_value(text),
                _ => builder.append_value(number::as_json(text)),
            }
            Ok(())
        })
    }

    /// Any value as its text.
    pub(super) fn literals(&self) -> (ArrayRef, Vec<Misfit>) {
        self.texts(Asked::class("text"), |cell, scratch, builder| {
            builder.append_value(self.text.content(cell, scratch).ok_or(SURROGATE)?);
            Ok(())
        })
    }

    /// Builds a column of a type; misfits report `asked` as the wanted type.
    pub(super) fn column(&self, ty: Type, asked: Asked) -> (ArrayRef, Vec<Misfit>) {
        let rows = self.cells.len();
        match ty {
            Type::Boolean => self.booleans(asked),
            Type::Smallint => self.integers::<Int16Type>(asked),
            Type::Integer => self.integers::<Int32Type>(asked),
            Type::Bigint => self.integers::<Int64Type>(asked),
            Type::Real => self.primitives(asked, Float32Builder::with_capacity(rows), |cell, scratch| {
                number::real(self.number(cell, scratch)?)
            }),
            Type::Double => self.primitives(asked, Float64Builder::with_capacity(rows), |cell, scratch| {
                number::double(self.number(cell, scratch)?)
            }),
            Type::Decimal { precision, scale } => self.decimals(asked, precision, scale),
            Type::Number => self.number_texts(asked),
            Type::Text => self.strings(asked),
            Type::Timestamp | Type::Datetime => self.times(asked, ty),
            Type::Date => self.primitives(asked, Date32Builder::with_capacity(rows), |cell, scratch| {
                time::days(self.string(cell, scratch)?)
            }),
            Type::Uuid => self.texts(asked, |cell, scratch, builder| {
                let text = self.string(cell, scratch)?;
                if !scalar::is_uuid(text) {
                    return Err("which is not a UUID");
                }
                builder.append_value(text);
                Ok(())
            }),
            Type::Binary => self.binaries(asked),
            Type::Json => self.documents(asked),
            Type::Any => self.anything(asked),
        }
    }
}
