//! Why a broker does not start.

use std::path::PathBuf;

use handoff::HandoffError;

use crate::config::{About, AccessLogTo, Place, Route, Said};
use crate::passed::descriptors::Missing;

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// No path for the control socket is known.
    #[error(transparent)]
    ControlPath(HandoffError),
    /// The control socket cannot be opened.
    #[error("the control socket {} cannot be opened{}", path.display(), elsewhere(source))]
    Control {
        /// The control socket.
        path: PathBuf,
        /// Why.
        source: HandoffError,
    },
    /// `control_group` or `[admin] group` names no group.
    #[error("{key}: there is no group {group:?}; `getent group` lists those that this machine knows")]
    Group {
        /// Which of the two.
        key: &'static str,
        /// The name.
        group: String,
    },
    /// A static route cannot be opened.
    #[error("the route {address}: {message}")]
    Route {
        /// Where it stands in the configuration.
        place: Place,
        /// The route's address.
        address: String,
        /// Why.
        message: String,
    },
    /// HTTP cannot be answered where the configuration says, or for nobody.
    #[error("{message}")]
    Http {
        /// Where, and why.
        message: String,
    },
    /// The access log cannot be written where it shall be.
    #[error("the access log cannot be written to {} ({})", to.shown(), remedy(to))]
    AccessLog {
        /// Where.
        to: AccessLogTo,
        /// Why.
        source: std::io::Error,
    },
    /// The broker that started this one, to pass everything on to it, has not, or nothing that makes sense.
    #[error("the broker before this one has not passed everything on: {why}")]
    Passed {
        /// What is wrong.
        why: String,
    },
    /// The system refuses what every broker needs.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl StartError {
    pub(crate) fn of_route(route: &Route, message: String) -> Self {
        Self::Route { place: route.place, address: route.prefix.address().to_owned(), message }
    }

    /// What it is about, and all of why.
    pub(crate) fn said(self) -> Said {
        let about = match &self {
            Self::ControlPath(_) | Self::Control { .. } => About::Key("control"),
            Self::Group { key: "control_group", .. } => About::Key("control-group"),
            Self::Group { .. } => About::Key("admin-group"),
            Self::Route { place, .. } => About::At(*place),
            Self::Http { .. } => About::Key("http-listen"),
            Self::AccessLog { .. } => About::Key("access-log"),
            Self::Passed { .. } | Self::Io(_) => About::Nothing,
        };
        Said { about, message: format!("{:#}", anyhow::Error::from(self)) }
    }

    pub(crate) fn passed(why: impl ToString) -> Self {
        Self::Passed { why: why.to_string() }
    }
}

impl From<Missing> for StartError {
    fn from(missing: Missing) -> Self {
        Self::passed(missing)
    }
}

/// What helps.
fn remedy(to: &AccessLogTo) -> String {
    let other = "--access-log, or `to` of [access_log] in the configuration, names another place";
    match to {
        AccessLogTo::File(_) => {
            format!("its folder must be there, and this user may write the file; {other}")
        }
        _ => other.to_owned(),
    }
}

/// What helps where the path itself is the mistake.
fn elsewhere(source: &HandoffError) -> &'static str {
    match source {
        HandoffError::AlreadyRunning { .. } => "",
        _ => " (--control, or `control` in the configuration, names another path)",
    }
}
