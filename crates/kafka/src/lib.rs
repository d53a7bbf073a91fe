//! What librdkafka can do and its Rust wrapper has no call for: telling a topic's id, and the epochs of leaders.
//!
//! Kafka gives each topic an id when it is made (KIP-516), so that one that was deleted and made anew under the same name
//! is another. Each leader of a partition has an epoch, which its records keep (KIP-320), so that a log that lost its end
//! and was written anew is another from there on. Everything `unsafe` of the house is in this file; docs/adr/0009-topic-ids.md says why it is here.
#![expect(unsafe_code, reason = "calls of the C library")]
use rdkafka::{
    TopicPartitionList, bindings as c,
    client::{Client, ClientContext},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use std::{
    ffi::{CStr, CString, c_int},
    ptr::{self, NonNull},
    time::Duration,
};

/// The id of a topic, as Kafka's own tools write it; none if the brokers give topics no ids (before Kafka 2.8).
/// `broker` is asked, one of those that the cluster's metadata names: all of them know it, and who the controller is,
/// which the library would ask by itself, may not be known. Blocks until the answer is there.
///
/// # Errors
/// If the brokers can't be asked in time, or have no such topic.
pub fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    broker: i32,
    timeout: Duration,
) -> KafkaResult<Option<String>> {
    let named = CString::new(topic).map_err(|_| KafkaError::MetadataFetch(RDKafkaErrorCode::InvalidTopic))?;
    let ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    let handle = client.native_ptr();

    let mut names = [named.as_ptr()];
    // SAFETY: `names` holds one pointer to a text that ends in NUL; the library copies what it points at.
    let topics = Owned::new(unsafe { c::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), 1) }, |it| {
        // SAFETY: it was made by the line above, and is given back once.
        unsafe { c::rd_kafka_TopicCollection_destroy(it) }
    })?;
    let operation = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: `handle` lives as long as `client`, which is borrowed for all of this function.
    let options = Owned::new(unsafe { c::rd_kafka_AdminOptions_new(handle, operation) }, |it| {
        // SAFETY: as above.
        unsafe { c::rd_kafka_AdminOptions_destroy(it) }
    })?;
    // SAFETY: the options are alive; no text of an error is asked for.
    let set = unsafe { c::rd_kafka_AdminOptions_set_request_timeout(options.get(), ms, ptr::null_mut(), 0) };
    check(set)?;
    // SAFETY: as above.
    let set = unsafe { c::rd_kafka_AdminOptions_set_broker(options.get(), broker, ptr::null_mut(), 0) };
    check(set)?;
    // SAFETY: `handle` is alive.
    let queue = Owned::new(unsafe { c::rd_kafka_queue_new(handle) }, |it| {
        // SAFETY: as above.
        unsafe { c::rd_kafka_queue_destroy(it) }
    })?;

    // SAFETY: all four are alive; the library keeps copies of topics and options, and a reference to the queue.
    unsafe { c::rd_kafka_DescribeTopics(handle, topics.get(), options.get(), queue.get()) };
    // The answer comes when the request times out at the latest.
    // SAFETY: the queue is alive.
    let event = Owned::new(unsafe { c::rd_kafka_queue_poll(queue.get(), ms.saturating_add(1_000)) }, |it| {
        // SAFETY: as above. Whatever was taken from the event is copied before.
        unsafe { c::rd_kafka_event_destroy(it) }
    })
    .map_err(|_| KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut))?;
    // SAFETY: the event is alive.
    check(unsafe { c::rd_kafka_event_error(event.get()) })?;
    // SAFETY: the event is alive; null where it is another's answer.
    let result = unsafe { c::rd_kafka_event_DescribeTopics_result(event.get()) };
    let unexpected = || KafkaError::MetadataFetch(RDKafkaErrorCode::BadMessage);
    if result.is_null() {
        return Err(unexpected());
    }
    let mut count = 0;
    // SAFETY: the result lives as long as the event.
    let found = unsafe { c::rd_kafka_DescribeTopics_result_topics(result, &raw mut count) };
    if found.is_null() || count != 1 {
        return Err(unexpected());
    }
    // SAFETY: there is one element, see `count`.
    let found = unsafe { *found };
    // SAFETY: the description lives as long as the event; the error in it may be null, which stands for none.
    let error = unsafe { c::rd_kafka_TopicDescription_error(found) };
    // SAFETY: null is allowed.
    check(unsafe { c::rd_kafka_error_code(error) })?;
    // SAFETY: as above.
    let id = unsafe { c::rd_kafka_TopicDescription_topic_id(found) };
    if id.is_null() {
        return Ok(None);
    }
    // SAFETY: the id lives as long as the event.
    let high = unsafe { c::rd_kafka_Uuid_most_significant_bits(id) };
    // SAFETY: as above.
    let low = unsafe { c::rd_kafka_Uuid_least_significant_bits(id) };
    if (high, low) == (0, 0) {
        return Ok(None);
    }
    // SAFETY: as above; the text is the id's own.
    let text = unsafe { c::rd_kafka_Uuid_base64str(id) };
    if text.is_null() {
        return Err(unexpected());
    }
    // SAFETY: it ends in NUL, and is copied before the event is given back.
    let text = unsafe { CStr::from_ptr(text) };
    Ok(Some(text.to_string_lossy().into_owned()))
}

