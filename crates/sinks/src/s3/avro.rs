//! Avro: an object container file, with a block for each batch of rows.
use super::config::Compression;
use arrow::{
    array::RecordBatch,
    datatypes::{Field, Schema, SchemaRef},
};
use arrow_avro::{
    compression::CompressionCodec,
    errors::AvroError,
    schema::{AvroSchema, SCHEMA_METADATA_KEY},
    writer::{AvroWriter, WriterBuilder, format::AvroOcfFormat},
};
use dataflow_sdk::batch::{Column, arrow_type};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

/// A file that is being written.
pub(super) struct File {
    writer: AvroWriter<Written>,
    written: Written,
    schema: SchemaRef,
    /// What nobody has taken yet.
    pub(super) buffer: Vec<u8>,
}

/// What the writer has written: it gives nothing away before its end.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl File {
    pub(super) fn new(columns: &[Column], compression: Compression) -> Result<Self, AvroError> {
        let codec = match compression {
            Compression::None => None,
            Compression::Gzip => Some(CompressionCodec::Deflate),
            Compression::Zstd => Some(CompressionCodec::ZStandard),
            Compression::Snappy => Some(CompressionCodec::Snappy),
        };
        let schema = schema(columns)?;
        let written = Written::default();
        let builder = WriterBuilder::new(schema.clone()).with_compression(codec);
        let writer = builder.build::<_, AvroOcfFormat>(written.clone())?;
        Ok(Self { writer, written, schema: schema.into(), buffer: Vec::new() })
    }

    pub(super) fn rows(&mut self, rows: &RecordBatch) -> Result<(), AvroError> {
        self.writer.write(&RecordBatch::try_new(self.schema.clone(), rows.columns().to_vec())?)?;
        self.finish()
    }

    pub(super) fn finish(&mut self) -> Result<(), AvroError> {
        self.writer.finish()?;
        self.buffer.append(&mut self.written.0.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

/// The columns, each with a default, so that readers may take the schema of a later file for an earlier one. Where a name had to be
/// changed, the right one is its `doc`.
fn schema(columns: &[Column]) -> Result<Schema, AvroError> {
    let field = |(name, column): (String, &Column)| Field::new(name, arrow_type(column.ty), true);
    let schema = Schema::new(names(columns).into_iter().zip(columns).map(field).collect::<Vec<_>>());
    let mut json: Value = serde_json::from_str(&AvroSchema::try_from(&schema)?.json_string)
        .map_err(|error| AvroError::SchemaError(error.to_string()))?;
    for (field, column) in json["fields"].as_array_mut().into_iter().flatten().zip(columns) {
        field["default"] = Value::Null;
        if field["name"] != column.name {
            field["doc"] = column.name.as_str().into();
        }
    }
    Ok(schema.with_metadata([(SCHEMA_METADATA_KEY.to_owned(), json.to_string())].into()))
}

/// The names of columns as Avro has them: letters, digits and `_`. A name that is taken by a column before it gets a number.
pub(super) fn names(columns: &[Column]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let fits = |char: char| if char.is_ascii_alphanumeric() { char } else { '_' };
    let name = |column: &Column| {
        let mut plain: String = column.name.chars().map(fits).collect();
        if !plain.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
            plain.insert(0, '_');
        }
        let numbered = (2..).map(|number: u64| format!("{plain}_{number}"));
        let name =
            std::iter::once(plain.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or_default();
        taken.insert(name.clone());
        name
    };
    columns.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{SCHEMA_METADATA_KEY, names, schema};
    use dataflow_core::types::Type;
    use dataflow_sdk::batch::Column;

    #[test]
    fn names_are_avros_and_no_two_are_the_same() {
        let columns =
            ["a b", "a_b", "a-b", "größe", "1st", "", "@t"].map(|name| Column { name: name.into(), ty: Type::Text });
        assert_eq!(names(&columns), ["a_b", "a_b_2", "a_b_3", "gr__e", "_1st", "_", "_t"]);
    }

    #[test]
    fn readers_find_defaults_and_the_names_that_were_changed() {
        let columns = ["a", "a b"].map(|name| Column { name: name.into(), ty: Type::Bigint });
        let schema = schema(&columns).unwrap();
        let json: serde_json::Value = serde_json::from_str(&schema.metadata()[SCHEMA_METADATA_KEY]).unwrap();
        let [plain, changed] = [0, 1].map(|at| json["fields"][at].as_object().unwrap());
        assert_eq!((plain["default"].is_null(), plain.get("doc")), (true, None), "{json}");
        assert_eq!((changed["default"].is_null(), &changed["doc"]), (true, &"a b".into()), "{json}");
    }
}
