//! Finding the rows that the table refuses: by the line that COPY names, otherwise by halving.
use super::failure;
use crate::table::keys::Place;
use tokio_postgres::Error;

/// Parts of a commit's rows, first part last.
pub(super) struct Search {
    open: Vec<std::ops::Range<usize>>,
    /// Rows that were found, each with the server's words.
    pub(super) found: Vec<(Place, String)>,
}

impl Search {
    /// A search through so many rows, which failed as a whole with this error.
    pub(super) fn new(rows: usize, error: &Error) -> Self {
        let mut search = Self { open: Vec::new(), found: Vec::new() };
        search.split(0..rows, error);
        search
    }

    /// The next part to try.
    pub(super) fn next(&mut self) -> Option<std::ops::Range<usize>> {
        self.open.pop()
    }

    /// A part was refused.
    pub(super) fn refused(&mut self, part: std::ops::Range<usize>, places: &[Place], error: &Error) {
        match part.len() {
            1 => self.found.push((places[part.start], failure::words_of(error))),
            _ => self.split(part, error),
        }
    }

    fn split(&mut self, part: std::ops::Range<usize>, error: &Error) {
        let named =
            failure::copy_line(error).map(|line| part.start + line.saturating_sub(1)).filter(|row| part.contains(row));
        let cuts = match named {
            Some(row) if part.len() > 1 => vec![part.start..row, row..row + 1, row + 1..part.end],
            _ => {
                let middle = part.start + part.len() / 2;
                vec![part.start..middle, middle..part.end]
            }
        };
        self.open.extend(cuts.into_iter().rev().filter(|part| !part.is_empty()));
    }
}
