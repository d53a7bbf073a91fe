//! Bodies of `POST …/batches`: taken exactly if they have the shape that is asked for, and read as serde_json reads them.
use crate::records::{Members, depth, is_json};
use dataflow_core::id::BatchId;
use dataflow_formats::{
    MAX_DEPTH,
    pushed::{self, Record},
};

/// A body.
pub fn check(data: &[u8]) {
    let body = data.to_vec().into();
    let said = String::from_utf8_lossy(data);
    match pushed::check(data) {
        Err(problems) => {
            assert!(!problems.is_empty() && problems.len() <= 100);
            assert!(problems.iter().all(|problem| !problem.code.is_empty() && !problem.message.is_empty()));
            assert!(pushed::read(&body, 0).is_err(), "checked and read are the same");
            if depth(&said) <= MAX_DEPTH && !said.contains("\\u") {
                assert_eq!(model(data), None, "{problems:?} of {said:?}");
            }
        }
        Ok(summary) => {
            let records = pushed::read(&body, 0).unwrap();
            assert_eq!(records.len() as u64, summary.records);
            let (id, expected) = model(data).unwrap_or_else(|| panic!("{said:?} should not be taken"));
            assert_eq!(summary.batch_id.as_str(), id);
            let found: Vec<Read> = records.iter().map(|record| read(record, data)).collect();
            assert_eq!(found, expected, "{said:?}");
        }
    }
}

/// Id, data and metadata of a record, as they are written.
type Read = (Option<String>, String, Option<String>);

fn read(record: &Record, body: &[u8]) -> Read {
    let text = |bytes: &[u8]| String::from_utf8(bytes.into()).unwrap();
    let data = if record.data.is_null() { "null".into() } else { text(record.data.of(body)) };
    (record.id.clone(), data, record.metadata.map(|metadata| text(metadata.of(body))))
}

/// What a body should be taken for; none: not at all.
fn model(data: &[u8]) -> Option<(String, Vec<Read>)> {
    let text = std::str::from_utf8(data).ok().filter(|text| is_json(text))?;
    let body = members(text, &["batchId", "records"])?;
    let id: String = serde_json::from_str(body.last("batchId")?).ok()?;
    BatchId::try_from(id.clone()).ok()?;
    let items: Vec<&serde_json::value::RawValue> = serde_json::from_str(body.last("records")?).ok()?;
    let mut records = Vec::new();
    for item in items {
        let record = members(item.get(), &["id", "data", "metadata"])?;
        let id = record.last("id").map(serde_json::from_str::<Option<String>>).transpose().ok()?.flatten();
        let metadata = record.last("metadata").filter(|value| *value != "null");
        if metadata.is_some_and(|value| !value.starts_with('{')) {
            return None;
        }
        records.push((id, record.last("data")?.into(), metadata.map(Into::into)));
    }
    Some((id, records))
}

/// The members of an object that has no others, and none twice.
fn members<'a>(text: &'a str, known: &[&str]) -> Option<Members<'a>> {
    let members = Members::of(text)?;
    let once = known.iter().all(|name| members.names().filter(|given| given == name).count() <= 1);
    (once && members.names().all(|name| known.contains(&name))).then_some(members)
}
