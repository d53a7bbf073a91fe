//! What is sent for each row, and which rows the topic would refuse: those are found before anything is sent.
use super::{
    KafkaSink,
    topic::{Limits, Topic},
};
use arrow::array::{Array, AsArray, Int32Array, StringArray};
use arrow::datatypes::Int32Type;
use dataflow_sdk::{
    Error, Span,
    batch::{Output, Payload},
};
use rdkafka::message::{Header, OwnedHeaders};

/// Bytes of a batch around its records.
const BATCH: usize = 61;

/// The rows of an output, as they are sent.
pub(super) struct Messages<'a> {
    output: &'a Output,
    data: &'a [u8],
    spans: &'a [Span],
    side: Side<'a>,
}

/// The values of the side expressions.
struct Side<'a> {
    key: Option<&'a StringArray>,
    partition: Option<&'a Int32Array>,
    headers: Vec<(&'a str, &'a StringArray)>,
}

/// What is sent for a row.
pub(super) struct Message<'a> {
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) partition: Option<i32>,
    /// When the record was made, milliseconds since the Unix epoch.
    pub(super) timestamp: Option<i64>,
}

/// Which side expressions there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub(super) key: bool,
    pub(super) partition: bool,
    pub(super) headers: Vec<String>,
}

impl Wanted {
    pub(super) fn of(config: &KafkaSink) -> Self {
        Self {
            key: config.key.is_some(),
            partition: config.partition.is_some(),
            headers: config.headers.keys().cloned().collect(),
        }
    }
}

impl<'a> Messages<'a> {
    pub(super) fn of(output: &'a Output, wanted: &'a Wanted) -> Result<Self, Error> {
        let internal = |what: &str| Error::fatal("internal", format!("the sink got {what}")).for_user();
        let Payload::Documents { data, spans } = &output.payload else {
            return Err(internal("columns, and wanted documents"));
        };
        let mut side = output.side.iter();
        let lacks = || internal("fewer values than its settings have expressions");
        let key = if wanted.key { Some(side.next().ok_or_else(lacks)?.as_string::<i32>()) } else { None };
        let partition = match wanted.partition {
            true => Some(side.next().ok_or_else(lacks)?.as_primitive::<Int32Type>()),
            false => None,
        };
        let headers =
            wanted.headers.iter().map(|name| Ok((&**name, side.next().ok_or_else(lacks)?.as_string::<i32>())));
        let headers = headers.collect::<Result<_, Error>>()?;
        Ok(Self { output, data, spans, side: Side { key, partition, headers } })
    }

    pub(super) fn len(&self) -> usize {
        self.output.len()
    }

    /// What is sent for a row. `scratch`: where a key is put that is nowhere else.
    pub(super) fn get<'b>(&'b self, row: usize, scratch: &'b mut Vec<u8>) -> Message<'b> {
        let span = self.spans[row];
        let value = (!self.output.deletes(row)).then(|| span.of(self.data));
        let (of, records) = (self.output.rows[row] as usize, self.output.records.as_ref());
        let key = match (self.side.key, records) {
            (Some(keys), _) => keys.is_valid(row).then(|| keys.value(row).as_bytes()),
            (None, Some(records)) => records.message_key(of, scratch),
            (None, None) => None,
        };
        let partition = self.side.partition.filter(|numbers| numbers.is_valid(row)).map(|numbers| numbers.value(row));
        let timestamp = records.and_then(|records| *records.timestamps.as_ref()?.get(of)?);
        Message { key, value, partition, timestamp }
    }

    /// The names and values of a row's headers.
    pub(super) fn each_header(&self, row: usize) -> impl Iterator<Item = (&str, Option<&[u8]>)> {
        let value = move |values: &'a StringArray| values.is_valid(row).then(|| values.value(row).as_bytes());
        self.side.headers.iter().map(move |(name, values)| (*name, value(values)))
    }

    /// The headers of a row; none: there are none.
    pub(super) fn headers(&self, row: usize) -> Option<OwnedHeaders> {
        if self.side.headers.is_empty() {
            return None;
        }
        let headers = OwnedHeaders::new_with_capacity(self.side.headers.len());
        Some(self.side.headers.iter().fold(headers, |headers, (name, values)| {
            let value = values.is_valid(row).then(|| values.value(row));
            headers.insert(Header { key: name, value })
        }))
    }

    /// Why the topic would refuse a row; none: it takes it. `now`: milliseconds since the Unix epoch.
    pub(super) fn refusal(&self, row: usize, message: &Message<'_>, topic: &Topic, now: i64) -> Option<String> {
        let Topic { name, partitions, limits, .. } = topic;
        if message.key.is_none() && limits.keyed {
            return Some(format!("key: topic {name} is compacted, and the record has no key"));
        }
        if let Some(number) = message.partition.filter(|number| !(0..*partitions).contains(number)) {
            let last = partitions - 1;
            return Some(format!("partition: topic {name} has the partitions 0 to {last}, and no partition {number}"));
        }
        if let Some(time) = message.timestamp.filter(|_| !limits.own_time)
            && let Some(why) = refused_time(time, limits, now)
        {
            return Some(format!("timestamp: topic {name} {why}"));
        }
        let length = BATCH + self.length(row, message);
        if length > limits.message_bytes {
            let most = limits.message_bytes;
            return Some(format!(
                "size: the record has {length} bytes, and topic {name} takes at most {most} (max.message.bytes)"
            ));
        }
        None
    }

    /// How many bytes a row has in a batch of its own.
    fn length(&self, row: usize, message: &Message<'_>) -> usize {
        let with_length = |bytes: Option<usize>| varint(bytes.map_or(1, |bytes| 2 * bytes as u64)) + bytes.unwrap_or(0);
        let headers = self.side.headers.iter().map(|(name, values)| {
            let value = values.is_valid(row).then(|| values.value(row).len());
            with_length(Some(name.len())) + with_length(value)
        });
        // Attributes, and the differences of time and offset to those of the batch.
        let body = 3
            + with_length(message.key.map(<[u8]>::len))
            + with_length(message.value.map(<[u8]>::len))
            + varint(2 * self.side.headers.len() as u64)
            + headers.sum::<usize>();
        varint(2 * body as u64) + body
    }
}

/// The bytes of a number in Kafka's variable encoding, once its sign is folded in.
fn varint(folded: u64) -> usize {
    (64 - (folded | 1).leading_zeros() as usize).div_ceil(7)
}

/// Why a topic does not take records of a time.
fn refused_time(time: i64, limits: &Limits, now: i64) -> Option<String> {
    let said = |time: i64| {
        jiff::Timestamp::from_millisecond(time).map_or_else(|_| format!("{time} ms"), |time| time.to_string())
    };
    if time < 1 {
        return Some(format!(
            "can't take this record: it is of {}, and the client library sends only times after 1970-01-01T00:00:00Z",
            said(time)
        ));
    }
    if now.saturating_sub(time) > limits.before {
        return Some(format!(
            "takes no record that is older than {} ms (message.timestamp.before.max.ms), and this one is of {}",
            limits.before,
            said(time)
        ));
    }
    if time.saturating_sub(now) > limits.after {
        return Some(format!(
            "takes no record that is more than {} ms in the future (message.timestamp.after.max.ms), and this one is of {}",
            limits.after,
            said(time)
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::varint;

    #[test]
    fn numbers_are_as_long_as_kafka_writes_them() {
        for (folded, bytes) in [(0, 1), (1, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (u64::MAX, 10)] {
            assert_eq!(varint(folded), bytes, "{folded}");
        }
    }
}
