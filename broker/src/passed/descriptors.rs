//! Descriptors in a manifest: a number says which of those that come with it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Which of the descriptors that come with a manifest.
pub(crate) type Number = u32;

/// What is given with a manifest, in the order of the numbers. It stays the giver's, too.
#[derive(Debug, Default)]
pub(crate) struct Given<'d>(Vec<BorrowedFd<'d>>);

impl<'d> Given<'d> {
    /// Gives one more.
    pub(crate) fn give(&mut self, descriptor: &'d impl AsFd) -> Number {
        self.0.push(descriptor.as_fd());
        // There are no more than 2^20 of them in a process.
        u32::try_from(self.0.len() - 1).unwrap_or(Number::MAX)
    }

    pub(crate) fn all(&self) -> &[BorrowedFd<'d>] {
        &self.0
    }
}

/// What came with a manifest. What nobody takes is closed.
#[derive(Debug, Default)]
pub(crate) struct Taken(Vec<Option<OwnedFd>>);

/// A manifest names a descriptor that is not there, or twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what was passed on names the descriptor {0}, which did not come with it")]
pub(crate) struct Missing(Number);

impl Taken {
    pub(crate) fn new(descriptors: Vec<OwnedFd>) -> Self {
        Self(descriptors.into_iter().map(Some).collect())
    }

    /// Takes the one with this number.
    ///
    /// # Errors
    /// There is none, or no longer.
    pub(crate) fn take(&mut self, number: Number) -> Result<OwnedFd, Missing> {
        let place = usize::try_from(number).ok().and_then(|number| self.0.get_mut(number));
        place.and_then(Option::take).ok_or(Missing(number))
    }
}
