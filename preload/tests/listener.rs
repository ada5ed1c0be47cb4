//! `listener.c`: what a TCP listener does, on a registration. Each check runs on plain TCP, too, which it must hold for.

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use common::{Broker, address, compile, free_port};

fn program() -> Option<&'static Path> {
    static PROGRAM: OnceLock<Option<tempfile::TempPath>> = OnceLock::new();
    PROGRAM.get_or_init(|| compile("listener.c", &[])).as_deref()
}

fn shared(check: &str) {
    let Some(program) = program() else { return };
    let broker = Broker::start();
    let port = free_port();
    let status =
        broker.exec(&[address(port, "check")]).arg(program).args([check, &port.to_string()]).status();
    assert!(status.unwrap().success(), "{check} on a registration");
}

fn plain(check: &str) {
    let Some(program) = program() else { return };
    // not a reserved one, which takes SO_REUSEADDR
    let port = std::net::TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port();
    let status = Command::new(program).args([check, &port.to_string()]).status();
    assert!(status.unwrap().success(), "{check} on plain TCP: the check is wrong");
}

macro_rules! checks {
    ($($check:ident $($like_tcp:ident)?;)*) => {
        $(#[test]
        fn $check() {
            $($like_tcp(stringify!($check));)?
            shared(stringify!($check));
        })*
    };
}

checks! {
    what_it_says_of_itself;
    flags_of_what_is_accepted plain;
    who_resets_is_accepted plain;
    options_are_kept plain;
    shutdown_wakes_and_listen_begins_again plain;
    // TCP's own waits for one more connection: preload/README.md
    closing_ends_who_accepts;
    a_thread_that_accepts_can_be_cancelled plain;
    every_stat_says_that_it_is_a_socket plain;
    in_one_of_several_messages plain;
    connecting_to_nothing_ends_listening plain;
    // TCP's own TIME_WAIT and lack of anything behind the listener make these two differ
    close_then_bind_succeeds_at_once;
    other_sockets_are_left_alone;
    accept_gives_the_lowest_descriptor plain;
    closefrom_without_close_range plain;
    time_outs_and_signals plain;
    edges_come_for_each_connection plain;
    in_an_epoll_before_it_is_bound plain;
    at_the_descriptor_limit_nothing_is_lost plain;
    bind_where_few_descriptors_are_free;
    on_a_descriptor_above_any_table;
    vfork_children_change_nothing;
    // plain TCP: TIME_WAIT
    a_program_started_without_the_listener_does_not_keep_its_address;
    forked_children_have_their_own;
}
