//! The fields of a packet.

/// What is left of a packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A whole number of so many bytes.
    pub(crate) fn number(&mut self, bytes: usize) -> Option<u64> {
        let taken = self.take(bytes)?;
        Some(taken.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A whole number that says itself how long it is.
    pub(crate) fn length(&mut self) -> Option<u64> {
        match self.number(1)? {
            0xfc => self.number(2),
            0xfd => self.number(3),
            0xfe => self.number(8),
            short @ ..=0xfa => Some(short),
            _ => None,
        }
    }

    /// Bytes with their number before them.
    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let count = self.length()?;
        self.take(usize::try_from(count).ok()?)
    }

    pub(crate) fn text(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    /// Bytes up to a zero, or to the end.
    pub(crate) fn until_zero(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0);
        let taken = &self.0[..end.unwrap_or(self.0.len())];
        self.0 = &self.0[end.map_or(self.0.len(), |end| end + 1)..];
        taken
    }
}

/// Writes bytes with their number before them.
pub(crate) fn put_bytes(packet: &mut Vec<u8>, bytes: &[u8]) {
    match u64::try_from(bytes.len()).unwrap_or(u64::MAX) {
        short @ ..=0xfa => packet.push(short as u8),
        length => {
            packet.push(0xfe);
            packet.extend_from_slice(&length.to_le_bytes());
        }
    }
    packet.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_say_how_long_they_are() {
        let mut packet = vec![0xfa, 0xfc, 1, 2, 0xfd, 1, 2, 3];
        put_bytes(&mut packet, &[7; 300]);
        packet.extend_from_slice(b"end\0x");
        let mut fields = Fields(&packet);
        assert_eq!([fields.length(), fields.length(), fields.length()], [Some(0xfa), Some(0x201), Some(0x3_0201)]);
        assert_eq!(fields.bytes().map(<[u8]>::len), Some(300));
        assert_eq!((fields.until_zero(), fields.until_zero(), fields.until_zero()), (&b"end"[..], &b"x"[..], &b""[..]));
        assert_eq!((fields.length(), Fields(&[0xff]).length(), Fields(&[9, 1]).bytes()), (None, None, None));
    }
}
