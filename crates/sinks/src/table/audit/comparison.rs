//! The queries that compare.
use crate::table::{Layout, ddl::quote};

/// Where each expected row comes from: columns of the table of expected rows.
pub const PARTITION: &str = "dataflow_partition";
/// See [`PARTITION`].
pub const POSITION: &str = "dataflow_position";

/// Queries that compare a target with a table of the rows that should be there, as both databases take them.
///
/// With a key, the table of expected rows holds the last one of each partition: which partition's was written last
/// can't be known, so each of them will do.
pub struct Comparison<'a> {
    /// The columns that are written.
    pub layout: &'a Layout,
    /// The target, quoted.
    pub target: &'a str,
    /// The table of expected rows, quoted.
    pub expected: &'a str,
    /// Columns that are compared, by place in the layout.
    pub compared: Vec<usize>,
    /// An expression of a column's type (by place) in a form that has equality.
    pub comparable: &'a (dyn Fn(usize, String) -> String + Sync),
    /// An expression that says whether an expected row knows a column, by table and place; none: all know all.
    pub known: Option<&'a Known>,
    /// An expression in a form that can be read as text.
    pub text: fn(String) -> String,
}

/// See [`Comparison::known`].
pub type Known = dyn Fn(&str, usize) -> String + Sync;

impl std::fmt::Debug for Comparison<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Comparison").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Comparison<'_> {
    fn column(&self, of: &str, place: usize) -> String {
        format!("{of}.{}", quote(&self.layout.slots[place].column.name))
    }

    fn cells(&self, of: &str) -> String {
        let cells = (0..self.layout.slots.len()).map(|place| (self.text)(self.column(of, place)));
        cells.collect::<Vec<_>>().join(", ")
    }

    /// The cells of an expected row, of which those that it does not know are as those found.
    fn cells_known(&self, expected: &str, found: &str) -> String {
        let Some(known) = self.known else { return self.cells(expected) };
        let cells = (0..self.layout.slots.len()).map(|place| {
            let [a, b] = [expected, found].map(|of| (self.text)(self.column(of, place)));
            format!("case when {} then {a} else {b} end", known(expected, place))
        });
        cells.collect::<Vec<_>>().join(", ")
    }

    /// Whether a row of the target is as an expected one says. What that does not know may be anything.
    fn same(&self, expected: &str, found: &str) -> String {
        let same = self.compared.iter().map(|place| {
            let of = |table| (self.comparable)(*place, self.column(table, *place));
            let same = format!("{} is not distinct from {}", of(expected), of(found));
            match self.known {
                Some(known) => format!("(not {} or {same})", known(expected, *place)),
                None => same,
            }
        });
        match self.compared.is_empty() {
            true => "true".into(),
            false => same.collect::<Vec<_>>().join(" and "),
        }
    }

    fn same_key(&self, a: &str, b: &str) -> String {
        let same =
            self.layout.key.iter().map(|place| format!("{} = {}", self.column(a, *place), self.column(b, *place)));
        same.collect::<Vec<_>>().join(" and ")
    }

    /// Whether the database may have made the key of a row.
    fn may_be_keyless(&self) -> bool {
        self.layout.key.iter().any(|place| self.layout.slots[*place].has_default)
    }

    /// Whether an expected row is one whose key the database has made.
    fn keyless(&self, of: &str) -> String {
        let missing = self.layout.key.iter().map(|place| format!("{} is null", self.column(of, *place)));
        missing.collect::<Vec<_>>().join(" or ")
    }

    /// Whether an expected row speaks of a row of the target: one whose key nobody knows, of any with its content.
    fn matches(&self, expected: &str, found: &str) -> String {
        let same_key = self.same_key(expected, found);
        match self.may_be_keyless() {
            true => format!("({same_key} or ({}) and {})", self.keyless(expected), self.same(expected, found)),
            false => same_key,
        }
    }

    /// With a key: (number of keys that should be there).
    pub fn keys(&self) -> String {
        let key = self.layout.key.iter().map(|place| self.column("e", *place)).collect::<Vec<_>>().join(", ");
        let keyless = match self.may_be_keyless() {
            true => format!(" + (select count(*) from {} e where {})", self.expected, self.keyless("e")),
            false => String::new(),
        };
        let known = self.layout.key.iter().map(|place| format!("{} is not null", self.column("e", *place)));
        let known = known.collect::<Vec<_>>().join(" and ");
        format!(
            "select (select count(*) from (select distinct {key} from {} e where {known}) k){keyless}",
            self.expected
        )
    }

    /// With a key: (cells, origin) of rows that are not there.
    pub fn lost(&self) -> String {
        format!(
            "select {}, {} from {} e where not exists (select 1 from {} t where {}) and {} order by e.{PARTITION}, e.{POSITION}",
            self.cells("e"),
            origin("e"),
            self.expected,
            self.target,
            self.matches("e", "t"),
            self.is_first(),
        )
    }

    /// With a key: (cells as they should be, cells as they are, origin) of rows with other content.
    pub fn altered(&self) -> String {
        format!(
            "select {}, {}, {} from {} e join {} t on {} where {} and not exists (select 1 from {} o where {} and {}) \
             order by e.{PARTITION}, e.{POSITION}",
            self.cells_known("e", "t"),
            self.cells("t"),
            origin("e"),
            self.expected,
            self.target,
            self.same_key("t", "e"),
            self.is_first(),
            self.expected,
            self.same_key("o", "e"),
            self.same("o", "t"),
        )
    }

    /// With a key: (cells) of rows that nothing explains.
    pub fn unexpected(&self) -> String {
        let (cells, same) = (self.cells("t"), self.matches("e", "t"));
        format!(
            "select {cells} from {} t where not exists (select 1 from {} e where {same})",
            self.target, self.expected
        )
    }

    /// One of the rows of a key is enough to speak for it.
    fn is_first(&self) -> String {
        format!(
            "not exists (select 1 from {} f where {} and f.{PARTITION} < e.{PARTITION})",
            self.expected,
            self.same_key("f", "e")
        )
    }

    /// Without a key: (cells, how many should be there, how many are there, origin) of rows that differ in number.
    pub fn numbers(&self) -> String {
        let columns = |of: &str| {
            let columns = (0..self.layout.slots.len()).map(|place| match self.compared.contains(&place) {
                true => format!("{} as c{place}", (self.comparable)(place, self.column(of, place))),
                false => format!("null as c{place}"),
            });
            columns.collect::<Vec<_>>().join(", ")
        };
        let names: Vec<String> = (0..self.layout.slots.len()).map(|place| format!("c{place}")).collect();
        let cells: Vec<String> = names.iter().map(|name| (self.text)(name.clone())).collect();
        format!(
            "select {}, cast(sum(e) as bigint), cast(sum(t) as bigint), min(o) from (select {}, 1 as e, 0 as t, {} as o \
             from {} e union all select {}, 0, 1, null from {} t) both_of_them group by {} having sum(e) <> sum(t)",
            cells.join(", "),
            columns("e"),
            origin("e"),
            self.expected,
            columns("t"),
            self.target,
            names.join(", "),
        )
    }
}

/// Where an expected row comes from, in one expression: see [`Row::new`](super::Row::new).
fn origin(of: &str) -> String {
    format!("cast({of}.{PARTITION} as text) || ':' || cast({of}.{POSITION} as text)")
}
