//! Pairs of source and sink.
use crate::fault_points::Point;
use std::{fmt, str::FromStr};

/// A kind of source or sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file of JSON lines.
    File,
    /// Generated records.
    Generate,
    /// A SQLite file.
    Sqlite,
    /// Pushed over HTTP.
    Http,
    /// A Kafka topic.
    Kafka,
    /// A PostgreSQL table.
    Postgres,
}

impl Place {
    fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Generate => "generate",
            Self::Sqlite => "sqlite",
            Self::Http => "http",
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
        }
    }
}

/// A source, a sink, and the number of lanes between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The source.
    pub source: Place,
    /// The sink.
    pub sink: Place,
    /// The number of lanes.
    pub lanes: u32,
}

impl Pair {
    const fn new(source: Place, sink: Place, lanes: u32) -> Self {
        Self { source, sink, lanes }
    }

    /// All pairs for which the promises are proved. The first ones suffer every strike; the others complete all
    /// combinations of source and sink, and are only restored.
    pub const ALL: [Self; 18] = [
        Self::new(Place::File, Place::File, 1),
        Self::new(Place::File, Place::Sqlite, 1),
        Self::new(Place::Http, Place::Sqlite, 1),
        Self::new(Place::Kafka, Place::Postgres, 1),
        Self::new(Place::Kafka, Place::Postgres, 2),
        Self::new(Place::Kafka, Place::Postgres, 4),
        Self::new(Place::Kafka, Place::File, 1),
        Self::new(Place::File, Place::Kafka, 1),
        Self::new(Place::Kafka, Place::Kafka, 2),
        Self::new(Place::Http, Place::Kafka, 1),
        Self::new(Place::Generate, Place::Kafka, 1),
        Self::new(Place::File, Place::Postgres, 1),
        Self::new(Place::Http, Place::File, 1),
        Self::new(Place::Http, Place::Postgres, 1),
        Self::new(Place::Kafka, Place::Sqlite, 1),
        Self::new(Place::Generate, Place::File, 1),
        Self::new(Place::Generate, Place::Sqlite, 1),
        Self::new(Place::Generate, Place::Postgres, 1),
    ];

    /// Whether it suffers every strike.
    pub fn is_struck(self) -> bool {
        Self::ALL[..9].contains(&self)
    }

    /// Whether it needs a running Kafka or PostgreSQL.
    pub fn needs_servers(self) -> bool {
        self.source == Place::Kafka || matches!(self.sink, Place::Kafka | Place::Postgres)
    }

    /// Whether its table has a constraint and exists beforehand; otherwise the sink creates the table.
    pub fn is_constrained(self) -> bool {
        self.sink == Place::Postgres || (self.source == Place::Http && self.sink == Place::Sqlite)
    }

    fn has_table(self) -> bool {
        matches!(self.sink, Place::Sqlite | Place::Postgres)
    }

    /// Whether its source ends by itself.
    pub fn is_bounded(self) -> bool {
        matches!(self.source, Place::File | Place::Generate)
    }

    /// The points that it always passes, from an empty folder to its end and a SIGTERM.
    pub fn points(self) -> impl Iterator<Item = Point> {
        Point::ALL.into_iter().filter(move |point| match point {
            Point::Ingest | Point::Collect => self.source == Place::Http,
            Point::Seal | Point::Publish => self.sink == Place::File,
            Point::Define => self.has_table(),
            // Only a table created by the sink has columns with learned types.
            Point::SchemaChange => self.has_table() && !self.is_constrained(),
            _ => true,
        })
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.source.name(), self.sink.name())?;
        if self.lanes == 1 { Ok(()) } else { write!(f, "-{}-lanes", self.lanes) }
    }
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names = || Self::ALL.map(|pair| pair.to_string()).join(", ");
        Self::ALL.into_iter().find(|pair| pair.to_string() == text).ok_or_else(|| format!("the pairs are {}", names()))
    }
}
