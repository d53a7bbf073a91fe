//! Topics of the Kafka that is up for all tests. Its controller answers before its broker does what was decided: who then sends to
//! a topic that is made anew sends to the former one, or nowhere.
use crate::servers::KAFKA;
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

fn config() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", KAFKA);
    config
}

fn admin() -> AdminClient<DefaultClientContext> {
    config().create().expect("an admin client can be made")
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(PATIENCE))
}

/// Makes a topic that holds nothing; one of that name is removed first.
///
/// # Panics
/// If it can't be made.
pub async fn make_anew(name: &str, partitions: usize) {
    remove(&[name]).await;
    let count = i32::try_from(partitions).expect("few partitions");
    let topic = NewTopic::new(name, count, TopicReplication::Fixed(1));
    let made = admin().create_topics([&topic], &options()).await.expect("Kafka answers");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    until_it_has(name, partitions).await;
}

/// Removes topics, if they are there.
///
/// # Panics
/// If they can't be removed.
pub async fn remove(names: &[&str]) {
    admin().delete_topics(names, &options()).await.expect("Kafka answers");
    for name in names {
        until_it_has(name, 0).await;
    }
}

/// Waits until the broker knows so many partitions of a topic; 0: until it is gone.
///
/// # Panics
/// If that takes longer than a minute.
pub async fn until_it_has(name: &str, partitions: usize) {
    let consumer: BaseConsumer = config().create().expect("a consumer can be made");
    for _ in 0..PATIENCE.as_millis() / 20 {
        // Asked for one by its name, brokers may make it.
        let all = consumer.fetch_metadata(None, PATIENCE).expect("Kafka answers");
        let found = all.topics().iter().find(|topic| topic.name() == name);
        if found.map_or(0, |topic| topic.partitions().len()) == partitions {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("topic {name} has not {partitions} partitions within {PATIENCE:?}");
}
