//! Messages by chance: mostly well-formed ones of a shape's fields, and among them all that two readers may read in two ways.
//! The fuzz target uses this file too: they are its seeds.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::shapes::Shape;

/// A sequence of numbers that looks random (xorshift64).
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `most`.
    pub fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % most
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

const TEXTS: [&str; 6] = ["projects/p", "projects/q", "", "p/\u{e9}", "a", "projects/p/operations/o"];

fn put_varint(bytes: &mut Vec<u8>, mut number: u64, needless: usize) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    for _ in 0..needless {
        *bytes.last_mut().unwrap() |= 0x80;
        bytes.push(0);
    }
}

fn put_delimited(bytes: &mut Vec<u8>, number: u32, value: &[u8], chance: &mut Chance, is_strict: bool) {
    let odd = |chance: &mut Chance| if !is_strict && chance.one_in(40) { 1 + chance.below(3) } else { 0 };
    let needless = odd(chance);
    put_varint(bytes, u64::from(number) << 3 | 2, needless);
    let needless = odd(chance);
    put_varint(bytes, value.len() as u64, needless);
    bytes.extend_from_slice(value);
}

/// A message of a shape. Where `is_strict`, an encoder could have written it: each field once, in its own type.
pub fn message(shape: &Shape, chance: &mut Chance, is_strict: bool) -> Vec<u8> {
    message_of(&shape.message, chance, is_strict, 0)
}

fn message_of(message: &MessageDescriptor, chance: &mut Chance, is_strict: bool, depth: usize) -> Vec<u8> {
    let all: Vec<FieldDescriptor> = message.fields().collect();
    let mut bytes = Vec::new();
    let mut chosen: Vec<usize> = Vec::new();
    for _ in 0..chance.below(5) {
        let index = chance.below(all.len());
        let is_same_choice = |other: &usize| {
            let oneof = all[*other].containing_oneof();
            oneof.is_some() && oneof == all[index].containing_oneof()
        };
        if is_strict && (chosen.contains(&index) || chosen.iter().any(is_same_choice)) {
            continue;
        }
        chosen.push(index);
        // What is odd also comes alone: beside the field, it would be refused as a second one.
        if is_strict || !chance.one_in(8) {
            put_field(&mut bytes, &all[index], chance, is_strict, depth);
        }
        if !is_strict {
            put_odd(&mut bytes, &all[index], chance, depth);
        }
    }
    bytes
}

fn put_field(
    bytes: &mut Vec<u8>,
    field: &FieldDescriptor,
    chance: &mut Chance,
    is_strict: bool,
    depth: usize,
) {
    let number = field.number();
    match field.kind() {
        Kind::Message(below) if depth < 4 => {
            let value = message_of(&below, chance, is_strict, depth + 1);
            put_delimited(bytes, number, &value, chance, is_strict);
        }
        Kind::Message(_) => put_delimited(bytes, number, &[], chance, is_strict),
        Kind::Int32 | Kind::Int64 => {
            put_varint(bytes, u64::from(number) << 3, 0);
            let value = if chance.one_in(3) { u64::MAX } else { chance.below(1000) as u64 };
            put_varint(bytes, value, 0);
        }
        Kind::Double => {
            put_varint(bytes, u64::from(number) << 3 | 1, 0);
            bytes.extend_from_slice(&[chance.below(256) as u8; 8]);
        }
        Kind::Fixed32 => {
            put_varint(bytes, u64::from(number) << 3 | 5, 0);
            bytes.extend_from_slice(&[chance.below(256) as u8; 4]);
        }
        _ => {
            let text = TEXTS[chance.below(TEXTS.len())];
            put_delimited(bytes, number, text.as_bytes(), chance, is_strict);
        }
    }
}

/// Sometimes, what no encoder writes: the field in another wire type or in a group, tags and lengths that do not fit, bytes that
/// are not text, an end within a field.
fn put_odd(bytes: &mut Vec<u8>, field: &FieldDescriptor, chance: &mut Chance, depth: usize) {
    let number = u64::from(field.number());
    match chance.below(40) {
        0 => {
            put_varint(bytes, number << 3, 0);
            put_varint(bytes, chance.below(300) as u64, 0);
        }
        1 => {
            put_varint(bytes, number << 3 | 3, 0);
            put_field(bytes, field, chance, false, depth);
            put_varint(bytes, number << 3 | 4, 0);
        }
        2 => {
            // The number of the field, in the lower 32 bits of a tag.
            put_varint(bytes, 1 << 32 | number << 3 | 2, 0);
            put_varint(bytes, 3, 0);
            bytes.extend_from_slice(b"a/b");
        }
        3 => {
            put_varint(bytes, number << 3 | 2, 0);
            put_varint(bytes, 1 << 32 | 1, 0);
            bytes.push(b'x');
        }
        4 => put_delimited(bytes, field.number(), b"projects/\xff", chance, false),
        5 => put_varint(bytes, number << 3 | 6, 0),
        6 => {
            put_varint(bytes, 2, 0);
            bytes.extend_from_slice(b"\x01a");
        }
        7 => {
            let cut = chance.below(bytes.len() + 1);
            bytes.truncate(cut);
        }
        8 => {
            put_varint(bytes, number << 3 | 1, 0);
            bytes.extend_from_slice(b"\x0a\x01a\x0a\x01b\x0a\x00");
        }
        9 => {
            // The field in a group that no message has: decoders pass over it, or do not know groups.
            put_varint(bytes, 1000 << 3 | 3, 0);
            put_field(bytes, field, chance, false, depth);
            put_varint(bytes, 1000 << 3 | 4, 0);
        }
        _ => {}
    }
}

/// A stream of messages, each behind its prefix; some prefixes are not whole or say another length.
pub fn stream(shape: &Shape, chance: &mut Chance) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..chance.below(5) {
        let is_strict = !chance.one_in(3);
        let message = message(shape, chance, is_strict);
        let length = if chance.one_in(20) { chance.below(50) } else { message.len() };
        bytes.push(u8::from(chance.one_in(30)));
        bytes.extend_from_slice(&(length as u32).to_be_bytes());
        bytes.extend_from_slice(&message);
    }
    bytes
}
