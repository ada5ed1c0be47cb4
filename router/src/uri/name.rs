//! Hosts that are names.

use alloc::borrow::Cow;
use alloc::string::String;

use unicode_normalization::char::is_combining_mark;

/// Whether a host is a DNS name as System.Uri understands it: labels of letters, digits, `-` and `_` that begin
/// with a letter or digit, every character from U+00A0 on being a letter.
///
/// A label has at most 63 octets, counted as the original counts: two for a UTF-16 unit above U+00FF, and four
/// more for a label that is not ASCII. A single dot at the end is allowed.
pub(crate) fn is_dns(host: &str) -> bool {
    let is_dot = |c| matches!(c, '.' | '\u{3002}' | '\u{FF0E}' | '\u{FF61}');
    let host = host.strip_suffix(is_dot).unwrap_or(host);
    host.split(is_dot).all(|label| {
        let octets: usize =
            label.chars().map(|c| c.len_utf16() * if u32::from(c) > 0xFF { 2 } else { 1 }).sum();
        let extra = if label.chars().any(|c| c >= '\u{A0}') { 4 } else { 0 };
        label.starts_with(|c: char| c.is_ascii_alphanumeric() || c >= '\u{A0}')
            && label.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || c >= '\u{A0}')
            && octets + extra <= 63
    })
}

/// Whether a host is the name of a Windows computer, which other schemes than net.tcp accept: as a DNS name, but
/// the first two labels may begin with `-` or `_`, the first is no number, and letters are letters of any script.
pub(crate) fn is_computer(host: &str) -> bool {
    let is_alphanumeric = |c: char| c.is_ascii_digit() || is_letter(c);
    let has_characters = |label: &str| label.chars().all(|c| is_alphanumeric(c) || matches!(c, '-' | '_'));
    let (first, rest) = host.split_once('.').unwrap_or((host, ""));
    let mut labels = rest.strip_suffix('.').filter(|rest| !rest.is_empty()).unwrap_or(rest).split('.');
    let second = labels.next().unwrap_or_default();
    has_characters(first)
        && first.chars().any(|c| !c.is_ascii_digit())
        && has_characters(second)
        && (rest.is_empty() || !second.is_empty())
        && labels.all(|label| label.starts_with(is_alphanumeric) && has_characters(label))
        && host.encode_utf16().count() <= 256
}

/// `Char.IsLetter`: a letter of the basic multilingual plane, which marks, numbers of letters and letters in circles
/// are not.
fn is_letter(c: char) -> bool {
    let number_or_circled = matches!(c,
        '\u{16EE}'..='\u{16F0}' | '\u{2160}'..='\u{2182}' | '\u{2185}'..='\u{2188}' | '\u{24B6}'..='\u{24E9}'
        | '\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3038}'..='\u{303A}' | '\u{A6E6}'..='\u{A6EF}');
    c.is_alphabetic() && c.len_utf16() == 1 && !number_or_circled && !is_combining_mark(c)
}

/// The canonical spelling of a name: composed (NFC), in lower case if it has any ASCII capital, and `localhost`
/// for `loopback`.
pub(crate) fn canonical(host: &str) -> Cow<'_, str> {
    let composed = if host.is_ascii() { Cow::Borrowed(host) } else { super::unicode::composed(host) };
    let lowered = if composed.bytes().any(|octet| octet.is_ascii_uppercase()) {
        Cow::Owned(composed.chars().map(super::unicode::lower).collect::<String>())
    } else {
        composed
    };
    if lowered == "loopback" { Cow::Borrowed("localhost") } else { lowered }
}
