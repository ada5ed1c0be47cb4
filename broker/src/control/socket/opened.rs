//! The file of a control socket: opened anew when somebody removes it, gone with the broker.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use handoff::tokio::{AsyncControlListener, AsyncControlPeer};
use handoff::{ControlListener, ControlOptions, HandoffError};

use crate::control::folder_watch::FolderWatch;
use crate::lock::lock;
use crate::passed::descriptors::Given;
use crate::passed::manifest::Control;
use crate::store::entry::What;
use crate::store::keeper::Store;
use crate::store::name::Name;

/// The listening control socket. Its path disappears with it.
#[derive(Debug, Default)]
pub(crate) struct ControlSocket {
    path: PathBuf,
    options: ControlOptions,
    listener: Mutex<Option<Arc<AsyncControlListener>>>,
    /// Whether it is another process's: then its path stays.
    foreign: AtomicBool,
    /// Where it is kept for the next broker, and by which name.
    kept: OnceLock<(Arc<Store>, Name)>,
}

impl ControlSocket {
    pub(super) fn open(path: PathBuf, options: ControlOptions) -> Result<Self, HandoffError> {
        let (listener, foreign, kept) = Default::default();
        let socket = Self { path, options, listener, foreign, kept };
        socket.listen()?;
        Ok(socket)
    }

    /// One that is another process's until [`ControlSocket::is_ours`].
    pub(super) fn inherited(
        path: PathBuf,
        options: ControlOptions,
        socket: OwnedFd,
        file: (u64, u64),
    ) -> io::Result<Self> {
        let listener = AsyncControlListener::new(ControlListener::inherited(socket, &path, file))?;
        let listener = Mutex::new(Some(Arc::new(listener)));
        Ok(Self { path, options, listener, foreign: AtomicBool::new(true), kept: OnceLock::new() })
    }

    /// It is this process's from now on.
    pub(crate) fn is_ours(&self) {
        if !self.foreign.swap(false, Ordering::Relaxed) {
            return;
        }
        let listener = lock(&self.listener).clone();
        if let Some(Err(error)) = listener.map(|listener| listener.listener().permit(&self.options)) {
            tracing::error!("the permissions of {} stay as they were: {error}", self.path.display());
        }
    }

    /// It is another process's from now on.
    pub(crate) fn is_passed_on(&self) {
        self.foreign.store(true, Ordering::Relaxed);
        drop(lock(&self.listener).take());
    }

    /// What is needed to go on with it elsewhere.
    pub(crate) fn listener(&self) -> Option<Arc<AsyncControlListener>> {
        lock(&self.listener).clone()
    }

    fn listen(&self) -> Result<(), HandoffError> {
        let listener = ControlListener::bind(&self.path, &self.options)?;
        *lock(&self.listener) = Some(Arc::new(AsyncControlListener::new(listener)?));
        if let Some((store, name)) = self.kept.get() {
            store.forget(Some(*name));
            self.keep(store, *name);
        }
        Ok(())
    }

    /// It is kept for the next broker from now on.
    pub(crate) fn is_kept(&self, store: &Arc<Store>, name: Name) {
        let (store, name) = self.kept.get_or_init(|| (Arc::clone(store), name));
        self.keep(store, *name);
    }

    fn keep(&self, store: &Store, name: Name) {
        if let Some(listener) = self.listener() {
            let mut given = Given::default();
            let control = control(&listener, &mut given);
            store.keep_with(Some(name), What::Control(control), &given);
        }
    }

    /// The broker ends: if it is kept, it is the next one's.
    pub(crate) fn leave_to_the_next(&self) {
        if self.kept.get().is_some_and(|(store, name)| store.keeps(Some(*name))) {
            self.is_passed_on();
        }
    }

    /// Whether a worker would find it.
    pub(crate) fn is_open(&self) -> bool {
        lock(&self.listener).as_ref().is_some_and(|listener| !listener.is_displaced())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) async fn accept(&self) -> io::Result<AsyncControlPeer> {
        let listener = lock(&self.listener).clone();
        match listener {
            Some(listener) => listener.accept().await,
            None => std::future::pending().await,
        }
    }

    /// Somebody, such as a cleaner of temporary files, may remove the socket from below the broker: it is opened again. `told`
    /// is why it could not be, so that the same is said once.
    pub(super) fn look_after(&self, watch: &mut FolderWatch, told: &mut Option<String>) {
        while lock(&self.listener).as_ref().is_some_and(|listener| listener.is_displaced()) {
            let path = self.path.display();
            let removed = format!("the control socket {path} was removed by another program");
            if let Err(error) = self.listen() {
                watch.lost();
                let said = error.to_string();
                if told.as_ref() != Some(&said) {
                    tracing::error!(
                        "{removed}, and no worker finds this broker until it can be opened again: {said}"
                    );
                    *told = Some(said);
                }
                return;
            }
            tracing::error!("{removed}; it is opened again");
            // Of what has happened before this nothing tells: once more.
            *watch = FolderWatch::of(&self.path);
        }
        *told = None;
    }
}

/// As it is passed on.
pub(crate) fn control<'d>(listener: &'d AsyncControlListener, given: &mut Given<'d>) -> Control {
    let file = listener.listener().file();
    Control { path: listener.path().to_owned(), file, socket: given.give(listener) }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let listener = lock(&self.listener).take().filter(|_| !self.foreign.load(Ordering::Relaxed));
        if let Some(listener) = listener.and_then(Arc::into_inner) {
            listener.remove();
        }
    }
}
