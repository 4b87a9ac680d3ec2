//! A JSON parser that behaves like Go's `encoding/json`, with the same error texts. It returns the members of the top-level
//! object and only validates nested values.

use std::fmt;

/// The type of a value, in Go's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    String,
    Array,
    Object,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        })
    }
}

/// A document: the members of an object, or the type of any other value.
#[derive(Debug)]
pub(super) enum Value {
    Object(Vec<(String, Member)>),
    Other(Kind),
}

/// The value of a member of the top-level object.
#[derive(Debug)]
pub(super) enum Member {
    String(String),
    Other(Kind),
}

impl Member {
    fn kind(&self) -> Kind {
        match self {
            Self::String(_) => Kind::String,
            Self::Other(kind) => *kind,
        }
    }
}

/// The maximum nesting depth, as in Go. It is no risk for the stack, because the parser does not recurse.
const MAX_DEPTH: usize = 10_000;

/// Parses a whole document; the error is Go's text.
pub(super) fn parse(input: &[u8]) -> Result<Value, String> {
    let mut reader = Reader { input, position: 0 };
    reader.skip_space();
    let value = if reader.peek() == Some(b'{') {
        Value::Object(reader.read_members()?)
    } else {
        Value::Other(reader.read_value()?.kind())
    };
    reader.skip_space();
    match reader.peek() {
        None => Ok(value),
        Some(_) => Err(reader.unexpected("after top-level value")),
    }
}

