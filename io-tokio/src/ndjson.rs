//! Records as lines of JSON, the form of `store import` and `store export`:
//!
//! ```text
//! {"key":"greeting","value":"hello"}
//! {"key":"logo","value_base64":"iVBORw0KGgo="}
//! {"key_base64":"/wA=","value":""}
//! ```
//!
//! A field holds text when the bytes are UTF-8, else its `_base64` twin (standard alphabet, padded) holds them. A line
//! names each of key and value exactly once and nothing else: a misspelt field must not lose data in silence.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};
use softadastra_core::limits::{MAX_KEY_LEN, MAX_VALUE_LEN};

#[cfg(test)]
mod tests;

/// The greatest length of a line in bytes, line end excluded: a value of the greatest size fits as base64.
pub const MAX_LINE_LEN: usize = 2 * MAX_VALUE_LEN;

/// Why a line is not a record. Nothing was done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineError {
    /// The line is not one JSON object with the known fields; the text says where.
    Json(String),
    /// Neither the field nor its `_base64` twin is there.
    Missing(&'static str),
    /// Both the field and its `_base64` twin are there.
    Twice(&'static str),
    /// A `_base64` field holds something else.
    Base64(&'static str),
    /// The key is empty.
    EmptyKey,
    /// The key has more than [`MAX_KEY_LEN`] bytes; this many.
    LongKey(usize),
    /// The value has more than [`MAX_VALUE_LEN`] bytes; this many.
    LongValue(usize),
    /// The line has more than [`MAX_LINE_LEN`] bytes.
    LongLine,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(what) => write!(f, "not a record: {what}"),
            Self::Missing(field) => write!(f, "not a record: neither \"{field}\" nor \"{field}_base64\" is there"),
            Self::Twice(field) => write!(f, "not a record: both \"{field}\" and \"{field}_base64\" are there"),
            Self::Base64(field) => write!(f, "not a record: \"{field}_base64\" is not base64"),
            Self::EmptyKey => f.write_str("the key is empty"),
            Self::LongKey(len) => write!(f, "the key has {len} bytes, more than {MAX_KEY_LEN}"),
            Self::LongValue(len) => write!(f, "the value has {len} bytes, more than {MAX_VALUE_LEN}"),
            Self::LongLine => write!(f, "the line has more than {MAX_LINE_LEN} bytes"),
        }
    }
}

impl std::error::Error for LineError {}

/// Reads one line, given without or with its line end, into key and value. Both are copies: they do not pin the line.
///
/// # Errors
/// [`LineError`] for everything that is not exactly one record. The limit that a node sets for values may be lower
/// than the one applied here.
pub fn parse_line(line: &[u8]) -> Result<(Bytes, Bytes), LineError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() > MAX_LINE_LEN {
        return Err(LineError::LongLine);
    }
    // serde would also take an array for the fields in their order.
    if line.trim_ascii_start().first() != Some(&b'{') {
        return Err(LineError::Json("no JSON object".to_owned()));
    }
    let fields: Fields<'_> = serde_json::from_slice(line).map_err(|error| LineError::Json(json_reason(&error)))?;
    let key = pick("key", fields.key, fields.key_base64)?;
    let value = pick("value", fields.value, fields.value_base64)?;
    match (key.len(), value.len()) {
        (0, _) => Err(LineError::EmptyKey),
        (len, _) if len > MAX_KEY_LEN => Err(LineError::LongKey(len)),
        (_, len) if len > MAX_VALUE_LEN => Err(LineError::LongValue(len)),
        _ => Ok((key, value)),
    }
}

/// Appends one record as a line, line end included. [`parse_line`] reads it back to the same bytes, within the limits
/// on keys and values.
pub fn write_line(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    out.push(b'{');
    write_field(out, "key", key);
    out.push(b',');
    write_field(out, "value", value);
    out.extend_from_slice(b"}\n");
}

/// Body of the fuzz target: any bytes as a line; what is read must come back the same.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let Ok((key, value)) = parse_line(data) else { return };
    let mut line = Vec::new();
    write_line(&mut line, &key, &value);
    assert_eq!(parse_line(&line), Ok((key, value)), "what was written is read back");
}

