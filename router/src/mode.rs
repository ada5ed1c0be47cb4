//! How the host of a registered address takes part in the comparison.

use core::fmt;
use core::str::FromStr;

/// How a registration treats the host of a Via: WCF's `HostNameComparisonMode`.
///
/// Modes are asked in the order given here, and the first that answers wins: a short strong wildcard
/// beats a longer exact address.
///
/// ```
/// use router::HostNameComparison;
///
/// let mode: HostNameComparison = "exact".parse()?;
/// assert_eq!(mode, HostNameComparison::Exact);
/// assert_eq!(HostNameComparison::default().as_str(), "strong_wildcard");
/// # Ok::<(), router::UnknownMode>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostNameComparison {
    /// Any host; the port is the socket's. WCF's default for net.tcp.
    #[default]
    StrongWildcard,
    /// The host as the Via writes it, and the port as the Via writes it (808 if it writes none).
    Exact,
    /// Any host, asked after the exact addresses; the port is the socket's.
    WeakWildcard,
}

impl HostNameComparison {
    /// The three modes in the order in which a lookup asks them.
    pub const ALL: [Self; 3] = [Self::StrongWildcard, Self::Exact, Self::WeakWildcard];

    /// The name used in registrations and configuration: `strong_wildcard`, `exact` or `weak_wildcard`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StrongWildcard => "strong_wildcard",
            Self::Exact => "exact",
            Self::WeakWildcard => "weak_wildcard",
        }
    }
}

impl fmt::Display for HostNameComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for HostNameComparison {
    type Err = UnknownMode;

    fn from_str(name: &str) -> Result<Self, UnknownMode> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name).ok_or(UnknownMode)
    }
}

/// The name is none of the three modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownMode;

impl fmt::Display for UnknownMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected strong_wildcard, exact or weak_wildcard")
    }
}

impl core::error::Error for UnknownMode {}
