//! A Via for people and programs: whatever octets it has, it is short, and ends no line.

/// The longest part of a Via that is told, in characters; the longest Via has 2048 octets.
const MOST: usize = 256;

/// In quotes; what is not UTF-8, and what might end a line or command a terminal, is escaped; cut where it is long.
pub(crate) fn in_quotes(via: &[u8]) -> String {
    let mut shown = String::from('"');
    let mut left = MOST;
    for chunk in via.utf8_chunks() {
        let text: String = chunk.valid().chars().take(left).collect();
        left -= text.chars().count();
        shown.extend(text.escape_debug());
        let invalid = chunk.invalid().get(..chunk.invalid().len().min(left)).unwrap_or_default();
        left -= invalid.len();
        shown.extend(invalid.escape_ascii().map(char::from));
        if text.len() < chunk.valid().len() || invalid.len() < chunk.invalid().len() {
            shown.push('…');
            break;
        }
    }
    shown + "\""
}

/// As it is, with U+FFFD for what is not UTF-8, and whether there was such; cut where it is long.
pub(crate) fn as_text(via: &[u8]) -> (String, bool) {
    let text = String::from_utf8_lossy(via);
    let mut cut: String = text.chars().take(MOST).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    (cut, str::from_utf8(via).is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_via_in_the_log_is_one_short_line() {
        for (via, expected) in [
            (&b"net.tcp://h/calc"[..], r#""net.tcp://h/calc""#),
            (b"net.tcp://h/\xFF\xE2\x82x", r#""net.tcp://h/\xff\xe2\x82x""#),
            (
                "net.tcp://g\u{f6}/\n\u{1b}[31m\"\u{202e}".as_bytes(),
                "\"net.tcp://g\u{f6}/\\n\\u{1b}[31m\\\"\\u{202e}\"",
            ),
        ] {
            assert_eq!(in_quotes(via), expected);
        }
        for (octets, end) in [(&[b'x'; 2048][..], "x…\""), (&[0xFF; 2048], "\\xff…\"")] {
            let shown = in_quotes(octets);
            assert!(shown.ends_with(end) && shown.len() <= MOST * 4 + 6, "{shown}");
        }
        assert_eq!(in_quotes(&[b'x'; MOST]), format!("\"{}\"", "x".repeat(MOST)), "nothing is cut");
    }

    #[test]
    fn a_via_for_programs_is_what_it_was() {
        let hostile = "net.tcp://h/\n\u{1b}\"\\";
        assert_eq!(as_text(hostile.as_bytes()), (hostile.to_owned(), false));
        assert_eq!(as_text(b"h\xFF\xE2\x82x"), ("h\u{fffd}\u{fffd}x".to_owned(), true));
        assert_eq!(as_text("ö".repeat(MOST).as_bytes()).0, "ö".repeat(MOST), "nothing is cut");
        assert_eq!(as_text("ö".repeat(MOST + 1).as_bytes()).0, "ö".repeat(MOST) + "…");
    }
}
