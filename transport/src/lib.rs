//! The WCF TCP transport: listen on an own or a shared port, connect, and exchange envelopes. tokio.
