//! Functions of librdkafka that its Rust wrapper doesn't expose: topic ids, leader epochs, and waiting for deliveries.
//!
//! Kafka gives each topic an id on creation (KIP-516), so a topic that was deleted and recreated under the same name is
//! a different one. Each leader of a partition has an epoch, which its records keep (KIP-320), so a log that lost its
//! end and was written again differs from there on. All `unsafe` code of the project is in this file;
//! docs/adr/0009-topic-ids.md says why it is here.
#![expect(unsafe_code, reason = "calls of the C library")]
use rdkafka::{
    TopicPartitionList, bindings as c,
    client::{Client, ClientContext, OAuthToken},
    error::{KafkaError, KafkaResult, RDKafkaErrorCode},
    message::BorrowedMessage,
};
use std::{
    collections::HashMap,
    ffi::{CStr, CString, c_int},
    ptr::{self, NonNull},
    time::Duration,
};

/// Returns the id of one topic, as [`topic_ids`] does.
///
/// # Errors
/// If the brokers can't be asked in time, or have no such topic.
pub fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    broker: i32,
    timeout: Duration,
) -> KafkaResult<Option<String>> {
    let found = topic_ids(client, &[topic], broker, timeout)?.remove(topic);
    found.unwrap_or(Err(KafkaError::MetadataFetch(RDKafkaErrorCode::BadMessage)))
}

/// Returns the ids of topics, as Kafka's own tools write them; `None` if the brokers give topics no ids (before Kafka
/// 2.8), an error for one that they don't have. Asks `broker`, one of those named by the cluster's metadata: all of them
/// know the ids. By default the library would ask the controller, which may not be known. Blocks until the answer
/// arrives.
///
/// # Errors
/// If the brokers can't be asked in time.
pub fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    broker: i32,
    timeout: Duration,
) -> KafkaResult<HashMap<String, KafkaResult<Option<String>>>> {
    if topics.is_empty() {
        return Ok(HashMap::new());
    }
    let named = topics.iter().map(|topic| CString::new(*topic)).collect::<Result<Vec<_>, _>>();
    let named = named.map_err(|_| KafkaError::MetadataFetch(RDKafkaErrorCode::InvalidTopic))?;
    let ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    let handle = client.native_ptr();

    let mut names: Vec<_> = named.iter().map(|name| name.as_ptr()).collect();
    let (first, count) = (names.as_mut_ptr(), names.len());
    // SAFETY: `first` points to `count` pointers to NUL-terminated texts; the library copies the texts.
    let topics = Owned::new(unsafe { c::rd_kafka_TopicCollection_of_topic_names(first, count) }, |it| {
        // SAFETY: it was created by the line above, and is released once.
        unsafe { c::rd_kafka_TopicCollection_destroy(it) }
    })?;
    let operation = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: `handle` lives as long as `client`, which is borrowed for all of this function.
    let options = Owned::new(unsafe { c::rd_kafka_AdminOptions_new(handle, operation) }, |it| {
        // SAFETY: as above.
        unsafe { c::rd_kafka_AdminOptions_destroy(it) }
    })?;
    // SAFETY: the options are alive; no error text is requested.
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
    // The answer arrives when the request times out at the latest. SAFETY: the queue is alive.
    let event = Owned::new(unsafe { c::rd_kafka_queue_poll(queue.get(), ms.saturating_add(1_000)) }, |it| {
        // SAFETY: as above. Everything taken from the event is copied before.
        unsafe { c::rd_kafka_event_destroy(it) }
    })
    .map_err(|_| KafkaError::MetadataFetch(RDKafkaErrorCode::OperationTimedOut))?;
    // SAFETY: the event is alive.
    check(unsafe { c::rd_kafka_event_error(event.get()) })?;
    // SAFETY: the event is alive; null if it answers another request.
    let result = unsafe { c::rd_kafka_event_DescribeTopics_result(event.get()) };
    let unexpected = || KafkaError::MetadataFetch(RDKafkaErrorCode::BadMessage);
    if result.is_null() {
        return Err(unexpected());
    }
    let mut count = 0;
    // SAFETY: the result lives as long as the event.
    let found = unsafe { c::rd_kafka_DescribeTopics_result_topics(result, &raw mut count) };
    if found.is_null() || count != names.len() {
        return Err(unexpected());
    }
    // SAFETY: it points to `count` descriptions, which live as long as the event.
    let found = unsafe { std::slice::from_raw_parts(found, count) };
    let mut ids = HashMap::new();
    for &found in found {
        // SAFETY: the description is alive.
        let name = unsafe { c::rd_kafka_TopicDescription_name(found) };
        // SAFETY: it is NUL-terminated, and copied before the event is released.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
        // SAFETY: the description is alive.
        ids.insert(name, unsafe { id_of(found) });
    }
    Ok(ids)
}

