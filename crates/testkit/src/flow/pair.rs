//! Pairs of a source and its sinks.
use crate::{bucket::Kind, fault_points::Point};
use std::{fmt, str::FromStr};

/// A kind of source or sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A file of JSON lines.
    File,
    /// Generated records.
    Generate,
    /// A SQLite file; as a source, it is read by `jdbc`.
    Sqlite,
    /// Pushed over HTTP.
    Http,
    /// A table that PostgreSQL is asked for.
    Jdbc,
    /// A table that MariaDB is asked for.
    Mariadb,
    /// Pages of a REST API.
    Rest,
    /// A Kafka topic.
    Kafka,
    /// A PostgreSQL table.
    Postgres,
    /// An index of Elasticsearch.
    Elasticsearch,
    /// An index of OpenSearch.
    Opensearch,
    /// Objects of JSON lines; of a sink in folders by an expression, of a source every second one compressed.
    S3,
    /// Objects of Parquet, the same.
    Parquet,
    /// Blobs of JSON lines, the same.
    Azure,
    /// Files of JSON lines, in folders by an expression.
    Folder,
}

impl Place {
    /// Its name in pairs, and of its sink where there are several.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Generate => "generate",
            Self::Sqlite => "sqlite",
            Self::Http => "http",
            Self::Jdbc => "jdbc",
            Self::Mariadb => "mariadb",
            Self::Rest => "rest",
            Self::Kafka => "kafka",
            Self::Postgres => "postgres",
            Self::Elasticsearch => "elasticsearch",
            Self::Opensearch => "opensearch",
            Self::S3 => "s3",
            Self::Parquet => "s3-parquet",
            Self::Azure => "azureblob",
            Self::Folder => "folder",
        }
    }

    /// Whether, as a source, it is a table of a database.
    pub(super) fn is_table(self) -> bool {
        matches!(self, Self::Jdbc | Self::Mariadb | Self::Sqlite)
    }

    /// The store that its sink writes objects to, if it does, and whether those are of Parquet.
    pub(super) fn objects(self) -> Option<(Kind, bool)> {
        match self {
            Self::S3 => Some((Kind::S3, false)),
            Self::Parquet => Some((Kind::S3, true)),
            Self::Azure => Some((Kind::Azure, false)),
            Self::Folder => Some((Kind::Folder, false)),
            _ => None,
        }
    }

    fn searches(self) -> bool {
        matches!(self, Self::Elasticsearch | Self::Opensearch)
    }

    fn has_columns(self) -> bool {
        matches!(self, Self::Sqlite | Self::Postgres | Self::Parquet)
    }

    /// Whether its sink shows output after the journal has it.
    pub(super) fn is_staged(self) -> bool {
        self == Self::File || self.objects().is_some()
    }
}

/// A source, its sinks (mostly one), and the number of lanes to each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The source.
    pub source: Place,
    /// The sinks. None is there twice: they are named after their places.
    pub sinks: &'static [Place],
    /// The number of lanes.
    pub lanes: u32,
}

impl Pair {
    const fn new(source: Place, sinks: &'static [Place], lanes: u32) -> Self {
        Self { source, sinks, lanes }
    }

