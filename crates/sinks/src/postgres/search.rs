//! Finding the rows that a table refuses, by trying parts of a commit from front to back.
//!
//! A part that is refused is narrowed down: to the row that the server names, otherwise by halving. After a row that was
//! found, the next part is as large as the distance to it was, then twice that, and so on. So a row that is refused costs
//! about as many statements as the distance to the one before has binary digits (three, where the server names the row),
//! and however many there are, each row is sent a few times only.
#[cfg(test)]
mod tests;

use std::ops::Range;

/// A search through the rows of one commit.
#[derive(Debug)]
pub(super) struct Search<W> {
    rows: usize,
    /// All rows before are written or found.
    at: usize,
    /// How many rows to try next, while nothing is known of them.
    size: usize,
    /// There is a row before this one that is refused.
    bad: Option<usize>,
    /// It is probably this one.
    named: Option<usize>,
    /// After what was narrowed down last.
    last: usize,
    /// Rows that were found, each with why it was refused.
    pub(super) found: Vec<(usize, W)>,
}

impl<W> Search<W> {
    /// A search through so many rows, which were refused as a whole.
    pub(super) fn new(rows: usize, named: Option<usize>) -> Self {
        let named = named.filter(|row| *row < rows);
        let bad = Some(named.map_or(rows, |row| row + 1));
        Self { rows, at: 0, size: rows, bad, named, last: 0, found: Vec::new() }
    }

    /// The rows to try next; none: all are written or found.
    pub(super) fn next(&self) -> Option<Range<usize>> {
        if self.at == self.rows {
            return None;
        }
        let end = match (self.bad, self.named) {
            (Some(_), Some(named)) if named > self.at => named,
            (Some(bad), _) => self.at + (bad - self.at).div_ceil(2),
            (None, _) => self.rows.min(self.at + self.size),
        };
        Some(self.at..end)
    }

    /// The rows that were to be tried are written.
    pub(super) fn accepted(&mut self) {
        let Some(part) = self.next() else { return };
        self.at = part.end;
        match self.bad {
            None => self.size = self.rows.min(self.size * 2),
            // Together they were refused, one by one they are taken: two rows of which the server takes one at a time.
            Some(bad) if bad <= self.at => self.passed(),
            Some(_) => {}
        }
    }

    /// The table refuses the rows that were to be tried; of these, the server names one or none.
    pub(super) fn refused(&mut self, named: Option<usize>, why: W) {
        let Some(part) = self.next() else { return };
        self.named = named.map(|row| part.start + row).filter(|row| part.contains(row));
        self.bad = Some(self.named.map_or(part.end, |row| row + 1));
        if part.len() == 1 {
            self.found.push((part.start, why));
            self.at = part.end;
            self.passed();
        }
    }

    /// Nothing is known of what comes next.
    fn passed(&mut self) {
        self.size = self.at - self.last;
        self.last = self.at;
        (self.bad, self.named) = (None, None);
    }
}
