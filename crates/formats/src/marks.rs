//! The locations of certain fields in JSON records.

/// The locations of the top-level fields that a decoder was asked to mark: see
/// [`Decoder::marking`](crate::decode::Decoder::marking).
#[derive(Debug, Default)]
pub struct Marks {
    marks: Vec<Mark>,
    /// For each record, the end of its marks.
    ends: Vec<usize>,
}

/// A field of a record: its bytes in the buffer, from the quote of its key to the end of its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub start: u32,
    pub end: u32,
    /// Where its value begins.
    pub value: u32,
    /// The index of its name.
    pub name: u32,
}

impl Marks {
    pub(crate) fn push(&mut self, mark: Mark) {
        self.marks.push(mark);
    }

    /// Called after each record.
    pub(crate) fn end_record(&mut self) {
        self.ends.push(self.marks.len());
    }

    /// Returns the marks of an unbroken record, in the order in which they are written.
    pub(crate) fn of(&self, record: u32) -> &[Mark] {
        let record = record as usize;
        let start = if record == 0 { 0 } else { self.ends[record - 1] };
        &self.marks[start..self.ends[record]]
    }
}
