//! Where reading begins that was never read, and what is read of open transactions.
use crate::*;

impl Topic {
    /// Records of these partitions and times; each tells its place.
    fn send_at(&self, times: &[(i32, i64)]) {
        let mut offsets = BTreeMap::new();
        for (partition, time) in times {
            let offset = offsets.entry(*partition).or_insert(0);
            let text = format!("{partition}/{offset}");
            let record = BaseRecord::<str, str>::to(&self.name).partition(*partition).payload(&text).timestamp(*time);
            self.sender.send(record).map_err(|(error, _)| error).unwrap();
            *offset += 1;
        }
        self.flush();
    }

    async fn expire_before(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset)).unwrap();
        self.admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
    }

    async fn planned(&self, start: Value, known: &Positions) -> Result<Vec<u64>, Error> {
        let planned = self.source(json!({"start": start})).plan(&context(), known).await?;
        Ok(offsets(&planned.into_iter().collect()))
    }
}

fn fix(error: &Error) -> &str {
    let Error::Fatal { fix: Some(fix), .. } = error else { panic!("{error:?}") };
    fix
}

/// 2026-01-01T00:00:00Z, in milliseconds since the Unix epoch.
const NEW_YEAR: i64 = 1_767_225_600_000;

/// Given records of several times, when a pipeline starts at a time, then it begins in each partition with the first record of
/// that time or later, and at the end of one that has none.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_is_where_its_first_record_is() {
    let Some(topic) = Topic::new("time", 3).await else { return };
    let second = |n: i64| NEW_YEAR + 1_000 * n;
    topic.send_at(&[(0, second(0)), (0, second(1)), (0, second(2)), (1, second(0)), (1, second(0))]);
    for (time, expected) in [
        ("2026-01-01T00:00:01Z", [1, 2, 0]),
        ("2026-01-01T01:00:00.5+01:00", [1, 2, 0]),
        ("2026-01-01T00:00:00Z", [0, 0, 0]),
        ("2020-01-01T00:00:00Z", [0, 0, 0]),
        ("2026-01-01T00:00:03Z", [3, 2, 0]),
    ] {
        assert_eq!(topic.planned(json!({"timestamp": time}), &Positions::new()).await.unwrap(), expected, "{time}");
    }
    topic.expire_before(0, 2).await;
    let early = json!({"timestamp": "2026-01-01T00:00:01Z"});
    assert_eq!(topic.planned(early.clone(), &Positions::new()).await.unwrap(), [2, 2, 0]);
    let to_come = json!({"timestamp": "2126-01-01T00:00:00Z"});
    let error = topic.planned(to_come.clone(), &Positions::new()).await.unwrap_err();
    assert_eq!(error.code(), "bad-position", "{error}");
    assert!(error.to_string().contains("2126") && fix(&error).contains("latest"), "{error}");

    // What was read goes on there, and partitions that appear begin with their first record, whatever `start` says.
    for start in [json!("latest"), early, to_come, json!({"offsets": {format!("{}/1", topic.name): 77}})] {
        assert_eq!(topic.planned(start.clone(), &topic.at(0, 3)).await.unwrap(), [3, 0, 0], "{start}");
    }
    topic.delete().await;
}

/// Given logs from 2 to 5 and from 0 to 1, when a pipeline starts at offsets, then it begins there; one that is not there is
/// refused with the range that is.
#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_taken_if_they_are_there() {
    let Some(topic) = Topic::new("offsets", 2).await else { return };
    topic.send_at(&[(0, 1), (0, 1), (0, 1), (0, 1), (0, 1), (1, 1)]);
    topic.expire_before(0, 2).await;
    let start = |places: &[(i32, u64)]| {
        let offsets: BTreeMap<_, _> = places.iter().map(|(n, at)| (format!("{}/{n}", topic.name), *at)).collect();
        json!({"offsets": offsets})
    };
    for (places, expected) in
        [(&[(0, 3)][..], [3, 0]), (&[(1, 1)], [2, 1]), (&[(0, 2), (1, 0)], [2, 0]), (&[(0, 5)], [5, 0])]
    {
        assert_eq!(topic.planned(start(places), &Positions::new()).await.unwrap(), expected, "{places:?}");
    }
    for (places, expected) in [
        (&[(0, 1)][..], &["1 is before it", "available: 2 to 5"][..]),
        (&[(0, 6)], &["6 is beyond the end", "available: 2 to 5"]),
        (&[(0, 1), (1, 2)], &["available: 2 to 5", "available: 0 to 1"]),
        (&[(2, 0)], &["no partition", "/0 (2 to 5)", "/1 (0 to 1)"]),
    ] {
        let error = topic.planned(start(places), &Positions::new()).await.unwrap_err();
        assert_eq!(error.code(), "bad-position", "{error}");
        let said = format!("{error}; {}", fix(&error));
        assert!(expected.iter().all(|part| said.contains(part)), "{places:?}: {said}");
    }

    // When it reads from there, then it gets what comes after.
    let places = start(&[(0, 3), (1, 1)]);
    let mut positions = Positions::new();
    let mut reader = topic.open(json!({"start": places}), &positions).await.unwrap();
    assert_eq!(texts(&drain(&mut *reader, &mut positions, rows(2)).await.unwrap()), ["0/3", "0/4"]);

    // What lies before it is not counted as passed over by who goes to the end without having read anything.
    let source = topic.source(json!({"start": places}));
    let ends = source.resolve(&context(), &Edge::End).await.unwrap();
    let counts = source.count(&context(), &Positions::new(), &ends).await.unwrap();
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [2, 0]);
    topic.delete().await;
    let error = topic.planned(start(&[(0, 3)]), &Positions::new()).await.unwrap_err();
    assert_eq!(error.code(), "topic-missing", "{error}");
}

/// Given an aborted and an open transaction, when all is read that arrives, then their records come, too, and nothing waits.
#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_wait_for_commits_gets_all() {
    let Some(topic) = Topic::new("uncommitted", 1).await else { return };
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &topic.brokers).set("transactional.id", &topic.name);
    let sender: Sender = config.create().unwrap();
    sender.init_transactions(PATIENCE).unwrap();
    let put = |text| {
        sender.begin_transaction().unwrap();
        sender.send(BaseRecord::<str, str>::to(&topic.name).partition(0).payload(text)).map_err(|(e, _)| e).unwrap();
        sender.flush(PATIENCE).unwrap();
    };
    put("aborted");
    sender.abort_transaction(PATIENCE).unwrap();
    put("open");
    topic.send(0, None, Some("after"));
    topic.flush();
    for (isolation, end, expected) in
        [("read_uncommitted", 4, &["aborted", "after", "open"][..]), ("read_committed", 2, &[])]
    {
        let mut positions = Positions::new();
        let mut reader = topic.open(json!({"isolation": isolation}), &positions).await.unwrap();
        let batches = drain(&mut *reader, &mut positions, offset(end)).await.unwrap();
        assert_eq!(texts(&batches), expected, "{isolation}");
        assert_eq!(offsets(&positions), [end], "{isolation}");
        let waits = 4 - end;
        let begun = Instant::now();
        while reader.lag() != Some(waits) {
            assert!(begun.elapsed() < PATIENCE, "{isolation}: {:?} wait", reader.lag());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    sender.abort_transaction(PATIENCE).unwrap();
    topic.delete().await;
}
