//! Matches a spec with the existing table: the columns that are written, their types, and the key.
use super::{Care, Columns, Mode, Options, ddl};
use dataflow_core::types::Type;
use dataflow_sdk::{
    Error,
    batch::{Column, Demand, Warning},
};

/// A table as its database describes it.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Its columns, in order.
    pub columns: Vec<FoundColumn>,
    /// Columns of its primary key, in order; empty if it has none.
    pub primary_key: Vec<String>,
    /// Columns of each unique index on plain columns without a condition, the primary key included.
    pub unique: Vec<Vec<String>>,
    /// Counts the constraints that one row may violate because of another: unique indexes, the key's included, and the
    /// like.
    pub rules: usize,
    /// How sensitive the table is because of anything else that checks or observes rows, such as checks and triggers.
    pub care: Care,
    /// Whether something else observes or refuses deletes, or leaves the row where it is.
    pub guarded: bool,
    /// Columns that rows of other tables refer to.
    pub referenced: Vec<String>,
    /// Whether rows may be rejected for values that the types of the columns allow.
    pub unsure: bool,
    /// Columns with an index that may reject a value for its length.
    pub indexed: Vec<String>,
}

/// A column as its database describes it.
#[derive(Clone, Debug)]
pub struct FoundColumn {
    /// Its name.
    pub name: String,
    /// Its type; `None` if it can't be written.
    pub ty: Option<Type>,
    /// Its type in the database's words.
    pub declared: String,
    /// Whether it refuses NULL.
    pub not_null: bool,
    /// Whether it has a default, for a new row whose record lacks the field.
    pub has_default: bool,
    /// Whether values that the database considers equal are identical.
    pub exact: bool,
    /// Whether only the database may write it.
    pub generated: bool,
    /// Whether it accepts every value that is sent for it.
    pub sure: bool,
    /// How sensitive its default is.
    pub fills: Care,
}

/// The columns that are written, and the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The columns, in the order of the demand.
    pub slots: Vec<Slot>,
    /// Places of the key's columns in [`Self::slots`]; empty: rows are appended.
    pub key: Vec<usize>,
    /// How rows with all fields have to be written.
    pub care: Care,
    /// How the rows of a commit have to be written if some of them are deletes.
    pub deletes: Care,
    /// Whether a new row may be rejected for a missing field in another way than by NULL in a column that refuses it.
    pub judged: bool,
    /// Whether a row may still be there after its delete.
    pub guarded: bool,
    /// Whether the table gets a column for every other field, too.
    pub grows: bool,
}

/// A column that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Name, and the type in which its values are demanded.
    pub column: Column,
    /// Its type in the database's words.
    pub declared: String,
    /// Whether it refuses NULL.
    pub not_null: bool,
    /// Whether it has a default, for a new row whose record lacks the field.
    pub has_default: bool,
    /// Whether values that the database considers equal are identical.
    pub exact: bool,
    /// How sensitive its default is.
    pub fills: Care,
}

impl Slot {
    /// Whether a new row needs a value for it.
    pub fn is_required(&self) -> bool {
        self.not_null && !self.has_default
    }
}

impl Layout {
    /// The demand for each row.
    pub fn demand(&self) -> Demand {
        let columns = self.slots.iter().map(|slot| slot.column.clone()).collect();
        if self.grows { Demand::Growing(columns) } else { Demand::Columns(columns) }
    }

    /// Names of the key's columns.
    pub fn key_names(&self) -> Vec<String> {
        self.key.iter().map(|slot| self.slots[*slot].column.name.clone()).collect()
    }

    /// Whether a row with these fields has the whole key.
    pub fn is_keyed(&self, has: impl Fn(usize) -> bool) -> bool {
        !self.key.is_empty() && self.key.iter().all(|slot| has(*slot))
    }

    /// Whether a row changes this column of an existing one with its key: a key gets another spelling if the database considers
    /// both equal.
    pub fn changes(&self, slot: usize) -> bool {
        !self.key.contains(&slot) || !self.slots[slot].exact
    }

