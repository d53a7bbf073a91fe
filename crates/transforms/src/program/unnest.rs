//! One row for each element of a list.
use super::frame::{Excess, Frame};
use crate::expression::{MOST_OF_BATCH, Slot};
use arrow::array::{Array, AsArray, UInt32Array};
use dataflow_core::position::Position;
use dataflow_formats::decode::{Decoder, Field, Want};
use dataflow_sdk::{
    Records,
    batch::Dead,
    records::{Layout, Span},
};
use serde_json::value::RawValue;

/// The field that elements are put in to be decoded.
const ELEMENT: &str = "e";

/// Most bytes that the rows of one record may be, where each of them has texts, or all, of the record again (64 MiB).
const MOST: usize = 64 << 20;

/// Makes a row for each element of a list, given as JSON text; the elements are a new column, each of the type
/// that it has by itself. A row with an empty list, or none, yields no rows. What is no list kills its record, and a list does of
/// which too much would be made. `whole`: each row will have all of its record, which is one of these.
///
/// # Errors
/// The rows of all records would be more than a batch may be.
pub(super) fn unnest(
    frame: &mut Frame<'_>,
    register: usize,
    list: usize,
    whole: Option<&Records>,
    stage: &str,
) -> Result<(), Excess> {
    let unfit = frame.field(Slot::Field(list)).into_iter().flat_map(|column| &column.misfits);
    let unfit = unfit.map(|misfit| Dead {
        row: misfit.row,
        stage: stage.into(),
        code: "type-mismatch",
        cause: misfit.cause.clone(),
    });
    let unfit: Vec<Dead> = unfit.filter(|dead| frame.has(dead.row)).collect();
    frame.kill(unfit);
    let lists = frame.column(Slot::Field(list));
    let lists = lists.as_string::<i32>();
    let before = format!("{{\"{ELEMENT}\":");
    let mut rows = Vec::new();
    let mut dead = Vec::new();
    let mut bytes = 0;
    let (mut data, mut spans) = (Vec::with_capacity(2 * lists.value_data().len()), Vec::new());
    for row in (0..lists.len()).filter(|row| lists.is_valid(*row)) {
        let again = frame.texts(row, Slot::Field(list))
            + whole.map_or(0, |records| records.spans[frame.record(row) as usize].len());
        match serde_json::from_str::<Vec<&RawValue>>(lists.value(row)) {
            Ok(list) if list.len().saturating_mul(again) > MOST => dead.push(Dead {
                row: frame.record(row),
                stage: stage.into(),
                code: "too-large",
                cause: format!(
                    "unnest would make {} rows that have {again} bytes of the record each, which is more than {MOST} in all",
                    list.len()
                ),
            }),
            Ok(list) => {
                bytes += list.len() * again;
                if bytes > MOST_OF_BATCH {
                    return Err(Excess::of_bytes(stage, "the rows that unnest makes"));
                }
                for element in list {
                    let start = data.len();
                    data.extend_from_slice(before.as_bytes());
                    data.extend_from_slice(element.get().as_bytes());
                    data.push(b'}');
                    spans.push(Span::new(start, data.len()));
                    rows.push(row as u32);
                }
            }
            Err(_) => dead.push(Dead {
                row: frame.record(row),
                stage: stage.into(),
                code: "type-mismatch",
                cause: format!("unnest takes a list, but found {}", shortened(lists.value(row))),
            }),
        }
    }
    let mut elements = Records::empty("elements".into(), Position::offset(0), Layout::Json);
    elements.offsets = vec![0; spans.len()];
    (elements.data, elements.spans) = (data.into(), spans);
    let field = Field { path: vec![ELEMENT.into()], want: Want::Infer };
    let mut decoded = Decoder::new(vec![field]).decode(&elements);
    frame.repeat(&UInt32Array::from(rows));
    if let Some(column) = decoded.columns.pop() {
        match column.json {
            true => frame.set_json(register, column.array),
            false => frame.set(register, column.array),
        }
    }
    frame.kill(dead);
    Ok(())
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