/// The epoch of the leader that took a record; none if the brokers don't tell.
pub fn leader_epoch(message: &BorrowedMessage<'_>) -> Option<i32> {
    // SAFETY: the message is alive; the library only reads a field of it.
    let epoch = unsafe { c::rd_kafka_message_leader_epoch(message.ptr()) };
    (epoch >= 0).then_some(epoch)
}

/// The epoch that a list has beside the offset of a partition.
pub fn epoch_in(list: &TopicPartitionList, topic: &str, number: i32) -> Option<i32> {
    let element = element(list, topic, number)?;
    // SAFETY: the element lives as long as the list, which is borrowed.
    let epoch = unsafe { c::rd_kafka_topic_partition_get_leader_epoch(element.as_ptr()) };
    (epoch >= 0).then_some(epoch)
}

/// Puts an epoch beside the offset of a partition in a list: where it is sought, the library first asks the brokers
/// whether the log still has that epoch up to there.
pub fn set_epoch(list: &mut TopicPartitionList, topic: &str, number: i32, epoch: i32) {
    if let Some(element) = element(list, topic, number) {
        // SAFETY: the element lives as long as the list, which is borrowed for writing.
        unsafe { c::rd_kafka_topic_partition_set_leader_epoch(element.as_ptr(), epoch) }
    }
}

fn element(list: &TopicPartitionList, topic: &str, number: i32) -> Option<NonNull<c::rd_kafka_topic_partition_t>> {
    let topic = CString::new(topic).ok()?;
    // SAFETY: the list is alive, and the name ends in NUL.
    NonNull::new(unsafe { c::rd_kafka_topic_partition_list_find(list.ptr(), topic.as_ptr(), number) })
}

fn check(code: c::rd_kafka_resp_err_t) -> KafkaResult<()> {
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        code => Err(KafkaError::MetadataFetch(code)),
    }
}

/// Something of the library's that is given back when it is dropped.
struct Owned<T> {
    it: NonNull<T>,
    give_back: fn(*mut T),
}

impl<T> Owned<T> {
    fn new(it: *mut T, give_back: fn(*mut T)) -> KafkaResult<Self> {
        let it = NonNull::new(it).ok_or(KafkaError::MetadataFetch(RDKafkaErrorCode::Fail))?;
        Ok(Self { it, give_back })
    }
    fn get(&self) -> *mut T {
        self.it.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        (self.give_back)(self.get());
    }
}