    /// Returns whether rows with only these fields update an existing row, and are inserted only if there is none: as
    /// new rows they may be rejected for what they lack.
    pub fn patches(&self, has: impl Fn(usize) -> bool) -> bool {
        let lacks = |slot: usize| !has(slot);
        let lacks_required = (0..self.slots.len()).any(|slot| lacks(slot) && self.slots[slot].is_required());
        let is_partial = (0..self.slots.len()).any(lacks);
        self.is_keyed(&has) && (lacks_required || self.judged && is_partial)
    }

    /// Computes the layout for an existing table. `added` are columns to write beyond those that `columns` names.
    ///
    /// # Errors
    /// [`Error::Fatal`] if the table can't be written as the spec says.
    pub fn of(options: &Options, found: &Found, added: &[String]) -> Result<(Self, Vec<Warning>), Error> {
        let table = &options.table;
        let mut slots = Vec::new();
        for column in chosen(options, found, added)? {
            let Some(ty) = column.ty else {
                let message = format!(
                    "column {} of table {table} has type {}, which can't be written",
                    column.name, column.declared
                );
                return Err(Error::fatal("unsupported-type", message)
                    .fix("list the columns to write in columns, without this one, or change its type")
                    .for_user());
            };
            let column_of = Column { name: column.name.clone(), ty };
            slots.push(Slot {
                column: column_of,
                declared: column.declared.clone(),
                not_null: column.not_null,
                has_default: column.has_default,
                exact: column.exact,
                fills: column.fills,
            });
        }
        if let Some(name) = added.iter().find(|name| slots.iter().all(|slot| slot.column.name != **name)) {
            // Otherwise it would be requested again with every batch.
            let message = format!("table {table} can't have a column {name} that records fill");
            return Err(Error::fatal("column-not-added", message)
                .fix("leave the field out or rename it with a map transform, or set unknownFields: ignore")
                .for_user());
        }
        let key = key(options, found, &slots)?;
        if key.is_empty() && options.op.is_some() {
            let message = format!("op needs a key, by which rows are deleted, and table {table} has no primary key");
            return Err(Error::fatal("key-missing", message).fix("give key, or leave op out").for_user());
        }
        let unfilled = found.columns.iter().filter(|column| {
            column.not_null
                && !column.has_default
                && !column.generated
                && slots.iter().all(|slot| slot.column.name != column.name)
        });
        let warnings = unfilled.map(|column| Warning {
            code: "unfilled-column",
            subject: column.name.clone(),
            message: format!("column {} of table {table} refuses NULL and has no default, but is not listed in columns: every row will be rejected", column.name),
            records: 0,
        });
        let warnings = warnings.collect();
        let care = care(found, &slots, &key);
        let deletes = Care::Alone.when(found.guarded || !found.referenced.is_empty());
        let (judged, guarded, grows) = (found.care > Care::Last, found.guarded, options.own);
        Ok((Self { slots, key, care, deletes, judged, guarded, grows }, warnings))
    }
}

/// How rows with all fields of these slots have to be written.
fn care(found: &Found, slots: &[Slot], key: &[usize]) -> Care {
    let written = |column: &&FoundColumn| slots.iter().any(|slot| slot.column.name == column.name);
    let is_key = |name: &String| key.iter().any(|place| slots[*place].column.name == *name);
    let exact = key.iter().all(|place| slots[*place].exact);
    // An upsert also writes a key that the database considers equal, and for references to it that may be a change.
    let changes_referenced = !key.is_empty() && !found.referenced.iter().all(|name| exact && is_key(name));
    let unsure = found.columns.iter().filter(written).any(|column| !column.sure);
    let unsure = unsure || found.unsure || !found.indexed.iter().all(is_key);
    let fills = found.columns.iter().filter(|column| !written(column)).map(|column| column.fills).max();
    found
        .care
        .max(Care::Each.when(unsure))
        .max(Care::Arrival.when(!exact || found.rules > usize::from(!key.is_empty())))
        .max(Care::Alone.when(changes_referenced))
        .max(fills.unwrap_or_default())
}

