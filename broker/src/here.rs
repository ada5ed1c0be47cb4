//! Which connections a loop has, for an administrator: asked for page by page, so that it is never kept from its work for long.

use handoff::administration::HeldConnection;
use tokio::sync::oneshot;

/// How many places are looked at for a page.
pub(crate) const PLACES: usize = 128;

/// Where a page begins: a number that the loop understands, in one of its collections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Here {
    pub(crate) collection: u8,
    pub(crate) at: u64,
    pub(crate) within: usize,
}

/// A page, and where the next one begins.
pub(crate) type Page = (Vec<HeldConnection>, Option<Here>);

/// What a loop is asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) from: Here,
    answer: oneshot::Sender<Page>,
}

impl Asked {
    pub(crate) fn new(from: Here) -> (Self, oneshot::Receiver<Page>) {
        let (answer, wait) = oneshot::channel();
        (Self { from, answer }, wait)
    }

    /// Whoever asked may be gone.
    pub(crate) fn answer(self, page: Vec<HeldConnection>, next: Option<Here>) {
        drop(self.answer.send((page, next)));
    }
}
