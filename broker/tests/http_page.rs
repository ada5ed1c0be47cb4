//! The status page in a browser: what strangers wrote stays text, the style applies, and it fits a telephone.

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use common::{Broker, Worker, address, ask, fault, free_port, installed, told};
use handoff::{ControlConnection, Register};

const NASTY: [&str; 6] = [
    "<script>document.title='owned'</script>",
    "\"><img src=x onerror=\"document.title='owned'\">",
    "' onmouseover='document.title=1",
    "</code></td></tr></table><h1>owned</h1>",
    "<svg/onload=document.title='owned'>",
    "</style><style>*{display:none}</style><!--",
];

/// What the browser makes of an address: the document after all scripts.
fn dom(url: &str, options: &[&str]) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new("chromium")
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(options)
        .args(["--dump-dom", url])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What is asked of the browser about the page it has loaded: a page of ours that has it in a frame would be refused, so this one
/// is served with a script at its end, under a policy that lets that through.
fn measured(page: &str) -> String {
    let script = "<script>const all=[...document.querySelectorAll('*')];document.title=[\
                  all.filter(e=>['SCRIPT','IMG','IFRAME','H1'].includes(e.tagName)).length,\
                  all.filter(e=>[...e.attributes].some(a=>a.name.startsWith('on'))).length,\
                  document.querySelectorAll('style').length,\
                  document.querySelectorAll('tbody tr').length,\
                  document.documentElement.scrollWidth<=window.innerWidth,\
                  getComputedStyle(document.body).backgroundColor].join(' ')</script>";
    page.replace("</body>", &format!("{script}</body>")).replace("http-equiv=\"refresh\"", "name=\"refresh\"")
}

/// Answers each request with this page and these headers, until the process ends.
fn serve_page(page: String, headers: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &page, &headers);
        }
    });
    port
}

fn answer(mut stream: TcpStream, page: &str, headers: &str) {
    let mut head = Vec::new();
    let mut octet = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut octet).is_ok_and(|read| read == 1) {
        head.push(octet[0]);
    }
    let length = page.len();
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{page}"
    );
}

fn fetch(port: u16) -> (String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let policy = head.lines().find_map(|line| line.strip_prefix("content-security-policy: ")).unwrap();
    (policy.to_owned(), body.to_owned())
}

fn title(dom: &str) -> &str {
    dom.split_once("<title>")
        .and_then(|(_, rest)| rest.split_once("</title>"))
        .map(|(title, _)| title)
        .unwrap()
}

#[test]
fn in_a_browser() {
    if !installed("chromium") {
        return;
    }
    let (port, http) = (free_port(), free_port());
    let broker = Broker::start(&["--http-listen", &format!("127.0.0.1:{http}")]);
    let worker = Worker::register(&broker, &[address(port, "orders")]);
    let mut workers = Vec::new();
    for (n, nasty) in NASTY.iter().enumerate() {
        assert_eq!(told(&mut ask(port, nasty)), fault("EndpointNotFound"), "{nasty}");
        let mut control = ControlConnection::connect(&broker.control()).unwrap();
        control.register(&Register::new([address(port, &format!("{n}/{nasty}"))])).unwrap();
        control.register(&Register::new([(*nasty).to_owned()])).unwrap_err();
        workers.push(control);
    }
    // Nowhere to break it.
    assert_eq!(told(&mut ask(port, &"x".repeat(1900))), fault("EndpointNotFound"));

    // As it is: nothing has run, and what was written is there as text.
    let document = dom(&format!("http://127.0.0.1:{http}/"), &[]);
    assert_eq!(title(&document), "net.tcp port sharing", "{document}");
    assert!(document.contains("&lt;script&gt;document.title='owned'&lt;/script&gt;"), "{document}");

    // Counted by the browser, without the page's own policy but for its style: escaping alone must do.
    let (policy, page) = fetch(http);
    let style = policy.split("; ").find(|rule| rule.starts_with("style-src")).unwrap().to_owned();
    let headers = format!(
        "Content-Type: text/html; charset=utf-8\r\nContent-Security-Policy: {style}; script-src 'unsafe-inline'\r\n"
    );
    let measured = serve_page(measured(&page), headers);
    let url = format!("http://127.0.0.1:{measured}/");
    let rows = 7 + (6 + 1) + 6 + 1;
    for (options, background) in [
        (&["--window-size=1280,1000"][..], "rgb(246, 247, 249)"),
        (&["--window-size=1280,1000", "--blink-settings=preferredColorScheme=0"], "rgb(18, 22, 29)"),
        (&["--window-size=360,1000"], "rgb(246, 247, 249)"),
    ] {
        let document = dom(&url, options);
        // Its own heading and the script that asks; one style; the rows; no wider than the window; the colour of the style.
        assert_eq!(title(&document), format!("2 0 1 {rows} true {background}"), "{options:?}");
    }
    drop((worker, workers));
}

/// DNS rebinding: whatever its name is, and whoever has made it lead here.
#[test]
fn a_page_whose_name_leads_here_reads_nothing() {
    if !installed("chromium") {
        return;
    }
    let port = free_port();
    let toml = format!("[http]\nlisten = '127.0.0.1:{port}'\nhosts = ['status.example.com']\n");
    let broker = Broker::configured(&toml, &[]);
    let leads_here = ["--host-resolver-rules=MAP * 127.0.0.1"];
    let seen = |host: &str| dom(&format!("http://{host}:{port}/"), &leads_here);
    for ours in ["127.0.0.1", "localhost", "status.example.com"] {
        assert_eq!(title(&seen(ours)), "net.tcp port sharing", "{ours}");
    }
    let others = seen("evil.example");
    assert!(others.contains("\"evil.example\" is none of the names of this broker"), "{others}");
    assert!(!others.contains("port sharing"), "{others}");
    drop(broker);
}
