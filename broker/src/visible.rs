//! What strangers have written, in what is printed: nothing of it commands a terminal, turns a line around, or hides.

use std::borrow::Cow;
use std::fmt::Write;

use handoff::misleads;

/// A line of a log. Its writer has escaped control characters already, or has put them there.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    let hides = |c: char| misleads(c) && !c.is_control();
    escaped(text, hides, |out, c| {
        let _ = write!(out, "{}", c.escape_unicode());
    })
}

/// JSON, with line feeds or without.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    let hides = |c: char| misleads(c) && !c.is_ascii_whitespace();
    escaped(text, hides, |out, c| {
        // Only in texts, where it may be written so.
        c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
            let _ = write!(out, "\\u{unit:04x}");
        });
    })
}

fn escaped(text: &str, hides: impl Fn(char) -> bool, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(&hides) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if hides(c) { escape(&mut shown, c) } else { shown.push(c) }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_is_written_out() {
        assert_eq!(
            line("\u{1b}[1mö\u{1b}[0m\t\u{202e}x\u{3164}\n"),
            "\u{1b}[1mö\u{1b}[0m\t\\u{202e}x\\u{3164}\n"
        );
        let text = "[\n \"ö\u{202e}\u{9b}\u{7f}\u{e0001}\"\n]\n";
        let shown = json(text);
        assert_eq!(shown, "[\n \"ö\\u202e\\u009b\\u007f\\udb40\\udc01\"\n]\n");
        let [read, was] = [&*shown, text].map(|text| serde_json::from_str::<Vec<String>>(text).unwrap());
        assert_eq!(read, was);
    }
}
