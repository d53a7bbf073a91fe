//! Topics by a pattern: those that appear and those that vanish, while a reader is open and while none is.
use crate::*;

/// Topics whose names begin alike, and nobody else's.
struct Family(&'static str);

impl Family {
    async fn topic(&self, name: &str, partitions: i32) -> Option<Topic> {
        Topic::new(&format!("{}-{name}", self.0), partitions).await
    }

    fn source(&self, more: Value) -> Box<dyn Source> {
        let mut config = json!({
            "brokers": brokers(), "metadataInterval": "200ms",
            "topicPattern": format!("sources-{}-[a-z]+-{}", self.0, std::process::id()),
        });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let source: KafkaSource = serde_json::from_value(config).unwrap();
        assert_eq!(source.check(), []);
        source.build()
    }

    async fn open(&self, more: Value, positions: &Positions) -> Result<Box<dyn Reader>, Error> {
        open(&*self.source(more), &context(), (0, 1), positions).await
    }
}

/// What a reader says of this code, once it does.
async fn told(reader: &mut dyn Reader, code: &str) -> Notice {
    let begun = Instant::now();
    loop {
        if let Some(notice) = reader.warnings().into_iter().find(|notice| notice.key().0 == code) {
            return notice;
        }
        assert!(begun.elapsed() < PATIENCE, "no {code}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// So many partitions that have appeared.
async fn appeared(reader: &mut dyn Reader, expected: usize) -> Positions {
    let (begun, mut appeared) = (Instant::now(), Positions::new());
    while appeared.len() < expected {
        assert!(begun.elapsed() < PATIENCE, "only {appeared:?} appeared");
        appeared.extend(reader.appeared());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    appeared
}

/// Given a pattern, when topics appear while it is read and while it isn't, then they are read from their beginning, whatever
/// `start` says, and what was read is not read again.
#[tokio::test(flavor = "multi_thread")]
async fn topics_that_appear_are_read_from_their_beginning() {
    let family = Family("found");
    let Some(first) = family.topic("a", 1).await else { return };
    first.send(0, None, Some("before"));
    first.flush();
    let latest = json!({"start": "latest"});
    let mut positions: Positions =
        family.source(latest.clone()).plan(&context(), &Positions::new()).await.unwrap().into_iter().collect();
    assert_eq!(offsets(&positions), [1], "from now on");
    let mut reader = family.open(latest.clone(), &positions).await.unwrap();
    first.send(0, None, Some("a"));
    first.flush();
    assert_eq!(texts(&drain(&mut *reader, &mut positions, rows(1)).await.unwrap()), ["a"]);

    let second = family.topic("b", 2).await.unwrap();
    (0..2).for_each(|partition| second.send(partition, None, Some(&format!("b{partition}"))));
    second.flush();
    let new = appeared(&mut *reader, 2).await;
    assert_eq!(offsets(&new), [0, 0]);
    reader.assign(new.clone());
    positions.extend(new);
    assert_eq!(texts(&drain(&mut *reader, &mut positions, rows(2)).await.unwrap()), ["b0", "b1"]);
    reader.close().await;

    let third = family.topic("c", 1).await.unwrap();
    third.send(0, None, Some("c"));
    third.flush();
    let again: Positions =
        family.source(latest.clone()).plan(&context(), &positions).await.unwrap().into_iter().collect();
    assert_eq!(offsets(&again), [2, 1, 1, 0], "planned anew");
    // Planned as before, it is found by the reader.
    let plan = positions.keys().map(|partition| (partition.clone(), 0)).collect();
    let lane = Assignment { lane: 0, lanes: 1, positions: positions.clone(), plan, passed: Positions::new() };
    let mut reader = family.source(latest).open(&context(), lane).await.unwrap();
    let new = appeared(&mut *reader, 1).await;
    assert_eq!(offsets(&new), [0]);
    reader.assign(new.clone());
    positions.extend(new);
    assert_eq!(texts(&drain(&mut *reader, &mut positions, rows(1)).await.unwrap()), ["c"]);
    reader.close().await;
    for topic in [first, second, third] {
        topic.delete().await;
    }
}

/// Given two topics that are read, when one is deleted, then that is told once, and the other is read on; when it is made
/// anew, then its position is a lost one.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_vanishes_is_told_and_its_position_kept() {
    let family = Family("gone");
    let Some(stays) = family.topic("a", 1).await else { return };
    let goes = family.topic("b", 1).await.unwrap();
    for topic in [&stays, &goes] {
        topic.send(0, None, Some("1"));
        topic.flush();
    }
    let earliest = json!({"onPositionLost": "earliest"});
    let mut positions = Positions::new();
    let mut reader = family.open(earliest.clone(), &positions).await.unwrap();
    assert_eq!(texts(&drain(&mut *reader, &mut positions, rows(2)).await.unwrap()), ["1", "1"]);
    assert_eq!(reader.warnings(), []);
    goes.delete().await;
    let Notice::Holds(warned) = told(&mut *reader, "topic-removed").await else { panic!() };
    assert_eq!(warned.subject, goes.name);
    assert!(warned.message.contains(&format!("{}/0 to 1", goes.name)), "{}", warned.message);
    stays.send(0, None, Some("2"));
    stays.flush();
    assert_eq!(texts(&drain(&mut *reader, &mut positions, rows(1)).await.unwrap()), ["2"]);
    let begun = Instant::now();
    while reader.lag() != Some(0) {
        assert!(begun.elapsed() < PATIENCE, "{:?} wait", reader.lag());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(reader.warnings(), [], "it is said once");

    // While nobody reads, it is told by the next reader, also if all is planned anew.
    for more in [json!({}), json!({"start": "latest"})] {
        let mut reader = family.open(more, &positions).await.unwrap();
        assert_eq!(told(&mut *reader, "topic-removed").await.key().1, goes.name);
        reader.close().await;
    }
    // Who proves what was read can't get it.
    let again = Context { again: true, ..context() };
    let error = open(&*family.source(json!({})), &again, (0, 1), &positions).await.err().unwrap();
    let Error::PositionLost { partition, reason, .. } = &error else { panic!("{error}") };
    assert!(partition.0.starts_with(&*goes.name) && reason.contains("gone"), "{error}");

    // It is back, and another one.
    goes.create(1).await;
    let sender: Sender = ClientConfig::new().set("bootstrap.servers", &goes.brokers).create().unwrap();
    sender.send(BaseRecord::<str, str>::to(&goes.name).partition(0).payload("new")).map_err(|(e, _)| e).unwrap();
    sender.flush(PATIENCE).unwrap();
    let error = family.open(json!({}), &positions).await.err().unwrap();
    assert!(error.code() == "position-lost" && error.to_string().contains("recreated"), "{error}");
    let place = positions.keys().find(|name| name.0.starts_with(&*goes.name)).unwrap().clone();
    let was = positions[&place].identity.clone();
    let batches = match drain(&mut *reader, &mut positions, rows(1)).await {
        Ok(batches) => batches,
        // The library noticed it, too.
        Err(error) if error.code() == "topic-renewed" => {
            reader = family.open(earliest, &positions).await.unwrap();
            drain(&mut *reader, &mut positions, rows(1)).await.unwrap()
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(texts(&batches), ["new"]);
    assert_ne!(positions[&place].identity, was);
    for topic in [stays, goes] {
        topic.delete().await;
    }
}

/// Given a pattern that nothing matches, when it is opened, then it says so and waits; it can't begin at an end that isn't there.
#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_without_topics_waits_for_them() {
    if brokers().is_none() {
        return;
    }
    let family = Family("none");
    let source = family.source(json!({}));
    assert_eq!(source.partitions(&context()).await.unwrap(), []);
    let mut reader = family.open(json!({}), &Positions::new()).await.unwrap();
    let Notice::Holds(warned) = told(&mut *reader, "no-match").await else { panic!() };
    assert!(warned.message.contains("sources-none-"), "{}", warned.message);
    for start in [json!("latest"), json!({"timestamp": "2026-01-01T00:00:00Z"})] {
        let error = family.source(json!({"start": start})).plan(&context(), &Positions::new()).await.unwrap_err();
        assert_eq!(error.code(), "topic-missing", "{error}");
    }
    let topic = family.topic("a", 1).await.unwrap();
    topic.send(0, None, Some("a"));
    topic.flush();
    let mut positions = appeared(&mut *reader, 1).await;
    reader.assign(positions.clone());
    assert!(told(&mut *reader, "no-match").await.is_over());
    assert_eq!(texts(&drain(&mut *reader, &mut positions, rows(1)).await.unwrap()), ["a"]);
    topic.delete().await;
}

/// Given a pattern that everything matches, then topics that brokers and pipelines keep for themselves are read only by name.
#[tokio::test(flavor = "multi_thread")]
async fn internal_topics_are_read_by_name_only() {
    let Some(topic) = Topic::new("internal", 1).await else { return };
    let of = async |config: Value| {
        let mut source = json!({"brokers": topic.brokers});
        source.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let source = serde_json::from_value::<KafkaSource>(source).unwrap().build();
        let found = source.partitions(&context()).await.unwrap();
        found.into_iter().map(|it| it.0.rsplit_once('/').unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    let mut reader = topic.open(json!({"groupId": "dataflow-test"}), &Positions::new()).await.unwrap();
    reader.checkpointed(&topic.at(0, 0)); // makes the topic of offsets
    let begun = Instant::now();
    let internal = ["__consumer_offsets", "dataflow-tokens"];
    while topic.admin.inner().fetch_metadata(None, PATIENCE).unwrap().topics().iter().all(|it| it.name() != internal[0])
    {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let all = of(json!({"topicPattern": ".*"})).await;
    assert!(all.contains(&topic.name) && !all.iter().any(|name| internal.contains(&name.as_str())), "{all:?}");
    assert!(of(json!({"topicPattern": ".*", "topics": [internal[0]]})).await.iter().any(|name| name == internal[0]));
    reader.close().await;
    topic.delete().await;
}
