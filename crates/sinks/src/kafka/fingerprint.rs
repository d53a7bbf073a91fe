//! What a row and a record of the topic have in common if they are the same.
use super::message::{Message, Messages, Wanted};
use crate::document::Document;
use dataflow_sdk::audit::{Difference, shown};
use rdkafka::{
    Message as _,
    message::{BorrowedMessage, Headers},
};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// What is compared.
pub(super) struct Rule {
    /// Fields that are other ones whenever a record is read.
    pub(super) volatile: Vec<String>,
    pub(super) wanted: Wanted,
}

impl Rule {
    /// Whether what expressions say of a row is compared: they may use fields that are other ones each time.
    pub(super) fn has_side(&self) -> bool {
        self.volatile.is_empty()
    }

    /// A key, if it is compared.
    pub(super) fn key<'a>(&self, key: Option<&'a [u8]>) -> Option<&'a [u8]> {
        key.filter(|_| self.has_side() || !self.wanted.key)
    }

    pub(super) fn of_row(&self, messages: &Messages<'_>, message: &Message<'_>, row: usize) -> u128 {
        self.hash(message.key, message.value, messages.each_header(row))
    }

    pub(super) fn of_record(&self, record: &BorrowedMessage<'_>) -> u128 {
        let headers = record.headers().into_iter().flat_map(Headers::iter);
        self.hash(record.key(), record.payload(), headers.map(|header| (header.key, header.value)))
    }

    fn hash<'a>(
        &self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) -> u128 {
        let mut hash = Xxh3::new();
        part(&mut hash, self.key(key));
        let document = value.filter(|_| !self.volatile.is_empty()).map(Document::read);
        match document {
            None => part(&mut hash, value),
            Some(document) => {
                for (name, text) in document.fields().filter(|(name, _)| self.is_compared(name)) {
                    part(&mut hash, Some(name.as_bytes()));
                    part(&mut hash, Some(text.as_bytes()));
                }
            }
        }
        if self.has_side() {
            for (name, value) in headers {
                part(&mut hash, Some(name.as_bytes()));
                part(&mut hash, value);
            }
        }
        hash.digest128()
    }

    fn is_compared(&self, field: &str) -> bool {
        !self.volatile.iter().any(|volatile| volatile == field)
    }

    /// The fields in which a record's value is not the expected one.
    pub(super) fn differences(&self, expected: &[u8], record: &BorrowedMessage<'_>) -> Vec<Difference> {
        let [expected, found] = [expected, record.payload().unwrap_or_default()].map(Document::read);
        let value = |document: &Document, field: &str| {
            let known = document.fields().find(|(name, _)| *name == field);
            known.map(|(_, value)| shown(value.as_bytes()))
        };
        let more = found.fields().filter(|(name, _)| value(&expected, name).is_none());
        let names = expected.fields().chain(more).map(|(name, _)| name).filter(|name| self.is_compared(name));
        let differs = names.map(|field| Difference {
            field: field.into(),
            expected: value(&expected, field),
            found: value(&found, field),
        });
        differs.filter(|difference| difference.expected != difference.found).collect()
    }
}

/// Takes in a part, so that nothing of it can be taken for the next one.
fn part(hash: &mut Xxh3, bytes: Option<&[u8]>) {
    hash.update(&bytes.map_or(u64::MAX, |bytes| bytes.len() as u64).to_le_bytes());
    hash.update(bytes.unwrap_or_default());
}

pub(super) fn key_hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// Whether the numbers of some records are those of as many rows, in whatever order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    sum: u64,
    unknown: bool,
}

impl Sum {
    pub(super) fn found(&mut self, number: Option<i64>) {
        self.add(number, u64::wrapping_add);
    }
    /// None: it may be any.
    pub(super) fn expected(&mut self, number: Option<i64>) {
        self.add(number, u64::wrapping_sub);
    }
    pub(super) fn differs(&self) -> bool {
        self.sum != 0 && !self.unknown
    }
    fn add(&mut self, number: Option<i64>, add: impl Fn(u64, u64) -> u64) {
        match number {
            Some(number) => self.sum = add(self.sum, xxh3_64(&number.to_le_bytes())),
            None => self.unknown = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;

    #[test]
    fn numbers_are_the_same_in_any_order_and_not_if_only_their_sum_is() {
        for (found, expected, differs) in [([1, 4], [4, 1], false), ([1, 4], [2, 3], true), ([1, 1], [1, 2], true)] {
            let mut sum = Sum::default();
            found.iter().for_each(|number| sum.found(Some(*number)));
            expected.iter().for_each(|number| sum.expected(Some(*number)));
            assert_eq!(sum.differs(), differs, "{found:?} {expected:?}");
            sum.expected(None);
            assert!(!sum.differs());
        }
    }
}
