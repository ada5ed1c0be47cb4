//! What is kept, by its name. Everything of one name is kept and taken back together. All names together stand in one variable of the
//! next broker's environment, so they are short.

use std::fmt;
use std::os::fd::AsFd;
use std::str::FromStr;

/// See the module. Sockets are known by their inodes, which are theirs as long as anybody has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Name {
    /// The control socket, and its entry.
    Control,
    /// The same for administrators.
    Administrators,
    /// A socket on which HTTP is answered.
    Http(u32),
    /// A socket that listens.
    Listening(u32),
    /// A control connection.
    Worker(u32),
    /// A registration: its entry, and both ends of its accept socket.
    Registration(u32),
    /// The entry of what is told to drain: a registration, or a static route.
    Draining(u32),
}

impl Name {
    /// A socket that listens.
    pub(crate) fn listening(socket: impl AsFd) -> Option<Self> {
        inode(socket).map(Self::Listening)
    }

    /// A socket on which HTTP is answered.
    pub(crate) fn http(socket: impl AsFd) -> Option<Self> {
        inode(socket).map(Self::Http)
    }

    /// A control connection.
    pub(crate) fn worker(socket: impl AsFd) -> Option<Self> {
        inode(socket).map(Self::Worker)
    }

    /// A registration by its number.
    pub(crate) fn registration(id: u64) -> Option<Self> {
        u32::try_from(id).ok().map(Self::Registration)
    }

    /// A registration or a static route by its number.
    pub(crate) fn draining(id: u64) -> Option<Self> {
        u32::try_from(id).ok().map(Self::Draining)
    }

    /// The number in it.
    pub(crate) fn number(self) -> Option<u32> {
        self.parts().1
    }

    fn parts(self) -> (char, Option<u32>) {
        match self {
            Self::Control => ('c', None),
            Self::Administrators => ('a', None),
            Self::Http(inode) => ('h', Some(inode)),
            Self::Listening(inode) => ('l', Some(inode)),
            Self::Worker(inode) => ('w', Some(inode)),
            Self::Registration(id) => ('r', Some(id)),
            Self::Draining(id) => ('d', Some(id)),
        }
    }
}

/// The number by which the kernel knows a socket; those of sockets have 32 bits.
pub(super) fn inode(socket: impl AsFd) -> Option<u32> {
    rustix::fs::fstat(socket).ok().and_then(|stat| u32::try_from(stat.st_ino).ok())
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            (kind, None) => write!(f, "{kind}"),
            (kind, Some(number)) => write!(f, "{kind}{number:x}"),
        }
    }
}

/// It is no name of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unknown;

impl FromStr for Name {
    type Err = Unknown;

    /// Only what is written as we write it.
    fn from_str(text: &str) -> Result<Self, Unknown> {
        let (kind, number) = text.split_at_checked(1).ok_or(Unknown)?;
        let name = match (kind, u32::from_str_radix(number, 16)) {
            ("c", _) => Self::Control,
            ("a", _) => Self::Administrators,
            ("h", Ok(inode)) => Self::Http(inode),
            ("l", Ok(inode)) => Self::Listening(inode),
            ("w", Ok(inode)) => Self::Worker(inode),
            ("r", Ok(id)) => Self::Registration(id),
            ("d", Ok(id)) => Self::Draining(id),
            _ => return Err(Unknown),
        };
        if name.to_string() == text { Ok(name) } else { Err(Unknown) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for name in [
            Name::Control,
            Name::Administrators,
            Name::Http(7),
            Name::Listening(u32::MAX),
            Name::Worker(0),
            Name::Registration(0x10),
            Name::Draining(1),
        ] {
            assert_eq!(name.to_string().parse(), Ok(name));
            assert!(name.to_string().len() <= super::super::keeper::LONGEST_NAME);
        }
        for text in ["", "c1", "x1", "r", "r+1", "r01", "rG", "l100000000", "R1", "é", "stored", "connection"]
        {
            assert_eq!(text.parse::<Name>(), Err(Unknown), "{text}");
        }
    }
}
