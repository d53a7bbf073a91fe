//! Records, outputs and tokens for tests.
use arrow::array::{
    ArrayRef, Float64Array, Int16Array, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    new_null_array,
};
use arrow::{
    buffer::BooleanBuffer,
    datatypes::{DataType, Field, Schema},
};
use dataflow_core::{
    branch::BranchId,
    id::{Epoch, Generation, Incarnation},
    ledger::Counters,
    level::WriteLevel,
    position::{Position, Positions},
    spec::BatchSpec,
    token::{Fence, Token},
};
use dataflow_sdk::{
    Context, Records, Span,
    batch::{Cells, Demand, Output, Payload, arrow_type},
    records::{Layout, Slices},
    sink::{OpenLane, Reserved, TakeOver, Waits},
};
use std::sync::Arc;

/// A context for a pipeline of this id.
///
/// # Panics
/// If the id is invalid.
pub fn context(pipeline: &str) -> Context {
    Context {
        branch: id(pipeline),
        incarnation: incarnation(),
        batch: BatchSpec::default(),
        max_record_bytes: 16 << 20,
        max_in_flight_bytes: 64 << 20,
        paths: Arc::default(),
        again: false,
        inbox: None,
        stop: tokio_util::sync::CancellationToken::new(),
    }
}

fn id(text: &str) -> BranchId {
    BranchId::try_from(text).unwrap_or_else(|error| panic!("{error}"))
}

fn incarnation() -> Incarnation {
    Incarnation::try_from("1-first").unwrap_or_else(|error| panic!("{error}"))
}

/// The fence of lane 0, generation 1 of a pipeline.
pub fn fence(pipeline: &str, epoch: u64) -> Fence {
    let (branch, generation) = (id(pipeline), Generation::FIRST);
    Fence { branch, incarnation: incarnation(), generation, lane: 0, epoch: Epoch(epoch), opening: 1 }
}

/// An opening with this fence and an empty journal.
pub fn open_lane(fence: &Fence) -> OpenLane {
    OpenLane {
        fence: fence.clone(),
        lanes: fence.lane + 1,
        journal: "a-journal".into(),
        level: WriteLevel::NEWEST,
        take_over: TakeOver::Nobody,
        first: true,
        journalled: None,
        settled: false,
        counted: Counters::default(),
        begin: [("p/9".into(), Position::offset(fence.generation.number))].into(),
        known: Vec::new(),
        siblings: vec![Generation::FIRST],
        ancestors: Vec::new(),
        earlier: None,
        remembered: None,
        sealed: Vec::new(),
        left: Vec::new(),
        reserved: Reserved::up_to(version(fence, VERSIONS - 1)),
        waits: Waits::default(),
    }
}

/// The token of a commit, with a position and counters that depend on its number.
pub fn token(fence: &Fence, sequence: u64) -> Token {
    let counters = Counters { read: sequence * 10, delivered: sequence * 10, batches: sequence, ..Counters::default() };
    Token {
        fence: fence.clone(),
        sequence,
        positions: Arc::new([("p/0".into(), Position::offset(sequence * 10).of("identity"))].into()),
        counters,
        chunks: Vec::new(),
        warnings: Default::default(),
        version: version(fence, sequence),
    }
}

/// How many versions an epoch has.
const VERSIONS: u64 = 1_000_000;

fn version(fence: &Fence, sequence: u64) -> u64 {
    fence.epoch.0 * VERSIONS + sequence
}

/// The positions in so many files.
pub fn many_files(count: u64) -> Positions {
    let file = |number: u64| {
        let path = format!("/var/log/services/2026-11-29/service-{}/instance-{number}/requests.jsonl", number % 97);
        (path.as_str().into(), Position::offset(100_000 + number).of("2049:131072-9f86d081884c7d659a2feaa0c55ad015"))
    };
    (0..count).map(file).collect()
}

/// A row of tests: `{"id": …, "name": …}`; `None` is NULL.
pub type Pair<'a> = (Option<i64>, Option<&'a str>);

