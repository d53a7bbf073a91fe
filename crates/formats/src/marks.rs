//! Where certain fields lie in JSON records.

/// Places of top-level fields that a decoder was to mark: see [`Decoder::marking`](crate::decode::Decoder::marking).
#[derive(Debug, Default)]
pub struct Marks {
    marks: Vec<Mark>,
    /// For each record, where its marks end.
    ends: Vec<usize>,
}

/// A field of a record: its bytes in the buffer, from the quote of its key to the end of its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub start: u32,
    pub end: u32,
    /// Which of the names it has.
    pub name: u32,
}

impl Marks {
    pub(crate) fn push(&mut self, mark: Mark) {
        self.marks.push(mark);
    }

    /// Behind each record.
    pub(crate) fn end_record(&mut self) {
        self.ends.push(self.marks.len());
    }

    /// Those of a record that isn't broken, in the order in which they are written.
    pub(crate) fn of(&self, record: u32) -> &[Mark] {
        let record = record as usize;
        let start = if record == 0 { 0 } else { self.ends[record - 1] };
        &self.marks[start..self.ends[record]]
    }
}
