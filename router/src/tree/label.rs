//! The octets of a node.

use alloc::sync::Arc;

/// How many octets a label holds without a pointer: what fills a node to a line of the cache.
const SHORT: usize = 22;

#[derive(Clone)]
pub(super) enum Label {
    Short { len: u8, octets: [u8; SHORT] },
    Long(Arc<[u8]>),
}

impl Label {
    pub(super) fn new(label: &[u8]) -> Self {
        let mut octets = [0; SHORT];
        match (octets.get_mut(..label.len()), u8::try_from(label.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(label);
                Self::Short { len, octets }
            }
            _ => Self::Long(label.into()),
        }
    }

    #[inline]
    pub(super) fn octets(&self) -> &[u8] {
        match self {
            Self::Short { len, octets } => octets.get(..usize::from(*len)).unwrap_or_default(),
            Self::Long(octets) => octets,
        }
    }
}
