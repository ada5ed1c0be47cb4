//! A record in its parts, as one line of JSON, and as journald's own protocol has it.

use serde_json::Value;
use tracing::Level;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::visible;

/// A part: what it is called, and what it is.
pub(crate) type Field = (&'static str, Value);

/// What journald calls us.
const IDENTIFIER: &str = "broker";

/// What stands before the names of our own fields there.
const PREFIX: &str = "NET_TCP_";

/// The time in UTC, to the microsecond.
pub(crate) fn now() -> String {
    let mut now = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut now));
    now
}

/// One object on one line, in the order of its members. All of it is ASCII: what a terminal obeys is not only below U+0020.
///
/// The names are our own.
pub(crate) fn json(fields: &[Field]) -> String {
    let members: Vec<String> = fields.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    let mut line = String::new();
    let mut units = [0; 2];
    for letter in format!("{{{}}}", members.join(",")).chars() {
        match letter {
            ' '..='~' => line.push(letter),
            // Only in texts, where it may be written so.
            _ => letter.encode_utf16(&mut units).iter().for_each(|unit| line += &format!("\\u{unit:04x}")),
        }
    }
    line.push('\n');
    line
}

/// A datagram for journald: <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.
pub(crate) fn journal(level: Level, message: &str, fields: &[Field]) -> Vec<u8> {
    let mut octets = Vec::new();
    put(&mut octets, "MESSAGE", &visible::line(message));
    put(&mut octets, "PRIORITY", priority(level));
    put(&mut octets, "SYSLOG_IDENTIFIER", IDENTIFIER);
    for (name, value) in fields {
        let name = format!("{PREFIX}{}", name.to_ascii_uppercase());
        match value {
            Value::Null => {}
            Value::String(text) => put(&mut octets, &name, text),
            other => put(&mut octets, &name, &other.to_string()),
        }
    }
    octets
}

/// With its length, so that nothing in a value ends it.
fn put(octets: &mut Vec<u8>, name: &str, value: &str) {
    let length = value.len() as u64;
    octets.extend([name.as_bytes(), b"\n", &length.to_le_bytes(), value.as_bytes(), b"\n"].concat());
}

/// As syslog numbers them.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_members_stand_in_their_order_on_one_line_of_ascii() {
        let fields = [("b", 1.into()), ("a", "\u{1b}[31m\n\u{9b}\u{202e}\u{1f600}\u{7f}\"\\".into())];
        assert_eq!(
            json(&fields),
            "{\"b\":1,\"a\":\"\\u001b[31m\\n\\u009b\\u202e\\ud83d\\ude00\\u007f\\\"\\\\\"}\n"
        );
    }

    proptest! {
        #[test]
        fn whatever_a_text_is_it_is_read_back(text in any::<String>()) {
            let line = json(&[("text", text.clone().into())]);
            prop_assert!(line.bytes().all(|octet| (b' '..=b'~').contains(&octet) || octet == b'\n'));
            prop_assert_eq!(line.matches('\n').count(), 1);
            let read: Value = serde_json::from_str(&line).unwrap();
            prop_assert_eq!(&read["text"], &text);
            let read = read_journal(&journal(Level::WARN, &text, &[("text", text.clone().into())]));
            let expected =
                [("MESSAGE", &*visible::line(&text)), ("PRIORITY", "4"), ("SYSLOG_IDENTIFIER", "broker"), ("NET_TCP_TEXT", &text)];
            prop_assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
    }

    /// As journald reads it.
    fn read_journal(mut octets: &[u8]) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        while let Some(end) = octets.iter().position(|octet| *octet == b'\n') {
            let (name, rest) = octets.split_at(end);
            let (length, rest) = rest[1..].split_first_chunk().unwrap();
            let (value, rest) = rest.split_at(usize::try_from(u64::from_le_bytes(*length)).unwrap());
            let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
            fields.push((text(name), text(value)));
            assert_eq!(rest[0], b'\n');
            octets = &rest[1..];
        }
        assert!(octets.is_empty());
        fields
    }
}
