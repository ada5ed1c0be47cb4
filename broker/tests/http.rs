//! HTTP for machines and people: what is answered.

mod common;

use std::io::Write;
use std::process::{Command, Stdio};

use common::http::{broker_with_http, exchange, get, request};
use common::{
    Broker, Worker, address, answer, ask, eventually, fault, free_port, preamble, serve, skip, told,
};
use handoff::{ControlConnection, Register};
use serde_json::Value;

#[test]
fn read_only_and_for_no_other_page_to_use() {
    let (broker, http) = broker_with_http(&[]);
    for (path, status, content_type) in [
        ("/healthz", 200, "text/plain; charset=utf-8"),
        ("/readyz", 200, "text/plain; charset=utf-8"),
        ("/metrics", 200, "text/plain; version=0.0.4; charset=utf-8"),
        ("/status.json", 200, "application/json"),
        ("/", 200, "text/html; charset=utf-8"),
        ("/?sort=waiting", 200, "text/html; charset=utf-8"),
        ("/favicon.ico", 404, "text/plain; charset=utf-8"),
        ("/../etc/passwd", 404, "text/plain; charset=utf-8"),
    ] {
        let answer = get(http, path);
        assert_eq!(
            (answer.status, answer.headers["content-type"].as_str()),
            (status, content_type),
            "{path}"
        );
        assert_eq!(answer.headers["cache-control"], "no-store");
        assert_eq!(answer.headers["x-content-type-options"], "nosniff");
        let policy = &answer.headers["content-security-policy"];
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.headers["connection"], "close", "one request each");
        let head = request(http, "HEAD", path, "");
        assert_eq!((head.status, head.body.as_str()), (status, ""), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let answer = request(http, method, "/", "Content-Length: 0\r\n");
        assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, "GET, HEAD"), "{method}");
    }
    drop(broker);
}

