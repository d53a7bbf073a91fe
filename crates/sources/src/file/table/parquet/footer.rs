//! Looks through a footer before the library reads it, which believes the lengths that it names, and nests as deep as its schema:
//! what comes of that can't be caught.
#[cfg(test)]
pub(super) mod tests;

/// Largest footer.
pub(super) const MOST_BYTES: u32 = 256 << 20;
/// Most columns, row groups and the like.
const MOST_PARTS: usize = 1 << 20;
/// Deepest schema, and deepest nesting of anything else.
const MOST_LEVELS: usize = 64;

/// Why a footer is not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Damaged(&'static str),
    Unsupported(&'static str),
}

const SHORT: Fault = Fault::Damaged("it is shorter than what it names");

/// What a field holds. The library reads fields as what they should be, whatever they say.
enum Holds {
    /// A whole number, in as many bytes as it needs.
    Number,
    /// How many of the elements that follow in the schema are within this one.
    Children,
    Byte,
    Double,
    Bytes,
    List(&'static Holds),
    Struct(Fields),
    /// An element of the schema.
    Element,
}
use Holds::{Byte, Bytes, Children, Double, Element, List, Number, Struct};

/// Fields by their numbers. Others, and truth values, are read by the library as what they say.
type Fields = &'static [(i16, Holds)];

const EMPTY: Holds = Struct(&[]);
const TIME: Holds = Struct(&[(2, Struct(&[(1, EMPTY), (2, EMPTY), (3, EMPTY)]))]);
const LOGICAL: Fields = &[
    (1, EMPTY),
    (2, EMPTY),
    (3, EMPTY),
    (4, EMPTY),
    (5, Struct(&[(1, Number), (2, Number)])),
    (6, EMPTY),
    (7, TIME),
    (8, TIME),
    (10, Struct(&[(1, Byte)])),
    (11, EMPTY),
    (12, EMPTY),
    (13, EMPTY),
    (14, EMPTY),
    (15, EMPTY),
    (16, Struct(&[(1, Byte)])),
    (17, Struct(&[(1, Bytes)])),
    (18, Struct(&[(1, Bytes), (2, Number)])),
];
const ELEMENT: Fields = &[
    (1, Number),
    (2, Number),
    (3, Number),
    (4, Bytes),
    (5, Children),
    (6, Number),
    (7, Number),
    (8, Number),
    (9, Number),
    (10, Struct(LOGICAL)),
];
const BOX: Fields =
    &[(1, Double), (2, Double), (3, Double), (4, Double), (5, Double), (6, Double), (7, Double), (8, Double)];
const COLUMN: Fields = &[
    (1, Number),
    (2, List(&Number)),
    (4, Number),
    (5, Number),
    (6, Number),
    (7, Number),
    (9, Number),
    (10, Number),
    (11, Number),
    (14, Number),
    (15, Number),
    (17, Struct(&[(1, Struct(BOX)), (2, List(&Number))])),
];
const CHUNK: Fields =
    &[(1, Bytes), (2, Number), (3, Struct(COLUMN)), (4, Number), (5, Number), (6, Number), (7, Number)];
const GROUP: Fields = &[
    (1, List(&Struct(CHUNK))),
    (2, Number),
    (3, Number),
    (4, List(&Struct(&[(1, Number)]))),
    (5, Number),
    (7, Number),
];
const FILE: Fields = &[
    (1, Number),
    (2, List(&Element)),
    (3, Number),
    (4, List(&Struct(GROUP))),
    (5, List(&Struct(&[(1, Bytes), (2, Bytes)]))),
    (6, Bytes),
    (7, List(&Struct(&[(1, EMPTY)]))),
];

/// Whether the library may read a footer.
pub(super) fn look(bytes: &[u8]) -> Result<(), Fault> {
    Walk { bytes, children: 0, open: Vec::new() }.fields(FILE, MOST_LEVELS)
}

struct Walk<'a> {
    bytes: &'a [u8],
    /// Of the element that was read last.
    children: i64,
    /// How many elements are still to come within each that is open.
    open: Vec<usize>,
}

