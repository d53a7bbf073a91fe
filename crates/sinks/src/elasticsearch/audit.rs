//! Auditing: every document is read again, and held against what the records say.
use super::{
    ElasticsearchSink,
    client::{Body, Client},
    rows::{Rows, Wanted},
    verdict::REFUSED,
};
use crate::document::Document;
use async_trait::async_trait;
use dataflow_sdk::{
    Context, Error,
    audit::{Audit, Audited, Auditor, Difference, Example, Findings, Origin, Origins, shown},
    batch::{Demand, Output},
};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    mem,
    time::Duration,
};
use xxhash_rust::xxh3::xxh3_128;

/// Documents in an answer, and how long the server keeps its place between two of them.
const PAGE: usize = 1_000;
const KEEP: &str = "5m";
/// The wait before smaller pages are tried.
const PAUSE: Duration = Duration::from_millis(100);
/// Bytes of expected documents that are kept to show how others differ; of the rest only hashes are kept.
const KEPT: usize = 64 << 20;

/// Opens the target for reading.
pub(super) async fn open(config: &ElasticsearchSink, cx: &Context, audit: Audit) -> Result<Audited, Error> {
    let client = Client::new(config, &cx.paths)?;
    super::target::cluster(&client).await?;
    let auditor = Documents {
        wanted: Wanted::of(config),
        client,
        volatile: audit.volatile,
        expected: HashMap::new(),
        origins: Origins::default(),
        room: KEPT,
        seen: HashSet::new(),
    };
    Ok(Audited { auditor: Box::new(auditor), demand: Demand::Lines, not_durable: Vec::new() })
}

struct Documents {
    client: Client,
    wanted: Wanted,
    volatile: Vec<String>,
    expected: HashMap<Key, Vec<Said>>,
    origins: Origins,
    room: usize,
    /// Hashes of the documents that were compared: reading may begin anew.
    seen: HashSet<u128>,
}

/// The index, where there are several, and the id.
type Key = (Option<Box<str>>, Box<str>);

/// What the last record of a partition says of a document.
struct Said {
    origin: Origin,
    /// None: it is deleted.
    hash: Option<u128>,
    text: Option<Box<str>>,
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(rename = "_scroll_id")]
    scroll: String,
    #[serde(rename = "_shards")]
    shards: Shards,
    #[serde(borrow)]
    hits: Hits<'a>,
}

#[derive(Deserialize)]
struct Shards {
    failed: u32,
}

#[derive(Deserialize)]
struct Hits<'a> {
    #[serde(borrow)]
    hits: Vec<Hit<'a>>,
}

#[derive(Deserialize)]
struct Hit<'a> {
    _index: String,
    _id: String,
    #[serde(borrow, default)]
    _source: Option<&'a RawValue>,
}

#[async_trait]
impl Auditor for Documents {
    async fn expect(&mut self, rows: &Output) -> Result<(), Error> {
        // Where nothing is left of the records, there are no values of expressions either.
        if rows.is_empty() {
            return Ok(());
        }
        let origins: Vec<Origin> = self.origins.of(rows).collect();
        let wanted = self.wanted.clone();
        let said = Rows::of(rows, &wanted)?;
        for (row, origin) in origins.into_iter().enumerate() {
            // The writer would have refused such a row, and its record is expected to be a dead letter.
            let Ok(action) = said.get(row) else { continue };
            let document = action.document.map(|document| self.plain(document));
            let hash = document.as_deref().map(|text| xxh3_128(text.as_bytes()));
            let text = document.filter(|text| text.len() <= self.room).map(|text| {
                self.room -= text.len();
                text.into_boxed_str()
            });
            let key = (action.index.map(String::into_boxed_str), action.id.into_owned().into_boxed_str());
            let known = self.expected.entry(key).or_default();
            let said = Said { origin, hash, text };
            match known.iter_mut().find(|known| known.origin.partition == origin.partition) {
                Some(known) => {
                    let before = mem::replace(known, said);
                    self.room += before.text.map_or(0, |text| text.len());
                }
                None => known.push(said),
            }
        }
        Ok(())
    }

