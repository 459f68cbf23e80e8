//! JSON from strangers, read so that no two readers can disagree about it.
//!
//! serde_json keeps the last of two members with one name; another reader may keep the first. Tokens, key sets and
//! request bodies go through [`parse`], which refuses a repeated name at any depth (RFC 8259, section 4; RFC 8725,
//! section 2.4), names with control characters, trailing bytes and, as serde_json does, nesting beyond 128.

mod written;

use std::cell::Cell;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

pub(crate) use self::written::{is_plain, push_escaped, push_text};
use crate::bytewise;

/// Parses one JSON text.
///
/// # Errors
/// A syntax error, a repeated member name or trailing bytes, in serde_json's words.
pub fn parse(text: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Unambiguous>(text).map(|unambiguous| unambiguous.0)
}

/// Parses one JSON text that must be an object.
///
/// # Errors
/// As [`parse`], and where the text is of another type.
pub fn parse_object(text: &[u8]) -> Result<Map<String, Value>, serde_json::Error> {
    match parse(text)? {
        Value::Object(object) => Ok(object),
        _ => Err(de::Error::custom("expected an object")),
    }
}

/// Parses one JSON text of any length for what can be compared with a path: the members of its object, and of objects
/// in that. Lists are empty in what comes back, and texts beyond 64 KiB are `false`, but all of it is checked as by [`parse`].
/// So a text of 10 MiB takes no more memory than a few of itself.
///
/// # Errors
/// As [`parse`], and where more than 65,536 members have to be remembered at one time.
pub fn outline(text: &[u8]) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let left = Cell::new(MOST_MEMBERS);
    let value = Seed { left: Some(&left) }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Most members that [`outline`] remembers at one time: those of objects that it keeps, and of those that it is within.
const MOST_MEMBERS: usize = 65_536;
/// Most bytes of a text that [`outline`] keeps: more than any path has.
const MOST_OF_A_TEXT: usize = 64 * 1024;

struct Unambiguous(Value);

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Seed { left: None }).map(Self)
    }
}

#[derive(Clone, Copy)]
struct Seed<'c> {
    /// How many members more may be remembered; `None` where all of the text is.
    left: Option<&'c Cell<usize>>,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        if self.left.is_some() && value.len() > MOST_OF_A_TEXT {
            return Ok(Value::Bool(false));
        }
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let before = self.left.map(Cell::get);
        while let Some(item) = sequence.next_element_seed(self)? {
            match self.left.zip(before) {
                Some((left, before)) => left.set(before),
                None => items.push(item),
            }
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            // Readers whose strings end at NUL see another name.
            if !bytewise::all(name.as_bytes(), |byte| byte.is_ascii_graphic())
                && name.chars().any(char::is_control)
            {
                return Err(de::Error::custom(format_args!(
                    "the name of the member `{}` holds a control character",
                    name.escape_debug()
                )));
            }
            if let Some(left) = self.left {
                let fewer = left.get().checked_sub(1);
                left.set(fewer.ok_or_else(|| de::Error::custom("an object has too many members"))?);
            }
            match object.entry(name) {
                Entry::Occupied(entry) => {
                    let name = entry.key().escape_debug();
                    return Err(de::Error::custom(format_args!("member `{name}` is given twice")));
                }
                Entry::Vacant(entry) => entry.insert(map.next_value_seed(self)?),
            };
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_members_are_refused_at_any_depth() {
        assert!(parse(br#"{"a":1,"a":2}"#).is_err());
        assert!(parse(br#"{"a":[{"b":{"c":1,"c":1}}]}"#).is_err());
        // An escape does not hide the repetition.
        assert!(parse(br#"{"name":1,"n\u0061me":2}"#).is_err());
        assert!(parse(br#"{"a":{"b":1},"b":2}"#).is_ok());
    }

    #[test]
    fn trailing_bytes_and_deep_nesting_are_refused() {
        assert!(parse(b"{} {}").is_err());
        assert!(parse(b"{}\0").is_err());
        assert!(parse("[".repeat(100_000).as_bytes()).is_err());
        assert!(parse(b" {} \n").is_ok());
    }

    #[test]
    fn names_with_control_characters_are_refused_at_any_depth() {
        assert!(parse(br#"{"name\u0000x":1}"#).is_err());
        assert!(parse(br#"{"a":[{"na\nme":1}]}"#).is_err());
        assert!(parse(br#"{"name":"\u0000"}"#).is_ok());
    }

    #[test]
    fn an_outline_is_checked_like_the_whole_and_keeps_what_a_path_can_name() {
        let text = br#"{"a":{"b":"x","c":[{"d":1},[2]]},"e":null,"f":7}"#;
        let expected = serde_json::json!({"a": {"b": "x", "c": []}, "e": null, "f": 7});
        assert_eq!(outline(text).unwrap(), expected);
        for text in [
            &br#"{"a":1,"a":2}"#[..],
            br#"{"a":[[{"b":{"c":1,"c":1}}]]}"#,
            br#"{"a":[{"n\u0000":1}]}"#,
            b"{} {}",
            b"{",
            b"[1,]",
        ] {
            assert!(outline(text).is_err(), "{}", text.escape_ascii());
        }
        assert!(outline("[".repeat(100_000).as_bytes()).is_err());
        let long = serde_json::json!({ "a": "x".repeat(MOST_OF_A_TEXT + 1) });
        assert_eq!(outline(long.to_string().as_bytes()).unwrap(), serde_json::json!({ "a": false }));
    }

    #[test]
    fn an_outline_remembers_so_many_members_and_no_more() {
        let object = |count: usize| {
            let members: Vec<String> = (0..count).map(|at| format!("\"{at}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        assert!(outline(object(MOST_MEMBERS).as_bytes()).is_ok());
        assert!(outline(object(MOST_MEMBERS + 1).as_bytes()).is_err());
        // Objects of a list are let go one by one.
        let list = vec![object(1000); 200].join(",");
        assert!(outline(format!("[{list}]").as_bytes()).is_ok());
        assert!(outline(format!("{{\"a\":[{list}],\"b\":{}}}", object(1000)).as_bytes()).is_ok());
        let objects: Vec<String> = (0..66).map(|at| format!("\"{at}\":{}", object(1000))).collect();
        assert!(outline(format!("{{{}}}", objects.join(",")).as_bytes()).is_err());
    }

    #[test]
    fn an_object_is_an_object() {
        assert!(parse_object(b"[]").is_err());
        assert!(parse_object(b"\"\"").is_err());
        assert!(parse_object(b"{}").unwrap().is_empty());
    }
}
