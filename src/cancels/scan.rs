//! Reads the members that matter out of an answer in JSON as its bytes pass, in constant memory.
//!
//! The bytes can come in any pieces. Nothing is held but the text that is being read, and of that at most the longest name
//! that an operation can have here. The whole answer is checked (RFC 8259): one that is not JSON, is cut, or is nested
//! deeper than proto JSON can be, says nothing.

mod token;

use self::token::{NumberState, TextState, is_space};
use super::operation::OperationFacts;

/// A request's target has at most 8 KiB by default: a longer name cannot be cancelled.
const LONGEST_NAME: usize = 8 * 1024;
/// `operations` is the longest name of a member that matters.
const LONGEST_KEY: usize = 16;
const LONGEST_CODE: usize = 32;
/// Open objects and lists. serde_json gives up at the same depth.
const DEEPEST: u32 = 127;

/// What the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanShape {
    /// One operation.
    Operation,
    /// A `ListOperationsResponse`.
    List,
}

/// The scan of one answer.
#[derive(Debug)]
pub struct OperationScan {
    shape: ShapeDepths,
    depth: u32,
    /// For each open level, whether it is an object; the innermost is the lowest bit.
    objects: u128,
    expects: Expects,
    token: Token,
    /// What the text that is being read is for.
    text: Vec<u8>,
    most: usize,
    is_too_long: bool,
    /// What the next value, or the one under way, is.
    slot: Slot,
    facts: OperationFacts,
    seen: Seen,
    in_operations: bool,
    in_error: bool,
    has_operations: bool,
    is_broken: bool,
}

/// How deep things are.
#[derive(Clone, Copy, Debug)]
struct ShapeDepths {
    shape: ScanShape,
    /// The depth within an operation.
    operation: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    /// Only spaces.
    Nothing,
}

#[derive(Clone, Copy, Debug)]
enum Token {
    None,
    Text(TextState),
    Number(NumberState),
    /// The rest of `true`, `false` or `null`, and which one it is.
    Word(&'static [u8], Option<bool>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    /// A member's name.
    Key,
    /// The whole answer.
    Top,
    /// `operations` of a list, and one of them.
    Operations,
    Element,
    /// Members of an operation.
    Name,
    Done,
    Error,
    Response,
    /// `code` of its error.
    Code,
    /// Anything else.
    Other,
}

/// Which members of an operation were there.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    name: bool,
    done: bool,
    error: bool,
    response: bool,
    code: bool,
}

impl OperationScan {
    /// A scan of an answer that has not begun.
    pub fn new(shape: ScanShape) -> Self {
        let operation = match shape {
            ScanShape::Operation => 1,
            ScanShape::List => 3,
        };
        Self {
            shape: ShapeDepths { shape, operation },
            depth: 0,
            objects: 0,
            expects: Expects::Value,
            token: Token::None,
            text: Vec::new(),
            most: 0,
            is_too_long: false,
            slot: Slot::Top,
            facts: OperationFacts::default(),
            seen: Seen::default(),
            in_operations: false,
            in_error: false,
            has_operations: false,
            is_broken: false,
        }
    }

    /// The next bytes. Each operation in them is given to `found` as it ends; what it says counts only if
    /// [`is_whole`](Self::is_whole) once all bytes have come.
    pub fn push(&mut self, bytes: &[u8], found: &mut impl FnMut(&OperationFacts)) {
        let mut rest = bytes;
        while let Some((&byte, after)) = rest.split_first()
            && !self.is_broken
        {
            rest = match self.token {
                Token::Text(state) => self.go_on_with_text(state, rest),
                Token::Number(state) => match state.next(byte) {
                    Some(state) => {
                        self.keep(&[byte]);
                        self.token = Token::Number(state);
                        after
                    }
                    None => {
                        self.is_broken |= !state.is_whole();
                        self.number_ended();
                        // The byte is not of the number.
                        rest
                    }
                },
                Token::Word(word, value) => match word.split_first() {
                    Some((first, word)) if *first == byte => {
                        self.token = Token::Word(word, value);
                        if word.is_empty() {
                            self.word_ended(value);
                        }
                        after
                    }
                    _ => {
                        self.is_broken = true;
                        after
                    }
                },
                Token::None => {
                    self.between(byte, found);
                    after
                }
            };
        }
    }

    /// Whether the bytes so far are one whole answer of its shape.
    pub fn is_whole(&self) -> bool {
        !self.is_broken && self.expects == Expects::Nothing
    }

