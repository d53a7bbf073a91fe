//! Rows become the bytes of an object.
use super::{
    avro,
    layout::{Compression, Format, Layout},
};
use crate::file::lines::Csv;
use arrow::{
    array::RecordBatch,
    datatypes::{Field, Schema, SchemaRef},
};
use dataflow_core::types::Type;
use dataflow_sdk::{
    Error,
    batch::{Column, arrow_type},
};
use flate2::write::GzEncoder;
use parquet::{
    arrow::{ArrowSchemaConverter, ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression as ParquetCompression, GzipLevel, LogicalType, Repetition, Type as Physical, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
    schema::types::{SchemaDescriptor, Type as Node},
};
use std::{io::Write, sync::Arc};

/// Bytes of a row group of Parquet, as they are in memory before they are compressed further.
const ROW_GROUP: usize = 32 << 20;

/// The encoder of one object. What it has finished so far is taken from its buffer.
pub(super) enum Encoder {
    Plain(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Parquet(Box<ArrowWriter<Vec<u8>>>, SchemaRef),
    Avro(Box<avro::File>),
    /// Everything is in the buffer.
    Finished(Vec<u8>),
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::fatal("internal", format!("an object can't be encoded: {error}"))
}

impl Encoder {
    pub(super) fn new(config: &Layout, columns: &[Column]) -> Result<Self, Error> {
        if config.format == Format::Parquet {
            let schema = Arc::new(schema(columns));
            let properties = WriterProperties::builder()
                .set_compression(match config.compression() {
                    Compression::None => ParquetCompression::UNCOMPRESSED,
                    Compression::Gzip => ParquetCompression::GZIP(GzipLevel::default()),
                    Compression::Zstd => ParquetCompression::ZSTD(ZstdLevel::default()),
                    Compression::Snappy => ParquetCompression::SNAPPY,
                })
                .set_created_by("DataFlow".into())
                .build();
            let annotated = annotated(&schema, columns).map_err(failed)?;
            let options = ArrowWriterOptions::new().with_properties(properties).with_parquet_schema(annotated);
            let writer = ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options).map_err(failed)?;
            return Ok(Self::Parquet(Box::new(writer), schema));
        }
        if config.format == Format::Avro {
            return avro::File::new(columns, config.compression()).map(Box::new).map(Self::Avro).map_err(failed);
        }
        let mut encoder = match config.compression() {
            Compression::None | Compression::Snappy => Self::Plain(Vec::new()),
            Compression::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::default())),
            Compression::Zstd => {
                let level = zstd::DEFAULT_COMPRESSION_LEVEL;
                Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), level).map_err(failed)?)
            }
        };
        if config.format == Format::Csv && config.header {
            let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
            let csv = Csv { delimiter: config.delimiter as u8, quote: config.quote as u8 };
            encoder.text(&csv.header(&names))?;
        }
        Ok(encoder)
    }

    /// Adds text.
    pub(super) fn text(&mut self, text: &[u8]) -> Result<(), Error> {
        match self {
            Self::Plain(buffer) => buffer.extend_from_slice(text),
            Self::Gzip(encoder) => encoder.write_all(text).map_err(failed)?,
            Self::Zstd(encoder) => encoder.write_all(text).map_err(failed)?,
            Self::Parquet(..) | Self::Avro(_) | Self::Finished(_) => return Err(failed("it takes no text")),
        }
        Ok(())
    }

    /// Adds rows.
    pub(super) fn rows(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        let (writer, schema) = match self {
            Self::Parquet(writer, schema) => (writer, schema),
            Self::Avro(file) => return file.rows(rows).map_err(failed),
            _ => return Err(failed("it takes no columns")),
        };
        let rows = RecordBatch::try_new(schema.clone(), rows.columns().to_vec()).map_err(failed)?;
        writer.write(&rows).map_err(failed)?;
        if writer.in_progress_size() > ROW_GROUP { self.flush() } else { Ok(()) }
    }

    /// Ends the row group of what it has taken.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        if let Self::Parquet(writer, _) = self {
            writer.flush().map_err(failed)?;
        }
        Ok(())
    }

    /// Nothing is added any more.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let done = match std::mem::replace(self, Self::Finished(Vec::new())) {
            Self::Plain(buffer) | Self::Finished(buffer) => buffer,
            Self::Gzip(encoder) => encoder.finish().map_err(failed)?,
            Self::Zstd(encoder) => encoder.finish().map_err(failed)?,
            Self::Parquet(writer, _) => writer.into_inner().map_err(failed)?,
            Self::Avro(mut file) => {
                file.finish().map_err(failed)?;
                file.buffer
            }
        };
        *self = Self::Finished(done);
        Ok(())
    }

    /// What it has encoded and nobody has taken.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Plain(buffer) | Self::Finished(buffer) => buffer,
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
            Self::Parquet(writer, _) => writer.inner_mut(),
            Self::Avro(file) => &mut file.buffer,
        }
    }

    /// Bytes that are to come of what it has taken, beside those in the buffer.
    pub(super) fn pending(&self) -> usize {
        match self {
            Self::Parquet(writer, _) => writer.in_progress_size(),
            Self::Plain(_) | Self::Gzip(_) | Self::Zstd(_) | Self::Avro(_) | Self::Finished(_) => 0,
        }
    }
}

/// The columns as Parquet has them. Fields may be missing in records, so every column takes null.
fn schema(columns: &[Column]) -> Schema {
    let field = |column: &Column| Field::new(&column.name, arrow_type(column.ty), true);
    Schema::new(columns.iter().map(field).collect::<Vec<_>>())
}

/// The columns with what Parquet knows of them beside their types here: that a text is JSON, so that readers give JSON back.
fn annotated(schema: &Schema, columns: &[Column]) -> Result<SchemaDescriptor, ParquetError> {
    let plain = ArrowSchemaConverter::new().convert(schema)?;
    let field = |(field, column): (&Arc<Node>, &Column)| match column.ty {
        Type::Json => {
            let json = Node::primitive_type_builder(field.name(), Physical::BYTE_ARRAY);
            let json = json.with_repetition(Repetition::OPTIONAL).with_logical_type(Some(LogicalType::Json));
            json.build().map(Arc::new)
        }
        _ => Ok(field.clone()),
    };
    let root = plain.root_schema();
    let fields = root.get_fields().iter().zip(columns).map(field).collect::<Result<_, _>>()?;
    Ok(SchemaDescriptor::new(Arc::new(Node::group_type_builder(root.name()).with_fields(fields).build()?)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{annotated, schema};
    use dataflow_core::types::Type;
    use dataflow_sdk::batch::Column;
    use parquet::basic::LogicalType;

    #[test]
    fn json_is_marked() {
        let columns = [("a", Type::Bigint), ("doc", Type::Json), ("b", Type::Text)];
        let columns = columns.map(|(name, ty)| Column { name: name.into(), ty });
        let annotated = annotated(&schema(&columns), &columns).unwrap();
        let logical: Vec<_> = annotated.columns().iter().map(|column| column.logical_type_ref().cloned()).collect();
        assert_eq!(logical, [None, Some(LogicalType::Json), Some(LogicalType::String)]);
    }
}
