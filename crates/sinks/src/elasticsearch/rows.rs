//! What becomes of each row at the server, and which rows it would not take: those are found before anything is sent.
use super::{ElasticsearchSink, pattern::Pattern};
use arrow::array::{Array, AsArray, StringArray};
use dataflow_sdk::{
    Error, Span,
    batch::{Output, Payload},
};
use std::borrow::Cow;

/// Most bytes of an id.
const MAX_ID: usize = 512;

/// What the sink's settings say of each row.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) index: Pattern,
    id: bool,
}

impl Wanted {
    pub(super) fn of(config: &ElasticsearchSink) -> Self {
        let index = Pattern::parse(&config.index).unwrap_or_default();
        Self { index, id: config.id.is_some() }
    }
}

/// The rows of an output.
pub(super) struct Rows<'a> {
    pub(super) output: &'a Output,
    wanted: &'a Wanted,
    data: &'a [u8],
    spans: &'a [Span],
    index: Vec<&'a StringArray>,
    id: Option<&'a StringArray>,
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action<'a> {
    /// None: the same for all rows.
    pub(super) index: Option<String>,
    pub(super) id: Cow<'a, str>,
    /// None: the document is deleted.
    pub(super) document: Option<&'a [u8]>,
}

impl<'a> Rows<'a> {
    pub(super) fn of(output: &'a Output, wanted: &'a Wanted) -> Result<Self, Error> {
        let internal = |what: &str| Error::fatal("internal", format!("the sink got {what}")).for_user();
        let Payload::Documents { data, spans } = &output.payload else {
            return Err(internal("columns, and wanted documents"));
        };
        let mut side = output.side.iter().map(|values| values.as_string::<i32>());
        let mut next = || side.next().ok_or_else(|| internal("fewer values than its settings have expressions"));
        let index = wanted.index.expressions().map(|_| next()).collect::<Result<_, _>>()?;
        let id = wanted.id.then(&mut next).transpose()?;
        Ok(Self { output, wanted, data, spans, index, id })
    }

    pub(super) fn len(&self) -> usize {
        self.output.len()
    }

    /// What becomes of a row, or why the server would not take it.
    pub(super) fn get(&self, row: usize) -> Result<Action<'a>, String> {
        let index = match self.wanted.index.name() {
            Some(_) => None,
            None => {
                let values = self.index.iter().map(|values| values.is_valid(row).then(|| values.value(row)));
                let name = self.wanted.index.fill(values).ok_or("index: an expression in its name gives null")?;
                if let Some(why) = Pattern::unfit(&name) {
                    let name = dataflow_sdk::audit::shown(name.as_bytes());
                    return Err(format!("index: none can be called {name:?}: {why}"));
                }
                Some(name)
            }
        };
        let id = self.id(row)?;
        match id.len() {
            0 => return Err("id: it is empty".into()),
            length if length > MAX_ID => return Err(format!("id: it has {length} bytes, and may have {MAX_ID}")),
            _ => {}
        }
        let document = match self.output.deletes(row) {
            true => None,
            false => Some(self.spans[row].of(self.data)),
        };
        if document.is_some_and(<[u8]>::is_empty) {
            return Err("document: it is empty".into());
        }
        Ok(Action { index, id, document })
    }

    fn id(&self, row: usize) -> Result<Cow<'a, str>, String> {
        if let Some(ids) = self.id {
            return match ids.is_valid(row) {
                true => Ok(ids.value(row).into()),
                false => Err("id: the expression gives null".into()),
            };
        }
        let (rows, records) = (&self.output.rows, self.output.records.as_ref());
        let records =
            records.ok_or("id: the row was made of many records, so it has no id; set `id` to an expression")?;
        let of = rows[row];
        if row > 0 && rows[row - 1] == of || rows.get(row + 1) == Some(&of) {
            return Err(
                "id: the record became several rows, which can't all have its id; set `id` to an expression".into()
            );
        }
        let id = records.lasting_id(of as usize).ok_or(
            "id: the record has no key, and another one may come to be where it was read; set `id` to an expression, or give \
             the record an id",
        )?;
        Ok(id.into())
    }
}
