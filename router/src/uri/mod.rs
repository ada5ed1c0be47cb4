//! The canonical form of an absolute URI, as System.Uri has it.

mod authority;
mod ipv4;
mod ipv6;
mod name;
mod path;
mod plain;
mod scheme;
mod unicode;

use alloc::borrow::Cow;
use alloc::string::String;
use core::net::IpAddr;

pub(crate) use plain::{Plain, plain};
pub(crate) use unicode::fold;

use crate::ViaError;
use scheme::{Authority, Scheme};

/// An absolute URI taken apart, host and path in canonical form.
pub(crate) struct Uri<'a> {
    scheme: &'static Scheme,
    /// As written.
    scheme_name: &'a str,
    pub(crate) host: Cow<'a, str>,
    pub(crate) ip: Option<IpAddr>,
    port: Option<u16>,
    pub(crate) path: Cow<'a, str>,
    /// Without its `?`.
    pub(crate) query: Option<&'a str>,
    pub(crate) has_fragment: bool,
    normalized: bool,
}

/// The port of a net.tcp URI that writes none.
pub(crate) const DEFAULT_PORT: u16 = 808;

fn is_white_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

impl<'a> Uri<'a> {
    /// Parses a URI.
    pub(crate) fn parse(text: &'a str) -> Result<Self, ViaError> {
        let text = text.trim_start_matches(is_white_space);
        if text.is_empty() {
            return Err(ViaError::Empty);
        }
        if let [letter, b':' | b'|', rest @ ..] = text.as_bytes() {
            // A Windows file name.
            return match rest {
                [b'/' | b'\\', ..] if letter.is_ascii_alphabetic() => Ok(Self::file()),
                _ => Err(ViaError::Scheme),
            };
        }
        let (scheme_name, rest) = text.split_once(':').ok_or(ViaError::Scheme)?;
        let scheme = Scheme::of(scheme_name).ok_or(ViaError::Scheme)?;
        // White space is trimmed, but never all of it.
        let least = rest.chars().next().map_or(0, char::len_utf8);
        let trimmed = rest.trim_end_matches(is_white_space).len().max(least);
        Self::parse_rest(scheme, scheme_name, rest, trimmed)
    }

    fn parse_rest(
        scheme: &'static Scheme,
        scheme_name: &'a str,
        rest: &'a str,
        trimmed: usize,
    ) -> Result<Self, ViaError> {
        let visible = &rest[..trimmed];
        let slashes = visible.len() - visible.trim_start_matches(['/', '\\']).len();
        let mut skip = None;
        if scheme.drive && visible.len() >= 2 && (scheme.share || slashes <= 3) {
            match visible.as_bytes().get(slashes..) {
                Some([letter, b':' | b'|', rest @ ..]) if letter.is_ascii_alphabetic() => {
                    match rest {
                        [b'/' | b'\\', ..] => return Ok(Self::file()),
                        _ if scheme.share => return Err(ViaError::Authority),
                        _ => {}
                    };
                }
                Some([first, ..])
                    if scheme.share
                        && slashes >= 2
                        && slashes != 3
                        && visible.starts_with("//")
                        && !matches!(first, b'?' | b'#') =>
                {
                    skip = Some(slashes);
                }
                _ => {}
            }
        }
        let skip = match scheme.authority {
            _ if skip.is_some() => skip,
            Authority::Required if visible.starts_with("//") => Some(2),
            Authority::Required => return Err(ViaError::Authority),
            Authority::Optional => (visible.starts_with("//") || matches!(slashes, 2 | 3)).then_some(2),
            Authority::Direct => Some(0),
            Authority::None => None,
        };
        let Some(skip) = skip else {
            return Ok(Self::without_authority(scheme, scheme_name, rest, trimmed));
        };
        let normalized = is_normalized(rest);
        let authority =
            authority::parse(&rest[skip..], trimmed - skip, scheme, normalized).map_err(|error| {
                let end = visible[skip..].find(['/', '\\', '?', '#']).map_or(visible.len(), |at| skip + at);
                let user = scheme.is_net_tcp() && visible[skip..end].contains('@');
                if user { ViaError::UserInfo } else { error }
            })?;
        if skip > 2 && authority.host.is_empty() {
            return Err(ViaError::Host);
        }
        let from = skip + authority.len;
        let (path, query, has_fragment) = split_path(scheme, rest, from, trimmed);
        let path = if !scheme.is_net_tcp() {
            other_path(scheme, path, normalized).ok_or(ViaError::Authority)?
        } else if path.starts_with('/') {
            path::canonical(path, normalized)
        } else {
            // Anything may follow the bracket of an IPv6 address.
            path::unrooted(&path::with_slashes(path, normalized), is_rewritten(scheme, path))
                .ok_or(ViaError::Authority)?
        };
        let authority::HostAndPort { host, ip, port, .. } = authority;
        Ok(Self { scheme, scheme_name, host, ip, port, path, query, has_fragment, normalized })
    }

