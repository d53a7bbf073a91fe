//! Bounds on what expressions make, so that none takes all memory there is.
//!
//! Memory that can't be had ends the whole process, so one absurd record would be the end of every pipeline of the node. Rows are
//! evaluated in slices of bounded [`weight`]; each result is weighed before the next function gets it; and functions that make
//! a multiple of what they are given say how much before they make it. All others make a few times that at most.
use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, FieldRef, Int64Type},
};
use datafusion_common::{Result, cast::as_list_array, exec_err};
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};
use std::sync::Arc;

/// Functions whose second argument says how much they make.
const COUNTING: &[&str] = &["lpad", "rpad", "repeat", "array_resize", "array_repeat"];

/// Functions that make a multiple of what they are given, or put any number of arguments together.
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

/// Most that a counting function makes, in characters or elements: as large as a record may be.
const MOST_COUNTED: usize = 16 << 20;

/// Most bytes of one result (64 MiB), and of the values that an expression takes at once: more are done in slices of rows.
pub(super) const MOST: usize = 64 << 20;

/// Most bytes that are computed for a batch (256 MiB): one that comes to more is cut in two. What a single record comes to is no more.
pub(crate) const MOST_OF_BATCH: usize = 256 << 20;

/// Bytes of a column's values.
pub(crate) fn weight(column: &ArrayRef) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
}

/// A function that refuses to make too much.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Bounded {
    function: Arc<ScalarUDF>,
}

impl Bounded {
    pub(super) fn new(function: Arc<ScalarUDF>) -> Self {
        Self { function }
    }

    /// Bytes that come of each row at most; for a counting function, characters or elements of which each may be a text.
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
                    // Nearly always that is little, and nobody has to count.
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

    /// Whether a number says how much it makes.
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

/// Bytes of each value.
fn sizes(column: &ArrayRef) -> Vec<usize> {
    match column.as_string_opt::<i32>() {
        Some(texts) => texts.offsets().lengths().collect(),
        None if column.data_type().is_primitive() => vec![16; column.len()],
        None => (0..column.len()).map(|row| weight(&column.slice(row, 1))).collect(),
    }
}

/// Bytes of all arguments together, each with a value for each row.
fn given(arguments: &ScalarFunctionArgs) -> Result<usize> {
    arguments.args.iter().try_fold(0, |sum: usize, argument| {
        let bytes = match argument {
            ColumnarValue::Array(array) => weight(array),
            ColumnarValue::Scalar(value) => weight(&value.to_array()?).saturating_mul(arguments.number_rows),
        };
        Ok(sum.saturating_add(bytes))
    })
}

/// A negative length is none; the functions take it for a huge one.
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
            return exec_err!("{} would make {size} {what}, at most {most} are possible", self.name());
        }
        if sizes.len() > 1 && sizes.iter().fold(0, |sum: usize, size| sum.saturating_add(*size)) > MOST {
            return exec_err!("{} would make too much at once", self.name());
        }
        self.function.invoke_with_args(if self.counts() { none_negative(arguments)? } else { arguments })
    }
}