    /// All pairs for which the promises are proved. The first ones suffer every strike; the others are only
    /// restored, so that each source and each sink meets that with several of the other kind.
    pub const ALL: [Self; 35] = [
        Self::new(Place::File, &[Place::File], 1),
        Self::new(Place::File, &[Place::Sqlite], 1),
        Self::new(Place::Http, &[Place::Sqlite], 1),
        Self::new(Place::Kafka, &[Place::Postgres], 1),
        Self::new(Place::Kafka, &[Place::Postgres], 2),
        Self::new(Place::Kafka, &[Place::Postgres], 4),
        Self::new(Place::Kafka, &[Place::File], 1),
        Self::new(Place::File, &[Place::Kafka], 1),
        Self::new(Place::Kafka, &[Place::Kafka], 2),
        Self::new(Place::File, &[Place::Elasticsearch], 1),
        Self::new(Place::Kafka, &[Place::Opensearch], 2),
        Self::new(Place::File, &[Place::S3], 1),
        Self::new(Place::Kafka, &[Place::S3], 2),
        Self::new(Place::Kafka, &[Place::Parquet], 2),
        Self::new(Place::File, &[Place::Folder], 1),
        Self::new(Place::Kafka, &[Place::Folder], 2),
        Self::new(Place::Kafka, &[Place::Azure], 2),
        Self::new(Place::File, &[Place::File, Place::Sqlite], 1),
        Self::new(Place::Kafka, &[Place::Postgres, Place::Kafka, Place::Elasticsearch], 2),
        Self::new(Place::Rest, &[Place::Sqlite], 1),
        Self::new(Place::Jdbc, &[Place::Postgres], 1),
        Self::new(Place::Jdbc, &[Place::Kafka], 1),
        Self::new(Place::Sqlite, &[Place::Sqlite], 1),
        Self::new(Place::Mariadb, &[Place::Postgres], 1),
        Self::new(Place::S3, &[Place::File], 1),
        Self::new(Place::Http, &[Place::Kafka], 1),
        Self::new(Place::Generate, &[Place::Kafka], 1),
        Self::new(Place::File, &[Place::Postgres], 1),
        Self::new(Place::Http, &[Place::File], 1),
        Self::new(Place::Http, &[Place::Postgres], 1),
        Self::new(Place::Kafka, &[Place::Sqlite], 1),
        Self::new(Place::Generate, &[Place::File], 1),
        Self::new(Place::Generate, &[Place::Sqlite], 1),
        Self::new(Place::Generate, &[Place::Postgres], 1),
        Self::new(Place::Http, &[Place::Sqlite, Place::File, Place::Kafka], 1),
    ];

    /// Whether it suffers every strike.
    pub fn is_struck(self) -> bool {
        Self::ALL[..25].contains(&self)
    }

    /// Whether it needs running servers.
    pub fn needs_servers(self) -> bool {
        matches!(self.source, Place::Kafka | Place::Jdbc | Place::Mariadb | Place::S3)
            || !self.sinks.iter().all(|sink| matches!(sink, Place::File | Place::Sqlite | Place::Folder))
    }

    /// Whether it needs Elasticsearch or OpenSearch.
    pub fn searches(self) -> bool {
        self.sinks.iter().any(|sink| sink.searches())
    }

    /// Whether a sink's table has a constraint and exists beforehand, or its index a mapping; otherwise the sink creates the table.
    pub fn constrains(self, sink: Place) -> bool {
        sink == Place::Postgres || sink.searches() || (self.source == Place::Http && sink == Place::Sqlite)
    }

    /// Whether one of its sinks shows output after the journal has it.
    pub fn is_staged(self) -> bool {
        self.sinks.iter().any(|sink| sink.is_staged())
    }

    /// Whether its source ends by itself.
    pub fn is_bounded(self) -> bool {
        matches!(self.source, Place::File | Place::Generate | Place::Rest | Place::S3)
    }

    /// The points that it always passes, from an empty folder to its end and a SIGTERM.
    pub fn points(self) -> impl Iterator<Item = Point> {
        Point::ALL.into_iter().filter(move |point| match point {
            Point::Ingest | Point::Collect => self.source == Place::Http,
            Point::Seal | Point::Publish => self.is_staged(),
            Point::Define => self.sinks.iter().any(|sink| sink.has_columns()),
            // Only a table created by the sink has columns with learned types.
            Point::SchemaChange => self.sinks.iter().any(|sink| sink.has_columns() && !self.constrains(*sink)),
            _ => true,
        })
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sinks: Vec<_> = self.sinks.iter().map(|sink| sink.name()).collect();
        write!(f, "{}-{}", self.source.name(), sinks.join("+"))?;
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
