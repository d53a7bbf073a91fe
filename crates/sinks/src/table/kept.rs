//! The rows that a refused commit has already written, so that its successor need not write them again.
use super::keys::Place;
use dataflow_core::{token::Token, warned::Warned};
use dataflow_sdk::batch::{Output, Warning};

/// The rows of a commit except those that the table rejects, written in a transaction that is still open. The same
/// commit without the rejected records follows; then only its token is new.
#[derive(Debug)]
pub struct Kept {
    token: Token,
    /// The rows in order: the index of the output and of its record. Rows are renumbered where others were removed.
    rows: Vec<(usize, u32)>,
    /// Counts the rows that the table has accepted.
    pub written: u64,
    /// Counts further accepted rows that had no effect.
    pub swallowed: u64,
}

/// The warning about accepted rows without an effect.
pub fn swallowed(table: &str, records: u64) -> Vec<Warning> {
    let message = format!(
        "table {table} accepted rows that had no effect: a trigger or a rule skips them, or writes them elsewhere"
    );
    let warning = Warning { code: Warned::ROWS_SWALLOWED, subject: table.into(), message, records };
    if records > 0 { vec![warning] } else { Vec::new() }
}

/// The token of a commit that writes so many rows, beside which so many had no effect: nobody else knows of them if the
/// journal never hears of this commit but by its token.
pub fn written(token: &Token, table: &str, rows: u64, without_effect: u64) -> Token {
    let mut token = token.with_rows(rows);
    for warning in swallowed(table, without_effect) {
        token.warnings.add(&warning.into());
    }
    token
}

impl Kept {
    /// The rows of a commit that were written: all but the rejected ones, given by their rising indices in `places`.
    pub fn of(
        token: &Token,
        outputs: &[Output],
        places: &[Place],
        refused: &[usize],
        written: u64,
        swallowed: u64,
    ) -> Self {
        let kept = places.iter().enumerate().filter(|(index, _)| refused.binary_search(index).is_err());
        Self { token: token.clone(), rows: rows(outputs, kept.map(|(_, place)| *place)), written, swallowed }
    }

    /// Returns whether a commit would write exactly these rows. It would not if a rejected record has more rows, or if
    /// a row that was skipped because a later one has its key now has to be written.
    pub fn is(&self, token: &Token, outputs: &[Output], places: &[Place]) -> bool {
        let at = |token: &Token| (token.fence.clone(), token.sequence);
        at(&self.token) == at(token)
            && self.token.positions == token.positions
            && self.rows == rows(outputs, places.iter().copied())
    }
}

fn rows(outputs: &[Output], places: impl Iterator<Item = Place>) -> Vec<(usize, u32)> {
    places.map(|Place { output, row }| (output, outputs[output].rows[row])).collect()
}
