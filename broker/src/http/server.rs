//! The thread that answers HTTP, apart from everything that connections wait for. However many come, and however slowly they ask,
//! it has so many at a time and reads so much of each.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::answers::{Asked, answer};
use crate::config::Http;
use crate::error::StartError;
use crate::failure::Part;
use crate::lock::lock;

/// How many connections it has at a time. For another the oldest is closed: one that asks is answered within milliseconds.
const CONNECTIONS: usize = 64;

/// How long the head of a request may take, and how long it may be, in octets.
const HEAD_TIME: Duration = Duration::from_secs(10);
const HEAD_OCTETS: usize = 8192;
const HEADERS: usize = 64;

/// How long a connection may last, whatever it does. It is for one request.
const LIFE: Duration = Duration::from_secs(30);

/// How long it waits when no connection can be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// The running thread.
#[derive(Debug)]
pub(crate) struct HttpServer {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// The ports are open, and nothing is read yet.
pub(crate) type Open = Vec<(SocketAddr, StdListener)>;

/// Opens the ports; those that another process had stay.
///
/// # Errors
/// Which of them cannot be opened, or nobody may ask there.
pub(crate) fn bind(http: &Http, mut passed: Vec<(SocketAddr, OwnedFd)>) -> Result<Open, StartError> {
    http.check().map_err(|message| StartError::Http { message })?;
    let mut open = |&address: &SocketAddr| {
        if let Some((_, socket)) = passed.extract_if(.., |(passed, _)| *passed == address).next() {
            return Ok((address, socket.into()));
        }
        StdListener::bind(address)
            .and_then(|listener| listener.set_nonblocking(true).map(|()| (address, listener)))
            .map_err(|error| StartError::Http {
                message: format!(
                    "[http] listen {address} cannot be opened: {error}; give a free port in listen"
                ),
            })
    };
    http.listen.iter().map(&mut open).collect()
}

impl HttpServer {
    /// Answers on these until [`HttpServer::stop`].
    ///
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn start(listeners: Vec<StdListener>, asked: Asked, part: Part) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        for listener in &listeners {
            tracing::info!("HTTP: http://{}/", listener.local_addr()?);
        }
        let thread = thread::Builder::new().name("http".to_owned()).spawn(move || {
            let _part = part;
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = serve(listeners, Arc::new(asked)) => {}
                }
            });
            // What looks something up may still do so.
            runtime.shutdown_background();
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Ends the thread, and whatever it is doing.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

async fn serve(listeners: Vec<StdListener>, asked: Arc<Asked>) {
    let open = Arc::<Begun>::default();
    for listener in listeners {
        match TcpListener::from_std(listener) {
            Ok(listener) => drop(tokio::spawn(accept(listener, Arc::clone(&asked), Arc::clone(&open)))),
            Err(error) => tracing::error!("[http] listen: {error}"),
        }
    }
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        seconds.tick().await;
        asked.sample();
    }
}

async fn accept(listener: TcpListener, asked: Arc<Asked>, open: Arc<Begun>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let asked = Arc::clone(&asked);
                open.add(tokio::spawn(timeout(LIFE, one(stream, peer, asked))).abort_handle());
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
}

/// One request, and its answer.
async fn one(stream: TcpStream, peer: SocketAddr, asked: Arc<Asked>) {
    let service = service_fn(move |request| {
        let asked = Arc::clone(&asked);
        async move { Ok::<_, std::convert::Infallible>(answer(&asked, peer.ip(), &request).await) }
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_OCTETS)
        .serve_connection(TokioIo::new(stream), service);
    // How it ends is the peer's business.
    let _ = connection.await;
}

/// The connections that it has, the oldest first.
#[derive(Debug, Default)]
struct Begun(Mutex<VecDeque<AbortHandle>>);

impl Begun {
    fn add(&self, connection: AbortHandle) {
        let mut open = lock(&self.0);
        if open.len() >= CONNECTIONS {
            open.retain(|connection| !connection.is_finished());
        }
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        open.push_back(connection);
    }
}
