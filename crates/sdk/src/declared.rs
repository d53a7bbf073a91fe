//! What connectors declare of the records that they read and of the rows that they want: nothing else of their settings is known to
//! others.
use dataflow_core::types::Type;

/// The declarations of a pipeline's connectors.
#[derive(Clone, Debug, Default)]
pub struct Declared {
    /// Of the records that the source reads.
    pub source: SourceRecords,
    /// Of the rows that the sink wants.
    pub sink: SinkRows,
}

/// A source's declarations about its records.
#[derive(Clone, Debug)]
pub struct SourceRecords {
    /// Whether their values are texts without types, as those of CSV are.
    pub untyped: bool,
    /// The type of `meta.key`.
    pub key: Type,
    /// What its records have behind `meta.`, beside what [all](OF_ALL) have, and the type of each; none: anything.
    pub metadata: Option<&'static [Metadata]>,
    /// Most bytes of records pushed to the pipeline that may wait; none: it accepts none, but reads them from elsewhere.
    pub pushes: Option<u64>,
    /// Whether they may have [ids that last](crate::Records::lasting_id).
    pub lasting_ids: bool,
}

impl Default for SourceRecords {
    fn default() -> Self {
        Self { untyped: false, key: Type::Text, metadata: None, pushes: None, lasting_ids: true }
    }
}

/// A piece of metadata: its name after `meta.`, and its type.
pub type Metadata = (&'static str, Type);

/// The metadata that the records of every source have.
pub const OF_ALL: [Metadata; 3] = [("id", Type::Text), ("offset", Type::Bigint), ("position", Type::Text)];

impl SourceRecords {
    /// Which metadata its records have, as far as that is known.
    pub fn known(&self) -> impl Iterator<Item = Metadata> + Clone + use<> {
        OF_ALL.into_iter().chain(self.metadata.unwrap_or_default().iter().copied())
    }

    /// The type of a piece of metadata; `None`: it has no fixed type.
    pub fn type_of(&self, name: &str) -> Option<Type> {
        match name {
            "key" => Some(self.key),
            "timestamp" => Some(Type::Timestamp),
            name => self.known().find(|(known, _)| *known == name).map(|(_, ty)| ty),
        }
    }
}

/// A sink's declarations about the rows that it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SinkRows {
    /// The output fields that a row is known by.
    pub key: Vec<String>,
    /// The columns that its settings name, with the types that they give.
    pub columns: Vec<(String, Option<Type>)>,
    /// What becomes of output fields that it has no column for (table sinks); none: nothing is said about them.
    pub unknown_fields: Option<UnknownFields>,
    /// Whether its settings themselves say that output fields without a column are left out, by naming the columns or by a rule:
    /// it is no default.
    pub left_out_on_purpose: bool,
    /// What it wants to know of each row beside what it writes.
    pub side: Vec<SideExpression>,
    /// Whether it takes records without data (Kafka's tombstones), as deletes; elsewhere they are dead letters.
    pub tombstones: bool,
    /// The expression of its setting `op`, whose word says [what is to become](crate::batch::Operation::of) of each row; null: it
    /// is an upsert.
    pub op: Option<String>,
    /// It knows rows by the [ids of their records](crate::Records::lasting_id), unless this setting says otherwise; none: it
    /// doesn't.
    pub by_id: Option<&'static str>,
    /// Which numbers the columns that it makes hold.
    pub numbers: Numbers,
}

/// Which numbers the columns hold that a sink makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Numbers {
    /// All, as far as `number` is declared.
    #[default]
    Any,
    /// Those of a declared decimal; `number` is a double.
    Decimals,
    /// Integers of 64 bits and doubles, whatever is declared.
    Doubles,
}

/// How to treat output fields without a column in a table sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownFields {
    /// Left out, warned of and counted.
    Ignore,
    /// A column is added to the target: see [`Processed::new_columns`](crate::batch::Processed::new_columns).
    Add,
    /// The record is a dead letter.
    Dead,
    /// The pipeline fails: see [`Processed::new_columns`](crate::batch::Processed::new_columns).
    Fail,
}

/// An expression over an output row that a sink wants to know beside what it writes: the key of a message, the path of an object,
/// the name of an index. Its values come in [`Output::side`](crate::batch::Output::side).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideExpression {
    /// Where in the sink's settings it stands: `key`, `headers.trace`.
    pub path: String,
    /// The expression, as the user wrote it.
    pub text: String,
    /// The type that the sink wants. Of a text it gets the value's text, whatever the value is; what doesn't fit another type
    /// is a dead letter.
    pub ty: Type,
}
