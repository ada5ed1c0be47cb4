//! One broker at a time looks at what stands at a control socket's path.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;

/// How often, and how far apart, a broker that starts looks whether another one has done so.
const LOOKS: u32 = 400;
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Of brokers that start at the same time one looks at what stands there, and removes it, while the others wait: else it could be the
/// one that was faster. Whoever may read the folder may hold this lock too, so nobody waits for it longer than a start may take.
pub(crate) fn alone_in(folder: Option<&Path>) -> Option<OwnedFd> {
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    // a child that had it, too, would hold the lock as long as it lives
    let folder = openat(CWD, folder, OFlags::CLOEXEC, Mode::empty()).ok()?;
    for _ in 0..LOOKS {
        match flock(&folder, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(LOOK_AGAIN),
            locked => return locked.ok().map(|()| folder),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_brokers_of_a_folder_one_is_alone() {
        let made = tempfile::tempdir().unwrap();
        for (locked, folder) in
            [(Some(made.path()), made.path()), (Some(Path::new("")), Path::new(".")), (None, Path::new("."))]
        {
            let alone = alone_in(locked).unwrap();
            assert_eq!(rustix::io::fcntl_getfd(&alone).unwrap(), rustix::io::FdFlags::CLOEXEC);
            let other = std::fs::File::open(folder).unwrap();
            assert_eq!(flock(&other, FlockOperation::NonBlockingLockExclusive), Err(Errno::WOULDBLOCK));
            drop(alone);
            assert_eq!(flock(&other, FlockOperation::NonBlockingLockExclusive), Ok(()));
        }
    }
}
