//! What is shown of a broker at one moment. Bounded: a page that a hundred thousand registrations are on helps nobody.

use handoff::administration::{Holder, Status};
use serde_json::json;

use super::rates::Rates;
use crate::control::administration::some_holders;
use crate::control::registrar::Registrar;
use crate::control::status::{figures, status};
use crate::shared::Shared;
use crate::visible;

/// So many holders are shown, at most.
pub(super) const HOLDERS: usize = 1000;

/// See the module.
#[derive(Debug)]
pub(super) struct View {
    pub(super) status: Status,
    pub(super) holders: Vec<Holder>,
    /// How many there are besides.
    pub(super) left_out: u64,
    pub(super) rates: Rates,
}

impl View {
    /// With what went wrong lately, or the figures alone.
    pub(super) async fn of(shared: &Shared, registrar: &Registrar, rates: Rates, lately: bool) -> Self {
        let holders = some_holders(registrar, HOLDERS).await;
        let status = match lately {
            true => status(registrar, shared).await,
            false => figures(registrar, shared).await,
        };
        let left_out = status.holders.saturating_sub(u64::try_from(holders.len()).unwrap_or(u64::MAX));
        Self { status, holders, left_out, rates }
    }

    pub(super) fn json(&self) -> String {
        let Self { status, holders, left_out, .. } = self;
        let document = json!({ "status": status, "holders": holders, "holders_left_out": left_out });
        visible::json(&format!("{document:#}\n")).into_owned()
    }
}
