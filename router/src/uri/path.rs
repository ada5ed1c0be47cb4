//! The canonical form of a path.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// What an octet means in the path of a net.tcp URI.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Stays as it is.
    Plain,
    Slash,
    Dot,
    Percent,
    /// Is written as `%` and two digits, or (the back-slash) becomes a slash.
    Foreign,
}

static CLASSES: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut classes = [Class::Foreign; 256];
    let mut octet: u8 = 0;
    while octet < 0x80 {
        if is_plain(octet) {
            classes[octet as usize] = Class::Plain;
        }
        octet += 1;
    }
    classes[b'/' as usize] = Class::Slash;
    classes[b'.' as usize] = Class::Dot;
    classes[b'%' as usize] = Class::Percent;
    classes
}

/// Whether the octet stays as it is in a path, whatever is around it.
pub(super) const fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric()
        || matches!(octet, b'-' | b'_' | b'~')
        || matches!(octet, b';' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',' | b'[' | b']')
        || matches!(octet, b'!' | b'\'' | b'(' | b')' | b'*')
}

/// Whether the escape that these digits end stays one.
pub(super) fn is_kept(digits: &[u8], normalized: bool) -> bool {
    escaped(digits).is_some_and(|octet| !is_unescaped(octet, normalized))
}

/// The octet that two hexadecimal digits behind a `%` stand for.
pub(super) fn escaped(digits: &[u8]) -> Option<u8> {
    let &[high, low, ..] = digits else { return None };
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

pub(super) fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~')
}

/// Whether System.Uri takes the escape of this octet out of a URI whose escapes it normalizes.
pub(super) fn is_safe(octet: u8) -> bool {
    is_unreserved(octet) || matches!(octet, b'!' | b'\'' | b'(' | b')' | b'*' | b':')
}

/// Whether [`canonical`] would return the path as it is. Reads each octet at most twice.
pub(crate) fn is_canonical(path: &str, normalized: bool) -> bool {
    let octets = path.as_bytes();
    let mut before = b'/';
    let mut at = 0;
    while let Some(&octet) = octets.get(at) {
        match CLASSES[usize::from(octet)] {
            Class::Plain | Class::Slash => {}
            Class::Dot if before == b'/' && is_dot_segment(octets.get(at..).unwrap_or_default()) => {
                return false;
            }
            Class::Dot => {}
            Class::Percent if is_kept(octets.get(at + 1..).unwrap_or_default(), normalized) => at += 2,
            Class::Percent => return false,
            Class::Foreign => return false,
        }
        before = octet;
        at += 1;
    }
    true
}

/// Whether a `.` or `..` segment begins here.
fn is_dot_segment(rest: &[u8]) -> bool {
    matches!(rest, [b'.'] | [b'.', b'/', ..] | [b'.', b'.'] | [b'.', b'.', b'/', ..])
}

/// The path of a net.tcp URI as System.Uri's `AbsolutePath` gives it, but for the case of hexadecimal digits,
/// which no comparison sees (docs/original.md §6.3).
///
/// `normalized` says whether the URI is one whose escapes the original normalizes: then more escapes are taken out.
pub(crate) fn canonical(path: &str, normalized: bool) -> Cow<'_, str> {
    if is_canonical(path, normalized) {
        return Cow::Borrowed(path);
    }
    Cow::Owned(escape(&without_dot_segments(&with_slashes(path, normalized))))
}

/// Escapes taken out, and back-slashes made slashes.
pub(super) fn with_slashes(path: &str, normalized: bool) -> String {
    unescape(path, |octet| is_unescaped(octet, normalized)).replace('\\', "/")
}

/// The rest of [`canonical`], for an unescaped path that begins with something else than a slash.
///
/// The original puts a slash in front and then miscounts it when dot segments take the beginning away: the last
/// character is lost with them. If none is left the path is empty (here a slash, which has the same segments), but where
/// the original rewrites the path it fails (`None`).
pub(super) fn unrooted<'a>(unescaped: &str, is_rewritten: bool) -> Option<Cow<'a, str>> {
    let mut segments: Vec<&str> = Vec::new();
    let mut excess = false;
    let mut rest = unescaped.split('/').enumerate().peekable();
    while let Some((at, segment)) = rest.next() {
        let dots = at > 0 && matches!(segment, "." | "..");
        if !dots {
            segments.push(segment);
            continue;
        }
        if segment == ".." {
            excess |= segments.len() == 1;
            segments.truncate(segments.len().saturating_sub(1).max(1));
        }
        if rest.peek().is_none() {
            segments.push("");
        }
    }
    let (first, others) = segments.split_first()?;
    let dots = !first.is_empty() && first.bytes().all(|octet| octet == b'.');
    let joined = others.join("/");
    let kept = if excess && !first.is_empty() {
        let mut chars = joined.chars();
        if chars.next_back().is_none() && is_rewritten {
            return None;
        }
        alloc::format!("/{}", chars.as_str())
    } else if dots && others.is_empty() {
        "/".into()
    } else if dots {
        let whole = alloc::format!("//{joined}");
        let mut chars = whole.chars();
        chars.next_back();
        chars.as_str().into()
    } else {
        alloc::format!("/{}", segments.join("/"))
    };
    Some(Cow::Owned(if is_rewritten { escape(&kept) } else { kept }))
}

fn is_unescaped(octet: u8, normalized: bool) -> bool {
    is_unreserved(octet) || matches!(octet, b'/' | b'\\') || normalized && is_safe(octet)
}

/// Replaces escapes of the octets that `wanted` names.
///
/// A `%` takes the next two characters with it even if they are no digits: in `%%41` nothing is unescaped.
pub(crate) fn unescape(text: &str, wanted: impl Fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(first) = chars.next() {
        let rest = chars.as_str();
        let end = rest.char_indices().nth(2).map(|(end, _)| end).or_else(|| two_chars(rest));
        let (Some(end), '%') = (end, first) else {
            out.push(first);
            continue;
        };
        match escaped(rest.as_bytes()) {
            Some(octet) if octet.is_ascii() && wanted(octet) => out.push(char::from(octet)),
            _ => {
                out.push('%');
                out.push_str(&rest[..end]);
            }
        }
        chars = rest[end..].chars();
    }
    out
}

/// The length of a text of exactly two characters.
fn two_chars(rest: &str) -> Option<usize> {
    (rest.chars().count() == 2).then_some(rest.len())
}

/// Removes `.` segments, and `..` segments with the segment before each (an empty one counts).
pub(crate) fn without_dot_segments(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let dots = matches!(segment, "." | "..");
        if segment == ".." && kept.len() > 1 {
            kept.pop();
        }
        if !dots {
            kept.push(segment);
        } else if segments.peek().is_none() {
            kept.push("");
        }
    }
    kept.join("/")
}

/// Writes every octet that a URI cannot hold as `%` and two digits, a stray `%` among them.
pub(crate) fn escape(text: &str) -> String {
    escape_also(text, b"")
}

/// [`escape`], and the octets of `also` too.
pub(crate) fn escape_also(text: &str, also: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let octets = text.as_bytes();
    let mut out = String::with_capacity(text.len() + 16);
    for (at, &octet) in octets.iter().enumerate() {
        let keep = match CLASSES[usize::from(octet)] {
            Class::Percent => escaped(octets.get(at + 1..).unwrap_or_default()).is_some(),
            Class::Foreign => matches!(octet, b'?' | b'#'),
            _ => true,
        };
        if keep && !also.contains(&octet) {
            out.push(char::from(octet));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(octet >> 4)]));
            out.push(char::from(DIGITS[usize::from(octet & 15)]));
        }
    }
    out
}