    fn without_authority(
        scheme: &'static Scheme,
        scheme_name: &'a str,
        rest: &'a str,
        trimmed: usize,
    ) -> Self {
        let (path, query, has_fragment) = split_path(scheme, rest, 0, trimmed);
        let normalized = is_normalized(rest);
        let path =
            Cow::Owned(path::escape(&path::unescape(path, |octet| normalized && path::is_safe(octet))));
        let host = Cow::Borrowed("");
        Self { scheme, scheme_name, host, ip: None, port: None, path, query, has_fragment, normalized }
    }

    /// A Windows file name, of which only that it is valid matters.
    fn file() -> Self {
        Self {
            scheme: &scheme::FILE,
            scheme_name: "file",
            host: Cow::Borrowed(""),
            ip: None,
            port: None,
            path: Cow::Borrowed("/"),
            query: None,
            has_fragment: false,
            normalized: false,
        }
    }

    pub(crate) fn is_net_tcp(&self) -> bool {
        self.scheme.is_net_tcp()
    }

    /// The port of a net.tcp URI.
    pub(crate) fn port_or_default(&self) -> u16 {
        self.port.unwrap_or(DEFAULT_PORT)
    }

    /// Path and query as the original's port substitution leaves them: one path, in which the query is text.
    /// `None` if that is the path itself.
    pub(crate) fn path_with_query(&self) -> Option<String> {
        let changed = matches!(self.path, Cow::Owned(_)) && self.path.contains(['%', '.']);
        if self.query.is_none() && !changed {
            return None;
        }
        let path_and_query = self.path_and_query();
        let canonical =
            path::canonical(&path_and_query, is_normalized(&path_and_query) || !self.host.is_ascii());
        (canonical != self.path).then(|| canonical.into_owned())
    }

    fn path_and_query(&self) -> String {
        let mut path_and_query = String::from(&*self.path);
        if let Some(query) = self.query {
            path_and_query.push('?');
            path_and_query.push_str(&path::escape(&if self.normalized {
                path::unescape(query, path::is_safe)
            } else {
                query.into()
            }));
        }
        path::escape_also(&path_and_query, b"?#")
    }

    /// Checks that the URI is one after the port substitution too.
    pub(crate) fn check_with_port(&self) -> Result<(), ViaError> {
        if self.is_net_tcp() {
            // Composition can turn a character outside ASCII into one that no name has.
            let valid =
                self.ip.is_some() || matches!(self.host, Cow::Borrowed(_)) || name::is_dns(&self.host);
            return if valid { Ok(()) } else { Err(ViaError::Host) };
        }
        if !self.host.is_empty() && !self.scheme.port {
            return Err(ViaError::NoPortAllowed);
        }
        let slashes = match self.scheme.authority {
            Authority::Required => "//",
            Authority::Optional if !self.host.is_empty() => "//",
            _ => "",
        };
        let port = if self.host.is_empty() { "" } else { ":1" };
        let mut path = self.path_and_query();
        if path.is_empty() {
            path.push('/');
        }
        let slash = if self.host.is_empty() || path.starts_with('/') { "" } else { "/" };
        let uri = alloc::format!("{}:{slashes}{}{port}{slash}{path}", self.scheme_name, self.host);
        Uri::parse(&uri).map(|_| ())
    }
}