/// Returns the columns to write, in order.
fn chosen<'a>(options: &Options, found: &'a Found, added: &[String]) -> Result<Vec<&'a FoundColumn>, Error> {
    let table = &options.table;
    let Some(named) = &options.columns else {
        let chosen: Vec<_> = found.columns.iter().filter(|column| !column.generated).collect();
        return match chosen.is_empty() && !found.columns.is_empty() {
            true => {
                Err(Error::fatal("no-columns", format!("table {table} has no column that can be written")).for_user())
            }
            false => Ok(chosen),
        };
    };
    let names = named.names();
    let named = names.iter().map(|name| String::from(*name));
    let named =
        named.chain(added.iter().filter(|name| !names.contains(&name.as_str())).cloned()).map(|name| {
            match found.columns.iter().find(|column| column.name == name) {
                Some(column) if column.generated => {
                    let message =
                        format!("column {name} of table {table} is generated by the database and can't be written");
                    let fix = match options.key().contains(&name) {
                        true => {
                            "leave it out of columns and of key, and give a key that records fill or set mode: append"
                        }
                        false => "leave it out of columns",
                    };
                    Err(Error::fatal("generated-column", message).fix(fix).for_user())
                }
                Some(column) => Ok(column),
                None => {
                    let near = found.columns.iter().find(|column| column.name.eq_ignore_ascii_case(&name));
                    let hint = match near {
                        Some(near) => format!("names are case-sensitive: write {}", near.name),
                        None if matches!(options.columns, Some(Columns::Types(_))) => {
                            "add it to the table, set unknownFields: add, or leave it out of columns".into()
                        }
                        None => format!(
                            "add it to the table, leave it out of columns, or set unknownFields: add and give columns their types, as in {name:?}: \"text\""
                        ),
                    };
                    Err(Error::fatal("column-missing", format!("table {table} has no column {name}")).fix(hint))
                }
            }
        });
    named.collect()
}

/// Returns the places of the key's columns; empty if rows are appended.
fn key(options: &Options, found: &Found, slots: &[Slot]) -> Result<Vec<usize>, Error> {
    let table = &options.table;
    let given = options.key();
    if options.mode == Some(Mode::Append) {
        return Ok(Vec::new());
    }
    let names = if given.is_empty() { found.primary_key.clone() } else { given };
    if names.is_empty() {
        return match options.mode {
            Some(Mode::Upsert) => {
                let message = format!("mode: upsert needs a key, and table {table} has no primary key");
                Err(Error::fatal("key-missing", message).fix("give key, or set mode: append").for_user())
            }
            _ => Ok(Vec::new()),
        };
    }
    let same = |unique: &Vec<String>| unique.len() == names.len() && names.iter().all(|name| unique.contains(name));
    let places = names.iter().map(|name| match slots.iter().position(|slot| slot.column.name == *name) {
        Some(place) => Ok(place),
        None if found.columns.iter().any(|column| column.name == *name && column.generated) => {
            let message =
                format!("key column {name} of table {table} is generated by the database and can't be written");
            let fix = "give a key that records fill, or set mode: append; an identity column can be made \
                generated by default instead of always";
            Err(Error::fatal("key-missing", message).fix(fix).for_user())
        }
        None if found.columns.iter().any(|column| column.name == *name) => {
            let message = format!("key column {name} of table {table} is not written");
            Err(Error::fatal("key-missing", message).fix("add it to columns, or set mode: append").for_user())
        }
        None => {
            let message = format!("table {table} has no column {name}, which key names");
            Err(Error::fatal("column-missing", message).fix("add it to the table, or change key"))
        }
    });
    let places: Vec<usize> = places.collect::<Result<_, _>>()?;
    if !found.unique.iter().any(same) {
        let message = format!("table {table} has no unique index on ({}), which upserts need", names.join(", "));
        let fix = format!("run: {}", ddl::unique_index(table, &names));
        return Err(Error::fatal("no-unique-index", message).fix(fix));
    }
    Ok(places)
}