/// Appends `"name":"text"`, or `"name_base64":"..."` when the bytes are not UTF-8.
pub fn write_field(out: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    if let Ok(text) = std::str::from_utf8(bytes) {
        out.extend_from_slice(b"\":");
        serde_json::to_writer(out, text).expect("text into memory always serialises");
    } else {
        out.extend_from_slice(b"_base64\":\"");
        out.extend_from_slice(BASE64.encode(bytes).as_bytes());
        out.push(b'"');
    }
}

fn pick(name: &'static str, text: Option<Text<'_>>, base64: Option<Text<'_>>) -> Result<Bytes, LineError> {
    match (text, base64) {
        (Some(Text(Cow::Borrowed(text))), None) => Ok(Bytes::copy_from_slice(text.as_bytes())),
        (Some(Text(Cow::Owned(text))), None) => Ok(Bytes::from(text)),
        (None, Some(Text(code))) => {
            BASE64.decode(code.as_bytes()).map(Bytes::from).map_err(|_not_base64| LineError::Base64(name))
        }
        (None, None) => Err(LineError::Missing(name)),
        (Some(_), Some(_)) => Err(LineError::Twice(name)),
    }
}

/// serde_json's words without its "at line 1": lines are counted by whoever reads the file.
fn json_reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let words = text.split(" at line ").next().unwrap_or(&text);
    format!("{words} at column {}", error.column())
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow, default)]
    key: Option<Text<'a>>,
    #[serde(borrow, default)]
    key_base64: Option<Text<'a>>,
    #[serde(borrow, default)]
    value: Option<Text<'a>>,
    #[serde(borrow, default)]
    value_base64: Option<Text<'a>>,
}

/// Text that borrows from the line when it holds no escapes: serde does that for a plain `Cow` but not inside `Option`.
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Borrow;
        impl<'de> Visitor<'de> for Borrow {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_string<E: serde::de::Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text)))
            }
        }
        deserializer.deserialize_str(Borrow)
    }
}

/// For `#[serde(flatten, with = "...")]`: a field of bytes that appears as text, or as base64 under its `_base64` name.
macro_rules! bytes_field {
    ($(#[$doc:meta])* $module:ident, $text:literal, $base64:literal) => {
        $(#[$doc])*
        pub mod $module {
            use super::*;

            /// The two fields, of which one is there.
            #[derive(serde::Serialize, serde::Deserialize)]
            pub(crate) struct Twins<'a> {
                #[serde(rename = $text, default, skip_serializing_if = "Option::is_none")]
                pub(crate) text: Option<Cow<'a, str>>,
                #[serde(rename = $base64, default, skip_serializing_if = "Option::is_none")]
                pub(crate) base64: Option<Cow<'a, str>>,
            }

            impl Twins<'_> {
                /// The bytes of the one field that is there.
                pub(crate) fn bytes(self) -> Result<Bytes, LineError> {
                    pick($text, self.text.map(Text), self.base64.map(Text))
                }
            }

            /// Writes the bytes under one of their two names.
            ///
            /// # Errors
            /// Those of the serialiser.
            pub fn serialize<S: serde::Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
                let twins = match std::str::from_utf8(bytes) {
                    Ok(text) => Twins { text: Some(text.into()), base64: None },
                    Err(_binary) => Twins { text: None, base64: Some(BASE64.encode(bytes).into()) },
                };
                serde::Serialize::serialize(&twins, serializer)
            }

            /// Reads the bytes from whichever of their two names is there.
            ///
            /// # Errors
            /// When none or both are there, or when the base64 is not.
            pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
                Twins::deserialize(deserializer)?.bytes().map_err(D::Error::custom)
            }
        }
    };
}

bytes_field! {
    /// Bytes under `key` or `key_base64`.
    key_field, "key", "key_base64"
}
bytes_field! {
    /// Bytes under `value` or `value_base64`.
    value_field, "value", "value_base64"
}
