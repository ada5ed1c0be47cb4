//! What has to be known of descriptors that are kept, beside them: in sealed memory, which nobody can change.

use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{FileType, MemfdFlags, SealFlags, fcntl_add_seals, fstat, memfd_create};
use serde::{Deserialize, Serialize};

use super::name::inode;
use crate::passed::descriptors::Given;
use crate::passed::manifest::{Control, Registration, Route, VERSION};

/// The most that is read, in octets. A request to register is shorter by far.
const LONGEST: usize = 1 << 22;

/// See the module.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The form of a manifest.
    version: u32,
    /// The descriptors beside it, by their numbers: they come back in any order.
    inodes: Vec<u32>,
    pub(super) what: What,
}

/// The parts of a manifest that an entry may be.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum What {
    Control(Control),
    /// Which control connection holds it, by its inode.
    Registration(Registration, Option<u32>),
    Draining(Option<Route>),
}

/// Makes an entry of that; its descriptors are those that are given.
///
/// # Errors
/// There is no descriptor or no memory for it.
pub(crate) fn sealed(what: What, given: &Given<'_>) -> io::Result<OwnedFd> {
    let inodes = given.all().iter().map(|socket| inode(socket).ok_or(io::ErrorKind::Unsupported));
    let entry = Entry { version: VERSION, inodes: inodes.collect::<Result<_, _>>()?, what };
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = std::fs::File::from(memfd_create("net-tcp-port-sharing", flags)?);
    file.write_all(&serde_json::to_vec(&entry)?)?;
    fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(file.into())
}

impl Entry {
    /// Finds the entry among these, and puts the others in the order of their numbers. `None`: they are nothing whole, or another
    /// version's.
    pub(super) fn find(mut descriptors: Vec<OwnedFd>) -> Option<(Self, Vec<OwnedFd>)> {
        let is_file = |file: &OwnedFd| {
            fstat(file).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
        };
        let place = descriptors.iter().position(is_file)?;
        let entry = Self::read(&descriptors.swap_remove(place))?;
        let mut in_order = Vec::new();
        for number in &entry.inodes {
            let place = descriptors.iter().position(|socket| inode(socket) == Some(*number))?;
            in_order.push(descriptors.swap_remove(place));
        }
        descriptors.is_empty().then_some((entry, in_order))
    }

    fn read(file: &OwnedFd) -> Option<Self> {
        let size = usize::try_from(fstat(file).ok()?.st_size).ok().filter(|size| *size <= LONGEST)?;
        let (mut octets, mut read) = (vec![0; size], 0);
        while let Some(rest) = octets.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match rustix::io::pread(file, rest, read as u64) {
                Ok(more) if more > 0 => read += more,
                _ => return None,
            }
        }
        let entry: Self = serde_json::from_slice(&octets).ok()?;
        (entry.version == VERSION).then_some(entry)
    }
}

/// What waits for the end of the process that had it, and is nobody's: whoever has its other end is told at once, and nobody waits
/// at it, although the service manager may have it for a moment longer.
pub(super) fn end(descriptor: BorrowedFd<'_>) {
    let _ = rustix::net::shutdown(descriptor, rustix::net::Shutdown::Both);
}
