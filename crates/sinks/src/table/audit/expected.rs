//! Stores the expected rows in a scratch file, and compares each row of the target with them.
use super::{
    differences::{Differences, Row},
    value::{ABSENT, Cell, Class},
};
use crate::document::Document;
use dataflow_sdk::{
    Error,
    audit::{Findings, Leftovers, Origin, Origins},
    batch::{Output, Payload},
    records::Layout,
};
use rusqlite::{Connection, OptionalExtension, Result, params};
use std::collections::BTreeMap;
use xxhash_rust::xxh3::Xxh3;

/// A compared column of the target.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The class of its values.
    pub class: Class,
    /// Whether it fills itself when a record lacks the field.
    pub fills: bool,
    /// When two of its texts are the same key.
    pub equal: Equal,
}

/// When two texts are the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Equal {
    /// If they are identical.
    Exactly,
    /// Also if they differ only in the case of ASCII letters.
    InAnyCase,
    /// Also if they differ only in trailing blanks.
    UpToBlanks,
    /// If the database says so.
    ByDatabase,
}

/// The number of the key that the database considers equal to a value, by the column's place, where only the database
/// decides.
pub type Same = BTreeMap<usize, i64>;

/// A row's expected value of each column.
#[derive(Clone, Debug)]
pub struct Said {
    /// In the order of the columns.
    pub cells: Vec<Cell>,
    /// The numbers of its keys.
    pub same: Same,
    /// The origin of the row.
    pub origin: Origin,
    /// Whether it is deleted: then it has only a key.
    deletes: bool,
}

/// The expected rows. With a key: the combined result of each partition's records with that key, or that the last of them
/// deletes it.
pub struct Expected {
    scratch: Connection,
    columns: Vec<Column>,
    /// Places of the key's columns; empty: rows are appended.
    key: Vec<usize>,
    /// Places of the columns that are not compared, because their value differs each time a record is read.
    volatile: Vec<bool>,
    origins: Origins,
    leftovers: Leftovers,
    differences: Differences,
    /// The part of the target that is read, and how many of its rows were.
    part: Option<(String, u64)>,
}

impl std::fmt::Debug for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expected").field("columns", &self.columns).finish_non_exhaustive()
    }
}

fn failed(error: &rusqlite::Error) -> Error {
    Error::transient("scratch", format!("the expected rows can't be stored in a scratch file: {error}"))
}

impl Expected {
    /// Creates an empty set for a table with these columns and this key.
    ///
    /// # Errors
    /// If no scratch file can be created.
    pub fn new(columns: Vec<Column>, key: &[String], volatile: &[String]) -> Result<Self, Error> {
        let place = |name: &String| columns.iter().position(|column| column.name == *name);
        let key: Vec<usize> = key.iter().filter_map(place).collect();
        let volatile: Vec<bool> = columns.iter().map(|column| volatile.contains(&column.name)).collect();
        let compared = (0..columns.len()).filter(|place| !volatile[*place]).collect();
        let names = columns.iter().map(|column| column.name.clone()).collect();
        let differences = Differences::new(names, key.clone(), compared);
        let make = || {
            let scratch = Connection::open("")?;
            scratch.execute_batch(
                "pragma journal_mode = off; pragma synchronous = off; pragma cache_size = -16000; \
                 create table keyed (key text, partition int, position int, cells text, seen int default 0, \
                    primary key (key, partition)) without rowid; \
                 create table appended (id integer primary key, hash blob, partition int, position int, cells text, claimed int default 0); \
                 begin",
            )?;
            Ok(scratch)
        };
        let scratch = make().map_err(|error| failed(&error))?;
        let (origins, leftovers) = (Origins::default(), Leftovers::default());
        Ok(Self { scratch, columns, key, volatile, origins, leftovers, differences, part: None })
    }

