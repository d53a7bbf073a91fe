//! What a refused commit has already written, so that the one after it need not write it again.
use super::keys::Place;
use dataflow_core::token::Token;
use dataflow_sdk::batch::{Output, Warning};

/// The rows of a commit but for those that the table refuses, written in a transaction that is still open. The same
/// commit without the refused records follows; then only its token is new.
#[derive(Debug)]
pub struct Kept {
    token: Token,
    /// The rows, in their order: which output, which of its records. Rows are counted anew where others are gone.
    rows: Vec<(usize, u32)>,
    /// How many rows the table has taken.
    pub written: u64,
    /// How many more it has taken that had no effect on it.
    pub swallowed: u64,
}

/// What is said of rows that a table takes and that have no effect on it.
pub fn swallowed(table: &str, records: u64) -> Vec<Warning> {
    let message = format!(
        "table {table} took rows without an error that had no effect on it: a trigger or a rule leaves them out, or writes them elsewhere"
    );
    let warning = Warning { code: "rows-swallowed", subject: table.into(), message, records };
    if records > 0 { vec![warning] } else { Vec::new() }
}

impl Kept {
    /// What of a commit was written: all rows but the refused ones, which are told by their indices in `places`, rising.
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

    /// Whether a commit would write the very same rows. It would not if a refused record has more rows, or if a row that
    /// was passed over for a later one with its key comes to the fore.
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
