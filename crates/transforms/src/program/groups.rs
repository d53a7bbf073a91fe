//! Rows whose values have the same types are taken together: what comes of a row is then what would come of it alone.
use crate::expression::kind::DOCUMENT;
use arrow::{
    array::{Array, ArrayRef, AsArray, UInt32Array, UnionArray},
    buffer::ScalarBuffer,
    compute::{cast, concat, interleave, take},
    datatypes::{DataType, Field, UnionFields},
};
use dataflow_formats::decode::JSON;
use std::{collections::HashMap, sync::Arc};

/// Rows whose values have the same types.
pub(super) struct Group {
    /// Which they are, rising.
    pub(super) rows: UInt32Array,
    /// Their values, of one type each.
    pub(super) columns: Vec<ArrayRef>,
}

/// The groups of the rows of these columns, in order of their first rows; none if all rows are one.
pub(super) fn groups(columns: &[ArrayRef]) -> Option<Vec<Group>> {
    let unions: Vec<&UnionArray> = columns.iter().filter_map(|column| column.as_union_opt()).collect();
    let (first, more) = unions.split_first()?;
    // The number of a row's group, from the parts that its values are in.
    let mut of_row: Vec<u32> = first.type_ids().iter().map(|id| *id as u32).collect();
    let mut count = first.fields().len();
    for union in more {
        let mut known: HashMap<(u32, i8), u32> = HashMap::new();
        for (group, id) in of_row.iter_mut().zip(union.type_ids()) {
            let next = known.len() as u32;
            *group = *known.entry((*group, *id)).or_insert(next);
        }
        count = known.len();
    }
    let mut rows: Vec<Vec<u32>> = vec![Vec::new(); count];
    for (row, group) in (0..).zip(&of_row) {
        rows[*group as usize].push(row);
    }
    rows.retain(|rows| !rows.is_empty());
    rows.sort_unstable_by_key(|rows| rows[0]);
    let group = |rows: Vec<u32>| {
        let rows = UInt32Array::from(rows);
        let columns = columns.iter().map(|column| of_rows(column, &rows)).collect();
        Group { rows, columns }
    };
    Some(rows.into_iter().map(group).collect())
}

/// The values of some rows, which have one type.
fn of_rows(column: &ArrayRef, rows: &UInt32Array) -> ArrayRef {
    let taken = match column.as_union_opt() {
        None => take(column, rows, None),
        Some(union) => {
            let places = rows.values().iter().map(|row| union.value_offset(*row as usize) as u32);
            let id = rows.values().first().map_or(0, |row| union.type_id(*row as usize));
            let taken = take(union.child(id), &UInt32Array::from_iter_values(places), None);
            let json = union.fields().iter().any(|(of, field)| of == id && field.name() == JSON);
            taken.map(|taken| if json { as_documents(&taken) } else { taken })
        }
    };
    taken.unwrap_or_else(|error| unreachable!("rows that there are: {error}"))
}

/// JSON texts in the type that tells them from other texts.
pub(super) fn as_documents(texts: &ArrayRef) -> ArrayRef {
    cast(texts, &DOCUMENT).unwrap_or_else(|error| unreachable!("texts of one encoding have another: {error}"))
}

/// JSON texts in the type that columns of texts have.
pub(super) fn as_texts(documents: &ArrayRef) -> ArrayRef {
    cast(documents, &DataType::Utf8).unwrap_or_else(|error| unreachable!("a batch is small: {error}"))
}

/// The parts of a column, by type, with the name of each; the column itself if it has one type.
pub(super) fn parts(column: &ArrayRef) -> Vec<(&str, &ArrayRef)> {
    match (column.as_union_opt(), column.data_type()) {
        (Some(union), DataType::Union(fields, _)) => {
            let used = |id: &i8| union.type_ids().contains(id);
            let fields = fields.iter().filter(|(id, _)| used(id));
            fields.map(|(id, field)| (field.name().as_str(), union.child(id))).collect()
        }
        _ => vec![("", column)],
    }
}

/// Most types that the results of an expression have in a batch: a union numbers them by one byte. Tests
/// come to more of them with few records.
pub(super) const MAX_TYPES: usize = if cfg!(test) { 12 } else { 100 };

/// The values of all rows, of those of each group: a union if they have several types. None: those are too many.
pub(super) fn together(groups: &[(UInt32Array, ArrayRef)], rows: usize) -> Option<ArrayRef> {
    let mut places = vec![(0, 0); rows];
    for (group, (rows, _)) in groups.iter().enumerate() {
        for (at, row) in rows.values().iter().enumerate() {
            places[*row as usize] = (group, at);
        }
    }
    let mut types: Vec<&DataType> = Vec::new();
    for (_, values) in groups {
        if !types.contains(&values.data_type()) {
            types.push(values.data_type());
        }
    }
    let arrays = || groups.iter().map(|(_, values)| values.as_ref());
    let wrong = |error| -> ArrayRef { unreachable!("each row is in one group: {error}") };
    if types.len() > MAX_TYPES {
        return None;
    }
    if types.len() <= 1 {
        return Some(interleave(&arrays().collect::<Vec<_>>(), &places).unwrap_or_else(wrong));
    }
    let mut begins = Vec::with_capacity(groups.len());
    let mut lengths = vec![0; types.len()];
    for (_, values) in groups {
        let part = types.iter().position(|ty| *ty == values.data_type()).unwrap_or_default();
        begins.push((part as i8, lengths[part]));
        lengths[part] += values.len();
    }
    let children = types.iter().map(|ty| {
        let same: Vec<&dyn Array> = arrays().filter(|values| values.data_type() == *ty).collect();
        concat(&same).unwrap_or_else(wrong)
    });
    let children =
        children.map(|child: ArrayRef| if *child.data_type() == DOCUMENT { as_texts(&child) } else { child });
    let children: Vec<ArrayRef> = children.collect();
    let fields = types.iter().zip(&children).map(|(ty, child)| {
        let name = if **ty == DOCUMENT { JSON.to_owned() } else { ty.to_string() };
        Field::new(name, child.data_type().clone(), true)
    });
    let ids: Vec<i8> = places.iter().map(|(group, _)| begins[*group].0).collect();
    let offsets: Vec<i32> = places.iter().map(|(group, at)| (begins[*group].1 + at) as i32).collect();
    let fields = UnionFields::from_fields(fields.collect::<Vec<_>>());
    let union = UnionArray::try_new(fields, ScalarBuffer::from(ids), Some(ScalarBuffer::from(offsets)), children);
    Some(union.map_or_else(wrong, |union| Arc::new(union)))
}
