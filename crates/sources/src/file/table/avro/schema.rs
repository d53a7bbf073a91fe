//! The schema of a file: which type each value has, and what it means.
use super::super::{decimal_type, number::MOST_SCALE};
use dataflow_core::types::{Type, widen};
use dataflow_formats::encode;
use dataflow_sdk::batch::Column;
use serde_json::Value as Json;
use std::collections::{BTreeSet, HashMap};

/// The column of a file whose rows are no records.
const ONLY: &str = "value";

/// A type, by its place among all: a named one may hold itself.
pub(super) type Id = usize;

/// What a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Vec<String>),
    Array(Id),
    Map(Id),
    /// The fields, each by its key and the colon.
    Record(Vec<(Vec<u8>, Id)>),
    Union(Vec<Id>),
    /// A number as bytes, of which so many digits come after the point; of a fixed length, if there is one.
    Decimal(u32, Option<usize>),
    /// The same, with the number of digits in the value.
    BigDecimal,
    Date,
    /// So many of it are a second.
    Time(i64),
    /// The same; whether it is in UTC.
    Timestamp(i64, bool),
    /// Sixteen bytes.
    Uuid,
    Duration,
}

/// All types of a file.
#[derive(Debug, Default)]
pub(super) struct Schema {
    pub(super) kinds: Vec<Kind>,
    /// What the type of a column is.
    types: Vec<Type>,
    names: HashMap<String, Id>,
    pub(super) root: Id,
}

