//! What is wrong with what a spec names, or with the rows, in the words of the spec.
use super::{
    JdbcSource,
    position::{Key, KeyValue},
    shape::Shape,
};
use dataflow_sdk::{Error, check::nearest};

/// The table is not there; these are. `place`: where it is not, such as `SQLite at …`; `create`: what to do if none is meant.
pub(super) fn no_table(table: &str, place: &str, known: &[&str], create: &str) -> Error {
    let error = Error::fatal("table-missing", format!("there is no table {table:?} in {place}"));
    match nearest(table, known.iter().copied()) {
        Some(name) => error.fix(format!("did you mean {name:?}? Names are spelled as in the database")),
        None => error.fix(create),
    }
}

/// The rows have no such column.
pub(super) fn no_column(source: &JdbcSource, column: &str, known: &[&str]) -> Error {
    let error = Error::fatal("column-missing", format!("{} has no column {column:?}", source.name()));
    let fix = match nearest(column, known.iter().copied()) {
        Some(name) => format!("did you mean {name:?}?"),
        None => format!("it has {}", known.join(", ")),
    };
    error.fix(fix).for_user()
}

/// The database does not take the query as it stands.
pub(super) fn bad_query(message: String) -> Error {
    Error::fatal("bad-query", message).fix("correct `query`; it stands in the FROM of another SELECT").for_user()
}

/// A query chooses among its rows, by these words.
pub(super) fn choosing(source: &JdbcSource, words: &str) -> Error {
    let message = format!("{} chooses among its rows ({words})", source.name());
    Error::fatal("bad-query", message)
        .fix("leave it out of `query`: rows that were not chosen when they came are never read")
        .for_user()
}

/// The column with the times is of a type that has none. `of`: one that has.
pub(super) fn no_point_in_time(source: &JdbcSource, column: &str, ty: &str, of: &str) -> Error {
    let message =
        format!("{column:?} of {} is {ty}: mode {} reads by points in time", source.name(), source.mode.name());
    Error::fatal("unsupported-type", message).fix(format!("name a column of type {of}, or use another mode")).for_user()
}

/// Rows could be missed, for these reasons.
pub(super) fn unsafe_order(name: &str, place: &str, reasons: &[String]) -> Error {
    let message = format!("rows of {name} in {place} that commit out of order could be missed: {}", reasons.join("; "));
    let fix = "change that, or give `delay`: rows are then read that long after their values were given out, and those of \
               transactions that take longer are missed";
    Error::fatal("unsafe-order", message).fix(fix).for_user()
}

/// A row has no place in the order.
pub(super) fn no_key(shape: &Shape) -> Error {
    let names: Vec<_> = shape.order_names().map(|name| format!("{name:?}")).collect();
    let message = format!("a row of {} is NULL in {}, after which reading can't go on", shape.name, names.join(" or "));
    Error::fatal("null-key", message).fix("fill it in, or leave such rows out by a `query`").for_user()
}

/// A row has something in the order's columns that a position can't name.
pub(super) fn odd_key(shape: &Shape, what: &str) -> Error {
    let names: Vec<_> = shape.order_names().map(|name| format!("{name:?}")).collect();
    let message =
        format!("a row of {} has {what} in {}, after which reading can't go on", shape.name, names.join(" or "));
    Error::fatal("null-key", message).fix("change it, or leave such rows out by a `query`").for_user()
}

/// A row has the place of another one.
pub(super) fn same_key(shape: &Shape, key: &Key) -> Error {
    let names: Vec<_> = shape.order_names().map(|name| format!("{name:?}")).collect();
    let key: Vec<_> = key.iter().map(KeyValue::text).collect();
    let message = format!("two rows of {} have the same {} ({})", shape.name, names.join(" and "), key.join(", "));
    Error::fatal("duplicate-key", message).fix("name columns that identify a row").for_user()
}
