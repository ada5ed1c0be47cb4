//! Our initiator against servers in .NET, which frame by code of their own.

use test_peers::{DotNet, Process, free_port};
use transport::{ConnectOptions, Limits, Mode, connect};

const BINARY: &str = "application/soap+msbin1";

/// Sizes around the borders of a size's octets, and one of many segments.
const SIZES: [usize; 7] = [1, 127, 128, 16_383, 16_384, 65_536, 300_000];

fn envelopes() -> Vec<Vec<u8>> {
    SIZES.iter().map(|&size| (0..size).map(|at| (at % 251) as u8).collect()).collect()
}

#[tokio::test]
async fn envelopes_come_back_whole() {
    let Some(dotnet) = DotNet::found() else { return };
    for kind in ["tcplistener", "kestrel"] {
        let port = free_port();
        let server = Process::start(dotnet.server(kind).args(["--port", &port.to_string()]));
        server.expect("READY");
        let via = format!("net.tcp://127.0.0.1:{port}/{kind}");
        let limits = Limits { envelope: 1 << 20, ..Limits::DEFAULT };
        let options = ConnectOptions::new(BINARY).limits(limits);

        let mut duplex = connect(&via, options.clone()).await.unwrap();
        for envelope in envelopes() {
            duplex.send(&envelope).await.unwrap();
            assert!(
                duplex.receive().await.unwrap().unwrap().octets == envelope,
                "{kind}, {} octets",
                envelope.len()
            );
        }
        duplex.close().await.unwrap();
        assert!(server.expect("session").ends_with(&format!("via {via}: {} envelopes", SIZES.len())));

        for envelope in envelopes() {
            let options = options.clone().mode(Mode::SINGLETON_UNSIZED);
            let mut singleton = connect(&via, options).await.unwrap();
            singleton.send(&envelope).await.unwrap();
            assert!(
                singleton.receive().await.unwrap().unwrap().octets == envelope,
                "{kind}, {} octets",
                envelope.len()
            );
            singleton.close().await.unwrap();
            assert!(server.expect("session").ends_with(": 1 envelopes"));
        }
    }
}
