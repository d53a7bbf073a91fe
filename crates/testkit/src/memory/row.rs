//! Rows of a memory sink.
use arrow::{array::Array, util::display::ArrayFormatter};
use dataflow_sdk::batch::{Output, Payload};

/// An output row in a memory sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Id of its record.
    pub id: String,
    /// The document; or, if columns were demanded, a JSON object of the columns' values as texts (null for NULL).
    pub data: String,
    /// The version that a keyed sink wrote it with.
    pub version: u64,
    /// Number of the commit within the generation.
    pub sequence: u64,
    /// The lane that wrote it.
    pub lane: u32,
}

/// Returns the row of an output as text: see [`Row::data`].
pub fn text(output: &Output, row: usize) -> String {
    match &output.payload {
        Payload::Documents { data, spans } => String::from_utf8_lossy(spans[row].of(data)).into_owned(),
        Payload::Columns(batch) => {
            let schema = batch.schema();
            let cells = batch.columns().iter().zip(schema.fields()).map(|(array, field)| {
                let value = (!array.is_null(row)).then(|| {
                    let options = Default::default();
                    ArrayFormatter::try_new(array.as_ref(), &options).map(|cell| cell.value(row).to_string())
                });
                let value = value.transpose().unwrap_or_else(|error| Some(format!("<{error}>")));
                (field.name().clone(), value.map_or(serde_json::Value::Null, serde_json::Value::String))
            });
            serde_json::Value::Object(cells.collect()).to_string()
        }
    }
}
