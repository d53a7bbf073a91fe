//! Which output fields there are, and of which types the columns for them are.
//!
//! A declared type comes first, then the type that SQL names, then the data: with room for more than it had, and of what has
//! a value only. A field without any value so far waits for one.
use super::{
    Chain, convert,
    frame::{Excess, Frame},
    groups,
    target::Target,
};
use crate::expression::{Origin, Slot};
use arrow::array::{Array, ArrayRef, AsArray};
use dataflow_core::{
    limits::MAX_INFERRED_COLUMNS,
    types::{Type, widen},
};
use dataflow_formats::decode::{Common, Decoder, Field, JSON, Want, type_of_texts};
use dataflow_sdk::{
    Records,
    batch::{Column, Inferred, Warning},
};
use std::{borrow::Cow, sync::Arc};

/// All top-level output fields of the records that come through, in order: the source's, then those that were set.
pub(super) fn columns(chain: &mut Chain, records: &Arc<Records>) -> Result<Inferred, Excess> {
    let (found, ..) = chain.run(records, |chain, _, frame, misfits| {
        chain.judge(frame, records, misfits);
        chain.judge_declared(frame, misfits);
        Ok(frame.upserts(|frame| {
            chain.keep_keyed(frame, misfits);
            of_rows(chain, frame, records)
        }))
    })?;
    Ok(found)
}

/// All top-level output fields of the rows.
fn of_rows(chain: &Chain, frame: &mut Frame<'_>, records: &Records) -> Inferred {
    if frame.len() == 0 {
        return Inferred::default();
    }
    let mut fields: Vec<(String, Origin)> = Vec::new();
    let scope = &chain.scope;
    if scope.open {
        let keys = Decoder::new(Vec::new()).decode(&left(frame, records)).keys.into_iter().map(|key| key.name);
        let names = keys.filter(|name| !scope.removed.contains(name) && !scope.columns.contains_key(name));
        fields.extend(names.map(|name| (name.clone(), Origin::Field(vec![name]))));
    }
    fields.extend(scope.columns.iter().map(|(name, origin)| (name.clone(), origin.clone())));
    // Whichever are too many, there is no table without its key.
    let key = chain.key.as_ref().map(Target::names).unwrap_or_default();
    let mut room = MAX_INFERRED_COLUMNS.saturating_sub(key.len());
    fields.retain(|(name, _)| {
        let is_key = key.contains(name);
        let fits = is_key || room > 0;
        room -= usize::from(fits && !is_key);
        fits
    });
    of(&fields, chain, frame, records)
}

/// The columns of these output fields.
pub(super) fn of(fields: &[(String, Origin)], chain: &Chain, frame: &mut Frame<'_>, records: &Records) -> Inferred {
    let paths = fields.iter().filter_map(|(_, origin)| match origin {
        Origin::Field(path) if declared(chain, path).is_none() => Some(path.clone()),
        Origin::Field(_) | Origin::Register(_) | Origin::Edited(_) => None,
    });
    let wanted: Vec<Field> = paths.map(|path| Field { path, want: Want::Infer }).collect();
    let mut decoder = Decoder::new(wanted).declaring(|path| declared(chain, path));
    let mut types = decoder.types(&left(frame, records)).into_iter();
    let mut found = Inferred::default();
    for (name, origin) in fields {
        found.fields.push(name.clone());
        let named = match origin {
            Origin::Field(path) => declared(chain, path),
            Origin::Register(register) if frame.is_json(Slot::Register(*register)) => Some(Type::Json),
            Origin::Register(register) => chain.registers[*register].fixed,
            Origin::Edited(_) => Some(Type::Json),
        };
        if let Some(ty) = named {
            found.columns.push(Column { name: name.clone(), ty });
            continue;
        }
        let Common { ty, odd } = match origin {
            Origin::Edited(_) => Common { ty: Some(Type::Json), odd: None },
            Origin::Field(_) => types.next().unwrap_or_default(),
            Origin::Register(register) => {
                let column = frame.column(Slot::Register(*register));
                match column.as_string_opt().filter(|_| chain.registers[*register].untyped) {
                    Some(texts) => type_of_texts(texts),
                    None => common(&column),
                }
            }
        };
        found.warnings.extend(ty.zip(odd).map(|(ty, odd)| mixed(name, ty, &odd)));
        found.columns.extend(ty.map(|ty| Column { name: name.clone(), ty }));
        found.learned.0.insert(name.clone(), ty);
    }
    found
}

fn declared(chain: &Chain, path: &[String]) -> Option<Type> {
    chain.schema.get(&path.join(".")).copied()
}

/// What to know of a column for values that have no type in common.
fn mixed(name: &str, ty: Type, odd: &str) -> Warning {
    let message = format!(
        "the first values of {name} have several types, so its column is made {ty}; the first odd one is {odd}; if it is one by \
         mistake, declare the type that they should have in schema: then such values are dead letters"
    );
    Warning { code: "mixed-types", subject: name.into(), message, records: 1 }
}

/// The type that holds the values of a computed column, with room for more; none if it has none.
fn common(column: &ArrayRef) -> Common {
    let parts = groups::parts(column).into_iter().filter(|(_, values)| values.logical_null_count() < values.len());
    let mut common = Common::default();
    for (name, values) in parts {
        let own = if name == JSON { Type::Json } else { roomy(convert::type_of(values.data_type())) };
        let before = *common.ty.get_or_insert(own);
        let ty = widen(before, own);
        if ty != before && ty == Type::Json {
            let first = (0..values.len()).find(|row| values.is_valid(*row)).unwrap_or_default();
            common.odd.get_or_insert_with(|| convert::shown(values, first));
        }
        common.ty = Some(ty);
    }
    common
}

/// The type with room for more than the data had so far: what comes next may be larger.
fn roomy(ty: Type) -> Type {
    match ty {
        Type::Smallint | Type::Integer => Type::Bigint,
        Type::Real => Type::Double,
        Type::Decimal { .. } => Type::Number,
        other => other,
    }
}

/// The records that have rows.
fn left<'r>(frame: &Frame<'_>, records: &'r Records) -> Cow<'r, Records> {
    match frame.rows() {
        None => Cow::Borrowed(records),
        Some(rows) => {
            let mut rows = rows.to_vec();
            rows.dedup();
            Cow::Owned(records.contents(&rows))
        }
    }
}
