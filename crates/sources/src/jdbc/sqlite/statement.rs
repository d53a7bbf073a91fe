//! The statements that read rows after a key, in the order of their keys. Each part is a statement of its own, so that nothing of the file
//! is held between two of them.

/// A limit of the first column of the order, whose value is the parameter after those of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    None,
    Below,
    UpTo,
}

/// A name, quoted.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The statements for what is read: what comes after FROM, and the columns of the order.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) from: String,
    pub(super) order: Vec<String>,
}

impl Statements {
    /// The rows after a key of so many values.
    pub(super) fn rows(&self, values: usize, limit: Limit) -> String {
        let order = self.order.join(", ");
        format!("select q.* from {} where {} order by {order} limit {}", self.from, self.after(values, limit), "?")
    }

    /// The last of these keys.
    pub(super) fn highest(&self, values: usize, limit: Limit) -> String {
        let downwards: Vec<_> = self.order.iter().map(|column| format!("{column} desc")).collect();
        let (names, order) = (self.order.join(", "), downwards.join(", "));
        format!("select {names} from {} where {} order by {order} limit 1", self.from, self.after(values, limit))
    }

    /// How many rows are related so to a key.
    pub(super) fn count(&self, operator: &str) -> String {
        format!("select count(*) from {} where {}", self.from, self.compared(operator, self.order.len()))
    }

    fn after(&self, values: usize, limit: Limit) -> String {
        let after = if values == 0 { "true".into() } else { self.compared(">", values) };
        let first = self.order.first().map_or("true", String::as_str);
        match limit {
            Limit::None => after,
            Limit::Below => format!("{after} and {first} < ?"),
            Limit::UpTo => format!("{after} and {first} <= ?"),
        }
    }

    /// Columns are on the left: their collations and affinities count.
    fn compared(&self, operator: &str, values: usize) -> String {
        let marks = vec!["?"; values].join(", ");
        format!("({}) {operator} ({marks})", self.order[..values].join(", "))
    }
}
