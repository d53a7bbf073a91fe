//! Opening a lane: fences its earlier producers, reads what they have committed, and raises its epoch.
use super::{
    KafkaSink,
    admission::{Admission, admit, check_claim},
    client::Client,
    ledger::{Entry, LaneId, Ledger},
    message::Wanted,
    offsets,
    producer::Producer,
    tokens,
    topic::{self, Topic},
    writer::{KafkaWriter, Lane},
};
use dataflow_sdk::{
    Error,
    batch::Demand,
    sink::{OpenLane, Opened},
};
use std::collections::BTreeSet;
use tokio_util::sync::CancellationToken;

/// Opens a lane.
pub(super) fn open(config: KafkaSink, lane: OpenLane, stop: CancellationToken) -> Result<Opened, Error> {
    let topic = find(&config, &lane, &stop)?;
    let own = LaneId::of(&lane.fence);
    let producer = producer(&config, &topic, &lane, &own, false)?;
    let client = Client::new(&config, &lane.fence.branch);
    let tokens = tokens::make(&client)?;
    let partition = tokens.partition(&lane.fence.branch);
    let write = |entries: &[Entry]| {
        producer.write(partition, entries).map_err(|error| match error {
            // Another one came in between: who opens again finds out who it is.
            Error::Fenced(message) => Error::transient("fenced", message),
            error => error,
        })
    };
    let mut gone = BTreeSet::from([own.clone()]);
    let Admission { claim, taken, token, others, begins, .. } = loop {
        let ledger = tokens.read(&lane.fence.branch, &gone, &stop, &lane.waits)?;
        let from = ledger.from(&own, &topic).map_or_else(|| offsets::ends(&client, &topic), Ok)?;
        let admission = admit(ledger, &lane, &topic, from)?;
        let mut fenced = admission.fenced.difference(&gone).peekable();
        if fenced.peek().is_none() {
            break admission;
        }
        write(&admission.claim)?;
        for id in fenced {
            self::producer(&config, &topic, &lane, id, false)?;
        }
        // They may have committed something until then.
        gone.extend(admission.fenced);
    };
    write(&[taken, claim].concat())?;
    let wanted = Wanted::of(&config);
    let (sequence, positions) =
        token.as_ref().map(|token| (token.sequence, token.positions.clone())).unwrap_or_default();
    let lane = Lane { config, of: lane, topic, wanted, partition, producer: Some(producer), sequence, positions, stop };
    Ok(Opened {
        writer: Box::new(KafkaWriter::new(lane)),
        token,
        others,
        begins,
        demand: Demand::Documents,
        warnings: Vec::new(),
        handle: None,
    })
}

/// The producer of a lane, whose earlier ones are fenced.
pub(super) fn producer(
    config: &KafkaSink,
    topic: &Topic,
    lane: &OpenLane,
    id: &LaneId,
    alone: bool,
) -> Result<Producer, Error> {
    let client = Client::new(config, &lane.fence.branch);
    let id = id.transactional_id(&client.tokens);
    Producer::open(client, config, &id, &topic.limits, alone)
}

/// What was committed of the pipeline of a lane.
pub(super) fn read(config: &KafkaSink, lane: &OpenLane, stop: &CancellationToken) -> Result<Ledger, Error> {
    let client = Client::new(config, &lane.fence.branch);
    match tokens::look(&client)? {
        Some(tokens) => tokens.read(&lane.fence.branch, &BTreeSet::new(), stop, &lane.waits),
        None => Ok(Ledger::new(lane.fence.branch.clone())),
    }
}

/// The topic; created if it is missing, is to be created, and need not hold any records.
pub(super) fn find(config: &KafkaSink, lane: &OpenLane, stop: &CancellationToken) -> Result<Topic, Error> {
    let client = Client::new(config, &lane.fence.branch);
    if let Some(topic) = topic::look(&client, &config.topic)? {
        return Ok(topic);
    }
    check_claim(&read(config, lane, stop)?, lane, &config.topic, None)?;
    topic::make(&client, &config.topic, config.create_topic)?;
    let made = topic::look(&client, &config.topic)?;
    made.ok_or_else(|| Error::transient("kafka", format!("topic {} was created, and is not there yet", config.topic)))
}
