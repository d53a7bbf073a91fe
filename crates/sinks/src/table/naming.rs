//! The rules of databases for names.
use super::{Columns, Options};
use dataflow_sdk::{Error, Problem, batch::Column};

/// The rules of a database for names of tables and columns.
#[derive(Debug)]
pub struct Naming {
    /// The database.
    pub database: &'static str,
    /// The longest name in bytes: the rest of a longer one is cut off silently.
    pub longest: Option<usize>,
    /// Names that no column can have, because each table has a built-in column with this name.
    pub taken: &'static [&'static str],
    /// Whether the database considers two names the same.
    pub same: fn(&str, &str) -> bool,
}

impl Naming {
    fn too_long(&self, name: &str) -> Option<String> {
        let longest = self.longest.filter(|longest| name.len() > *longest)?;
        Some(format!("has {} bytes, and {} cuts names at {longest}", name.len(), self.database))
    }

    /// The reason why a column can't have a name.
    fn fault(&self, name: &str) -> Option<String> {
        if name.is_empty() || name.contains('\0') {
            return Some(format!("is not a valid column name for {}", self.database));
        }
        let taken = self.taken.iter().any(|taken| (self.same)(taken, name));
        let taken = taken.then(|| format!("is the name of a built-in column of every table in {}", self.database));
        self.too_long(name).or(taken)
    }

    /// Returns findings about the names in a spec.
    pub fn check(&self, options: &Options) -> Vec<Problem> {
        let mut problems = Vec::new();
        for part in options.table.split('.') {
            if let Some(fault) = self.too_long(part) {
                let problem = Problem::new("table", "too-long", format!("{part:?} {fault}"));
                problems.push(problem.fix("give the table a shorter name"));
            }
        }
        let columns = options.columns.as_ref().map(Columns::names).unwrap_or_default();
        let key = options.key();
        let key = key.iter().map(String::as_str).collect();
        for (path, names) in [("columns", columns), ("key", key)] {
            for (at, name) in names.iter().enumerate() {
                if let Some(fault) = self.fault(name) {
                    let problem = Problem::new(path, "column-name", format!("{name:?} {fault}"));
                    problems.push(problem.fix("rename the field with a map transform, and use its new name here"));
                }
                if let Some(other) = names[..at].iter().find(|other| *other != name && (self.same)(other, name)) {
                    let message = format!("{other:?} and {name:?} are the same name for {}", self.database);
                    let problem = Problem::new(path, "duplicate", message);
                    problems.push(problem.fix("leave one of them out, or rename its field with a map transform"));
                }
            }
        }
        problems
    }

    /// Refuses to create columns that the database would rename, or confuse with one that is `there`.
    ///
    /// # Errors
    /// [`Error::Fatal`] that names the field and how to rename it.
    pub fn refuse<'a>(
        &self,
        table: &str,
        columns: &'a [Column],
        there: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<(), Error> {
        for (at, Column { name, .. }) in columns.iter().enumerate() {
            if let Some(fault) = self.fault_among(columns, at, there.clone()) {
                let message = format!("table {table} can't have a column for the field {name:?}, which {fault}");
                let fix = format!(
                    "rename the field with a map transform ({{\"set\": {{\"<new name>\": {0:?}}}, \"remove\": [{1:?}]}}), leave \
                     it out of columns, or set unknownFields: ignore",
                    super::ddl::quote(name),
                    name
                );
                return Err(Error::fatal("column-name", message).fix(fix).for_user());
            }
        }
        Ok(())
    }

    /// Returns the columns that the database can have beside the others, and those that are `there`.
    pub fn admitted<'a>(&self, columns: &'a [Column], there: impl Iterator<Item = &'a str> + Clone) -> Vec<Column> {
        let admitted = |at: &usize| self.fault_among(columns, *at, there.clone()).is_none();
        (0..columns.len()).filter(admitted).map(|at| columns[at].clone()).collect()
    }

    /// The reason why a column can't exist beside those before it, and those that are `there`.
    fn fault_among<'a>(
        &self,
        columns: &'a [Column],
        at: usize,
        there: impl Iterator<Item = &'a str>,
    ) -> Option<String> {
        let name = columns[at].name.as_str();
        let mut others = columns[..at].iter().map(|column| column.name.as_str()).chain(there);
        let twin = others.find(|other| *other != name && (self.same)(other, name));
        self.fault(name).or(twin.map(|other| format!("is the same name as {other} for {}", self.database)))
    }
}