    async fn refusals(&mut self, output: &Output) -> Result<Vec<Option<String>>, Error> {
        let rows = Rows::of(output, &self.wanted)?;
        Ok((0..rows.len()).map(|row| rows.get(row).err()).collect())
    }

    fn is_own_reason(&self, cause: &str) -> bool {
        cause.starts_with(REFUSED)
    }

    async fn finish(mut self: Box<Self>) -> Result<Findings, Error> {
        let mut findings = Findings::default();
        let indices = self.wanted.index.wildcard();
        self.has_sources(&indices).await?;
        // What was written lately is not seen by searches yet.
        let refresh = format!("/{indices}/_refresh?ignore_unavailable=true");
        let refreshed = self.client.ask(Method::POST, &refresh, Body::Nothing).await?;
        if !matches!(refreshed.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) {
            refreshed.done("refreshing the index")?;
        }
        let mut size = PAGE;
        while let Some(smaller) = self.read(&indices, size, &mut findings).await? {
            size = smaller;
            tokio::time::sleep(PAUSE).await;
        }
        for (key, said) in mem::take(&mut self.expected) {
            if said.iter().any(|said| said.hash.is_none()) {
                continue;
            }
            findings.expected += 1;
            let Some(said) = said.into_iter().next() else { continue };
            findings.lost.add(|| Example {
                place: Some(place(key.0.as_deref(), &key.1)),
                expected: said.text.map(|text| shown(text.as_bytes())),
                ..self.origins.example(said.origin)
            });
        }
        Ok(findings)
    }
}

impl Documents {
    /// That the servers keep what was written: otherwise nothing can be told of it.
    async fn has_sources(&self, indices: &str) -> Result<(), Error> {
        let path = format!("/{indices}/_mapping?ignore_unavailable=true&filter_path=*.mappings._source");
        let answer = self.client.ask(Method::GET, &path, Body::Nothing).await?;
        if matches!(answer.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) {
            return Ok(());
        }
        let answer = answer.done("reading the mapping")?;
        let found: BTreeMap<String, Value> = answer.json("its mapping")?;
        let lacks = |of: &Value| {
            let source = &of["mappings"]["_source"];
            source["enabled"] == json!(false)
                || source["mode"].as_str().is_some_and(|mode| mode != "stored")
                || source.get("includes").or(source.get("excludes")).is_some()
        };
        match found.iter().find(|(_, of)| lacks(of)) {
            Some((name, _)) => Err(without_source(name)),
            None => Ok(()),
        }
    }

    /// Reads all documents, in pages of so many. If a page was too much for the server: how many to try next.
    async fn read(&mut self, indices: &str, size: usize, findings: &mut Findings) -> Result<Option<usize>, Error> {
        // What is closed, or can't be read by all shards, is an error rather than missing.
        let path =
            format!("/{indices}/_search?scroll={KEEP}&expand_wildcards=open,closed&allow_partial_search_results=false");
        let query = json!({"size": size, "sort": ["_doc"], "query": {"match_all": {}}}).to_string();
        let mut answer = self.client.ask(Method::POST, &path, Body::Json(query)).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let mut place: Option<String> = None;
        loop {
            if is_too_much(answer.status) && size > 1 {
                if let Some(scroll) = place {
                    self.leave(&scroll).await?;
                }
                return Ok(Some(size / 2));
            }
            let page = answer.done("reading the index")?;
            let Page { scroll, shards, hits } = page.json("a search")?;
            if shards.failed > 0 {
                let message = format!("{} of the shards of {indices} could not be read", shards.failed);
                return Err(
                    Error::transient("unavailable", message).fix("see that all shards are there, and verify again")
                );
            }
            for hit in &hits.hits {
                if self.seen.insert(xxh3_128(format!("{}/{}", hit._index, hit._id).as_bytes())) {
                    self.compare(hit, findings)?;
                }
            }
            if hits.hits.is_empty() {
                self.leave(&scroll).await?;
                return Ok(None);
            }
            let more = json!({"scroll_id": scroll, "scroll": KEEP}).to_string();
            place = Some(scroll);
            answer = self.client.ask(Method::POST, "/_search/scroll", Body::Json(more)).await?;
        }
    }

