//! Footers that would end the process, were the library to read them.
use super::{Fault, SHORT, look};

/// A number as Thrift has it.
pub(in super::super) fn number(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// An element of a schema: its name, and how many are within it.
fn element(children: u64) -> Vec<u8> {
    let mut bytes = vec![0x35, 0, 0x18, 1, b'a'];
    if children > 0 {
        bytes.push(0x15);
        bytes.extend(number(children << 1));
    }
    bytes.push(0);
    bytes
}

/// A footer with these elements, and this after them.
pub(in super::super) fn footer(elements: &[Vec<u8>], rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x15, 2, 0x19, 0xfc];
    bytes.extend(number(elements.len() as u64));
    bytes.extend(elements.concat());
    bytes.extend([0x16, 0]);
    bytes.extend(rest);
    bytes
}

pub(in super::super) fn chain(levels: u64) -> Vec<u8> {
    let mut elements: Vec<_> = (0..levels).map(|_| element(1)).collect();
    elements.push(element(0));
    footer(&elements, &[0x19, 0x0c, 0])
}

/// So many row groups, none of which is there.
pub(in super::super) fn groups(count: u64) -> Vec<u8> {
    footer(&[element(1), element(0)], &[&[0x19, 0xfc][..], &number(count), &[0]].concat())
}

#[test]
fn lengths_that_are_not_there_are_damage() {
    assert_eq!(look(&groups(0)), Ok(()));
    assert_eq!(look(&groups((1 << 31) - 1)), Err(SHORT));
    assert_eq!(
        look(&footer(&[element((1 << 31) - 1), element(0)], &[0x19, 0x0c, 0]))
            .map_err(|fault| { matches!(fault, Fault::Damaged(_)) }),
        Err(true)
    );
    // Lists in what the library passes over.
    assert_eq!(look(&footer(&[element(0)], &[&[0x89, 0xf3][..], &number(1 << 30), &[0]].concat())), Err(SHORT));
}

#[test]
fn a_schema_has_no_more_than_64_levels() {
    assert_eq!(look(&chain(64)), Ok(()));
    assert!(matches!(look(&chain(65)), Err(Fault::Unsupported(_))));
    assert!(matches!(look(&chain(500_000)), Err(Fault::Unsupported(_))));
}

#[test]
fn a_field_has_its_own_type() {
    // The number of children as a double: the library reads one byte of it, and then other fields than those that are looked at.
    let wrong = [0x35, 0, 0x18, 1, b'a', 0x17, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert!(matches!(look(&footer(&[wrong.into()], &[0x19, 0x0c, 0])), Err(Fault::Damaged(_))));
}
