//! Reading on once the list has ended.
use super::*;
use std::sync::{Arc, Mutex};

type List = Arc<Mutex<Vec<Value>>>;

fn shared(list: Vec<Value>) -> List {
    Arc::new(Mutex::new(list))
}

fn all(list: &List) -> Vec<Value> {
    list.lock().unwrap().clone()
}

fn values(batches: &[Records]) -> Vec<Value> {
    texts(batches).iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

/// What the reader returns until it has this many records.
async fn until(reader: &mut dyn Reader, records: usize) -> Vec<Records> {
    let mut batches: Vec<Records> = Vec::new();
    while batches.iter().map(Records::len).sum::<usize>() < records {
        batches.push(next(reader).await);
    }
    batches
}

/// No record comes for so many polls.
async fn nothing_for(reader: &mut dyn Reader, api: &Api, polls: usize) {
    let until = api.asked().len() + polls;
    let enough = async {
        while api.asked().len() < until {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let reading = async {
        loop {
            let records = next(reader).await;
            assert!(records.is_empty(), "{records:?}");
        }
    };
    tokio::select! {
        () = reading => {}
        () = enough => {}
    }
}

/// Pages of three, with an ETag each; only the end grows.
fn growing(list: List) -> Api {
    Api::new(move |asked| {
        let from = number(asked, "from").unwrap_or(0);
        let list = all(&list);
        let items = &list[from.min(list.len())..(from + 3).min(list.len())];
        let etag = format!("\"{from}-{}\"", items.len());
        let next = (list.len() > from + 3).then(|| format!("/items?from={}", from + 3));
        // One that has a next page now is another page.
        let etag = if next.is_some() { format!("{etag}+") } else { etag };
        if asked.headers.get("if-none-match") == Some(&etag) {
            return Reply::status(304);
        }
        Reply::json(json!({"items": items, "next": next})).header("etag", etag)
    })
}

#[tokio::test]
async fn the_end_is_followed() {
    let list = shared((0..7).map(Value::from).collect());
    let api = growing(list.clone());
    let follow = json!({"records": "/items", "pagination": {"type": "nextUrl", "next": "/next"}, "follow": true, "pollInterval": "5ms"});
    let source = source(&api, follow);
    let mut reader = open(&*source, None).await;
    let mut batches = until(&mut *reader, 7).await;
    nothing_for(&mut *reader, &api, 3).await;
    assert!(api.asked().iter().any(|asked| asked.headers.contains_key("if-none-match")));
    for more in 7..20 {
        list.lock().unwrap().push(more.into());
        batches.extend(until(&mut *reader, 1).await);
        // Gone on from where it was, by a reader that knows nothing else.
        if more % 2 == 0 {
            reader = open(&*source, Some(batches.last().unwrap().to.clone())).await;
        }
    }
    assert_eq!(values(&batches), all(&list));
}

#[tokio::test]
async fn a_page_that_does_not_only_grow_cannot_be_followed() {
    let list = shared(vec![json!("a"), json!("b")]);
    let api = growing(list.clone());
    let follow = json!({"records": "/items", "pagination": {"type": "nextUrl", "next": "/next"}, "follow": true, "pollInterval": "5ms"});
    let mut reader = open(&*source(&api, follow), None).await;
    until(&mut *reader, 2).await;
    list.lock().unwrap().insert(0, json!("newest"));
    let error = reader.read().await.unwrap_err();
    assert_eq!(error.code(), "page-changed", "{error}");
}

/// The cursor of the last record, and an API that repeats the last cursor at the end.
#[tokio::test]
async fn cursors_are_followed() {
    let list = shared((0..4).map(|id| json!({"id": id})).collect());
    let of = list.clone();
    let api = Api::new(move |asked| {
        let after = number(asked, "after").map_or(0, |after| after + 1);
        let list = all(&of);
        let items = &list[after.min(list.len())..(after + 3).min(list.len())];
        let next = items.last().map_or(json!(after.checked_sub(1)), |last| last["id"].clone());
        Reply::json(json!({"items": items, "next": next}))
    });
    for at in [json!({"field": "/id"}), json!({"next": "/next"})] {
        list.lock().unwrap().truncate(4);
        let mut pagination = json!({"type": "cursor", "parameter": "after"});
        pagination.as_object_mut().unwrap().extend(at.as_object().unwrap().clone());
        let source =
            source(&api, json!({"records": "/items", "pagination": pagination, "follow": true, "pollInterval": "5ms"}));
        let mut reader = open(&*source, None).await;
        let mut batches = until(&mut *reader, 4).await;
        nothing_for(&mut *reader, &api, 3).await;
        for id in 4..9 {
            list.lock().unwrap().push(json!({"id": id}));
            batches.extend(until(&mut *reader, 1).await);
        }
        assert_eq!(values(&batches), all(&list), "{at}");
    }
}

/// Only what has changed since, in pages of two, the newest first or last; the boundary is returned again each time.
fn since(list: List, descending: bool) -> Api {
    Api::new(move |asked| {
        let since = asked.query.get("since").map_or(0, |since| since.parse().unwrap());
        let mut new: Vec<Value> =
            all(&list).into_iter().filter(|record| record["at"].as_i64().unwrap() >= since).collect();
        new.sort_by_key(|record| (record["at"].as_i64(), record["id"].as_i64()));
        if descending {
            new.reverse();
        }
        let from = number(asked, "offset").unwrap();
        Reply::json(json!(new[from.min(new.len())..(from + 2).min(new.len())]))
    })
}

#[tokio::test]
async fn only_what_is_new_is_asked_for() {
    for descending in [false, true] {
        let record = |id: i64, at: i64| json!({"id": id, "at": at});
        let list = shared(vec![record(0, 1), record(1, 2), record(2, 2), record(3, 3), record(4, 3)]);
        let api = since(list.clone(), descending);
        let more = json!({"pagination": {"type": "offset"}, "pollInterval": "5ms", "incremental": {"parameter": "since", "field": "/at", "start": 1}});
        let source = source(&api, more);
        let mut reader = open(&*source, None).await;
        let mut batches = until(&mut *reader, 5).await;
        assert_eq!(api.asked()[0].query["since"], "1");
        nothing_for(&mut *reader, &api, 8).await;
        assert_eq!(api.asked().last().unwrap().query["since"], "3");
        // Of the value that was asked for, of a later one, and one that has changed without getting another.
        let news = [vec![record(5, 3)], vec![record(6, 4), record(7, 4)], vec![record(6, 5), record(8, 4)]];
        for new in news {
            list.lock().unwrap().extend(new.clone());
            let mut got = until(&mut *reader, new.len()).await;
            nothing_for(&mut *reader, &api, 8).await;
            // From every position: what comes after it, and nothing twice.
            let all_of_it: Vec<Value> = values(&got);
            let (mut sorted, mut wanted) = (all_of_it.clone(), new.clone());
            sorted.sort_by_key(ToString::to_string);
            wanted.sort_by_key(ToString::to_string);
            assert_eq!(sorted, wanted);
            let mut before = 0;
            for batch in &got {
                for row in 0..batch.len() {
                    let mut again = open(&*source, Some(batch.before(row))).await;
                    let rest = until(&mut *again, new.len() - before - row).await;
                    assert_eq!(values(&rest), all_of_it[before + row..], "from {}", batch.before(row));
                    nothing_for(&mut *again, &api, 8).await;
                }
                before += batch.len();
            }
            // In the middle of a list that begins with its newest records, these would shift the others.
            if !descending {
                reader = open(&*source, Some(got.last().unwrap().to.clone())).await;
            }
            batches.append(&mut got);
        }
        assert_eq!(batches.iter().map(Records::len).sum::<usize>(), all(&list).len());
    }
}

#[tokio::test]
async fn an_api_that_does_not_know_the_parameter_is_told() {
    let list = shared(vec![json!({"at": "2026-01-01T00:00:00Z"}), json!({"at": "2026-01-02T00:00:00Z"})]);
    let of = list.clone();
    let api = Api::new(move |_| Reply::json(json!(all(&of))));
    let more = json!({"pollInterval": "5ms", "incremental": {"parameter": "sinse", "field": "/at"}});
    let mut reader = open(&*source(&api, more), None).await;
    until(&mut *reader, 2).await;
    let error = reader.read().await.unwrap_err();
    assert_eq!(error.code(), "incremental-ignored", "{error}");
    let said = error.to_string();
    assert!(said.starts_with("page 0 of poll 1 of http") && said.contains("in row 0"), "{said}");
}

#[tokio::test]
async fn a_record_without_the_value_is_told() {
    let api = Api::new(|_| Reply::json(json!([{"at": 1}, {"at": null}])));
    let more = json!({"pollInterval": "5ms", "incremental": {"parameter": "since", "field": "/at"}});
    let (_, error) = failure(&*source(&api, more)).await;
    assert!(error.to_string().contains("at /at (`incremental.field`) in row 1"), "{error}");
}

#[tokio::test]
async fn too_many_records_of_one_value_are_told() {
    let api = Api::new(|_| Reply::json(json!((0..1_001).map(|id| json!({"id": id, "at": 1})).collect::<Vec<_>>())));
    let incremental = json!({"parameter": "since", "field": "/at"});
    let (_, error) = failure(&*source(&api, json!({"pollInterval": "5ms", "incremental": incremental}))).await;
    assert_eq!(error.code(), "incremental-too-coarse", "{error}");
}

/// Without anything else, each poll has all records again, unless the server says that nothing has changed.
#[tokio::test]
async fn a_list_is_read_again_when_it_has_changed() {
    let list = shared(vec![json!(1), json!(2)]);
    let api = growing(list.clone());
    let source = source(&api, json!({"records": "/items", "pollInterval": "5ms"}));
    let mut reader = open(&*source, None).await;
    let first = until(&mut *reader, 2).await;
    nothing_for(&mut *reader, &api, 3).await;
    // The version is part of the position.
    let mut reader = open(&*source, Some(first.last().unwrap().to.clone())).await;
    nothing_for(&mut *reader, &api, 3).await;
    list.lock().unwrap().push(json!(3));
    let second = until(&mut *reader, 3).await;
    assert_eq!(values(&second), [1, 2, 3]);
    assert_eq!(second[0].place(0), "rest/1.0.0");
}
