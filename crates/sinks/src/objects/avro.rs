//! Avro: an object container file, with a block for each batch of rows.
use super::layout::Compression;
use arrow::{
    array::RecordBatch,
    datatypes::{Field, Schema, SchemaRef},
};
use arrow_avro::{
    compression::CompressionCodec,
    errors::AvroError,
    schema::{AVRO_DOC_METADATA_KEY, AVRO_FIELD_DEFAULT_METADATA_KEY},
    writer::{AvroWriter, WriterBuilder, format::AvroOcfFormat},
};
use dataflow_sdk::batch::{Column, arrow_type};
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
        let schema = schema(columns);
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
fn schema(columns: &[Column]) -> Schema {
    let field = |(name, column): (String, &Column)| {
        let default = (AVRO_FIELD_DEFAULT_METADATA_KEY.to_owned(), "null".to_owned());
        let right = (name != column.name).then(|| (AVRO_DOC_METADATA_KEY.to_owned(), column.name.clone()));
        Field::new(name, arrow_type(column.ty), true).with_metadata(right.into_iter().chain([default]).collect())
    };
    Schema::new(names(columns).into_iter().zip(columns).map(field).collect::<Vec<_>>())
}

/// The names of columns as Avro has them. A name that is taken by a column before it gets a number.
pub(super) fn names(columns: &[Column]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let name = |column: &Column| {
        let plain = plain(&column.name);
        let numbered = (2..).map(|number: u64| format!("{plain}_{number}"));
        let name =
            std::iter::once(plain.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or_default();
        taken.insert(name.clone());
        name
    };
    columns.iter().map(name).collect()
}

/// Puts columns that come together in an order in which each that Avro has a name for keeps it. Those that are there already keep
/// theirs: objects have them.
pub(super) fn names_kept(columns: &mut [Column]) {
    columns.sort_by_key(|column| plain(&column.name) != column.name);
}

/// A name of letters, digits and `_`.
fn plain(name: &str) -> String {
    let fits = |char: char| if char.is_ascii_alphanumeric() { char } else { '_' };
    let mut plain: String = name.chars().map(fits).collect();
    if !plain.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') {
        plain.insert(0, '_');
    }
    plain
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{File, names, names_kept};
    use crate::objects::layout::Compression;
    use arrow::array::{Int64Array, RecordBatch};
    use arrow_avro::{reader::ReaderBuilder, schema::SCHEMA_METADATA_KEY};
    use dataflow_core::types::Type;
    use dataflow_sdk::batch::Column;
    use std::{io::Cursor, sync::Arc};

    fn columns<const N: usize>(names: [&str; N], ty: Type) -> Vec<Column> {
        names.map(|name| Column { name: name.into(), ty }).into()
    }

    #[test]
    fn names_are_avros_and_no_two_are_the_same() {
        let mut columns = columns(["a b", "größe", "a_b", "a-b", "1st", "", "@t", "_1st"], Type::Text);
        names_kept(&mut columns);
        let own: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(own, ["a_b", "_1st", "a b", "größe", "a-b", "1st", "", "@t"]);
        assert_eq!(names(&columns), ["a_b", "_1st", "a_b_2", "gr__e", "a_b_3", "_1st_2", "_", "_t"]);
    }

    #[test]
    fn readers_find_defaults_and_the_names_that_were_changed() {
        let columns = columns(["a", "a b"], Type::Bigint);
        let mut file = File::new(&columns, Compression::None).unwrap();
        let rows = Arc::new(Int64Array::from(vec![1, 2]));
        file.rows(&RecordBatch::try_from_iter([("a", rows.clone() as _), ("a b", rows as _)]).unwrap()).unwrap();
        let reader = ReaderBuilder::new().build(Cursor::new(file.buffer)).unwrap();
        let json = reader.avro_header().get(SCHEMA_METADATA_KEY).unwrap();
        let json: serde_json::Value = serde_json::from_slice(json).unwrap();
        let [plain, changed] = [0, 1].map(|at| json["fields"][at].as_object().unwrap());
        assert_eq!((plain.get("default"), plain.get("doc")), (Some(&serde_json::Value::Null), None), "{json}");
        let changed = (&changed["name"], changed.get("default"), &changed["doc"]);
        assert_eq!(changed, (&"a_b".into(), Some(&serde_json::Value::Null), &"a b".into()), "{json}");
    }
}
