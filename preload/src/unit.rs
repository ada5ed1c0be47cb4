//! Whether this is a program of a systemd unit: it may have been started together with the broker.

use core::ffi::c_int;
use std::{env, fs};

use crate::{say, table};

/// How far up the processes are followed: a start script, a shell in it, a wrapper.
const ANCESTORS: usize = 16;

/// By the journal at standard error; else, where that is no terminal, by what systemd put into the environment. A session in
/// which somebody types has that as well, from the unit that the session runs in.
pub(crate) fn is_unit() -> bool {
    if say::is_journal() {
        return true;
    }
    if say::is_terminal() {
        return false;
    }
    match env::var("SYSTEMD_EXEC_PID") {
        Ok(started) => started.parse().is_ok_and(is_this_or_an_ancestor),
        // systemd before version 248
        Err(_) => env::var_os("INVOCATION_ID").is_some(),
    }
}

fn is_this_or_an_ancestor(process: c_int) -> bool {
    let mut next = Some(table::pid());
    for _ in 0..ANCESTORS {
        match next {
            Some(found) if found == process => return true,
            Some(child) if child > 1 => next = parent(child),
            _ => return false,
        }
    }
    false
}

/// `pid (name) state ppid …`; the name may have anything in it.
fn parent(process: c_int) -> Option<c_int> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_that_systemd_started_is_found_above() {
        let (own, above) = (table::pid(), parent(table::pid()).unwrap());
        assert!(is_this_or_an_ancestor(own) && is_this_or_an_ancestor(above));
        assert!(!is_this_or_an_ancestor(c_int::MAX));
    }
}