/// Splits what follows the authority into path, query and whether there is a fragment.
fn split_path<'a>(
    scheme: &Scheme,
    rest: &'a str,
    from: usize,
    trimmed: usize,
) -> (&'a str, Option<&'a str>, bool) {
    // A port can reach into the white space at the end; then nothing is left.
    let Some(visible) = rest.get(from..trimmed) else { return ("", None, false) };
    let text = if trimmed < rest.len() && is_normalized(rest) { &rest[from..] } else { visible };
    let (text, fragment) = match text.split_once('#') {
        Some((text, _)) => (text, true),
        None => (text, false),
    };
    match text.split_once('?') {
        Some((path, query)) if scheme.query => (path, Some(query), fragment),
        _ => (text, None, fragment),
    }
}

/// Whether the original normalizes the escapes of the URI before it looks at path and query, and then forgets to trim it: one that
/// has escapes of unreserved characters, or of characters outside ASCII.
fn is_normalized(text: &str) -> bool {
    !text.is_ascii()
        || (0..text.len()).any(|at| match escape_at(text, at) {
            Some(octet) if octet.is_ascii() => path::is_unreserved(octet),
            Some(_) => escapes_character(text, at),
            None => false,
        })
}

/// Whether the original writes the path of a URI anew: then it escapes what a path cannot hold.
fn is_rewritten(scheme: &Scheme, path: &str) -> bool {
    let slashes = |octet| scheme.escaped_slashes && matches!(octet, b'/' | b'\\');
    is_international(path) || path::escape(path) != path || path::unescape(path, slashes) != path
}

/// Whether a text has a character outside ASCII, written or escaped.
fn is_international(text: &str) -> bool {
    let foreign =
        |at| escape_at(text, at).is_some_and(|octet| !octet.is_ascii()) && escapes_character(text, at);
    !text.is_ascii() || (0..text.len()).any(foreign)
}

/// Whether the escapes that begin here are those of one character outside ASCII.
fn escapes_character(text: &str, at: usize) -> bool {
    let mut octets = [0; 4];
    (0..4).any(|len| {
        octets[len] = escape_at(text, at + 3 * len).unwrap_or_default();
        len > 0 && core::str::from_utf8(&octets[..=len]).is_ok_and(|text| text.chars().count() == 1)
    })
}

/// The octet that is escaped at this place.
fn escape_at(text: &str, at: usize) -> Option<u8> {
    let (percent, digits) = text.as_bytes().get(at..)?.split_first()?;
    path::escaped(digits).filter(|_| *percent == b'%')
}

/// The path of another scheme.
fn other_path<'a>(scheme: &Scheme, path: &str, normalized: bool) -> Option<Cow<'a, str>> {
    if path.is_empty() && scheme.authority != Authority::Direct {
        return Some(Cow::Borrowed("/"));
    }
    let slashes = |octet| scheme.escaped_slashes && matches!(octet, b'/' | b'\\');
    let unescaped = path::unescape(path, |octet| normalized && path::is_safe(octet) || slashes(octet));
    if !scheme.hierarchical {
        return Some(Cow::Owned(path::escape(&unescaped)));
    }
    let unescaped = unescaped.replace('\\', "/");
    if !unescaped.starts_with('/') && !scheme.is_unknown() && scheme.rooted {
        return path::unrooted(&unescaped, is_rewritten(scheme, path));
    }
    Some(Cow::Owned(path::escape(&path::without_dot_segments(&unescaped))))
}
