//! A relay for a holder, as long as there is one.

use crate::routes::holder::Holder;

/// See the module.
#[derive(Debug)]
pub(crate) struct Relaying(Holder);

impl Relaying {
    pub(crate) fn begin(holder: Holder) -> Self {
        holder.figures().relay_begun();
        Self(holder)
    }

    pub(crate) fn holder(&self) -> &Holder {
        &self.0
    }
}

impl Drop for Relaying {
    fn drop(&mut self) {
        self.0.figures().relay_over();
    }
}
