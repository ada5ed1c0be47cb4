//! What System.Uri knows about each scheme.

/// A scheme's syntax. `net.tcp` is the one that matters; the others decide whether a Via of another scheme
/// is a URI at all, and whether it survives the port substitution of docs/original.md §6.1, step 2.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scheme {
    /// Lower case; empty for every scheme without an entry of its own.
    pub(crate) name: &'static str,
    pub(crate) authority: Authority,
    pub(crate) user_info: bool,
    pub(crate) port: bool,
    pub(crate) query: bool,
    pub(crate) empty_host: bool,
    /// A host may be a Windows computer name, which need not be a DNS name.
    pub(crate) computer_name: bool,
    /// A drive letter may stand where the host would.
    pub(crate) drive: bool,
    /// Two, or four and more, slashes name a Windows share.
    pub(crate) share: bool,
    /// Back-slashes become slashes and dot segments are removed.
    pub(crate) hierarchical: bool,
    /// `%2F` and `%5C` are slashes.
    pub(crate) escaped_slashes: bool,
    /// A path that begins with something else gets a slash.
    pub(crate) rooted: bool,
}

/// Whether `//` and a host follow the scheme.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Authority {
    Required,
    /// If `//` is there.
    Optional,
    /// The host follows the colon, as in `mailto:`.
    Direct,
    None,
}

const NET_PIPE: Scheme = Scheme {
    name: "net.pipe",
    authority: Authority::Required,
    user_info: false,
    port: false,
    query: true,
    empty_host: false,
    computer_name: false,
    drive: false,
    share: false,
    hierarchical: true,
    escaped_slashes: true,
    rooted: true,
};
pub(crate) const NET_TCP: Scheme = Scheme { name: "net.tcp", port: true, ..NET_PIPE };
const HTTP: Scheme = Scheme {
    name: "http",
    user_info: true,
    port: true,
    computer_name: true,
    escaped_slashes: false,
    ..NET_PIPE
};
const FTP: Scheme = Scheme { name: "ftp", query: false, ..HTTP };
const GOPHER: Scheme = Scheme { name: "gopher", hierarchical: false, ..FTP };
const LDAP: Scheme = Scheme { name: "ldap", empty_host: true, query: true, ..GOPHER };
pub(crate) const FILE: Scheme = Scheme {
    name: "file",
    user_info: false,
    port: false,
    empty_host: true,
    drive: true,
    share: true,
    escaped_slashes: true,
    ..HTTP
};
const VSMACROS: Scheme = Scheme { name: "vsmacros", query: false, rooted: false, ..FILE };
const NEWS: Scheme = Scheme {
    name: "news",
    authority: Authority::None,
    port: false,
    query: false,
    hierarchical: false,
    escaped_slashes: false,
    ..NET_PIPE
};
const MAILTO: Scheme =
    Scheme { name: "mailto", authority: Authority::Direct, empty_host: true, hierarchical: false, ..HTTP };
const UNKNOWN: Scheme =
    Scheme { name: "", authority: Authority::Optional, empty_host: true, drive: true, ..HTTP };

static SCHEMES: [Scheme; 16] = [
    NET_TCP,
    NET_PIPE,
    HTTP,
    Scheme { name: "https", ..HTTP },
    Scheme { name: "ws", ..HTTP },
    Scheme { name: "wss", ..HTTP },
    FTP,
    FILE,
    GOPHER,
    Scheme { name: "nntp", ..GOPHER },
    Scheme { name: "telnet", ..GOPHER },
    NEWS,
    Scheme { name: "uuid", ..NEWS },
    MAILTO,
    LDAP,
    VSMACROS,
];
static OTHER: Scheme = UNKNOWN;

impl Scheme {
    /// The syntax of a scheme, `None` if the name cannot be one's.
    pub(crate) fn of(name: &str) -> Option<&'static Self> {
        let valid = name.starts_with(|first: char| first.is_ascii_alphabetic())
            && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet));
        if !valid || name.len() > 1024 {
            return None;
        }
        Some(SCHEMES.iter().find(|scheme| scheme.name.eq_ignore_ascii_case(name)).unwrap_or(&OTHER))
    }

    pub(crate) fn is_net_tcp(&self) -> bool {
        self.name == NET_TCP.name
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.name.is_empty()
    }
}
