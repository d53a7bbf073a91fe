//! One JSON document for each row: the very bytes that came in, these with some fields changed, or selected fields.
use super::{
    build::Builder,
    declared::{self, Declared},
    frame::{Excess, Frame, weighed},
    misfits::Misfits,
};
use crate::expression::{Origin, Slot};
use arrow::{array::ArrayRef, buffer::BooleanBuffer};
use bytes::Bytes;
use dataflow_core::types::Type;
use dataflow_formats::{
    Marks,
    decode::{Decoder, Field, Misfit, Want},
    encode,
};
use dataflow_sdk::{
    Records, Span,
    batch::{Dead, Payload},
    records::{CsvLayout, Layout},
};
use indexmap::IndexMap;
use std::{borrow::Cow, sync::Arc};

/// How documents are made.
#[derive(Debug)]
pub(crate) struct Documents {
    /// Whether the source's other fields are in them.
    open: bool,
    /// Whether each is on one line.
    lines: bool,
    /// Fields that were set or selected, and where their values come from.
    set: Vec<Source>,
    /// Source fields that are left out.
    removed: Vec<String>,
    /// Declared types of source fields: CSV values are written as these.
    schema: IndexMap<String, Type>,
    /// Those of JSON records, which are written as they come.
    declared: Vec<Declared>,
    /// The fields of CSV records whose values are no untyped texts.
    typed: Arc<[String]>,
    /// Decodes the declared fields of CSV records.
    csv: Option<(Arc<CsvLayout>, Vec<String>, Decoder)>,
}

/// A field that was set or selected.
#[derive(Debug)]
struct Source {
    name: String,
    slot: Slot,
    /// Its texts are JSON.
    raw: bool,
}

/// A field to be written.
struct Set {
    name: String,
    array: ArrayRef,
    /// Its texts are JSON.
    raw: bool,
    /// The rows that go without it.
    absent: Option<BooleanBuffer>,
}

impl Set {
    fn column(&self) -> encode::Column<'_> {
        encode::Column { name: &self.name, array: &self.array, raw: self.raw, absent: self.absent.as_ref() }
    }
}

/// Whether texts of a column of this type are JSON.
fn is_json(ty: Type) -> bool {
    matches!(ty, Type::Json | Type::Any | Type::Number)
}

impl Documents {
    pub(crate) fn new(builder: &mut Builder<'_>, lines: bool) -> Self {
        let scope = builder.scope.clone();
        let source = |(name, origin): (String, Origin)| match origin {
            Origin::Register(register) => Source { name, slot: Slot::Register(register), raw: false },
            Origin::Edited(edited) => Source { name, slot: Slot::Register(edited.register), raw: true },
            Origin::Field(path) => {
                let (ty, raw) = builder.leaving(&path);
                let slot = Slot::Field(builder.inputs.field(path, Want::As(ty)));
                Source { name, slot, raw }
            }
        };
        let set = scope.columns.clone().into_iter().map(source).collect();
        let is_typed = |origin: &Origin| match origin {
            Origin::Field(path) => !builder.cx.is_untyped(path),
            Origin::Register(_) => false,
            Origin::Edited(_) => true,
        };
        let typed = scope.columns.iter().filter(|(_, origin)| is_typed(origin)).map(|(name, _)| name);
        let typed = typed.chain(builder.cx.schema.keys().filter(|name| scope.has(name))).cloned();
        let typed = typed.filter(|_| builder.cx.source.untyped).collect();
        let removed = scope.removed.into_iter().collect();
        let declared = if builder.cx.source.untyped { Vec::new() } else { declared::leaving(builder) };
        Self { open: scope.open, lines, set, removed, schema: builder.cx.schema.clone(), declared, typed, csv: None }
    }

    /// The fields of CSV records whose values are no untyped texts.
    pub(crate) fn typed(&self) -> Arc<[String]> {
        self.typed.clone()
    }

    /// Whether the source's other fields are in them.
    pub(crate) fn is_open(&self) -> bool {
        self.open
    }

    /// The source fields that don't go through as they are written.
    pub(crate) fn marked(&self) -> impl Iterator<Item = &str> {
        let names = self.set.iter().map(|set| &set.name).chain(&self.removed);
        names.filter(|_| self.open).map(String::as_str)
    }