impl Walk<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8], Fault> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(SHORT)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for nth in 0..10 {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * nth);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Fault::Damaged("a number has more than 64 bits"))
    }

    fn signed(&mut self) -> Result<i64, Fault> {
        let value = self.number()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A length of what is in the bytes that are left.
    fn length(&mut self) -> Result<usize, Fault> {
        let length = self.number()?;
        usize::try_from(length).ok().filter(|length| *length <= self.bytes.len()).ok_or(SHORT)
    }

    fn fields(&mut self, known: Fields, levels: usize) -> Result<(), Fault> {
        let mut last = 0_i16;
        loop {
            let head = self.byte()?;
            if head & 15 == 0 {
                return Ok(());
            }
            last = match i16::from(head >> 4) {
                0 => self.signed()? as i16,
                more => last.checked_add(more).ok_or(Fault::Damaged("a field has no such number"))?,
            };
            let holds = known.iter().find(|(number, _)| *number == last).map(|(_, holds)| holds);
            self.value(head & 15, holds, levels)?;
        }
    }

    fn value(&mut self, kind: u8, holds: Option<&Holds>, levels: usize) -> Result<(), Fault> {
        let levels =
            levels.checked_sub(1).ok_or(Fault::Unsupported("its footer is nested more than 64 levels deep"))?;
        let fits = match holds {
            None => true,
            Some(Number | Children) => (4..=6).contains(&kind),
            Some(Byte) => kind == 3,
            Some(Double) => kind == 7,
            Some(Bytes) => kind == 8,
            Some(List(_)) => kind == 9,
            Some(Struct(_) | Element) => kind == 12,
        };
        if !fits {
            return Err(Fault::Damaged("a field has the wrong type"));
        }
        match kind {
            1 | 2 => {}
            3 => _ = self.byte()?,
            4..=6 if matches!(holds, Some(Children)) => self.children = i64::from(self.signed()? as i32),
            4..=6 => _ = self.number()?,
            7 => _ = self.take(8)?,
            8 => {
                let length = self.length()?;
                self.take(length)?;
            }
            9 | 10 => self.list(if let Some(List(item)) = holds { Some(*item) } else { None }, levels)?,
            12 => match holds {
                Some(Struct(fields)) => self.fields(fields, levels)?,
                Some(Element) => {
                    self.children = 0;
                    self.fields(ELEMENT, levels)?;
                }
                _ => self.fields(&[], levels)?,
            },
            13 => _ = self.take(16)?,
            _ => return Err(Fault::Damaged("a field has an unknown type")),
        }
        Ok(())
    }

    fn list(&mut self, holds: Option<&Holds>, levels: usize) -> Result<(), Fault> {
        let head = self.byte()?;
        let kind = head & 15;
        let size = if head >> 4 == 15 { self.length()? } else { (head >> 4).into() };
        if size > self.bytes.len() {
            return Err(SHORT);
        }
        if size > 0 && kind <= 2 {
            return Err(Fault::Damaged("a list has values of an unknown type"));
        }
        if kind == 12 && size > MOST_PARTS {
            return Err(Fault::Unsupported("it has more than 1,048,576 columns, row groups or notes"));
        }
        if let Some(Element) = holds {
            self.open.clear();
        }
        for nth in 0..size {
            self.value(kind, holds, levels)?;
            if let Some(Element) = holds {
                self.element(size - nth - 1)?;
            }
        }
        Ok(())
    }

    /// The place of an element in the tree, after which there are so many others.
    fn element(&mut self, rest: usize) -> Result<(), Fault> {
        if let Some(left) = self.open.last_mut() {
            *left -= 1;
        }
        let children = usize::try_from(self.children).unwrap_or(0);
        if children > rest {
            return Err(Fault::Damaged("its schema has fewer columns than it names"));
        }
        self.open.push(children);
        while self.open.last() == Some(&0) {
            self.open.pop();
        }
        if self.open.len() > MOST_LEVELS {
            return Err(Fault::Unsupported("its columns are nested more than 64 levels deep"));
        }
        Ok(())
    }
}