/// Returns the id of a described topic.
///
/// # Safety
/// The description is alive.
unsafe fn id_of(found: *const c::rd_kafka_TopicDescription_t) -> KafkaResult<Option<String>> {
    // SAFETY: the description is alive; a null error means success.
    let error = unsafe { c::rd_kafka_TopicDescription_error(found) };
    // SAFETY: null is allowed.
    check(unsafe { c::rd_kafka_error_code(error) })?;
    // SAFETY: as above.
    let id = unsafe { c::rd_kafka_TopicDescription_topic_id(found) };
    if id.is_null() {
        return Ok(None);
    }
    // SAFETY: the id lives as long as the description.
    let high = unsafe { c::rd_kafka_Uuid_most_significant_bits(id) };
    // SAFETY: as above.
    let low = unsafe { c::rd_kafka_Uuid_least_significant_bits(id) };
    if (high, low) == (0, 0) {
        return Ok(None);
    }
    // SAFETY: as above; the text is the id's own.
    let text = unsafe { c::rd_kafka_Uuid_base64str(id) };
    if text.is_null() {
        return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::BadMessage));
    }
    // SAFETY: it is NUL-terminated, and copied while the description is alive.
    let text = unsafe { CStr::from_ptr(text) };
    Ok(Some(text.to_string_lossy().into_owned()))
}

/// The epoch of the leader that accepted a record; `None` if the brokers don't report it.
pub fn leader_epoch(message: &BorrowedMessage<'_>) -> Option<i32> {
    // SAFETY: the message is alive; the library only reads a field of it.
    let epoch = unsafe { c::rd_kafka_message_leader_epoch(message.ptr()) };
    (epoch >= 0).then_some(epoch)
}

/// The epoch beside a partition's offset in a list.
pub fn epoch_in(list: &TopicPartitionList, topic: &str, number: i32) -> Option<i32> {
    let element = element(list, topic, number)?;
    // SAFETY: the element lives as long as the list, which is borrowed.
    let epoch = unsafe { c::rd_kafka_topic_partition_get_leader_epoch(element.as_ptr()) };
    (epoch >= 0).then_some(epoch)
}

/// Sets an epoch beside a partition's offset in a list: on a seek, the library first asks the brokers whether the log
/// still has that epoch up to the offset.
pub fn set_epoch(list: &mut TopicPartitionList, topic: &str, number: i32, epoch: i32) {
    if let Some(element) = element(list, topic, number) {
        // SAFETY: the element lives as long as the list, which is borrowed for writing.
        unsafe { c::rd_kafka_topic_partition_set_leader_epoch(element.as_ptr(), epoch) }
    }
}

/// Sends what a producer has queued at once, and waits until all of it is delivered, or for so long. The wrapper's own
/// `flush` looks only each 100 ms. Reports of failed deliveries count as not delivered until they are polled.
pub fn flush<C: ClientContext>(client: &Client<C>, timeout: Duration) {
    let ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the handle lives as long as `client`, which is borrowed. Whether it timed out shows in what is in flight.
    unsafe { c::rd_kafka_flush(client.native_ptr(), ms) };
}

/// Gives a client the token that it logs in with.
///
/// # Errors
/// Why the library does not take it, in its words.
pub(crate) fn set_token<C: ClientContext>(client: &Client<C>, token: &OAuthToken) -> Result<(), String> {
    let text = |text: &str| CString::new(text).map_err(|_| "it holds a NUL character".to_owned());
    let (value, principal) = (text(&token.token)?, text(&token.principal_name)?);
    let mut why = [0; 512];
    // SAFETY: the handle lives as long as `client`, which is borrowed; both texts end in NUL and are copied; there are no
    // extensions; the library writes no more than the length of `why`, with a NUL at its end.
    let code = unsafe {
        c::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            value.as_ptr(),
            token.lifetime_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            why.as_mut_ptr(),
            why.len(),
        )
    };
    match RDKafkaErrorCode::from(code) {
        RDKafkaErrorCode::NoError => Ok(()),
        // SAFETY: see above; it was zero before.
        _ => Err(unsafe { CStr::from_ptr(why.as_ptr()) }.to_string_lossy().into_owned()),
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

/// A resource of the library, released on drop.
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