    /// The documents of all rows. `marks` are those of the [`marked`](Self::marked) fields.
    /// Values that JSON can't hold become dead letters, or null and counted if `lenient`. Of deletes nothing is looked at.
    ///
    /// # Errors
    /// They would be more than a batch may be.
    pub(crate) fn make(
        &mut self,
        frame: &mut Frame<'_>,
        records: &Records,
        marks: &Marks,
        lenient: bool,
        misfits: &mut Misfits,
    ) -> Result<Payload, Excess> {
        for Source { slot, name, .. } in &self.set {
            if let Some(column) = frame.field(*slot) {
                let about = |misfit: &Misfit| misfit.cause.clone();
                frame.upserts(|frame| misfits.take(frame, column, "sink", name, lenient, about));
            }
        }
        for declared in &self.declared {
            frame.upserts(|frame| declared.take(frame, lenient, misfits));
        }
        let mut set: Vec<Set> = Vec::with_capacity(self.set.len());
        if let (Layout::Csv(layout), true) = (&records.layout, self.open) {
            set = self.declared(layout, frame, records, lenient, misfits);
        }
        set.extend(self.set.iter().map(|Source { name, slot, raw }| Set {
            name: name.clone(),
            array: frame.column(*slot),
            raw: *raw || frame.is_json(*slot),
            absent: frame.absent(*slot),
        }));
        weighed(set.iter().map(|set| &set.array), "sink")?;
        let columns: Vec<encode::Column<'_>> = set.iter().map(Set::column).collect();
        let rows = || match frame.rows() {
            Some(rows) => Cow::Borrowed(rows),
            None => Cow::Owned((0..records.len() as u32).collect()),
        };
        let made = match (self.open, columns.is_empty() && self.removed.is_empty()) {
            (true, true) => encode::documents(records, &rows()),
            (true, false) => encode::overlay(records, &rows(), &columns, &self.removed, marks),
            (false, _) => encode::documents_from_columns(&columns, frame.len()),
        };
        let made = if self.lines { made.on_lines() } else { made };
        if lenient {
            made.misfits.iter().for_each(|misfit| misfits.count("", &misfit.cause));
        } else if !made.misfits.is_empty() {
            let dead = made.misfits.into_iter().map(|misfit| Dead {
                row: frame.record(misfit.row as usize),
                stage: "sink".into(),
                code: "type-mismatch",
                cause: misfit.cause,
            });
            let dead: Vec<Dead> = dead.collect();
            frame.kill(dead);
            return self.make(frame, records, marks, lenient, misfits);
        }
        match lenient {
            true => Ok(self.without_misfits(frame, made.data, made.spans)),
            false => Ok(Payload::Documents { data: made.data, spans: made.spans }),
        }
    }

    /// Documents with null in the place of values that are not of their declared type.
    fn without_misfits(&self, frame: &Frame<'_>, data: Bytes, mut spans: Vec<Span>) -> Payload {
        let mut edited: Vec<u8> = Vec::new();
        for declared in &self.declared {
            for row in declared.misfits(frame) {
                if edited.is_empty() {
                    edited.extend_from_slice(&data);
                }
                let text = String::from_utf8_lossy(spans[row].of(&edited)).into_owned();
                // What has the field within it is an object.
                let Ok(text) = encode::edited(&text, &declared.path, Some("null"), true) else { continue };
                let start = edited.len();
                edited.extend_from_slice(text.as_bytes());
                spans[row] = Span::new(start, edited.len());
            }
        }
        Payload::Documents { data: if edited.is_empty() { data } else { edited.into() }, spans }
    }

    /// The fields of CSV records that have a declared type; the others are text.
    fn declared(
        &mut self,
        layout: &Arc<CsvLayout>,
        frame: &mut Frame<'_>,
        records: &Records,
        lenient: bool,
        misfits: &mut Misfits,
    ) -> Vec<Set> {
        if self.csv.as_ref().is_none_or(|(known, ..)| known != layout) {
            let typed = |(at, name): &(usize, &String)| {
                let set = self.set.iter().any(|set| set.name == **name);
                let last = !layout.columns[at + 1..].contains(name); // of columns with the same name
                last && self.schema.contains_key(*name) && !set && !self.removed.contains(name)
            };
            let names = layout.columns.iter().enumerate().filter(typed).map(|(_, name)| name.clone());
            let names: Vec<String> = names.collect();
            let field = |name: &String| Field { path: vec![name.clone()], want: Want::As(self.schema[name]) };
            let declared = |path: &[String]| self.schema.get(&path.join(".")).copied();
            let decoder = Decoder::new(names.iter().map(field).collect()).declaring(declared);
            self.csv = Some((layout.clone(), names, decoder));
        }
        let Some((_, names, decoder)) = self.csv.as_mut().filter(|(_, names, _)| !names.is_empty()) else {
            return Vec::new();
        };
        let decoded = decoder.decode(records);
        for (name, column) in names.iter().zip(&decoded.columns) {
            let about = |misfit: &Misfit| misfit.cause.clone();
            frame.upserts(|frame| misfits.take(frame, column, "sink", name, lenient, about));
        }
        let mut whole = Frame::new(&decoded.columns, &[], 0, records.len());
        if let Some(rows) = frame.rows() {
            whole.repeat(&rows.to_vec().into());
        }
        let field = |(index, name): (usize, &String)| Set {
            name: name.clone(),
            array: whole.column(Slot::Field(index)),
            raw: is_json(self.schema[name]),
            absent: None,
        };
        names.iter().enumerate().map(field).collect()
    }
}
