//! The columns of a Parquet file: how they are nested, and what their leaves mean.
//!
//! The library reads the physical values; what they mean is decided here, so that no value is altered on its way, and no type is
//! unknown. For that it gets the schema without what annotates leaves.
use super::meaning::{Meaning, meaning};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use dataflow_core::types::Type;
use dataflow_formats::encode;
use dataflow_sdk::batch::Column;
use parquet::{
    basic::Type as Physical,
    errors::Result,
    schema::types::{ColumnDescPtr, SchemaDescriptor, Type as Node},
};
use std::{collections::BTreeSet, sync::Arc};

/// How a column is nested.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Leaf(Meaning),
    List(Box<Shape>),
    /// The fields, each by its key and the colon.
    Struct(Vec<(Vec<u8>, Shape)>),
    Map(Box<Shape>, Box<Shape>),
}

/// The schema without what annotates leaves.
pub(super) fn physical(schema: &SchemaDescriptor) -> Result<SchemaDescriptor> {
    Ok(SchemaDescriptor::new(Arc::new(plain(schema.root_schema())?)))
}

fn plain(node: &Node) -> Result<Node> {
    let info = node.get_basic_info();
    let id = info.has_id().then(|| info.id());
    if let Node::PrimitiveType { physical_type, type_length, .. } = node {
        let leaf = Node::primitive_type_builder(node.name(), *physical_type).with_length(*type_length).with_id(id);
        return leaf.with_repetition(info.repetition()).build();
    }
    let fields = node.get_fields().iter().map(|field| plain(field).map(Arc::new)).collect::<Result<Vec<_>>>()?;
    let mut group = Node::group_type_builder(node.name()).with_fields(fields).with_id(id);
    if info.has_repetition() {
        group = group.with_repetition(info.repetition());
    }
    // Those of lists and maps are what they are known by.
    let group = group.with_converted_type(info.converted_type());
    group.with_logical_type(info.logical_type_ref().cloned()).build()
}

/// The columns as they are to be read: bytes where they lie, and each INT96 as such a part of a time.
pub(super) fn wanted(schema: &Schema, int96: TimeUnit) -> Schema {
    Schema::new(fields(schema.fields(), int96))
}

fn fields(all: &Fields, int96: TimeUnit) -> Fields {
    all.iter().map(|one| field(one, int96)).collect()
}

fn field(one: &FieldRef, int96: TimeUnit) -> FieldRef {
    let ty = match one.data_type() {
        DataType::Binary => DataType::BinaryView,
        DataType::Timestamp(..) => DataType::Timestamp(int96, None),
        DataType::List(item) => DataType::List(field(item, int96)),
        DataType::Struct(all) => DataType::Struct(fields(all, int96)),
        DataType::Map(entries, sorted) => DataType::Map(field(entries, int96), *sorted),
        other => other.clone(),
    };
    Arc::new(Field::clone(one).with_data_type(ty))
}

/// The columns, and how they are nested; or what is wrong with their names.
pub(super) fn columns(
    schema: &Schema,
    leaves: &[ColumnDescPtr],
) -> std::result::Result<(Vec<Column>, Vec<Shape>), String> {
    let (mut columns, mut shapes, mut leaves) = (Vec::new(), Vec::new(), leaves.iter());
    distinct(schema.fields())?;
    for field in schema.fields() {
        let (shape, ty) = shape(field.data_type(), &mut leaves)?;
        columns.push(Column { name: field.name().clone(), ty });
        shapes.push(shape);
    }
    Ok((columns, shapes))
}

fn shape<'a>(
    ty: &DataType,
    leaves: &mut impl Iterator<Item = &'a ColumnDescPtr>,
) -> std::result::Result<(Shape, Type), String> {
    Ok(match ty {
        DataType::List(item) => (Shape::List(Box::new(shape(item.data_type(), leaves)?.0)), Type::Json),
        DataType::Struct(fields) => {
            distinct(fields)?;
            let part = |field: &FieldRef| Ok((encode::key(field.name()), shape(field.data_type(), leaves)?.0));
            (Shape::Struct(fields.iter().map(part).collect::<std::result::Result<_, String>>()?), Type::Json)
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(entry) = entries.data_type() else { return Err("a map has no entries".into()) };
            let [key, value] = &entry[..] else { return Err("a map has no keys and values".into()) };
            let (key, value) = (shape(key.data_type(), leaves)?.0, shape(value.data_type(), leaves)?.0);
            (Shape::Map(Box::new(key), Box::new(value)), Type::Json)
        }
        _ => {
            let leaf = leaves.next().ok_or("a column has no values")?;
            let (meaning, ty) = meaning(leaf);
            (Shape::Leaf(meaning), ty)
        }
    })
}

fn distinct(fields: &Fields) -> std::result::Result<(), String> {
    let mut names = BTreeSet::new();
    match fields.iter().find(|field| !names.insert(field.name())) {
        Some(twice) => Err(format!("two fields beside each other are called {:?}", twice.name())),
        None => Ok(()),
    }
}

/// The places of the columns that hold an INT96 anywhere.
pub(super) fn with_int96(schema: &SchemaDescriptor) -> Vec<usize> {
    let leaves = (0..schema.num_columns()).filter(|leaf| schema.column(*leaf).physical_type() == Physical::INT96);
    leaves.map(|leaf| schema.get_column_root_idx(leaf)).collect::<BTreeSet<_>>().into_iter().collect()
}
