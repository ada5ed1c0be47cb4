//! The thread to which the registry belongs: it may wait for the accept loop, which waits for nobody, and asks the kernel. What
//! takes longer is done by whoever asks: others wait behind each request.

use std::sync::mpsc;
use std::time::Instant;
use std::{io, thread};

use tokio::sync::oneshot;

use super::registry::Registry;
use crate::failure::Part;

type Work = Box<dyn FnOnce(&mut Registry) + Send>;

/// What is to be done, or nothing until the deadline; `None` when nobody can ask any more.
fn next(work: &mpsc::Receiver<Work>, deadline: Option<Instant>) -> Option<Option<Work>> {
    let Some(deadline) = deadline else { return work.recv().ok().map(Some) };
    match work.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(work) => Some(Some(work)),
        Err(mpsc::RecvTimeoutError::Timeout) => Some(None),
        Err(mpsc::RecvTimeoutError::Disconnected) => None,
    }
}

/// Has things done by the registry, one after the other. The thread ends with the last of these.
#[derive(Clone, Debug)]
pub(crate) struct Registrar(mpsc::Sender<Work>);

impl Registrar {
    pub(crate) fn start(mut registry: Registry, part: Part) -> io::Result<(Self, thread::JoinHandle<()>)> {
        let (registrar, work) = mpsc::channel::<Work>();
        let thread = thread::Builder::new().name("registry".to_owned()).spawn(move || {
            let _part = part;
            while let Some(next) = next(&work, registry.next_deadline()) {
                if let Some(work) = next {
                    work(&mut registry);
                }
                if registry.next_deadline().is_some() {
                    registry.end_graces(Instant::now());
                }
            }
        })?;
        Ok((Self(registrar), thread))
    }

    /// Returns when it is done.
    ///
    /// Cancelled, it is done all the same.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Registry) -> T + Send + 'static,
    ) -> T {
        let (done, wait) = oneshot::channel();
        self.tell(move |registry| drop(done.send(work(registry))));
        match wait.await {
            Ok(result) => result,
            // The thread has ended: so does the broker.
            Err(_) => std::future::pending().await,
        }
    }

    /// Does not wait for it.
    pub(crate) fn tell(&self, work: impl FnOnce(&mut Registry) + Send + 'static) {
        let _ = self.0.send(Box::new(work));
    }
}
