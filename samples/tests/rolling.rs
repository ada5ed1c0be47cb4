//! A Rust service is started again while its clients call: nobody is refused, and no connection reset.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use broker::{Broker, Config};
use test_peers::free_port;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};
use transport::{AcceptError, Channel, ConnectOptions, ListenOptions, Listener, TransportError, connect};

/// How often it is started again.
const ROUNDS: usize = 20;
const CLIENTS: usize = 8;

/// An instance of the service, which echoes.
struct Instance {
    served: Arc<AtomicUsize>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Instance {
    async fn start(options: &ListenOptions) -> Self {
        let listener = Listener::bind(options.clone()).await.unwrap();
        let (served, (stop, stopped)) = (Arc::default(), oneshot::channel());
        let ended = tokio::spawn(serve(listener, Arc::clone(&served), stopped));
        Self { served, stop, ended }
    }

    async fn has_served(&self, sessions: usize) {
        while self.served.load(Ordering::Relaxed) < sessions {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// As a service that is asked to end does.
    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap();
    }
}

async fn serve(mut listener: Listener, served: Arc<AtomicUsize>, mut stopped: oneshot::Receiver<()>) {
    let (mut sessions, mut listens) = (JoinSet::new(), true);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = &mut stopped, if listens => {
                listens = false;
                listener.shutdown().await;
                continue;
            }
        };
        match accepted {
            Ok(channel) => {
                served.fetch_add(1, Ordering::Relaxed);
                sessions.spawn(echo(channel));
            }
            Err(AcceptError::Stopped) => break,
            Err(error) => panic!("{error}"),
        }
    }
    while let Some(session) = sessions.join_next().await {
        session.unwrap().unwrap();
    }
}

async fn echo(mut channel: Channel) -> Result<(), TransportError> {
    while let Some(envelope) = channel.receive().await? {
        channel.send(&envelope.octets).await?;
    }
    channel.close().await
}

async fn call(via: &str) -> Result<(), TransportError> {
    let mut channel = connect(via, ConnectOptions::new("application/soap+msbinsession1")).await?;
    channel.send(b"hello").await?;
    let reply = channel.receive().await?.expect("a reply");
    assert_eq!(&*reply.octets, b"hello");
    channel.close().await
}

/// Clients call all the time while `restart` goes on; whoever gets no reply fails the test. So many calls there were.
async fn under_load(via: &str, restart: impl Future<Output = ()>) -> usize {
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (via, over) = (via.to_owned(), Arc::clone(&over));
        clients.spawn(async move {
            let mut calls = 0;
            while !over.load(Ordering::Relaxed) {
                call(&via).await.unwrap();
                calls += 1;
            }
            calls
        });
    }
    tokio::select! {
        () = restart => {}
        Some(ended) = clients.join_next() => panic!("{ended:?}"),
    }
    over.store(true, Ordering::Relaxed);
    clients.join_all().await.into_iter().sum()
}

async fn start_broker(folder: &Path) -> (Broker, PathBuf) {
    let control = folder.join("control");
    let mut config = Config::default();
    config.control = Some(control.clone());
    (Broker::start(config).await.unwrap(), control)
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_itself_and_then_the_old_one_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (broker, control) = start_broker(folder.path()).await;
    let via = format!("net.tcp://127.0.0.1:{}/echo", free_port());
    let options = ListenOptions::new(&via).port_sharing(true).control(control).share(true);
    let mut old = Instance::start(&options).await;
    let restart = async {
        for _ in 0..ROUNDS {
            let new = Instance::start(&options).await;
            new.has_served(20).await;
            std::mem::replace(&mut old, new).stop().await;
        }
    };
    let calls = under_load(&via, restart).await;
    old.stop().await;
    println!("{calls} calls");
    broker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_after_the_other_with_grace() {
    let folder = tempfile::tempdir().unwrap();
    let (broker, control) = start_broker(folder.path()).await;
    let via = format!("net.tcp://127.0.0.1:{}/echo", free_port());
    let options =
        ListenOptions::new(&via).port_sharing(true).control(control).grace(Duration::from_secs(600));
    let mut instance = Some(Instance::start(&options).await);
    let restart = async {
        for _ in 0..ROUNDS {
            let ends = instance.take().unwrap();
            ends.has_served(20).await;
            ends.stop().await;
            instance = Some(Instance::start(&options).await);
        }
    };
    let calls = under_load(&via, restart).await;
    instance.unwrap().stop().await;
    println!("{calls} calls");
    broker.stop().await;
}
