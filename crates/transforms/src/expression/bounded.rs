//! Bounds on the results of expressions, so that none exhausts the memory.
//!
//! A failed allocation ends the whole process, so one absurd record would stop every pipeline of the node. Rows are
//! evaluated in slices of bounded [`weight`]; each result is measured before the next function gets it; and functions
//! whose result can be a multiple of their arguments compute its size first. The results of all others are a few times
//! their arguments at most.
use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, FieldRef, Int64Type},
};
use datafusion_common::{Result, cast::as_list_array, exec_err};
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use std::sync::Arc;

/// Functions whose second argument determines the size of their result.
const COUNTING: &[&str] = &["lpad", "rpad", "repeat", "array_resize", "array_repeat"];

/// Functions whose result can be a multiple of an argument, or that join any number of arguments.
pub(super) const GROWING: &[&str] = &[
    "array_repeat",
    "array_resize",
    "array_to_string",
    "concat",
    "concat_ws",
    "lpad",
    "make_array",
    "regexp_replace",
    "repeat",
    "replace",
    "rpad",
    "translate",
];

/// The largest result of a counting function, in characters or elements: the maximal size of a record.
const MOST_COUNTED: usize = 16 << 20;

/// The largest result, and the largest arguments of one evaluation, in bytes (64 MiB): larger batches are evaluated in
/// slices of rows.
pub(super) const MOST: usize = 64 << 20;

/// The most bytes that are computed for a batch (256 MiB): one with more is cut in two. The same limit applies to a
/// single record.
pub(crate) const MOST_OF_BATCH: usize = 256 << 20;

/// Counts the bytes of a column's values.
pub(crate) fn weight(column: &ArrayRef) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
}

/// A function that rejects arguments with too large a result.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Bounded {
    function: Arc<ScalarUDF>,
}

impl Bounded {
    pub(super) fn new(function: Arc<ScalarUDF>) -> Self {
        Self { function }
    }

    /// The maximal bytes of each row's result; for a counting function, characters or elements, each of which may be a
    /// text.
    fn sizes(&self, arguments: &ScalarFunctionArgs) -> Result<Vec<usize>> {
        let rows = arguments.number_rows;
        let columns = arguments.args.iter().map(|argument| argument.to_array(rows)).collect::<Result<Vec<_>>>()?;
        let all: Vec<Vec<usize>> = columns.iter().map(sizes).collect();
        let of = |argument: usize, row: usize| all.get(argument).map_or(0, |sizes| sizes[row]);
        let counts = match (self.counts(), columns.get(1)) {
            (true, Some(counts)) => Some(cast(counts, &DataType::Int64)?),
            _ => None,
        };
        let size = |row: usize| {
            let given = all.iter().fold(0, |sum: usize, sizes| sum.saturating_add(sizes[row]));
            match self.name() {
                "repeat" => count(counts.as_ref(), row).saturating_mul(of(0, row)),
                "array_repeat" => count(counts.as_ref(), row).saturating_mul(of(0, row).max(1)),
                "array_resize" => count(counts.as_ref(), row).saturating_mul(of(2, row).max(1)),
                "lpad" | "rpad" => count(counts.as_ref(), row),
                "replace" => {
                    let [text, part, by] = [0, 1, 2].map(|at| text(columns.get(at), row));
                    let most = text.len().saturating_mul(by.len()).saturating_add(given);
                    // Usually this bound is small, and nothing needs to be counted.
                    if most <= MOST { most } else { text.len() + text.matches(part).count().saturating_mul(by.len()) }
                }
                "regexp_replace" => {
                    let [text, by] = [0, 2].map(|at| text(columns.get(at), row));
                    let again = by.bytes().filter(|byte| *byte == b'\\').count();
                    (text.len() + 1).saturating_mul(by.len()).saturating_add(text.len().saturating_mul(again + 1))
                }
                "array_to_string" => elements(columns.first(), row).saturating_mul(of(1, row) + of(2, row)) + given,
                "concat_ws" => given.saturating_add(of(0, row).saturating_mul(all.len())),
                "translate" => given.saturating_mul(4),
                _ => given,
            }
        };
        Ok((0..rows).map(size).collect())
    }

    /// Whether an argument determines the size of the result.
    fn counts(&self) -> bool {
        COUNTING.contains(&self.name())
    }
}

fn count(counts: Option<&ArrayRef>, row: usize) -> usize {
    let counts = counts.map(|counts| counts.as_primitive::<Int64Type>()).filter(|counts| counts.is_valid(row));
    counts.map_or(0, |counts| usize::try_from(counts.value(row)).unwrap_or(0))
}

fn text(texts: Option<&ArrayRef>, row: usize) -> &str {
    let texts = texts.and_then(|texts| texts.as_string_opt::<i32>()).filter(|texts| texts.is_valid(row));
    texts.map_or("", |texts| texts.value(row))
}

fn elements(lists: Option<&ArrayRef>, row: usize) -> usize {
    let lists = lists.and_then(|lists| as_list_array(lists).ok()).filter(|lists| lists.is_valid(row));
    lists.map_or(0, |lists| lists.value_length(row) as usize)
}

/// The bytes of each value.
fn sizes(column: &ArrayRef) -> Vec<usize> {
    match column.as_string_opt::<i32>() {
        Some(texts) => texts.offsets().lengths().collect(),
        None if column.data_type().is_primitive() => vec![16; column.len()],
        None => (0..column.len()).map(|row| weight(&column.slice(row, 1))).collect(),
    }
}

/// The bytes of all arguments together, each with a value for each row.
fn given(arguments: &ScalarFunctionArgs) -> Result<usize> {
    arguments.args.iter().try_fold(0, |sum: usize, argument| {
        let bytes = match argument {
            ColumnarValue::Array(array) => weight(array),
            ColumnarValue::Scalar(value) => weight(&value.to_array()?).saturating_mul(arguments.number_rows),
        };
        Ok(sum.saturating_add(bytes))
    })
}

/// Replaces negative lengths by zero: the functions would read them as huge ones.
fn none_negative(mut arguments: ScalarFunctionArgs) -> Result<ScalarFunctionArgs> {
    let Some(count) = arguments.args.get_mut(1) else { return Ok(arguments) };
    let counts = cast(&count.to_array(arguments.number_rows)?, &DataType::Int64)?;
    let counts = counts.as_primitive::<Int64Type>();
    if counts.iter().flatten().any(|count| count < 0) {
        let kept = counts.unary::<_, Int64Type>(|count| count.max(0));
        *count = ColumnarValue::Array(cast(&kept, &count.data_type())?);
    }
    Ok(arguments)
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.function.name()
    }
    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }
    fn signature(&self) -> &Signature {
        self.function.signature()
    }
    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.function.return_type(arguments)
    }
    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.function.return_field_from_args(arguments)
    }
    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(arguments)
    }
    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let given = given(&arguments)?;
        if given > MOST && arguments.number_rows > 1 {
            return exec_err!("{} would be given too much at once", self.name());
        }
        let sizes = self.sizes(&arguments)?;
        let (most, what) = match self.counts() {
            true => (MOST_COUNTED, "characters or elements"),
            false => (MOST, "bytes"),
        };
        if let Some(size) = sizes.iter().find(|size| **size > most) {
            return exec_err!("the result of {} would have {size} {what}, the limit is {most}", self.name());
        }
        if sizes.len() > 1 && sizes.iter().fold(0, |sum: usize, size| sum.saturating_add(*size)) > MOST {
            return exec_err!("{} would make too much at once", self.name());
        }
        self.function.invoke_with_args(if self.counts() { none_negative(arguments)? } else { arguments })
    }
}
