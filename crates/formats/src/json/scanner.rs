//! Scans a JSON text.
use super::{Fault, Kind, MAX_DEPTH, Token, What};

/// Scans a text once, from front to back. Its bytes must be UTF-8 where they are read as text; that is not checked
/// here.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
}

/// What is expected after a text.
pub(crate) const NOTHING_MORE: &str = "nothing more";
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks (at least the first of) the bytes that end a run of plain string content: quote, backslash, control
/// characters.
#[inline]
fn special(word: u64) -> u64 {
    let is = |byte: u8| {
        let differing = word ^ (ONES * u64::from(byte));
        differing.wrapping_sub(ONES) & !differing
    };
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (is(b'"') | is(b'\\') | control) & HIGHS
}

impl<'a> Scanner<'a> {
    /// Creates a scanner of `bytes`, from `at` to their end.
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, depth: 0 }
    }

    /// The current position.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The byte at the current position; 0, which can't occur in JSON, at the end.
    #[inline]
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Skips blanks and returns the byte after them.
    #[inline]
    pub(crate) fn blank(&mut self) -> u8 {
        let byte = self.peek();
        if byte > b' ' { byte } else { self.blanks() }
    }

    fn blanks(&mut self) -> u8 {
        loop {
            match self.peek() {
                b' ' | b'\n' | b'\r' | b'\t' => self.at += 1,
                byte => return byte,
            }
        }
    }

    /// Skips one byte.
    #[inline]
    pub(crate) fn step(&mut self) {
        self.at += 1;
    }

    /// The fault of finding something other than expected here.
    #[cold]
    pub(crate) fn expected(&self, what: &'static str) -> Fault {
        Fault { at: self.at, what: What::Expected(what) }
    }

    /// Skips blanks to the end of the text.
    pub(crate) fn end(&mut self) -> Result<(), Fault> {
        self.blank();
        if self.at < self.bytes.len() { Err(self.expected(NOTHING_MORE)) } else { Ok(()) }
    }

    /// Enters a level of nesting.
    #[inline]
    pub(crate) fn enter(&mut self) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(Fault { at: self.at, what: What::TooDeep }) } else { Ok(()) }
    }

    /// Leaves a level of nesting.
    #[inline]
    pub(crate) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// Skips the opening quote of a key.
    #[inline]
    pub(crate) fn open_key(&mut self) -> Result<(), Fault> {
        if self.blank() != b'"' {
            return Err(self.expected("a key in double quotes"));
        }
        self.at += 1;
        Ok(())
    }

    /// Called after an opening quote: skips this key and its closing quote, if the text matches it.
    #[inline]
    pub(crate) fn take_key(&mut self, key: &[u8]) -> bool {
        let end = self.at + key.len();
        let there = self.bytes.get(end) == Some(&b'"') && self.bytes[self.at..end] == *key;
        if there {
            self.at = end + 1;
        }
        there
    }

    /// Skips the colon after a key, and the blanks around it.
    #[inline]
    pub(crate) fn colon(&mut self) -> Result<(), Fault> {
        if self.blank() != b':' {
            return Err(self.expected("a colon"));
        }
        self.at += 1;
        self.blank();
        Ok(())
    }

    /// Called after a member of an object: true if another member follows, false after the object.
    #[inline]
    pub(crate) fn next_member(&mut self) -> Result<bool, Fault> {
        let byte = self.blank();
        if byte != b',' && byte != b'}' {
            return Err(self.expected("a comma or a closing brace"));
        }
        self.at += 1;
        Ok(byte == b',')
    }

    /// Called after an item of an array: true if another item follows, false after the array.
    #[inline]
    pub(crate) fn next_item(&mut self) -> Result<bool, Fault> {
        let byte = self.blank();
        if byte != b',' && byte != b']' {
            return Err(self.expected("a comma or a closing bracket"));
        }
        self.at += 1;
        self.blank();
        Ok(byte == b',')
    }

    /// Called after an opening quote: skips the string and its closing quote.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        let mut kind = Kind::String;
        loop {
            self.plain();
            match self.peek() {
                b'"' => {
                    self.at += 1;
                    return Ok(Token { kind, start, end: self.at - 1 });
                }
                b'\\' => {
                    kind = Kind::Escaped;
                    self.escape()?;
                }
                _ if self.at >= self.bytes.len() => return Err(self.expected("a closing double quote")),
                _ => return Err(Fault { at: self.at, what: What::Forbidden("a control character in a string") }),
            }
        }
    }

    /// Skips plain string content.
    #[inline]
    fn plain(&mut self) {
        while let Some(word) = self.bytes.get(self.at..self.at + 8) {
            let word = u64::from_le_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]]);
            let marks = special(word);
            if marks != 0 {
                self.at += marks.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while let Some(byte) = self.bytes.get(self.at)
            && !matches!(byte, b'"' | b'\\' | 0..0x20)
        {
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let rest = &self.bytes[self.at + 1..];
        self.at += match rest.first() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') if rest.len() >= 5 && rest[1..5].iter().all(u8::is_ascii_hexdigit) => 6,
            Some(b'u') => return Err(self.expected("four hexadecimal digits after \\u")),
            _ => return Err(self.expected("a valid JSON escape (\\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u)")),
        };
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a digit")) } else { Ok(()) }
    }

    /// Skips a number.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        if self.peek() == b'0' {
            self.at += 1;
            if self.peek().is_ascii_digit() {
                return Err(Fault { at: self.at - 1, what: What::Forbidden("a leading zero") });
            }
        } else {
            self.digits()?;
        }
        if self.peek() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if self.peek() | 0x20 == b'e' {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Token { kind: Kind::Number, start, end: self.at })
    }

    fn word(&mut self, word: &'static [u8], kind: Kind) -> Result<Token, Fault> {
        let start = self.at;
        if !self.bytes[start..].starts_with(word) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(Token { kind, start, end: self.at })
    }

    /// Skips a value of any kind, from its first byte on.
    #[inline]
    pub(crate) fn value(&mut self) -> Result<Token, Fault> {
        match self.peek() {
            b'{' | b'[' => self.nested(),
            byte => self.scalar(byte),
        }
    }

    #[inline]
    fn scalar(&mut self, byte: u8) -> Result<Token, Fault> {
        match byte {
            b'"' => {
                self.at += 1;
                self.string()
            }
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word(b"true", Kind::True),
            b'f' => self.word(b"false", Kind::False),
            b'n' => self.word(b"null", Kind::Null),
            _ => Err(self.expected("a value")),
        }
    }

    /// Skips an object or array. Without recursion: no text can exhaust the stack.
    fn nested(&mut self) -> Result<Token, Fault> {
        let start = self.at;
        let kind = if self.peek() == b'{' { Kind::Object } else { Kind::Array };
        let base = self.depth;
        let mut objects = [0_u64; MAX_DEPTH / 64 + 1]; // a bit per level: object or array
        'value: loop {
            match self.peek() {
                open @ (b'{' | b'[') => {
                    let level = self.depth - base;
                    self.enter()?;
                    self.at += 1;
                    let (object, close) = if open == b'{' { (true, b'}') } else { (false, b']') };
                    objects[level / 64] =
                        objects[level / 64] & !(1 << (level % 64)) | u64::from(object) << (level % 64);
                    if self.blank() != close {
                        if object {
                            self.key()?;
                        }
                        continue 'value;
                    }
                    self.at += 1;
                    self.leave();
                }
                byte => {
                    self.scalar(byte)?;
                }
            }
            while self.depth > base {
                let level = self.depth - base - 1;
                if objects[level / 64] >> (level % 64) & 1 == 1 {
                    if self.next_member()? {
                        self.key()?;
                        continue 'value;
                    }
                } else if self.blank() == b']' {
                    self.at += 1;
                } else if self.next_item()? {
                    continue 'value;
                }
                self.leave();
            }
            return Ok(Token { kind, start, end: self.at });
        }
    }

    #[inline]
    fn key(&mut self) -> Result<(), Fault> {
        self.open_key()?;
        self.string()?;
        self.colon()
    }
}
