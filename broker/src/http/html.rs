//! Text in HTML: what strangers wrote is text, and never markup.

use std::fmt::{self, Display, Write};
use std::time::{Duration, UNIX_EPOCH};

use handoff::misleads;

/// Anything, as text or as the value of an attribute in double quotes.
pub(super) struct Text<T>(pub(super) T);

impl<T: Display> Display for Text<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.write_str("&amp;")?,
                '<' => self.0.write_str("&lt;")?,
                '>' => self.0.write_str("&gt;")?,
                '"' => self.0.write_str("&quot;")?,
                '\'' => self.0.write_str("&#39;")?,
                c if misleads(c) => self.0.write_char(char::REPLACEMENT_CHARACTER)?,
                c => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A number with a thin gap at each thousand.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            shown.push('\u{202f}');
        }
        shown.push(digit);
    }
    shown
}

/// A time that has passed: `42 s`, `3 min`, `5 h`, `2 d`.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A moment, with how long ago that is.
pub(super) fn ago(at: u64, now: u64) -> String {
    let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(at.min(u64::from(u32::MAX))));
    format!("<time title=\"{date}\">{} ago</time>", span(now.saturating_sub(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_stranger_writes_is_markup() {
        for nasty in [
            "<script>alert(1)</script>",
            "\"><img src=x onerror=alert(1)>",
            "' onmouseover='alert(1)",
            "</td></table><h1>",
            "&lt;b&gt;",
            "<!--",
            "]]>",
            "\u{0}<\u{1b}b>",
            "\u{202e}<\u{200b}b>",
        ] {
            let shown = Text(nasty).to_string();
            assert!(
                !shown.contains(['<', '>', '"', '\'', '\u{0}', '\u{1b}', '\u{202e}', '\u{200b}']),
                "{shown}"
            );
            let back = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
            let back = back.replace("&#39;", "'").replace("&amp;", "&");
            assert_eq!(back, nasty.replace(['\u{0}', '\u{1b}', '\u{202e}', '\u{200b}'], "\u{fffd}"));
        }
    }

    #[test]
    fn numbers_and_times_are_read_at_a_glance() {
        assert_eq!([7, 1234, 1_234_567].map(number), ["7", "1\u{202f}234", "1\u{202f}234\u{202f}567"]);
        assert_eq!([3, 130, 7300, 200_000].map(span), ["3 s", "2 min", "2 h", "2 d"]);
    }
}