impl Schema {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let json: Json = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
        let mut schema = Self::default();
        schema.root = schema.ty(&json, "")?;
        Ok(schema)
    }

    /// The columns of its rows.
    pub(super) fn columns(&self) -> Result<Vec<Column>, String> {
        let Kind::Record(fields) = &self.kinds[self.root] else {
            return Ok(vec![Column { name: ONLY.into(), ty: self.types[self.root] }]);
        };
        let name = |key: &[u8]| serde_json::from_slice(&key[..key.len() - 1]).map_err(|error| error.to_string());
        fields.iter().map(|(key, id)| Ok(Column { name: name(key)?, ty: self.types[*id] })).collect()
    }

    fn add(&mut self, kind: Kind, ty: Type) -> Id {
        self.kinds.push(kind);
        self.types.push(ty);
        self.kinds.len() - 1
    }

    fn ty(&mut self, json: &Json, space: &str) -> Result<Id, String> {
        match json {
            Json::String(name) => self.named(name, json, space),
            Json::Array(branches) => {
                let branches = branches.iter().map(|branch| self.ty(branch, space)).collect::<Result<Vec<_>, _>>()?;
                let ty = self.common(&branches);
                Ok(self.add(Kind::Union(branches), ty))
            }
            Json::Object(of) => match of.get("type") {
                Some(Json::String(name)) => self.named(name, json, space),
                Some(inner) => self.ty(inner, space),
                None => Err("a type is missing".into()),
            },
            other => Err(format!("{other} is no type")),
        }
    }

    /// The type of a column that holds any of several: theirs, if they have one in common that loses nothing.
    fn common(&self, branches: &[Id]) -> Type {
        let types = branches.iter().filter(|id| self.kinds[**id] != Kind::Null).map(|id| self.types[*id]);
        let whole = |ty| matches!(ty, Type::Smallint | Type::Integer | Type::Bigint);
        let common = |one, other| match (one, other) {
            (one, other) if one == other => one,
            (one, other) if whole(one) && whole(other) => widen(one, other),
            _ => Type::Json,
        };
        types.reduce(common).unwrap_or(Type::Any)
    }

    fn named(&mut self, name: &str, json: &Json, space: &str) -> Result<Id, String> {
        let logical = json.get("logicalType").and_then(Json::as_str);
        let number = |key: &str| json.get(key).and_then(Json::as_i64).and_then(|number| i32::try_from(number).ok());
        let decimal = || {
            let (precision, scale) = (number("precision").filter(|digits| *digits > 0)?, number("scale").unwrap_or(0));
            let digits = u32::try_from(scale).ok().filter(|scale| *scale <= MOST_SCALE)?;
            Some((digits, decimal_type(precision, scale)))
        };
        let (kind, ty) = match (name, logical) {
            ("null", _) => (Kind::Null, Type::Any),
            ("boolean", _) => (Kind::Boolean, Type::Boolean),
            ("int", Some("date")) => (Kind::Date, Type::Date),
            ("int", Some("time-millis")) => (Kind::Time(1_000), Type::Text),
            ("int", _) => (Kind::Int, Type::Integer),
            ("long", Some("time-micros")) => (Kind::Time(1_000_000), Type::Text),
            ("long", Some(logical)) => match timestamp(logical) {
                Some((per_second, true)) => (Kind::Timestamp(per_second, true), Type::Timestamp),
                Some((per_second, false)) => (Kind::Timestamp(per_second, false), Type::Datetime),
                None => (Kind::Long, Type::Bigint),
            },
            ("long", None) => (Kind::Long, Type::Bigint),
            ("float", _) => (Kind::Float, Type::Real),
            ("double", _) => (Kind::Double, Type::Double),
            ("string", Some("uuid")) => (Kind::Text, Type::Uuid),
            ("string", _) => (Kind::Text, Type::Text),
            ("bytes", Some("big-decimal")) => (Kind::BigDecimal, Type::Number),
            ("bytes", Some("decimal")) if let Some((scale, ty)) = decimal() => (Kind::Decimal(scale, None), ty),
            ("bytes", _) => (Kind::Bytes, Type::Binary),
            ("array", _) => {
                let items = self.ty(json.get("items").ok_or("an array has no items")?, space)?;
                (Kind::Array(items), Type::Json)
            }
            ("map", _) => {
                let values = self.ty(json.get("values").ok_or("a map has no values")?, space)?;
                (Kind::Map(values), Type::Json)
            }
            ("record" | "error", _) => return self.record(json, space),
            ("enum", _) => {
                let symbols = json.get("symbols").and_then(Json::as_array).ok_or("an enum has no symbols")?;
                let text = |symbol: &Json| symbol.as_str().map(str::to_owned).ok_or("a symbol is no text");
                let symbols = symbols.iter().map(text).collect::<Result<_, _>>()?;
                return self.define(json, space, Kind::Enum(symbols), Type::Text);
            }
            ("fixed", _) => {
                let size = json.get("size").and_then(Json::as_u64).and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or("a fixed has no size")?;
                let (kind, ty) = match logical {
                    Some("decimal") if let Some((scale, ty)) = decimal() => (Kind::Decimal(scale, Some(size)), ty),
                    Some("uuid") if size == 16 => (Kind::Uuid, Type::Uuid),
                    Some("duration") if size == 12 => (Kind::Duration, Type::Text),
                    _ => (Kind::Fixed(size), Type::Binary),
                };
                return self.define(json, space, kind, ty);
            }
            (name, _) => {
                let known = self.names.get(&full(name, space)).or_else(|| self.names.get(name));
                return known.copied().ok_or_else(|| format!("{name:?} is no type"));
            }
        };
        Ok(self.add(kind, ty))
    }

    /// A record, whose fields may be of its own type.
    fn record(&mut self, json: &Json, space: &str) -> Result<Id, String> {
        let id = self.define(json, space, Kind::Null, Type::Json)?;
        let own = names(json, space);
        let space = own.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
        let (mut fields, mut seen) = (Vec::new(), BTreeSet::new());
        for field in json.get("fields").and_then(Json::as_array).ok_or("a record has no fields")? {
            let name = field.get("name").and_then(Json::as_str).ok_or("a field has no name")?;
            if !seen.insert(name) {
                return Err(format!("two fields of {own} are called {name:?}"));
            }
            let ty = self.ty(field.get("type").ok_or("a field has no type")?, &space)?;
            fields.push((encode::key(name), ty));
        }
        self.kinds[id] = Kind::Record(fields);
        Ok(id)
    }

    fn define(&mut self, json: &Json, space: &str, kind: Kind, ty: Type) -> Result<Id, String> {
        let id = self.add(kind, ty);
        self.names.insert(names(json, space), id);
        Ok(id)
    }
}

/// How many of it are a second, and whether it is in UTC.
fn timestamp(logical: &str) -> Option<(i64, bool)> {
    let (utc, unit) = match logical.strip_prefix("local-timestamp-") {
        Some(unit) => (false, unit),
        None => (true, logical.strip_prefix("timestamp-")?),
    };
    let per_second = match unit {
        "millis" => 1_000,
        "micros" => 1_000_000,
        "nanos" => 1_000_000_000,
        _ => return None,
    };
    Some((per_second, utc))
}

/// The full name that a definition gives.
fn names(json: &Json, space: &str) -> String {
    let name = json.get("name").and_then(Json::as_str).unwrap_or_default();
    full(name, json.get("namespace").and_then(Json::as_str).unwrap_or(space))
}

fn full(name: &str, space: &str) -> String {
    if name.contains('.') || space.is_empty() { name.to_owned() } else { format!("{space}.{name}") }
}
