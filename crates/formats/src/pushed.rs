//! The body of `POST …/batches`: `{batchId, records: [{id?, data, metadata?}]}`.
