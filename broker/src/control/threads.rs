//! Whether the threads without which nothing goes on still go on: each is asked for something that costs it nothing.

use std::pin::Pin;

use super::registrar::Registrar;
use crate::command::Command;
use crate::here::{Asked, Here};
use crate::shared::Shared;

/// Returns when a thread has answered.
pub(crate) type Answer<'b> = Pin<Box<dyn Future<Output = ()> + Send + 'b>>;

/// The threads, and an answer of each.
pub(crate) fn threads_answer<'b>(
    shared: &'b Shared,
    registrar: &'b Registrar,
) -> Vec<(&'static str, Answer<'b>)> {
    // A page behind the last connection.
    let end = Here { collection: u8::MAX, at: u64::MAX, within: 0 };
    let accept = async move {
        let (asked, answer) = Asked::new(end);
        shared.commands.send(Command::ListConnections(asked));
        drop(answer.await);
    };
    let relay = async move {
        let (asked, answer) = Asked::new(end);
        shared.relays.list(asked);
        drop(answer.await);
    };
    vec![
        ("accept", Box::pin(accept)),
        ("relay", Box::pin(relay)),
        ("registry", Box::pin(registrar.ask(|_| ()))),
    ]
}