    /// The server need not keep the place any more.
    async fn leave(&self, scroll: &str) -> Result<(), Error> {
        let body = Body::Json(json!({"scroll_id": scroll}).to_string());
        self.client.ask(Method::DELETE, "/_search/scroll", body).await.map(drop)
    }

    fn compare(&mut self, hit: &Hit<'_>, findings: &mut Findings) -> Result<(), Error> {
        let source = hit._source.ok_or_else(|| without_source(&hit._index))?;
        findings.found += 1;
        let index = self.wanted.index.name().is_none().then_some(hit._index.as_str());
        let found = self.plain(source.get().as_bytes());
        let said = self.expected.remove(&(index.map(Into::into), hit._id.as_str().into()));
        let written = said.unwrap_or_default().into_iter().filter(|said| said.hash.is_some()).collect::<Vec<_>>();
        let place = || Some(place(index, &hit._id));
        let Some(first) = written.first() else {
            findings.unexpected.add(|| Example {
                place: place(),
                found: Some(shown(found.as_bytes())),
                ..Example::default()
            });
            return Ok(());
        };
        findings.expected += 1;
        let hash = Some(xxh3_128(found.as_bytes()));
        if written.iter().all(|said| said.hash != hash) {
            findings.altered.add(|| Example {
                place: place(),
                expected: first.text.as_deref().map(|text| shown(text.as_bytes())),
                found: Some(shown(found.as_bytes())),
                fields: first.text.as_deref().map(|text| differences(text, &found)).unwrap_or_default(),
                ..self.origins.example(first.origin)
            });
        }
        Ok(())
    }

    /// A document without what has another value whenever a record is read, and without spaces.
    fn plain(&self, document: &[u8]) -> String {
        let text = String::from_utf8_lossy(document);
        if self.volatile.is_empty() {
            return compact(&text);
        }
        let fields = Document::read(document);
        let kept = fields.fields().filter(|(name, _)| !self.volatile.iter().any(|volatile| volatile == name));
        let kept: Vec<String> = kept.map(|(name, value)| format!("{}:{}", json!(name), compact(value))).collect();
        format!("{{{}}}", kept.join(","))
    }
}

/// A JSON text without the spaces between its parts.
fn compact(text: &str) -> String {
    let (mut quoted, mut escaped) = (false, false);
    text.chars()
        .filter(|letter| {
            if quoted {
                quoted = escaped || *letter != '"';
                escaped = !escaped && *letter == '\\';
                return true;
            }
            quoted = *letter == '"';
            !matches!(letter, ' ' | '\t' | '\r' | '\n')
        })
        .collect()
}

/// Whether smaller pages may be answered.
fn is_too_much(status: StatusCode) -> bool {
    matches!(status, StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS)
}

fn without_source(index: &str) -> Error {
    let message =
        format!("index {index} does not keep documents as they were written (`_source`): they can't be compared");
    Error::fatal("unsupported", message).fix("verify an index whose mapping leaves `_source` as it is by default")
}

fn place(index: Option<&str>, id: &str) -> String {
    match index {
        Some(index) => format!("{index}/_doc/{id}"),
        None => format!("_id = {id}"),
    }
}

/// The top-level fields that are not the same.
fn differences(expected: &str, found: &str) -> Vec<Difference> {
    let (expected, found) = (Document::read(expected.as_bytes()), Document::read(found.as_bytes()));
    let value = |document: &Document, field: &str| {
        document.fields().find(|(name, _)| *name == field).map(|(_, value)| value.to_owned())
    };
    let fields = expected.fields().map(|(name, _)| name);
    let more = found.fields().map(|(name, _)| name).filter(|name| value(&expected, name).is_none());
    let differs = fields.chain(more).map(|field| Difference {
        field: field.into(),
        expected: value(&expected, field),
        found: value(&found, field),
    });
    differs.filter(|field| field.expected != field.found).collect()
}

#[cfg(test)]
mod tests {
    use super::compact;

    #[test]
    fn only_spaces_between_parts_go() {
        assert_eq!(compact("{ \"a b\" : [1, \"x \\\" y\\\\\" ,2 ] }"), "{\"a b\":[1,\"x \\\" y\\\\\",2]}");
    }
}