struct Reader<'a> {
    input: &'a [u8],
    position: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.input.get(self.position).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.position += 1;
        }
    }

    /// The error for the current byte, or for the end of the input.
    fn unexpected(&self, context: &str) -> String {
        match self.peek() {
            None => "unexpected end of JSON input".to_owned(),
            Some(b'\'') => format!("invalid character '\\'' {context}"),
            Some(byte) => format!("invalid character '{}' {context}", quote(byte)),
        }
    }

    fn expect(&mut self, byte: u8, context: &str) -> Result<(), String> {
        if self.peek() == Some(byte) {
            self.position += 1;
            return Ok(());
        }
        Err(self.unexpected(context))
    }

    /// The members of the current object.
    fn read_members(&mut self) -> Result<Vec<(String, Member)>, String> {
        let mut members = Vec::new();
        self.position += 1;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.position += 1;
            return Ok(members);
        }
        loop {
            let name = self.read_key()?;
            members.push((name, self.read_value()?));
            self.skip_space();
            match self.peek() {
                Some(b',') => self.position += 1,
                Some(b'}') => {
                    self.position += 1;
                    return Ok(members);
                }
                _ => return Err(self.unexpected("after object key:value pair")),
            }
        }
    }

    /// A key and its colon.
    fn read_key(&mut self) -> Result<String, String> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("looking for beginning of object key string"));
        }
        let name = self.read_string()?;
        self.skip_space();
        self.expect(b':', "after object key")?;
        self.skip_space();
        Ok(name)
    }

    /// Validates a value of any type without recursion, and returns it without nested values.
    fn read_value(&mut self) -> Result<Member, String> {
        let first_byte = self.peek();
        if !matches!(first_byte, Some(b'{' | b'[')) {
            return self.read_scalar();
        }
        let mut open_brackets: Vec<u8> = Vec::new();
        loop {
            // At the beginning of a value.
            self.skip_space();
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    self.position += 1;
                    if open_brackets.len() >= MAX_DEPTH {
                        return Err("exceeded max depth".to_owned());
                    }
                    self.skip_space();
                    let close = if bracket == b'{' { b'}' } else { b']' };
                    if self.peek() == Some(close) {
                        self.position += 1;
                    } else {
                        open_brackets.push(bracket);
                        if bracket == b'{' {
                            self.read_key()?;
                        }
                        continue;
                    }
                }
                _ => {
                    self.read_scalar()?;
                }
            }
            // After a value: close all objects and arrays that end here, until another value must follow.
            loop {
                let Some(bracket) = open_brackets.last().copied() else {
                    let kind = if first_byte == Some(b'{') { Kind::Object } else { Kind::Array };
                    return Ok(Member::Other(kind));
                };
                self.skip_space();
                match (bracket, self.peek()) {
                    (b'{', Some(b',')) => {
                        self.position += 1;
                        self.read_key()?;
                        break;
                    }
                    (b'[', Some(b',')) => {
                        self.position += 1;
                        break;
                    }
                    (b'{', Some(b'}')) | (b'[', Some(b']')) => {
                        self.position += 1;
                        open_brackets.pop();
                    }
                    (b'{', _) => return Err(self.unexpected("after object key:value pair")),
                    _ => return Err(self.unexpected("after array element")),
                }
            }
        }
    }

    fn read_scalar(&mut self) -> Result<Member, String> {
        match self.peek() {
            Some(b'"') => Ok(Member::String(self.read_string()?)),
            Some(b't') => self.read_literal("true", Kind::Bool),
            Some(b'f') => self.read_literal("false", Kind::Bool),
            Some(b'n') => self.read_literal("null", Kind::Null),
            Some(b'-' | b'0'..=b'9') => self.read_number(),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    fn read_literal(&mut self, word: &str, kind: Kind) -> Result<Member, String> {
        for expected in word.bytes() {
            if self.peek() != Some(expected) {
                return Err(
                    self.unexpected(&format!("in literal {word} (expecting '{}')", char::from(expected)))
                );
            }
            self.position += 1;
        }
        Ok(Member::Other(kind))
    }

    /// Skips digits; `false` if there are none.
    fn skip_digits(&mut self) -> bool {
        let start = self.position;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.position += 1;
        }
        self.position > start
    }

    fn read_number(&mut self) -> Result<Member, String> {
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        // No digit may follow a leading zero. The calling function rejects such a digit as unexpected.
        if self.peek() == Some(b'0') {
            self.position += 1;
        } else if !self.skip_digits() {
            return Err(self.unexpected("in numeric literal"));
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            if !self.skip_digits() {
                return Err(self.unexpected("after decimal point in numeric literal"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.position += 1;
            }
            if !self.skip_digits() {
                return Err(self.unexpected("in exponent of numeric literal"));
            }
        }
        Ok(Member::Other(Kind::Number))
    }

    /// The current string; invalid UTF-8 and unpaired surrogates become U+FFFD.
    fn read_string(&mut self) -> Result<String, String> {
        self.position += 1;
        let mut bytes = Vec::new();
        loop {
            match self.peek() {
                None | Some(0..=0x1f) => return Err(self.unexpected("in string literal")),
                Some(b'"') => {
                    self.position += 1;
                    return Ok(String::from_utf8_lossy(&bytes).into_owned());
                }
                Some(b'\\') => {
                    self.position += 1;
                    let c = self.read_escape()?;
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(byte) => {
                    self.position += 1;
                    bytes.push(byte);
                }
            }
        }
    }

    fn read_escape(&mut self) -> Result<char, String> {
        let Some(code) = self.peek() else { return Err(self.unexpected("in string escape code")) };
        let c = match code {
            b'"' | b'\\' | b'/' => char::from(code),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.position += 1;
                return self.read_unicode_escape();
            }
            _ => return Err(self.unexpected("in string escape code")),
        };
        self.position += 1;
        Ok(c)
    }

    fn read_unicode_escape(&mut self) -> Result<char, String> {
        let code_unit = self.read_hex4()?;
        if !(0xd800..=0xdfff).contains(&code_unit) {
            return Ok(char::from_u32(code_unit).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        // A high surrogate is decoded together with the low one that follows; anything else after it is decoded separately.
        let next_two = self.input.get(self.position..self.position + 2);
        if code_unit < 0xdc00 && next_two == Some(b"\\u") {
            let after_high = self.position;
            self.position += 2;
            let low = self.read_hex4()?;
            if (0xdc00..=0xdfff).contains(&low) {
                let code = 0x10000 + ((code_unit - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.position = after_high;
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn read_hex4(&mut self) -> Result<u32, String> {
        let mut code_unit = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.unexpected("in \\u hexadecimal character escape"));
            };
            code_unit = code_unit * 16 + digit;
            self.position += 1;
        }
        Ok(code_unit)
    }
}

/// A byte as Go prints it in error texts, between single quotes.
fn quote(byte: u8) -> String {
    match byte {
        b'\\' => "\\\\".to_owned(),
        0x07 => "\\a".to_owned(),
        0x08 => "\\b".to_owned(),
        0x0c => "\\f".to_owned(),
        b'\n' => "\\n".to_owned(),
        b'\r' => "\\r".to_owned(),
        b'\t' => "\\t".to_owned(),
        0x0b => "\\v".to_owned(),
        0..=0x1f | 0x7f => format!("\\x{byte:02x}"),
        0x80..=0x9f | 0xad => format!("\\u{:04x}", u32::from(byte)),
        _ => char::from(byte).to_string(),
    }
}