fn document((id, name): &Pair<'_>) -> String {
    serde_json::json!({"id": id, "name": name}).to_string()
}

/// Records of partition `p/0` with these rows as JSON, from an offset on; their ids are those of the rows.
pub fn records(from: u64, rows: &[Pair<'_>]) -> Records {
    let mut data = Vec::new();
    let spans = rows.iter().map(|row| {
        let text = document(row);
        data.extend_from_slice(text.as_bytes());
        Span::new(data.len() - text.len(), data.len())
    });
    let spans = spans.collect();
    let mut keys = Vec::new();
    let key_spans = rows.iter().map(|(id, _)| match id {
        Some(id) => {
            let start = keys.len();
            keys.extend_from_slice(id.to_string().as_bytes());
            Span::new(start, keys.len())
        }
        None => Span::NULL,
    });
    let key_spans = key_spans.collect();
    let to = from + rows.len() as u64;
    Records {
        to: Position::offset(to),
        data: data.into(),
        spans,
        offsets: (from..to).collect(),
        keys: Some(Slices { data: keys.into(), spans: key_spans }),
        ..Records::empty("p/0".into(), Position::offset(from), Layout::Json)
    }
}

/// An output of these rows in the demanded shape: whole documents, or columns, of which `id` and `name` have values;
/// the records have no other fields.
///
/// # Panics
/// If the demand has types for `id` and `name` that these values don't fit.
pub fn output(demand: &Demand, from: u64, rows: &[Pair<'_>]) -> Output {
    let records = Arc::new(records(from, rows));
    let payload = match demand {
        Demand::Documents | Demand::Lines | Demand::AllColumns => {
            Payload::Documents { data: records.data.clone(), spans: records.spans.clone() }
        }
        Demand::Columns(columns) | Demand::Growing(columns) => {
            let fields = columns.iter().map(|column| Field::new(&column.name, arrow_type(column.ty), true));
            let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
            let json = |column: &dataflow_sdk::batch::Column| {
                matches!(column.ty, dataflow_core::types::Type::Json | dataflow_core::types::Type::Any)
            };
            let arrays = columns.iter().map(|column| array(&column.name, &arrow_type(column.ty), json(column), rows));
            let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
            let batch = RecordBatch::try_new_with_options(schema, arrays.collect(), &options);
            let missing = |column: &dataflow_sdk::batch::Column| !matches!(column.name.as_str(), "id" | "name");
            let absent = columns.iter().map(|column| missing(column).then(|| BooleanBuffer::new_set(rows.len())));
            Payload::Columns(Cells::new(batch.unwrap_or_else(|error| panic!("{error}")), absent.collect()))
        }
    };
    Output::of(records, (0..rows.len() as u32).collect(), payload)
}

fn array(name: &str, ty: &DataType, json: bool, rows: &[Pair<'_>]) -> ArrayRef {
    let ids = || rows.iter().map(|row| row.0);
    match (name, ty) {
        ("id", DataType::Int64) => Arc::new(Int64Array::from_iter(ids())),
        ("id", DataType::Int32) => Arc::new(Int32Array::from_iter(ids().map(|id| id.map(|id| id as i32)))),
        ("id", DataType::Int16) => Arc::new(Int16Array::from_iter(ids().map(|id| id.map(|id| id as i16)))),
        ("id", DataType::Float64) => Arc::new(Float64Array::from_iter(ids().map(|id| id.map(|id| id as f64)))),
        ("id", DataType::Utf8) => Arc::new(StringArray::from_iter(ids().map(|id| id.map(|id| id.to_string())))),
        ("name", DataType::Utf8) if json => Arc::new(StringArray::from_iter(
            rows.iter().map(|row| row.1.map(|name| serde_json::json!(name).to_string())),
        )),
        ("name", DataType::Utf8) => Arc::new(StringArray::from_iter(rows.iter().map(|row| row.1))),
        ("id" | "name", other) => panic!("no test values of type {other} for {name}"),
        (_, other) => new_null_array(other, rows.len()),
    }
}
