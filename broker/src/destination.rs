//! Where a connection was to go when it ended.

use crate::routes::figures::Figures;
use crate::routes::holder::{Holder, StaticRoute};
use crate::routes::queue::Queue;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Destination<'a> {
    /// To nobody, or nobody knows.
    Nobody,
    Registration(&'a Queue),
    Route(&'a StaticRoute),
}

impl<'a> From<&'a Holder> for Destination<'a> {
    fn from(holder: &'a Holder) -> Self {
        match holder {
            Holder::Worker(queue) => Self::Registration(queue),
            Holder::Route(route) => Self::Route(route),
        }
    }
}

impl Destination<'_> {
    /// Tells it from others; 0: nobody.
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Nobody => 0,
            Self::Registration(queue) => queue.id(),
            Self::Route(route) => route.id,
        }
    }

    pub(crate) fn figures(&self) -> Option<&Figures> {
        match self {
            Self::Nobody => None,
            Self::Registration(queue) => Some(queue.figures()),
            Self::Route(route) => Some(&route.figures),
        }
    }

    /// In words, with what there is to say besides.
    pub(crate) fn with(self, detail: Option<&str>) -> String {
        let destination = match self {
            Self::Nobody => String::new(),
            Self::Registration(queue) => format!("registration {} ({:?})", queue.id(), queue.address()),
            Self::Route(route) => format!("the relay to {}", route.to),
        };
        let between = if destination.is_empty() || detail.is_none() { "" } else { ": " };
        destination + between + detail.unwrap_or_default()
    }
}
