//! The limits of the domain, in one place.

/// How many deleted pipelines of an id are known: a target that has progress of an earlier one needs a user's decision.
pub const REMEMBERED_PIPELINES: usize = 100;
/// Longest pipeline id, in bytes.
pub const MAX_PIPELINE_ID: usize = 128;
/// Longest command id or batch id, in bytes.
pub const MAX_COMMAND_ID: usize = 200;
/// Longest reason of a command, in bytes.
pub const MAX_REASON: usize = 1_000;
/// Longest pipeline name, in characters.
pub const MAX_NAME: usize = 256;
/// Longest description, in characters.
pub const MAX_DESCRIPTION: usize = 4_096;
/// Most labels of a pipeline.
pub const MAX_LABELS: usize = 64;
/// Most transforms of a pipeline.
pub const MAX_TRANSFORMS: usize = 64;
/// Most sinks of a pipeline.
pub const MAX_SINKS: usize = 16;
/// Most expressions of a pipeline's transforms, each column that a query computes being one.
pub const MAX_EXPRESSIONS: usize = 2_000;
/// Longest expression or query, in bytes (64 KiB).
pub const MAX_EXPRESSION: usize = 64 * 1024;
/// Most records of a batch, if a spec asks for it (`batch.maxRecords`).
pub const MAX_BATCH_RECORDS: usize = 1 << 20;
/// Most bytes of a batch, if a spec asks for it (`batch.maxBytes`, 1 GiB).
pub const MAX_BATCH_BYTES: usize = 1 << 30;
/// Longest duration that a spec or the settings may name, in milliseconds (7 days): databases count lock time-outs in 31 bits.
pub const MAX_DURATION_MS: u64 = 7 * 24 * 60 * 60 * 1_000;
/// Most warnings kept of a lane.
pub const MAX_WARNINGS: usize = 100;
/// Longest text of a warning, in characters.
pub const MAX_WARNING: usize = 500;
/// Most lanes of a pipeline.
pub const MAX_LANES: u32 = 64;
/// Command ids remembered per pipeline.
pub const REMEMBERED_COMMANDS: usize = 1_000;
/// How long a command id is remembered, in milliseconds (24 h).
pub const REMEMBERED_COMMANDS_MS: i64 = 24 * 60 * 60 * 1_000;
/// Targets remembered that a pipeline has written to before.
pub const REMEMBERED_TARGETS: usize = 16;
/// Batch ids of pushed records remembered per pipeline.
pub const REMEMBERED_BATCHES: usize = 100_000;
/// Most columns that are inferred rather than asked for.
pub const MAX_INFERRED_COLUMNS: usize = 1_000;
/// Largest body of `POST …/batches`, in bytes (8 MiB).
pub const MAX_BATCH_BODY: usize = 8 * 1024 * 1024;
/// Chunks of dead letters among which a chunk that is named again is looked for: more than all lanes may have named
/// since the last checkpoint.
pub const REMEMBERED_CHUNKS: usize = 65_536;
/// The newest chunks of dead letters of each lane, which a token may still name: a run whose journal is 1,000 chunks
/// behind waits for it.
pub const NAMED_CHUNKS: usize = 2_000;
/// Most letters of a chunk that older chunks were joined into.
pub const JOINED_LETTERS: u64 = 1_000;
/// Most positions of a pipeline that its progress says all of; of more, only those that have changed.
pub const MAX_POSITIONS_TOLD: usize = 256;