    /// Extracts each column's expected value from documents.
    ///
    /// # Errors
    /// If the output has no documents.
    pub fn said(&mut self, rows: &Output) -> Result<Vec<Said>, Error> {
        let Payload::Documents { data, spans } = &rows.payload else {
            return Err(Error::fatal("internal", "an audit was given columns where it asked for documents").for_user());
        };
        let is_csv = rows.records.as_ref().is_some_and(|records| matches!(records.layout, Layout::Csv(_)));
        let untyped = |column: &Column| is_csv && !rows.typed.contains(&column.name);
        let origins = self.origins.of(rows);
        let said = spans.iter().zip(origins).enumerate().map(|(row, (span, origin))| {
            let (document, deletes) = (Document::read(span.of(data)), rows.deletes(row));
            if !deletes {
                for field in document.without(self.columns.iter().map(|column| column.name.as_str())) {
                    self.leftovers.note(field, origin, &self.origins);
                }
            }
            let cell = |(place, column): (usize, &Column)| match document.get(&column.name) {
                Some(json) if !deletes || self.key.contains(&place) => column.class.said(&json, untyped(column)),
                _ => Some(ABSENT.to_owned()),
            };
            let cells = self.columns.iter().enumerate().map(cell).collect();
            Said { cells, same: Same::new(), origin, deletes }
        });
        Ok(said.collect())
    }

