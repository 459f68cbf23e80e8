//! Values without parts: from JSON or text to a field's value, and back to text.

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD};
use prost_reflect::{EnumDescriptor, Kind, Value};

/// A value as it came.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scalar<'t> {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(&'t str),
}

/// What a value came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// JSON, where numbers and `true` are not texts.
    Json,
    /// A path or a query, where all is text.
    Text,
}

const NULL_VALUE: &str = "google.protobuf.NullValue";

/// The value that a field of this kind has; `None` where it takes no such value.
pub(super) fn value(kind: &Kind, scalar: Scalar<'_>, spelling: Spelling) -> Option<Value> {
    match kind {
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer(scalar)?.try_into().ok().map(Value::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer(scalar)?.try_into().ok().map(Value::I64),
        Kind::Uint32 | Kind::Fixed32 => integer(scalar)?.try_into().ok().map(Value::U32),
        Kind::Uint64 | Kind::Fixed64 => integer(scalar)?.try_into().ok().map(Value::U64),
        Kind::Double => float(scalar).map(Value::F64),
        Kind::Float => single(float(scalar)?).map(Value::F32),
        Kind::Bool => match (scalar, spelling) {
            (Scalar::Bool(value), _) => Some(Value::Bool(value)),
            (Scalar::Text("true"), Spelling::Text) => Some(Value::Bool(true)),
            (Scalar::Text("false"), Spelling::Text) => Some(Value::Bool(false)),
            _ => None,
        },
        Kind::String => match scalar {
            Scalar::Text(text) => Some(Value::String(text.to_owned())),
            _ => None,
        },
        Kind::Bytes => match scalar {
            Scalar::Text(text) => Some(Value::Bytes(bytes(text)?.into())),
            _ => None,
        },
        Kind::Enum(named) => enumerated(named, scalar, spelling).map(Value::EnumNumber),
        Kind::Message(_) => None,
    }
}

/// The text that stands for a value and for no other; `None` where there is none.
pub(super) fn text(kind: &Kind, value: &Value) -> Option<String> {
    Some(match (kind, value) {
        (Kind::Enum(named), Value::EnumNumber(number)) => named.get_value(*number)?.name().to_owned(),
        (_, Value::Bool(value)) => value.to_string(),
        (_, Value::I32(value)) => value.to_string(),
        (_, Value::I64(value)) => value.to_string(),
        (_, Value::U32(value)) => value.to_string(),
        (_, Value::U64(value)) => value.to_string(),
        (_, Value::F32(value)) => value.to_string(),
        (_, Value::F64(value)) => value.to_string(),
        (_, Value::String(text)) => text.clone(),
        (_, Value::Bytes(bytes)) => BASE64_URL_SAFE.encode(bytes),
        _ => return None,
    })
}

/// A whole number. JSON may write it as `1e3` or `1.0` (the JSON mapping of proto3).
fn integer(scalar: Scalar<'_>) -> Option<i128> {
    /// The first number beyond every integer type.
    const BEYOND: f64 = 18_446_744_073_709_551_616.0;
    match scalar {
        Scalar::Signed(value) => Some(value.into()),
        Scalar::Unsigned(value) => Some(value.into()),
        Scalar::Float(value) if value.fract() == 0.0 && value.abs() < BEYOND => {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole, and within the type")]
            let whole = value as i128;
            Some(whole)
        }
        Scalar::Text(text) => {
            let digits = text.strip_prefix('-').unwrap_or(text);
            let is_canonical = digits == "0" || !digits.starts_with('0');
            let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
            if is_number && is_canonical { text.parse().ok() } else { None }
        }
        Scalar::Float(_) | Scalar::Bool(_) => None,
    }
}

fn float(scalar: Scalar<'_>) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a double is the nearest one to what was written")]
    match scalar {
        Scalar::Signed(value) => Some(value as f64),
        Scalar::Unsigned(value) => Some(value as f64),
        Scalar::Float(value) => Some(value),
        Scalar::Text("NaN") => Some(f64::NAN),
        Scalar::Text("Infinity") => Some(f64::INFINITY),
        Scalar::Text("-Infinity") => Some(f64::NEG_INFINITY),
        // The grammar of JSON: no `+1`, no `.5`, no `inf`, no blank.
        Scalar::Text(text) if text.trim() == text => serde_json::from_str(text).ok(),
        Scalar::Text(_) | Scalar::Bool(_) => None,
    }
}

fn single(value: f64) -> Option<f32> {
    #[expect(clippy::cast_possible_truncation, reason = "a float is the nearest one to what was written")]
    let single = value as f32;
    (single.is_finite() || !value.is_finite()).then_some(single)
}

/// Base64 of either alphabet, with padding or without any (the JSON mapping of proto3).
fn bytes(text: &str) -> Option<Vec<u8>> {
    let (standard, url_safe) = if text.contains('=') {
        (BASE64_STANDARD, BASE64_URL_SAFE)
    } else {
        (BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD)
    };
    standard.decode(text).or_else(|_| url_safe.decode(text)).ok()
}

/// A value that the enum has: by its name, or by its number.
fn enumerated(named: &EnumDescriptor, scalar: Scalar<'_>, spelling: Spelling) -> Option<i32> {
    let by_number = |number: i128| named.get_value(number.try_into().ok()?).map(|value| value.number());
    match scalar {
        Scalar::Text(name) => match named.get_value_by_name(name) {
            Some(value) => Some(value.number()),
            None if spelling == Spelling::Text => by_number(integer(scalar)?),
            None => None,
        },
        Scalar::Bool(_) => None,
        // Only `null` and its name stand for it.
        _ if named.full_name() == NULL_VALUE => None,
        number => by_number(integer(number)?),
    }
}

/// Whether `null` is a value of this kind, and not the lack of one.
pub(super) fn is_null_value(kind: &Kind) -> bool {
    matches!(kind, Kind::Enum(named) if named.full_name() == NULL_VALUE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: &Kind, text: &str) -> Option<Value> {
        value(kind, Scalar::Text(text), Spelling::Json)
    }

    #[test]
    fn whole_numbers_are_read_within_their_type_and_nowhere_else() {
        for text in ["0", "-1", "2147483647", "-2147483648"] {
            assert!(read(&Kind::Int32, text).is_some(), "{text}");
        }
        for text in
            ["", "-", "+1", "01", " 1", "1 ", "1.0", "1e3", "0x1", "2147483648", "-2147483649", "\u{661}"]
        {
            assert_eq!(read(&Kind::Int32, text), None, "{text}");
        }
        assert_eq!(read(&Kind::Uint64, "18446744073709551615"), Some(Value::U64(u64::MAX)));
        assert_eq!(read(&Kind::Uint64, "18446744073709551616"), None);
        assert_eq!(read(&Kind::Uint32, "-1"), None);
        let float = |number| value(&Kind::Int64, Scalar::Float(number), Spelling::Json);
        assert_eq!(float(1e3), Some(Value::I64(1000)));
        for number in [1.5, 1e19, f64::NAN, f64::INFINITY, 9_223_372_036_854_775_808.0] {
            assert_eq!(float(number), None, "{number}");
        }
    }

    #[test]
    fn fractions_are_read_as_json_writes_them() {
        for text in ["0", "-1.5", "1e300", "NaN", "Infinity", "-Infinity"] {
            assert!(read(&Kind::Double, text).is_some(), "{text}");
        }
        for text in ["", "+1", ".5", "1.", "inf", "nan", "infinity", " 1", "1 ", "1e400", "0x1p3"] {
            assert_eq!(read(&Kind::Double, text), None, "{text}");
        }
        assert_eq!(read(&Kind::Float, "3.5e38"), None);
        assert_eq!(read(&Kind::Float, "1.5"), Some(Value::F32(1.5)));
    }

    #[test]
    fn bytes_are_read_in_both_alphabets_and_without_stray_bits() {
        for (text, expected) in [("", ""), ("YQ==", "a"), ("YQ", "a"), ("Pz8_", "???"), ("Pz8/", "???")] {
            let expected = Value::Bytes(expected.as_bytes().to_vec().into());
            assert_eq!(read(&Kind::Bytes, text), Some(expected), "{text}");
        }
        for text in ["YR", "YQ=", "Y", "_/8=", "Y Q=", "YQ===", "\n"] {
            assert_eq!(read(&Kind::Bytes, text), None, "{text}");
        }
    }

    #[test]
    fn truth_is_a_word_of_json_and_a_text_elsewhere() {
        assert_eq!(read(&Kind::Bool, "true"), None);
        let of_text = |text| value(&Kind::Bool, Scalar::Text(text), Spelling::Text);
        assert_eq!(of_text("true"), Some(Value::Bool(true)));
        for text in ["True", "1", "yes", "", "TRUE"] {
            assert_eq!(of_text(text), None, "{text}");
        }
        assert_eq!(value(&Kind::String, Scalar::Signed(1), Spelling::Json), None);
        assert_eq!(value(&Kind::Bool, Scalar::Signed(1), Spelling::Json), None);
    }
}