/// Whatever is asked for, and also by whom it may be.
#[test]
fn only_by_its_own_names() {
    let (broker, http) =
        broker_with_http(&["--http-hosts", "status.example.com", "--http-hosts", "b.example"]);
    let status = |request: &str| {
        let stream = std::net::TcpStream::connect(("127.0.0.1", http)).unwrap();
        exchange(stream, request).status
    };
    let own = String::from_utf8(Command::new("uname").arg("-n").output().unwrap().stdout).unwrap();
    let port = format!("127.0.0.1:{http}");
    for host in [&port, "[::1]", "192.0.2.7", "localhost", "B.Example:80", "status.example.com", own.trim()] {
        assert_eq!(status(&format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n")), 200, "{host}");
    }
    for path in ["/", "/metrics", "/status.json", "/healthz", "/readyz", "/none"] {
        let stream = std::net::TcpStream::connect(("127.0.0.1", http)).unwrap();
        let refused = exchange(stream, &format!("GET {path} HTTP/1.1\r\nHost: evil.example:{http}\r\n\r\n"));
        assert_eq!(refused.status, 421, "{path}");
        let said = format!(
            "\"evil.example\" is none of the names of this broker: ask for an IP address, localhost or {}, or write \
             hosts = [\"evil.example\"] into [http] of its configuration\n",
            own.trim()
        );
        assert_eq!(refused.body, said, "{path}");
        assert_eq!(status(&format!("GET {path} HTTP/1.1\r\n\r\n")), 400, "{path}");
        assert_eq!(
            status(&format!("GET {path} HTTP/1.1\r\nHost: b.example\r\nHost: x\r\n\r\n")),
            400,
            "{path}"
        );
    }
    // HAProxy's httpchk.
    assert_eq!(status("OPTIONS / HTTP/1.0\r\n\r\n"), 405);
    assert_eq!(status("GET /healthz HTTP/1.0\r\n\r\n"), 200);
    drop(broker);
}

#[test]
fn metrics_in_both_texts() {
    let (broker, http) = broker_with_http(&["--max-pending-connections", "7"]);
    let port = free_port();
    // What a label must not end at.
    let orders = address(port, "orders%22");
    let mut worker = Worker::register(&broker, std::slice::from_ref(&orders));
    let mut client = ask(port, "orders%22");
    serve(worker.accept(), &preamble(&orders), b'o');
    assert_eq!(answer(&mut client), b'o');
    assert_eq!(told(&mut ask(port, "nobody")), fault("EndpointNotFound"));
    let _waits = ask(port, "orders%22");
    let labels = format!(
        "{{address=\"{orders}\",mode=\"strong_wildcard\",kind=\"registration\",id=\"{}\"}}",
        worker.id
    );
    let waiting = format!("net_tcp_broker_queue_waiting{labels} 1");
    eventually(
        || get(http, "/metrics").body.lines().any(|line| line == waiting),
        || get(http, "/metrics").body,
    );
    let classic = get(http, "/metrics").body;
    for line in [
        "# TYPE net_tcp_broker_connections_accepted_total counter",
        "net_tcp_broker_connections_accepted_total 3",
        "net_tcp_broker_connections_ended_total{outcome=\"handed_over\"} 2",
        "net_tcp_broker_connections_ended_total{outcome=\"endpoint_not_found\"} 1",
        "net_tcp_broker_connections_ended_total{outcome=\"server_too_busy\"} 0",
        &format!("net_tcp_broker_handed_over_total{labels} 2"),
        &format!("net_tcp_broker_queue_limit{labels} 7"),
        &format!("net_tcp_broker_held_waiting{labels} 0"),
        &format!("net_tcp_broker_held_limit{labels} 7"),
        &format!("net_tcp_broker_up{labels} 1"),
        &format!("net_tcp_broker_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
        "net_tcp_broker_holders 1",
        "net_tcp_broker_holders_left_out 0",
    ] {
        assert!(classic.lines().any(|other| other == line), "{line}: {classic}");
    }
    assert!(!classic.contains("# EOF") && !classic.contains("# UNIT"), "{classic}");
    let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n";
    let open = request(http, "GET", "/metrics", accept);
    assert!(open.headers["content-type"].starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(open.body.ends_with("# EOF\n"), "{}", open.body);
    assert!(open.body.contains("# TYPE net_tcp_broker_connections_accepted counter\n"), "{}", open.body);
    parsed_by_prometheus("parser", &classic);
    parsed_by_prometheus("openmetrics.parser", &open.body);
}

/// By the parser of Prometheus' own library for Python.
fn parsed_by_prometheus(parser: &str, text: &str) {
    let code = format!(
        "import sys\nfrom prometheus_client.{parser} import text_string_to_metric_families as families\n\
         print(sum(len(family.samples) for family in families(sys.stdin.read())))"
    );
    // Debian's package is for Debian's Python, and another may come before it.
    let python = |program: &str, code: &str| {
        let mut command = Command::new(program);
        command.args(["-c", code]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn()
    };
    let has_it = |program: &str| {
        let there =
            python(program, "import prometheus_client").and_then(std::process::Child::wait_with_output);
        there.is_ok_and(|output| output.status.success())
    };
    let Some(program) = ["python3", "/usr/bin/python3"].into_iter().find(|program| has_it(program)) else {
        return skip("prometheus_client for Python", "apt install python3-prometheus-client");
    };
    let mut child = python(program, &code).unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    let samples: usize = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(samples, lines, "{text}");
}

#[test]
fn status_is_what_an_administrator_sees() {
    let (broker, http) = broker_with_http(&[]);
    let port = free_port();
    let worker = Worker::register(&broker, &[address(port, "orders"), address(port, "more")]);
    assert_eq!(told(&mut ask(port, "oders")), fault("EndpointNotFound"));
    let status: Value = serde_json::from_str(&get(http, "/status.json").body).unwrap();
    assert_eq!(status["status"]["pid"], broker.pid());
    assert_eq!(status["status"]["outcomes"]["endpoint_not_found"], 1);
    assert_eq!(status["status"]["unmatched"][0]["nearest"]["address"], address(port, "orders"));
    assert_eq!(
        status["holders"][0]["addresses"],
        serde_json::json!([address(port, "orders"), address(port, "more")])
    );
    assert_eq!(
        (&status["holders"][0]["pid"], &status["holders_left_out"]),
        (&std::process::id().into(), &0.into())
    );
    drop(worker);
}

/// What strangers and workers write on the page.
const NASTY: [&str; 8] = [
    "<script>document.title='owned'</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</code></td></tr></table><h1>owned</h1>",
    "<svg/onload=alert(1)>",
    "&lt;b&gt;<!--",
    "</style><style>*{display:none}",
    "\u{202e}<b>\u{1b}[31m\r\n",
];

/// Has all of that on the page.
fn be_nasty(broker: &Broker, port: u16) -> Vec<ControlConnection> {
    for nasty in NASTY {
        assert_eq!(told(&mut ask(port, nasty)), fault("EndpointNotFound"), "{nasty}");
    }
    let mut workers = Vec::new();
    for (n, nasty) in NASTY.iter().enumerate() {
        let mut control = ControlConnection::connect(&broker.control()).unwrap();
        // Some are no addresses; those are shown as refused.
        let _ = control.register(&Register::new([address(port, &format!("{n}/{nasty}"))]));
        let _ = control.register(&Register::new([(*nasty).to_owned()]));
        workers.push(control);
    }
    workers
}

#[test]
fn nothing_on_the_page_is_a_strangers_markup() {
    let (broker, http) = broker_with_http(&[]);
    let port = free_port();
    let worker = Worker::register(&broker, &[address(port, "orders")]);
    let workers = be_nasty(&broker, port);
    for path in ["/", "/?sort=age", "/?sort=<script>", "/?sort=\"><script>"] {
        let page = get(http, &path.replace('<', "%3C").replace('>', "%3E").replace('"', "%22"));
        let body = page.body.as_str();
        for markup in [
            "<script",
            "<img",
            "onmouseover='",
            "<h1>owned",
            "<svg/",
            "<!--",
            "<b>\u{fffd}",
            "\u{1b}",
            "\u{202e}",
        ] {
            assert!(!body.contains(markup), "{markup}: {body}");
        }
        assert_eq!(body.matches("<style>").count(), 1);
        assert!(body.contains("&lt;script&gt;document.title=&#39;owned&#39;&lt;/script&gt;"), "{body}");
        assert!(body.contains(&address(port, "orders")), "{body}");
    }
    drop((worker, workers));
}

#[test]
fn the_page_can_be_sorted_without_a_script() {
    let (broker, http) = broker_with_http(&[]);
    let port = free_port();
    // In another order than their addresses have.
    let second = Worker::register(&broker, &[address(port, "b")]);
    let mut first = Worker::register(&broker, &[address(port, "a")]);
    let place = |page: &str, name: &str| page.find(&format!("<code>{}</code>", address(port, name))).unwrap();
    let _waits = ask(port, "b");
    let mut client = ask(port, "a");
    serve(first.accept(), &preamble(&address(port, "a")), b'a');
    assert_eq!(answer(&mut client), b'a');
    let by = |sort: &str| get(http, &format!("/?sort={sort}")).body;
    let page = by("address");
    assert!(place(&page, "a") < place(&page, "b"));
    assert!(page.contains("<th aria-sort=\"ascending\"><a href=\"?sort=address\">"), "{page}");
    eventually(
        || {
            let page = by("waiting");
            place(&page, "b") < place(&page, "a")
        },
        || by("waiting"),
    );
    assert!(by("waiting").contains("<meter "), "a bar");
    drop((first, second));
}

/// The policy lets the page's own style through and no other.
#[test]
fn the_policy_names_the_style_of_the_page() {
    let (broker, http) = broker_with_http(&[]);
    let page = get(http, "/");
    let (_, rest) = page.body.split_once("<style>").unwrap();
    let (style, _) = rest.split_once("</style>").unwrap();
    let mut child =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum");
    child.stdin.take().unwrap().write_all(style.as_bytes()).unwrap();
    let hex = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let octets: Vec<u8> = (0..32).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect();
    let hash = format!("'sha256-{}'", base64(&octets));
    let policy = &page.headers["content-security-policy"];
    assert!(policy.contains(&hash), "POLICY in http/page.rs must have {hash}, it has {policy}");
    drop(broker);
}

fn base64(octets: &[u8]) -> String {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in octets.chunks(3) {
        let bits =
            three.iter().fold(0_u32, |bits, octet| bits << 8 | u32::from(*octet)) << (8 * (3 - three.len()));
        for n in 0..4 {
            let letter = letters[(bits >> (18 - 6 * n)) as usize & 63];
            text.push(if n > three.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

/// It is off unless somebody asks for it.
#[test]
fn without_a_listen_there_is_no_thread_for_it() {
    let broker = Broker::start(&[]);
    let names = std::fs::read_dir(format!("/proc/{}/task", broker.pid())).unwrap();
    let names = names.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    assert!(!names.map(|name| name.trim().to_owned()).any(|name| name == "http"));
    drop(broker);
}
