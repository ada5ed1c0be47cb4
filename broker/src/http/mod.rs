//! HTTP for machines and people, read-only: the status page, metrics, health.
//!
//! - [`server`]: the thread, and its bounds: how many connections, how long, how much
//! - [`answers`]: which path is answered with what, and to whom; [`host`]: by which names it may be asked
//! - [`view`]: what is shown of a broker at one moment; [`rates`]: of its last minute
//! - [`metrics`]: for Prometheus; [`page`]: for people, in [`html`]
//!
//! What this folder may use: `control` (what the registry knows), `config`, and the files in no folder. No file of the line knows it:
//! it reads counters that are there anyway.

mod answers;
mod host;
mod html;
mod metrics;
mod page;
mod rates;
mod server;
mod view;

pub(crate) use self::answers::Asked;
pub(crate) use self::server::{HttpServer, bind};
