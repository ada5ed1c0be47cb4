//! Which path is answered with what.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::HeaderValue;
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::timeout;

use super::page::{self, Sort};
use super::rates::Rates;
use super::{host, metrics, view};
use crate::config::Http;
use crate::control::registrar::Registrar;
use crate::control::socket::ControlSocket;
use crate::control::threads::threads_answer;
use crate::lock::lock;
use crate::shared::Shared;

/// A thread that lives answers within this time.
const PATIENCE: Duration = Duration::from_secs(5);

const TEXT: &str = "text/plain; charset=utf-8";

/// What answers are made of.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(super) shared: Arc<Shared>,
    pub(super) registrar: Registrar,
    control: Arc<ControlSocket>,
    http: Http,
    rates: Mutex<Rates>,
}

type Answer = Response<Full<Bytes>>;

/// The answer to a request of this peer.
pub(super) async fn answer<B>(asked: &Asked, peer: IpAddr, request: &Request<B>) -> Answer {
    if !asked.http.admits(peer) {
        let said = format!(
            "{} may not ask: [http] allow in the broker's configuration says who may\n",
            peer.to_canonical()
        );
        return text(StatusCode::FORBIDDEN, said);
    }
    if let Err((status, said)) = host::check(request, &asked.http.hosts) {
        return text(status, said);
    }
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return answer;
    }
    match request.uri().path() {
        "/" => {
            let sort = Sort::of(request.uri().query().unwrap_or_default());
            let view = asked.view(true).await;
            with(StatusCode::OK, "text/html; charset=utf-8", page::page(&view, sort))
        }
        "/status.json" => {
            let view = asked.view(true).await;
            with(StatusCode::OK, "application/json", view.json())
        }
        "/metrics" => {
            let accept = request.headers().get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok());
            let format = metrics::Format::of(accept);
            let view = asked.view(false).await;
            with(StatusCode::OK, format.content_type(), metrics::text(view, format))
        }
        "/healthz" => match asked.lives().await {
            Ok(()) => text(StatusCode::OK, "ok\n".to_owned()),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        "/readyz" => match asked.is_ready().await {
            Ok(()) => text(StatusCode::OK, "ready\n".to_owned()),
            Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        _ => text(
            StatusCode::NOT_FOUND,
            "there are /, /metrics, /healthz, /readyz and /status.json\n".to_owned(),
        ),
    }
}

fn text(status: StatusCode, said: String) -> Answer {
    with(status, TEXT, said)
}

fn with(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, page::POLICY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

impl Asked {
    pub(crate) fn new(
        shared: Arc<Shared>,
        registrar: Registrar,
        control: Arc<ControlSocket>,
        http: Http,
    ) -> Self {
        Self { shared, registrar, control, http, rates: Mutex::default() }
    }

    /// Another second is over.
    pub(super) fn sample(&self) {
        lock(&self.rates).sample(&self.shared.counters);
    }

    async fn view(&self, lately: bool) -> view::View {
        let rates = lock(&self.rates).clone();
        view::View::of(&self.shared, &self.registrar, rates, lately).await
    }

    /// Whether the threads live; else which does not.
    async fn lives(&self) -> Result<(), String> {
        if self.shared.failures.is_failed() {
            return Err(format!("{}\n", self.shared.failures.first().await));
        }
        for (thread, answer) in threads_answer(&self.shared, &self.registrar) {
            let stuck = |_| format!("the {thread} thread does not answer\n");
            timeout(PATIENCE, answer).await.map_err(stuck)?;
        }
        Ok(())
    }

    /// Whether workers and clients find it.
    async fn is_ready(&self) -> Result<(), String> {
        if self.shared.failures.are_over() {
            return Err("the broker ends\n".to_owned());
        }
        self.lives().await?;
        if !self.control.is_open() {
            return Err("the control socket is not open\n".to_owned());
        }
        match self.registrar.ask(|registry| registry.routes_are_open()).await {
            true => Ok(()),
            false => Err("the port of a static route is not open\n".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HOST;

    use super::*;
    use crate::config::Config;
    use crate::control::ports::Ports;
    use crate::control::quota::Quotas;
    use crate::control::registry::Registry;
    use crate::control::socket;
    use crate::dispatch::accept_thread::AcceptThread;
    use crate::dispatch::begun::Begun;
    use crate::failure::Part;

    /// What a broker answers; its loops run, or are not there to answer.
    fn asked(folder: &tempfile::TempDir, loops: bool) -> Asked {
        let config = Config { control: Some(folder.path().join("control")), ..Config::default() };
        let (jobs, _) = tokio::sync::mpsc::unbounded_channel();
        let shared = Arc::new(Shared::new(&config, jobs).unwrap());
        if loops {
            AcceptThread::new(&shared, &Arc::default()).begin(Begun::default()).unwrap();
            let part = Part::new(&shared.failures, "the relay thread");
            shared.relays.start(part, Box::new(|_, _, _, _, _| {})).unwrap();
        }
        let ports = Ports::new(Arc::clone(&shared.commands), shared.jobs.clone(), Vec::new());
        let quotas = Arc::new(Quotas::new(&config.quota, &shared.descriptors));
        let registry = Registry::new(Arc::clone(&shared), quotas, ports);
        let part = Part::new(&shared.failures, "the registry's thread");
        let (registrar, _) = Registrar::start(registry, part).unwrap();
        let ((control, _), _) = socket::open(&config, [None, None]).unwrap();
        Asked::new(shared, registrar, Arc::new(control), Http::default())
    }

    async fn said(asked: &Asked, path: &str) -> (u16, String) {
        let request = Request::builder().uri(path).header(HOST, "localhost").body(()).unwrap();
        let answer = answer(asked, IpAddr::from([127, 0, 0, 1]), &request).await;
        let status = answer.status().as_u16();
        let body = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap().to_bytes();
        (status, String::from_utf8(body.into()).unwrap())
    }

    #[tokio::test]
    async fn a_broker_that_ends_lives_and_is_not_ready() {
        let folder = tempfile::tempdir().unwrap();
        let asked = asked(&folder, true);
        assert_eq!(said(&asked, "/readyz").await, (200, "ready\n".to_owned()));
        asked.shared.failures.may_end();
        assert_eq!(said(&asked, "/readyz").await, (503, "the broker ends\n".to_owned()));
        assert_eq!(said(&asked, "/healthz").await, (200, "ok\n".to_owned()));
    }

    #[tokio::test]
    async fn a_thread_that_has_ended_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let asked = asked(&folder, true);
        drop(Part::new(&asked.shared.failures, "the accept thread"));
        let why = "the broker cannot go on, the accept thread has ended: nobody asked it to\n".to_owned();
        for path in ["/healthz", "/readyz"] {
            assert_eq!(said(&asked, path).await, (503, why.clone()), "{path}");
        }
    }

    /// The clock of this test goes by itself.
    #[tokio::test(start_paused = true)]
    async fn a_thread_that_is_stuck_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let asked = asked(&folder, false);
        assert_eq!(said(&asked, "/healthz").await, (503, "the accept thread does not answer\n".to_owned()));
    }
}
