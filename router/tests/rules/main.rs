//! The rules of the Net.TCP Port Sharing Service: the published rows, a naive model, and System.Uri as judge.

mod conflicts;
mod dotnet;
mod judge;
mod model;
mod naive;
mod rows;
mod short_way;
mod vias;
