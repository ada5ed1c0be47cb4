//! Tells when a file of a folder is removed or replaced.

use std::path::Path;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use tokio::net::unix::pipe::Receiver;
use tokio::time::sleep;

/// When it is looked again where nothing tells: the folder is gone, or the system has no watch left.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// See the module.
#[derive(Debug)]
pub(super) struct FolderWatch(Option<Receiver>);

impl FolderWatch {
    /// Watches the folder of this file.
    pub(super) fn of(file: &Path) -> Self {
        let folder =
            file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let watch = || {
            let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
            let events = WatchFlags::DELETE
                | WatchFlags::MOVED_FROM
                | WatchFlags::MOVED_TO
                | WatchFlags::DELETE_SELF
                | WatchFlags::MOVE_SELF;
            inotify::add_watch(&inotify, folder, events)?;
            // No pipe, but read like one.
            Receiver::from_owned_fd_unchecked(inotify)
        };
        Self(watch().ok())
    }

    /// Something may have happened since the last call, to the file or to another.
    ///
    /// Cancel safe: what is not told is told by the next call.
    pub(super) async fn changed(&self) {
        let Some(inotify) = &self.0 else { return sleep(LOOK_AGAIN).await };
        if inotify.readable().await.is_err() {
            return sleep(LOOK_AGAIN).await;
        }
        while inotify.try_read(&mut [0_u8; 4096]).is_ok_and(|octets| octets > 0) {}
    }

    /// Nothing tells when the file can be there again.
    pub(super) fn lost(&mut self) {
        self.0 = None;
    }
}
