//! What is read, through lost positions, topics made anew, aborted transactions and partitions that appear.
use crate::*;

#[tokio::test(flavor = "multi_thread")]
async fn records_come_with_key_headers_time_and_place() {
    let Some(topic) = Topic::new("records", 1).await else { return };
    let headers = OwnedHeaders::new()
        .insert(Header { key: "trace", value: Some("7") })
        .insert(Header { key: "none", value: None::<&str> });
    let record =
        BaseRecord::to(&topic.name).partition(0).key("k").payload("{\"a\":1}").headers(headers).timestamp(1_234);
    topic.sender.send(record).map_err(|(error, _)| error).unwrap();
    topic.send(0, None, Some("{\"a\":2}"));
    topic.send(0, Some("k"), None);
    topic.send(0, None, Some(&"x".repeat(900_000)));
    topic.flush();
    let mut cx = context();
    cx.max_record_bytes = 1_000;
    let mut reader = open(&*topic.source(json!({})), &cx, (0, 1), &Positions::new()).await.unwrap();
    let mut positions = Positions::new();
    let batches = drain(&mut *reader, &mut positions, rows(4)).await.unwrap();
    let rows: Vec<_> = batches.iter().flat_map(|batch| (0..batch.len()).map(move |row| (batch, row))).collect();
    assert_eq!(rows.len(), 4);
    let (first, row) = rows[0];
    assert_eq!(first.id(row), "k");
    assert_eq!(first.timestamps.as_ref().unwrap()[row], Some(1_234));
    let metadata: Value = serde_json::from_slice(first.metadata.as_ref().unwrap().get(row).unwrap()).unwrap();
    assert_eq!(metadata, json!({"headers": {"trace": "7", "none": null}}));
    assert_eq!(first.shared[0], ("topic".to_owned(), topic.name.clone()));
    assert_eq!(rows[1].0.id(rows[1].1), format!("{}/0/1", topic.name));
    assert_eq!(rows[2].0.bytes(rows[2].1), None);
    let (last, row) = rows[3];
    assert_eq!(last.oversized[0].length, 900_000);
    assert_eq!(last.bytes(row).unwrap().len(), 64 << 10);
    topic.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_share_the_partitions_and_go_on_where_they_were() {
    let Some(topic) = Topic::new("lanes", 5).await else { return };
    assert_eq!(topic.source(json!({})).partitions(&context()).await.unwrap().len(), 5);
    let all: Vec<String> = (0..2_000).map(|i| format!("{i:04}")).collect();
    for (i, text) in all.iter().enumerate() {
        topic.send(i as i32 % 5, None, Some(text));
    }
    topic.flush();
    let mut cx = context();
    cx.batch.max_records = 17;
    let mut positions = Positions::new();
    let mut seen = Vec::new();
    // Each reader is given up after a few batches; what it had ahead is read again by the next.
    for round in 0.. {
        let before = seen.len();
        for number in 0..2 {
            let source = topic.source(json!({}));
            let mut reader = open(&*source, &cx, (number, 2), &positions).await.unwrap();
            for _ in 0..40 {
                let Ok(read) = tokio::time::timeout(Duration::from_secs(2), reader.read()).await else { break };
                let Read::Records(records) = read.unwrap() else { panic!() };
                let at: u32 = records.partition.0.rsplit_once('/').unwrap().1.parse().unwrap();
                assert_eq!(at % 2, number);
                assert!(records.len() <= 17);
                seen.extend(texts(std::slice::from_ref(&records)));
                positions.insert(records.partition.clone(), records.to.clone());
            }
        }
        if (seen.len() >= all.len() && seen.len() == before) || round > 30 {
            break;
        }
    }
    seen.sort();
    assert_eq!(seen, all);
    topic.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_position_is_told_or_passed_over_as_asked() {
    let Some(topic) = Topic::new("lost", 1).await else { return };
    for i in 0..10 {
        topic.send(0, None, Some(&i.to_string()));
    }
    topic.flush();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic.name, 0, Offset::Offset(6)).unwrap();
    topic.admin.delete_records(&list, &AdminOptions::new()).await.unwrap();

    let error = topic.open(json!({}), &topic.at(0, 2)).await.err().unwrap();
    let Error::PositionLost { wanted, earliest, latest, .. } = &error else { panic!("{error}") };
    assert_eq!([wanted, earliest, latest].map(|at| at.as_offset().unwrap()), [2, 6, 10]);

    let mut positions = topic.at(0, 2);
    let mut reader = topic.open(json!({"onPositionLost": "earliest"}), &positions).await.unwrap();
    let batches = drain(&mut *reader, &mut positions, offset(10)).await.unwrap();
    assert_eq!(batches[0].lost.as_ref().unwrap().records, 4);
    assert_eq!(texts(&batches), ["6", "7", "8", "9"]);

    let mut positions = topic.at(0, 2);
    let mut reader = topic.open(json!({"onPositionLost": "latest"}), &positions).await.unwrap();
    let batches = drain(&mut *reader, &mut positions, offset(10)).await.unwrap();
    assert_eq!(batches.iter().filter_map(|batch| batch.lost.as_ref()).map(|lost| lost.records).sum::<u64>(), 8);
    assert_eq!(texts(&batches), Vec::<String>::new());

    // Made anew, shorter.
    topic.delete().await;
    topic.create(1).await;
    topic.send(0, None, Some("new"));
    topic.flush();
    let error = topic.open(json!({}), &topic.at(0, 10)).await.err().unwrap();
    assert!(error.to_string().contains("recreated"), "{error}");
    topic.delete().await;
    let error = topic.open(json!({}), &Positions::new()).await.err().unwrap();
    assert_eq!(error.code(), "topic-missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_lost_position_was_given_up_for_holds_whatever_comes_meanwhile() {
    let Some(topic) = Topic::new("decided", 1).await else { return };
    let send = |count| (0..count).for_each(|i| topic.send(0, None, Some(&format!("{i}"))));
    send(10);
    topic.flush();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&topic.name, 0, Offset::Offset(6)).unwrap();
    topic.admin.delete_records(&list, &AdminOptions::new()).await.unwrap();
    let source = topic.source(json!({"onPositionLost": "latest"}));
    let mut passed = Positions::new();
    for (more, come) in [(0, 0), (5, 5), (3, 8)] {
        send(more);
        topic.flush();
        // The journal has the position before the loss, and the loss.
        let positions = topic.at(0, 2);
        let plan = positions.keys().map(|partition| (partition.clone(), 0)).collect();
        let lane = Assignment { lane: 0, lanes: 1, positions: positions.clone(), plan, passed: passed.clone() };
        let mut reader = source.open(&context(), lane).await.unwrap();
        let mut at = positions;
        let batches = drain(&mut *reader, &mut at, offset(10 + come)).await.unwrap();
        let lost = batches[0].lost.clone().unwrap();
        assert_eq!((lost.records, lost.to.as_offset()), (8, Some(10)));
        assert_eq!(texts(&batches).len() as u64, come);
        passed = [(batches[0].partition.clone(), lost.to)].into();
    }
    topic.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_comes_after_the_start_is_read_from_its_beginning() {
    let Some(topic) = Topic::new("later", 1).await else { return };
    topic.delete().await;
    let source = topic.source(json!({"start": "latest", "metadataInterval": "100ms"}));
    let mut positions: Positions = source.plan(&context(), &Positions::new()).await.unwrap().into_iter().collect();
    assert_eq!(positions, topic.at(0, 0));
    let error = open(&*source, &context(), (0, 1), &positions).await.err().unwrap();
    assert_eq!(error.code(), "topic-missing");
    topic.create(3).await;
    let sender: Sender = ClientConfig::new().set("bootstrap.servers", &topic.brokers).create().unwrap();
    for p in 0..3 {
        let text = format!("p{p}");
        sender
            .send(BaseRecord::<str, str>::to(&topic.name).partition(p).payload(text.as_str()))
            .map_err(|(e, _)| e)
            .unwrap();
    }
    sender.flush(PATIENCE).unwrap();
    let again = source.plan(&context(), &positions).await.unwrap();
    assert_eq!(offsets(&again.into_iter().collect()), [0, 0, 0]);
    let plan = positions.keys().map(|partition| (partition.clone(), 0)).collect();
    let lane = Assignment { lane: 0, lanes: 1, positions: positions.clone(), plan, passed: Positions::new() };
    let mut reader = source.open(&context(), lane).await.unwrap();
    assert_eq!(texts(&drain(&mut *reader, &mut positions, rows(1)).await.unwrap()), ["p0"]);
    let mut appeared = Positions::new();
    while appeared.len() < 2 {
        appeared.extend(reader.appeared());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(offsets(&appeared), [0, 0]);
    reader.assign(appeared.clone());
    positions.extend(appeared);
    assert_eq!(texts(&drain(&mut *reader, &mut positions, rows(2)).await.unwrap()), ["p1", "p2"]);
    topic.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_of_the_log_that_moves_behind_a_reader_is_noticed() {
    let Some(topic) = Topic::new("expired", 1).await else { return };
    topic.send(0, None, Some("0"));
    topic.flush();
    let mut positions = Positions::new();
    let mut reader = topic.open(json!({}), &positions).await.unwrap();
    assert_eq!(texts(&drain(&mut *reader, &mut positions, rows(1)).await.unwrap()), ["0"]);
    topic.delete().await;
    topic.create(1).await;
    let error = loop {
        match tokio::time::timeout(Duration::from_secs(60), reader.read()).await.expect("noticed in a minute") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    println!("{}: {error}", error.code());
    assert!(["out-of-range", "topic-missing", "topic-renewed"].contains(&error.code()), "{}: {error}", error.code());
    topic.delete().await;
}

/// The same name, another topic, which has records at all offsets that were read of the former one.
async fn made_anew(topic: &Topic, partitions: i32) {
    topic.delete().await;
    topic.create(partitions).await;
    // Of its own: the one of the former topic may wait for its partitions to come back.
    let sender: Sender = ClientConfig::new().set("bootstrap.servers", &topic.brokers).create().unwrap();
    for i in 0..20 {
        let text = format!("new {i:02}");
        let record = BaseRecord::<str, str>::to(&topic.name).partition(0).payload(text.as_str());
        sender.send(record).map_err(|(error, _)| error).unwrap();
    }
    sender.flush(PATIENCE).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_past_the_position_is_noticed() {
    let Some(topic) = Topic::new("anew", 1).await else { return };
    (0..10).for_each(|i| topic.send(0, None, Some(&format!("old {i}"))));
    topic.flush();
    let mut read = Positions::new();
    let mut reader = topic.open(json!({}), &read).await.unwrap();
    drain(&mut *reader, &mut read, rows(10)).await.unwrap();
    drop(reader);
    made_anew(&topic, 1).await;

    let error = topic.open(json!({}), &read).await.err().unwrap();
    let Error::PositionLost { wanted, earliest, latest, reason, .. } = &error else { panic!("{error}") };
    assert_eq!([wanted, earliest, latest].map(|at| at.as_offset().unwrap()), [10, 0, 20]);
    assert!(reason.contains("recreated") && wanted.identity != earliest.identity, "{error}");

    let new: Vec<String> = (0..20).map(|i| format!("new {i:02}")).collect();
    for (choice, lost, expected) in [("earliest", 0, &new[..]), ("latest", 20, &[])] {
        let mut positions = read.clone();
        let more = json!({"onPositionLost": choice});
        let mut reader = topic.open(more.clone(), &positions).await.unwrap();
        let batches = drain(&mut *reader, &mut positions, offset(20)).await.unwrap();
        let passed = batches[0].lost.as_ref().unwrap();
        assert_eq!((passed.records, &batches[0].from), (lost, read.values().next().unwrap()), "{choice}");
        assert_eq!(texts(&batches), expected, "{choice}");
        // From here on the position is one of the new topic.
        topic.open(json!({}), &positions).await.unwrap();
    }

    // A position without an id, of an older version or set by hand, is taken as one of the topic that is there, and keeps its id.
    let mut positions = topic.at(0, 10);
    let mut reader = topic.open(json!({}), &positions).await.unwrap();
    let batches = drain(&mut *reader, &mut positions, offset(20)).await.unwrap();
    assert_eq!((batches[0].len(), texts(&batches)), (0, new[10..].to_vec()));
    assert!(batches.iter().all(|batch| batch.lost.is_none() && batch.to.identity.is_some()));
    topic.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_made_anew_under_a_reader_gives_it_no_record() {
    let Some(topic) = Topic::new("anew-live", 1).await else { return };
    (0..10).for_each(|i| topic.send(0, None, Some(&format!("old {i}"))));
    topic.flush();
    let mut read = Positions::new();
    let mut reader = topic.open(json!({}), &read).await.unwrap();
    drain(&mut *reader, &mut read, rows(10)).await.unwrap();
    made_anew(&topic, 1).await;
    let error = loop {
        match tokio::time::timeout(PATIENCE, reader.read()).await.expect("noticed") {
            Ok(Read::Records(records)) => assert_eq!(texts(&[records]), Vec::<String>::new()),
            Ok(Read::End) => panic!("Kafka has no end"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), "topic-renewed", "{error}");
    let error = topic.open(json!({}), &read).await.err().unwrap();
    assert_eq!(error.code(), "position-lost", "{error}");
    topic.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_of_a_partition_that_is_gone_is_lost() {
    let Some(topic) = Topic::new("fewer", 3).await else { return };
    topic.send(2, None, Some("old"));
    topic.flush();
    let mut read = Positions::new();
    let mut reader = topic.open(json!({}), &read).await.unwrap();
    drain(&mut *reader, &mut read, rows(1)).await.unwrap();
    drop(reader);
    made_anew(&topic, 1).await;
    let error = topic.open(json!({}), &read).await.err().unwrap();
    assert_eq!(error.code(), "position-lost", "{error}");
    let mut positions = read.clone();
    let mut reader = topic.open(json!({"onPositionLost": "earliest"}), &positions).await.unwrap();
    let batches = drain(&mut *reader, &mut positions, rows(20)).await.unwrap();
    assert_eq!(batches.iter().filter(|batch| batch.lost.is_some()).count(), 1);
    topic.open(json!({}), &positions).await.unwrap();
    topic.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn aborted_transactions_are_passed() {
    let Some(topic) = Topic::new("aborted", 1).await else { return };
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &topic.brokers).set("transactional.id", &topic.name);
    let sender: Sender = config.create().unwrap();
    // The first transaction of a broker waits for its coordinator.
    let wait = PATIENCE;
    sender.init_transactions(wait).unwrap();
    for (text, commit) in [("a", true), ("b", false), ("c", true), ("d", false)] {
        sender.begin_transaction().unwrap();
        sender.send(BaseRecord::<str, str>::to(&topic.name).partition(0).payload(text)).map_err(|(e, _)| e).unwrap();
        sender.flush(wait).unwrap();
        if commit { sender.commit_transaction(wait).unwrap() } else { sender.abort_transaction(wait).unwrap() }
    }
    let mut positions = Positions::new();
    let mut reader = topic.open(json!({}), &positions).await.unwrap();
    let batches = drain(&mut *reader, &mut positions, offset(8)).await.unwrap();
    assert_eq!(texts(&batches), ["a", "c"]);
    assert_eq!(positions.values().next().unwrap().as_offset(), Some(8));
    assert_eq!(reader.lag(), Some(0));

    // One that stays open holds up what comes after it, which waits.
    let put = |sender: &Sender, text| {
        sender.send(BaseRecord::<str, str>::to(&topic.name).partition(0).payload(text)).map_err(|(e, _)| e).unwrap();
        sender.flush(wait).unwrap();
    };
    sender.begin_transaction().unwrap();
    put(&sender, "e");
    put(&topic.sender, "f");
    let mut lag = Some(0);
    let mut warnings = Vec::new();
    while lag != Some(2) || warnings.is_empty() {
        assert!(tokio::time::timeout(QUIET, reader.read()).await.is_err(), "nothing can be read");
        (lag, warnings) = (reader.lag(), reader.warnings());
    }
    let [Notice::Holds(warned)] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!(warned.code, "open-transaction");
    assert!(warned.message.contains(&format!("offset 8 of {}/0", topic.name)), "{}", warned.message);
    sender.commit_transaction(wait).unwrap();
    let batches = drain(&mut *reader, &mut positions, offset(11)).await.unwrap();
    assert_eq!(texts(&batches), ["e", "f"]);
    let begun = Instant::now();
    while reader.lag() != Some(0) {
        assert!(begun.elapsed() < PATIENCE, "{:?} wait", reader.lag());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(reader.warnings(), []);
    topic.delete().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_partitions_are_found_and_checkpoints_reported() {
    let Some(topic) = Topic::new("grown", 1).await else { return };
    let more = json!({"metadataInterval": "500ms", "start": "latest"});
    topic.send(0, None, Some("before"));
    topic.flush();
    let source = topic.source(more);
    let planned = source.plan(&context(), &Positions::new()).await.unwrap();
    let mut positions: Positions = planned.into_iter().collect();
    assert_eq!(offsets(&positions), [1], "from now on");
    let mut reader = open(&*source, &context(), (0, 1), &positions).await.unwrap();
    topic.admin.create_partitions(&[NewPartitions::new(&topic.name, 3)], &AdminOptions::new()).await.unwrap();
    topic.send(0, None, Some("p0"));
    topic.until_partitions(3).await;
    let sender: Sender = ClientConfig::new().set("bootstrap.servers", &topic.brokers).create().unwrap();
    for p in [1, 2] {
        let text = format!("p{p}");
        let record = BaseRecord::<str, str>::to(&topic.name).partition(p).payload(text.as_str());
        sender.send(record).map_err(|(error, _)| error).unwrap();
    }
    sender.flush(Duration::from_secs(10)).unwrap();
    topic.flush();
    // Also planned anew, what has appeared begins with its first record.
    let again = source.plan(&context(), &positions).await.unwrap();
    assert_eq!(offsets(&again.into_iter().collect()), [1, 0, 0]);
    let mut appeared = Positions::new();
    while appeared.len() < 2 {
        appeared.extend(reader.appeared());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        texts(&drain(&mut *reader, &mut positions, rows(1)).await.unwrap()),
        ["p0"],
        "what is not planned is not read"
    );
    reader.assign(appeared.clone());
    positions.extend(appeared);
    assert_eq!(texts(&drain(&mut *reader, &mut positions, rows(2)).await.unwrap()), ["p1", "p2"]);
    assert_eq!(reader.lag(), Some(0));
    reader.checkpointed(&positions);

    let mut config = ClientConfig::new();
    let group: BaseConsumer =
        config.set("bootstrap.servers", &topic.brokers).set("group.id", "dataflow-test").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range(&topic.name, 0, 2);
    let expected = BTreeMap::from([(0, Offset::Offset(2)), (1, Offset::Offset(1)), (2, Offset::Offset(1))]);
    let begun = Instant::now();
    loop {
        let committed = group.committed_offsets(list.clone(), PATIENCE).unwrap();
        let committed: BTreeMap<_, _> = committed.elements().iter().map(|at| (at.partition(), at.offset())).collect();
        if committed == expected {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{committed:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(reader);
    let ends = topic.source(json!({})).resolve(&context(), &Edge::End).await.unwrap();
    // The ends are known by the topic alone, what was read by the leader's epoch as well.
    let offsets = |positions: &Positions| -> Vec<_> {
        let id = |at: &Position| at.identity.as_deref().and_then(|id| id.split('@').next()).map(str::to_owned);
        positions.iter().map(|(partition, at)| (partition.clone(), at.at.clone(), id(at))).collect()
    };
    assert_eq!(offsets(&ends), offsets(&positions));
    topic.delete().await;
}