    /// Stores expected rows.
    ///
    /// # Errors
    /// If there is no room for them.
    pub fn keep(&mut self, rows: Vec<Said>) -> Result<(), Error> {
        for Said { cells, same, origin, deletes } in rows {
            let kept = match (deletes, self.is_keyed(&cells)) {
                (true, _) => self.put(&self.key_of(&cells, &same), origin, None),
                (false, true) => self.upsert(cells, &same, origin),
                (false, false) => self.append(&cells, origin),
            };
            kept.map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    /// Whether a row replaces that of its key. One that lacks a part which the target fills gets a key of its own.
    fn is_keyed(&self, cells: &[Cell]) -> bool {
        let own = |place: &usize| is_absent(&cells[*place]) && self.columns[*place].fills;
        !self.key.is_empty() && !self.key.iter().any(own)
    }

    fn upsert(&self, mut cells: Vec<Cell>, same: &Same, origin: Origin) -> Result<()> {
        let key = self.key_of(&cells, same);
        let mut known = self.scratch.prepare_cached("select cells from keyed where key = ?1 and partition = ?2")?;
        let known: Option<Option<String>> =
            known.query_row(params![key, origin.partition], |row| row.get(0)).optional()?;
        match known {
            // A column without a field in the record keeps its value.
            Some(Some(known)) => {
                for (cell, before) in cells.iter_mut().zip(unpacked(&known)).filter(|(cell, _)| is_absent(cell)) {
                    *cell = before;
                }
            }
            // After a delete it is a new row.
            Some(None) => {
                for (cell, column) in cells.iter_mut().zip(&self.columns).filter(|(cell, _)| is_absent(cell)) {
                    if !column.fills {
                        *cell = None;
                    }
                }
            }
            None => {}
        }
        self.put(&key, origin, Some(packed(&cells)))
    }

    /// Stores the last row of a key in a partition; no cells: it is deleted.
    fn put(&self, key: &str, origin: Origin, cells: Option<String>) -> Result<()> {
        let mut insert = self.scratch.prepare_cached("insert or replace into keyed values (?1, ?2, ?3, ?4, 0)")?;
        insert.execute(params![key, origin.partition, origin.position as i64, cells]).map(drop)
    }

    fn append(&self, cells: &[Cell], origin: Origin) -> Result<()> {
        let whole = !self.columns.iter().zip(cells).any(|(column, cell)| column.fills && is_absent(cell));
        let mut insert = self
            .scratch
            .prepare_cached("insert into appended (hash, partition, position, cells) values (?1, ?2, ?3, ?4)")?;
        insert
            .execute(params![self.hash(cells, whole), origin.partition, origin.position as i64, packed(cells)])
            .map(drop)
    }

    /// The hash of rows with the same cells; cells that the target fills itself count only if `whole`.
    fn hash(&self, cells: &[Cell], whole: bool) -> Vec<u8> {
        let mut hash = Xxh3::new();
        hash.update(&[u8::from(whole)]);
        for ((column, cell), volatile) in self.columns.iter().zip(cells).zip(&self.volatile) {
            if *volatile || column.fills && !whole {
                continue;
            }
            match cell.as_deref().filter(|cell| *cell != ABSENT) {
                Some(cell) => {
                    hash.update(&(cell.len() as u64).to_le_bytes());
                    hash.update(cell.as_bytes());
                }
                None => hash.update(&u64::MAX.to_le_bytes()),
            }
        }
        hash.digest128().to_le_bytes().to_vec()
    }

    fn key_of(&self, cells: &[Cell], same: &Same) -> String {
        let mut key = String::new();
        for place in &self.key {
            let cell = cells[*place].as_deref().unwrap_or(ABSENT);
            let folded = match (self.columns[*place].equal, same.get(place)) {
                (Equal::ByDatabase, Some(number)) => format!("#{number}"),
                (Equal::Exactly | Equal::ByDatabase, _) => cell.to_owned(),
                (Equal::InAnyCase, _) => cell.to_ascii_lowercase(),
                (Equal::UpToBlanks, _) => cell.trim_end_matches(' ').to_owned(),
            };
            key.push_str(&format!("{}:{folded}", folded.len()));
        }
        key
    }

    /// Ends the expected rows; rows of the target come next.
    ///
    /// # Errors
    /// If the scratch file can't be written.
    pub fn begin(&mut self) -> Result<(), Error> {
        let made = self.scratch.execute_batch("create index by_hash on appended (hash, claimed, id)");
        made.map_err(|error| failed(&error))
    }

    /// The rows that come next are those of this part of the target (an object): they are found by their number there.
    pub fn part(&mut self, name: String) {
        self.part = Some((name, 0));
    }

    /// Compares a row of the target: its columns in order, and the numbers of its keys.
    ///
    /// # Errors
    /// If the scratch file can't be read.
    pub fn found(&mut self, cells: Vec<Cell>, same: &Same) -> Result<(), Error> {
        self.differences.findings.found += 1;
        if let Some((_, rows)) = &mut self.part {
            *rows += 1;
        }
        let held = if self.key.is_empty() { self.held_against_rows(cells) } else { self.held_against_key(cells, same) };
        held.map_err(|error| failed(&error))
    }

    fn held_against_key(&mut self, cells: Vec<Cell>, same: &Same) -> Result<()> {
        let key = self.key_of(&cells, same);
        let mut of_key = self
            .scratch
            .prepare_cached("select cells, partition, position from keyed where key = ?1 order by partition")?;
        let known = of_key.query_map([&key], |row| {
            let origin = Origin { partition: row.get(1)?, position: row.get::<_, i64>(2)? as u64 };
            let cells = row.get::<_, Option<String>>(0)?;
            Ok((cells.map(|cells| unpacked(&cells)), origin))
        })?;
        let of_partitions = known.collect::<Result<Vec<_>>>()?;
        drop(of_key);
        let mut found = Row { cells, origin: None, place: None };
        if of_partitions.is_empty() {
            return self.held_against_rows(found.cells);
        }
        self.scratch.prepare_cached("update keyed set seen = 1 where key = ?1")?.execute([&key])?;
        let deleted = of_partitions.last().map(|(_, origin)| *origin);
        let known = of_partitions
            .into_iter()
            .filter_map(|(cells, origin)| Some(Row { cells: cells?, origin: Some(origin), place: None }));
        let known: Vec<Row> = known.collect();
        let Some(first) = known.first() else {
            found.origin = deleted;
            self.differences.undeleted(&found);
            return Ok(());
        };
        // It is unknown which partition's row was written last; a column that one of them lacks may have another's
        // value.
        let says = |row: &Row, place: usize| row.cells[place] == found.cells[place];
        let silent = |row: &Row, place: usize| is_absent(&row.cells[place]);
        let explains = |row: &Row| {
            self.compared().all(|place| match silent(row, place) {
                true => known.iter().all(|other| silent(other, place)) || known.iter().any(|other| says(other, place)),
                false => says(row, place),
            })
        };
        if !known.iter().any(explains) {
            self.differences.altered(first, &found);
        }
        Ok(())
    }

    fn compared(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.columns.len()).filter(|place| !self.volatile[*place])
    }

    fn held_against_rows(&mut self, cells: Vec<Cell>) -> Result<()> {
        let fits = |wanted: &[Cell]| {
            self.compared().all(|place| {
                let filled = is_absent(&wanted[place]);
                filled && self.columns[place].fills || wanted[place] == cells[place] || filled && cells[place].is_none()
            })
        };
        let mut claim = None;
        {
            let mut candidates = self
                .scratch
                .prepare_cached("select id, cells from appended where hash = ?1 and claimed = 0 order by id")?;
            for whole in [true, false] {
                let mut rows = candidates.query([self.hash(&cells, whole)])?;
                while let Some(row) = rows.next()? {
                    if fits(&unpacked(row.get_ref(1)?.as_str()?)) {
                        claim = Some(row.get::<_, i64>(0)?);
                        break;
                    }
                }
                if claim.is_some() {
                    break;
                }
            }
        }
        if let Some(id) = claim {
            return self
                .scratch
                .prepare_cached("update appended set claimed = 1 where id = ?1")?
                .execute([id])
                .map(drop);
        }
        let sql = "select partition, position from appended where hash = ?1 and claimed = 1 order by id limit 1";
        let origin =
            |row: &rusqlite::Row<'_>| Ok(Origin { partition: row.get(0)?, position: row.get::<_, i64>(1)? as u64 });
        let twin = self.scratch.prepare_cached(sql)?.query_row([self.hash(&cells, true)], origin).optional()?;
        let place = self.part.as_ref().map(|(name, row)| format!("{name} row {row}"));
        let row = Row { cells, origin: twin, place };
        match twin {
            Some(_) => self.differences.doubled(&row),
            None => self.differences.unexpected(row),
        }
        Ok(())
    }

    /// Returns the findings, after the last row of the target.
    ///
    /// # Errors
    /// If the scratch file can't be read.
    pub fn finish(mut self) -> Result<Findings, Error> {
        let number =
            |sql: &str| self.scratch.query_row(sql, [], |row| row.get::<_, i64>(0)).map(|number| number as u64);
        // Of a key that one partition deletes and another one writes, nothing is known.
        let count = "select (select count(*) from (select key from keyed group by key \
                having count(cells) > 0 and (max(seen) = 1 or count(cells) = count(*)))) \
            + (select count(*) from appended)";
        let missing = "select cells, partition, min(position) as position from keyed where seen = 0 group by key \
                having count(cells) = count(*) \
            union all select cells, partition, position from appended where claimed = 0 order by partition, position";
        let mut missed = || {
            self.differences.findings.expected = number(count)?;
            let mut statement = self.scratch.prepare(missing)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let origin = Origin { partition: row.get(1)?, position: row.get::<_, i64>(2)? as u64 };
                let cells = unpacked(row.get_ref(0)?.as_str()?);
                self.differences.lost(Row { cells, origin: Some(origin), place: None });
            }
            Ok(())
        };
        missed().map_err(|error: rusqlite::Error| failed(&error))?;
        let mut findings = self.differences.finish(&self.origins);
        findings.unwritten = self.leftovers.into_vec();
        Ok(findings)
    }
}

fn is_absent(cell: &Cell) -> bool {
    cell.as_deref() == Some(ABSENT)
}

fn packed(cells: &[Cell]) -> String {
    serde_json::to_string(cells).unwrap_or_default()
}

fn unpacked(cells: &str) -> Vec<Cell> {
    serde_json::from_str(cells).unwrap_or_default()
}
