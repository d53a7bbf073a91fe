//! Finds the rows that a table rejects, by trying parts of a commit from front to back.
//!
//! A rejected part is narrowed down: to the row that the server names, otherwise by halving. After a row was found, the
//! next part is as large as the distance to it was, then twice that, and so on. So a rejected row costs about as many
//! statements as its distance from the previous one has binary digits (three, if the server names the row), and however
//! many there are, each row is sent only a few times.
#[cfg(test)]
mod tests;

use std::ops::Range;

/// A search through the rows of one commit.
#[derive(Debug)]
pub(super) struct Search<W> {
    rows: usize,
    /// All rows before it are written or found.
    at: usize,
    /// How many rows to try next, while nothing is known about them.
    size: usize,
    /// Some row before this one is rejected.
    bad: Option<usize>,
    /// The row that is probably rejected.
    named: Option<usize>,
    /// The end of the part that was narrowed down last.
    last: usize,
    /// The rejected rows, with the reasons.
    pub(super) found: Vec<(usize, W)>,
}

impl<W> Search<W> {
    /// Starts a search through rows that were rejected as a whole.
    pub(super) fn new(rows: usize, named: Option<usize>) -> Self {
        let named = named.filter(|row| *row < rows);
        let bad = Some(named.map_or(rows, |row| row + 1));
        Self { rows, at: 0, size: rows, bad, named, last: 0, found: Vec::new() }
    }

    /// The rows to try next; `None` if all are written or found.
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

    /// Records that the tried rows were written.
    pub(super) fn accepted(&mut self) {
        let Some(part) = self.next() else { return };
        self.at = part.end;
        match self.bad {
            None => self.size = self.rows.min(self.size * 2),
            // Rejected together, accepted one by one: for example two rows of which the server accepts one at a time.
            Some(bad) if bad <= self.at => self.passed(),
            Some(_) => {}
        }
    }

    /// Records that the table rejects the tried rows; the server names one of them or none.
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

    /// Resets what is known about the next rows.
    fn passed(&mut self) {
        self.size = self.at - self.last;
        self.last = self.at;
        (self.bad, self.named) = (None, None);
    }
}
