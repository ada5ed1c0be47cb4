//! What a service on a shared port may want to say of its registration.

use core::fmt;
use std::sync::Arc;

use handoff::HandoffError;

/// What has become of a registration on a shared port after [`Listener::bind`](crate::Listener::bind): given to the function of
/// [`ListenOptions::on_registration`](crate::ListenOptions::on_registration). Shown, it is a line for an operator.
#[derive(Debug)]
#[non_exhaustive]
pub enum RegistrationEvent {
    /// The broker is gone, or has ended the registration. Sessions that are open go on; no connection comes until the listener
    /// has registered again, which it tries by itself for as long as it listens.
    Lost,
    /// An attempt to register again failed although a broker is there: another worker has the address now, say. The listener goes
    /// on trying, and tells each reason once.
    Failed(HandoffError),
    /// It has registered again: connections come.
    Restored,
}

impl fmt::Display for RegistrationEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => f.write_str(
                "the port sharing broker is gone, or has ended the registration: waits to register again",
            ),
            Self::Failed(error) => write!(f, "cannot be registered again, and goes on trying: {error}"),
            Self::Restored => f.write_str("registered again with the port sharing broker"),
        }
    }
}

/// Who is told, if anybody.
#[derive(Clone, Default)]
pub(crate) struct OnRegistration(Option<Arc<dyn Fn(RegistrationEvent) + Send + Sync>>);

impl OnRegistration {
    pub(crate) fn new(tell: impl Fn(RegistrationEvent) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(tell)))
    }

    pub(crate) fn tell(&self, event: RegistrationEvent) {
        if let Some(tell) = &self.0 {
            tell(event);
        }
    }
}

impl fmt::Debug for OnRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "OnRegistration(…)" } else { "OnRegistration(none)" })
    }
}