    /// A byte that is not within a text, a number or a word.
    fn between(&mut self, byte: u8, found: &mut impl FnMut(&OperationFacts)) {
        if is_space(byte) {
            return;
        }
        match (self.expects, byte) {
            (Expects::Value | Expects::ValueOrEnd, b'{') => self.open(true),
            (Expects::Value | Expects::ValueOrEnd, b'[') => self.open(false),
            (Expects::Value | Expects::ValueOrEnd, b'"') => self.begin_text(self.slot),
            (Expects::Value | Expects::ValueOrEnd, b'-' | b'0'..=b'9') => {
                self.begin(self.slot);
                self.keep(&[byte]);
                self.token = Token::Number(NumberState::first(byte));
            }
            (Expects::Value | Expects::ValueOrEnd, b't') => self.token = Token::Word(b"rue", Some(true)),
            (Expects::Value | Expects::ValueOrEnd, b'f') => self.token = Token::Word(b"alse", Some(false)),
            (Expects::Value | Expects::ValueOrEnd, b'n') => self.token = Token::Word(b"ull", None),
            (Expects::ValueOrEnd, b']') | (Expects::KeyOrEnd, b'}') => self.close(found),
            (Expects::CommaOrEnd, b'}') if self.in_object() => self.close(found),
            (Expects::CommaOrEnd, b']') if !self.in_object() => self.close(found),
            (Expects::CommaOrEnd, b',') if self.in_object() => self.expects = Expects::Key,
            (Expects::CommaOrEnd, b',') => {
                self.expects = Expects::Value;
                self.slot = self.slot_of_items();
            }
            (Expects::Key | Expects::KeyOrEnd, b'"') => self.begin_text(Slot::Key),
            (Expects::Colon, b':') => self.expects = Expects::Value,
            _ => self.is_broken = true,
        }
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    /// Whether the innermost open object is an operation.
    fn in_operation(&self) -> bool {
        self.depth == self.shape.operation && (self.in_operations || self.shape.shape == ScanShape::Operation)
    }

    fn slot_of_items(&self) -> Slot {
        let is_element = self.in_operations && self.depth == 2;
        if is_element { Slot::Element } else { Slot::Other }
    }

    fn open(&mut self, is_object: bool) {
        let begins_operation = match (self.slot, is_object) {
            (Slot::Top, true) => self.shape.shape == ScanShape::Operation,
            (Slot::Element, true) => true,
            (Slot::Operations, false) => {
                self.in_operations = true;
                false
            }
            (Slot::Error, true) => {
                self.facts.has_error = true;
                self.in_error = true;
                false
            }
            (Slot::Response, true) => {
                self.facts.has_response = true;
                false
            }
            (Slot::Top | Slot::Element | Slot::Operations, _) => {
                self.is_broken = true;
                false
            }
            (Slot::Name | Slot::Done | Slot::Error | Slot::Response | Slot::Code, _) => {
                self.facts.is_ambiguous = true;
                false
            }
            (Slot::Key | Slot::Other, _) => false,
        };
        if begins_operation {
            self.facts = OperationFacts::default();
            self.seen = Seen::default();
        }
        self.depth += 1;
        self.is_broken |= self.depth > DEEPEST;
        self.objects = self.objects << 1 | u128::from(is_object);
        if is_object {
            self.expects = Expects::KeyOrEnd;
        } else {
            self.expects = Expects::ValueOrEnd;
            self.slot = self.slot_of_items();
        }
    }

    fn close(&mut self, found: &mut impl FnMut(&OperationFacts)) {
        if self.in_operation() {
            found(&self.facts);
        }
        if self.in_error && self.depth == self.shape.operation + 1 {
            self.in_error = false;
        }
        if self.in_operations && self.depth == 2 {
            self.in_operations = false;
        }
        self.depth -= 1;
        self.objects >>= 1;
        self.value_ended();
    }

    fn value_ended(&mut self) {
        self.token = Token::None;
        self.expects = if self.depth == 0 { Expects::Nothing } else { Expects::CommaOrEnd };
    }

    /// Begins a text or a number, which is kept if it matters.
    fn begin(&mut self, slot: Slot) {
        self.slot = slot;
        self.text.clear();
        self.is_too_long = false;
        let in_list = self.shape.shape == ScanShape::List && self.depth == 1;
        let in_error = self.in_error && self.depth == self.shape.operation + 1;
        self.most = match slot {
            Slot::Key if in_list || in_error || self.in_operation() => LONGEST_KEY,
            Slot::Name => LONGEST_NAME,
            Slot::Code => LONGEST_CODE,
            _ => 0,
        };
    }

    fn begin_text(&mut self, slot: Slot) {
        self.begin(slot);
        self.token = Token::Text(TextState::Plain);
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.most == 0 {
            return;
        }
        if self.text.len() + bytes.len() > self.most {
            self.is_too_long = true;
        } else {
            self.text.extend_from_slice(bytes);
        }
    }

    /// The text that was kept; `None` if it is longer than anything that matters, or not UTF-8.
    fn kept(&self) -> Option<&str> {
        if self.is_too_long { None } else { std::str::from_utf8(&self.text).ok() }
    }

    fn go_on_with_text<'b>(&mut self, state: TextState, bytes: &'b [u8]) -> &'b [u8] {
        if state == TextState::Plain {
            let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
            let plain = bytes.iter().position(is_special).unwrap_or(bytes.len());
            let (plain, rest) = bytes.split_at_checked(plain).unwrap_or((bytes, &[]));
            self.keep(plain);
            let Some((&byte, after)) = rest.split_first() else { return rest };
            match byte {
                b'"' => self.text_ended(),
                b'\\' => self.token = Token::Text(TextState::Escape { high: None }),
                _ => self.is_broken = true,
            }
            return after;
        }
        let Some((&byte, after)) = bytes.split_first() else { return bytes };
        match state.next(byte) {
            Some((state, character)) => {
                if let Some(character) = character {
                    self.keep(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                self.token = Token::Text(state);
            }
            None => self.is_broken = true,
        }
        after
    }

    fn text_ended(&mut self) {
        if self.slot == Slot::Key {
            self.token = Token::None;
            self.slot = self.slot_of_member();
            self.expects = Expects::Colon;
            return;
        }
        match self.slot {
            Slot::Name => {
                self.facts.name = self.kept().map(str::to_owned);
            }
            Slot::Code => self.facts.code = self.kept().map(str::to_owned).or_else(|| Some(String::new())),
            Slot::Done | Slot::Error | Slot::Response => self.facts.is_ambiguous = true,
            Slot::Top | Slot::Operations | Slot::Element => self.is_broken = true,
            Slot::Key | Slot::Other => {}
        }
        self.value_ended();
    }

    fn number_ended(&mut self) {
        match self.slot {
            Slot::Code => self.facts.code = self.kept().map(str::to_owned).or_else(|| Some(String::new())),
            Slot::Name | Slot::Done | Slot::Error | Slot::Response => self.facts.is_ambiguous = true,
            Slot::Top | Slot::Operations | Slot::Element => self.is_broken = true,
            Slot::Key | Slot::Other => {}
        }
        self.value_ended();
    }

    /// `true`, `false`, or `null`, which stands for an absent member.
    fn word_ended(&mut self, value: Option<bool>) {
        match (self.slot, value) {
            (Slot::Done, _) => self.facts.done = value,
            (Slot::Top | Slot::Element, _) | (Slot::Operations, Some(_)) => self.is_broken = true,
            (Slot::Name | Slot::Error | Slot::Response | Slot::Code, Some(_)) => {
                self.facts.is_ambiguous = true;
            }
            _ => {}
        }
        self.value_ended();
    }

    /// What the member is whose name was read.
    fn slot_of_member(&mut self) -> Slot {
        if self.most == 0 {
            return Slot::Other;
        }
        let in_operation = self.in_operation();
        let in_list = self.shape.shape == ScanShape::List && self.depth == 1;
        let Some(key) = self.kept() else { return Slot::Other };
        let slot = match key {
            "operations" if in_list => Slot::Operations,
            "name" if in_operation => Slot::Name,
            "done" if in_operation => Slot::Done,
            "error" if in_operation => Slot::Error,
            "response" if in_operation => Slot::Response,
            "code" if !in_operation && !in_list => Slot::Code,
            _ => return Slot::Other,
        };
        let was_there = match slot {
            Slot::Name => std::mem::replace(&mut self.seen.name, true),
            Slot::Done => std::mem::replace(&mut self.seen.done, true),
            Slot::Error => std::mem::replace(&mut self.seen.error, true),
            Slot::Response => std::mem::replace(&mut self.seen.response, true),
            Slot::Code => std::mem::replace(&mut self.seen.code, true),
            // Which of two lists counts depends on the reader.
            _ => {
                self.is_broken |= std::mem::replace(&mut self.has_operations, true);
                false
            }
        };
        self.facts.is_ambiguous |= was_there;
        slot
    }
}

#[cfg(test)]
mod tests;
