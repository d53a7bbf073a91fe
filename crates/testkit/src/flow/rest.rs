//! The records of a flow as pages of an API.
use super::Data;
use crate::api::{Api, Reply};
use serde_json::{Value, json};

/// Records of a page: no multiple of a batch's, nor the other way round.
const SIZE: u64 = 35;

/// Serves them, page by page, by a cursor.
pub(super) fn serve(data: Data) -> Api {
    Api::new(move |asked| {
        let from = asked.query.get("cursor").and_then(|cursor| cursor.strip_prefix("from ")?.parse().ok()).unwrap_or(0);
        let to = (from + SIZE).min(data.records);
        let items: Vec<String> = (from..to).map(|n| data.line(n)).collect();
        let next = (to < data.records).then(|| format!("from {to}"));
        Reply::json(format!("{{\"items\":[{}],\"next\":{}}}", items.join(", "), json!(next)))
    })
}

/// What reads them.
pub(super) fn source(api: &Api) -> Value {
    let pagination = json!({"type": "cursor", "parameter": "cursor", "next": "/next"});
    json!({"type": "rest", "url": api.url("/records"), "records": "/items", "pagination": pagination})
}

/// The position of record `n`.
pub(super) fn position(n: u64) -> String {
    format!("0.{}.{}", n / SIZE, n % SIZE)
}
