//! Something that is said of a configuration when it is looked at, an obstacle or a warning, and of what.

use super::error::Place;
use super::keys::{KEYS, Key};
use super::loaded::{Loaded, Origin};

/// What something is said of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// The key with this option, wherever its value comes from.
    Key(&'static str),
    /// What stands there in the file.
    At(Place),
    /// No part of it.
    Nothing,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) about: About,
    pub(crate) message: String,
}

impl Said {
    pub(crate) fn of_key(option: &'static str, message: impl Into<String>) -> Self {
        Self { about: About::Key(option), message: message.into() }
    }
}

impl Loaded {
    /// Where it is said, in the form that editors take for a place; `None`: nowhere.
    fn place_of(&self, about: About) -> Option<String> {
        let origin = match about {
            About::Key(option) => self.origin_of(key(option)?),
            About::At(place) => Origin::File(place),
            About::Nothing => Origin::Default,
        };
        match (origin, self.file()) {
            (Origin::Default, _) => None,
            (Origin::File(place), Some(file)) => Some(format!("{}:{place}", file.display())),
            (Origin::File(place), None) => Some(place.to_string()),
            (Origin::Option, _) => match about {
                About::Key(option) => Some(format!("--{option}")),
                _ => None,
            },
        }
    }

    /// A line for what keeps a broker from starting.
    pub(crate) fn error(&self, Said { about, message }: &Said) -> String {
        match self.place_of(*about) {
            Some(place) => format!("{place}: error: {message}"),
            None => format!("broker: {message}"),
        }
    }

    /// A line for what may be meant.
    pub(crate) fn warning(&self, Said { about, message }: &Said) -> String {
        let place = self.place_of(*about).unwrap_or_else(|| "broker".to_owned());
        format!("{place}: warning: {message}")
    }

    /// The same for a log, which says itself that it is a warning.
    pub(crate) fn placed(&self, Said { about, message }: &Said) -> String {
        self.place_of(*about).map_or_else(|| message.clone(), |place| format!("{place}: {message}"))
    }

    /// What is said and does nothing, because it is about something that there is not.
    pub(crate) fn idle(&self) -> Vec<Said> {
        let idle = KEYS.iter().filter_map(|key| {
            let needed = self::key(key.needs)?;
            let is_idle = self.origin_of(key) != Origin::Default && !needed.kind.is_set(&self.config);
            is_idle.then(|| Said::of_key(key.option, format!("{key} does nothing without {needed}")))
        });
        idle.collect()
    }

    /// What the file says otherwise than when `old` was read, and what an option makes of no effect.
    pub(crate) fn newly_hidden(&self, old: &Self) -> Vec<Said> {
        let hidden = KEYS.iter().filter_map(|key| {
            let (place, value) = self.hidden.get(key.option)?;
            let was = old.hidden.get(key.option).map(|(_, value)| value);
            let option = key.kind.shown(&self.config).unwrap_or_default();
            (was != Some(value) && *value != option).then(|| Said {
                about: About::At(*place),
                message: format!("{key} = {value} has no effect: the option --{} says {option}", key.option),
            })
        });
        hidden.collect()
    }
}

fn key(option: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.option == option)
}
