//! The fate of values that don't fit the requested type.
use super::frame::Frame;
use arrow::array::AsArray;
use dataflow_formats::decode;
use dataflow_sdk::batch::{Dead, Notice, Warning};
use indexmap::IndexMap;

/// Values that were taken as NULL because they didn't fit, by field.
#[derive(Debug, Default)]
pub(crate) struct Misfits {
    counted: IndexMap<String, (u64, String)>,
    said: Vec<Notice>,
}

impl Misfits {
    /// Kills the records of a column's misfits, or counts them if `lenient`. Records that are no longer on their way
    /// don't matter.
    pub(crate) fn take(
        &mut self,
        frame: &mut Frame<'_>,
        column: &decode::Column,
        stage: &str,
        field: &str,
        lenient: bool,
        about: impl Fn(&decode::Misfit) -> String,
    ) {
        if column.misfits.is_empty() {
            return;
        }
        let concerned = column.misfits.iter().filter(|misfit| frame.has(misfit.row));
        if lenient {
            let (mut count, mut last) = (0, None);
            for misfit in concerned {
                count += 1;
                last = Some(misfit);
            }
            if let Some(misfit) = last {
                let entry = self.counted.entry(field.into()).or_default();
                *entry = (entry.0 + count, about(misfit));
            }
            return;
        }
        let dead = concerned.map(|misfit| Dead {
            row: misfit.row,
            stage: stage.into(),
            code: "type-mismatch",
            cause: about(misfit),
        });
        let dead: Vec<Dead> = dead.collect();
        frame.kill(dead);
    }

    /// The same of a column of elements.
    pub(crate) fn take_of_rows(
        &mut self,
        frame: &mut Frame<'_>,
        register: usize,
        stage: &str,
        field: &str,
        lenient: bool,
    ) {
        let Some(causes) = frame.take_unfit(register) else { return };
        let causes = causes.as_string::<i32>();
        let unfit = causes.iter().enumerate().filter_map(|(row, cause)| Some((row, cause?)));
        if lenient {
            return unfit.for_each(|(_, cause)| self.count(field, cause));
        }
        let dead = unfit.map(|(row, cause)| Dead {
            row: frame.record(row),
            stage: stage.into(),
            code: "type-mismatch",
            cause: cause.into(),
        });
        let dead: Vec<Dead> = dead.collect();
        frame.kill(dead);
    }

    /// Says something else.
    pub(crate) fn say(&mut self, warnings: Vec<Notice>) {
        self.said.extend(warnings);
    }

    /// Counts one value.
    pub(crate) fn count(&mut self, field: &str, cause: &str) {
        let entry = self.counted.entry(field.into()).or_default();
        *entry = (entry.0 + 1, cause.into());
    }

    /// What to say of them.
    pub(crate) fn warnings(self) -> impl Iterator<Item = Notice> {
        let counted = self.counted.into_iter().map(|(subject, (records, cause))| Warning {
            code: "type-mismatch",
            message: format!("taken as NULL: {cause}"),
            subject,
            records,
        });
        counted.map(Notice::from).chain(self.said)
    }
}
