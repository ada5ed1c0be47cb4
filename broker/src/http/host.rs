//! By which name the broker was asked. Whoever has a page open in a browser here may be anybody: if the name of that page is made to lead
//! to this machine (DNS rebinding), the browser lets it read what the broker answers. It cannot choose the name that is asked for.

use std::net::IpAddr;

use hyper::header::HOST;
use hyper::http::uri::Authority;
use hyper::{Request, StatusCode, Version};
use rustix::system::uname;

/// Whether it was asked by a name that is its own; else how that is answered. What sends no name, as HTTP/1.0 may, is no browser.
pub(super) fn check<B>(request: &Request<B>, hosts: &[String]) -> Result<(), (StatusCode, String)> {
    let bad = |said: &str| Err((StatusCode::BAD_REQUEST, format!("{said}\n")));
    let mut headers = request.headers().get_all(HOST).iter();
    let header = match (headers.next(), headers.next()) {
        (None, _) if request.version() < Version::HTTP_11 => return Ok(()),
        (None, _) => return bad("there is no Host, which HTTP/1.1 must have"),
        (Some(header), None) => header.to_str().ok().and_then(|text| text.parse::<Authority>().ok()),
        (Some(_), Some(_)) => return bad("there is more than one Host"),
    };
    // What is asked of a proxy counts more (RFC 9112, section 3.2.2).
    let Some(asked) = request.uri().authority().cloned().or(header) else { return bad("Host is no name") };
    let uname = uname();
    let own = uname.nodename().to_str().unwrap_or_default();
    if is_ours(asked.host(), own, hosts) {
        return Ok(());
    }
    let said = format!(
        "{:?} is none of the names of this broker: ask for an IP address, localhost or {own}, or write hosts = [{:?}] into \
         [http] of its configuration\n",
        asked.host(),
        asked.host()
    );
    Err((StatusCode::MISDIRECTED_REQUEST, said))
}

fn is_ours(host: &str, own: &str, hosts: &[String]) -> bool {
    let is_ip = |host: &str| host.parse::<IpAddr>().is_ok();
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let whole = |name: &str| name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    let is = |name: &str| whole(name) == whole(host);
    is_ip(in_brackets.unwrap_or(host)) || is("localhost") || is(own) || hosts.iter().any(|name| is(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(request: Request<()>) -> Option<u16> {
        check(&request, &["Status.example.com".to_owned()]).err().map(|(status, _)| status.as_u16())
    }

    #[test]
    fn who_asks_for_another_is_refused() {
        let own = uname().nodename().to_str().unwrap().to_uppercase();
        for ours in
            ["127.0.0.1", "192.0.2.7:9808", "[::1]:9808", "[2001:db8::1]", "localhost:1", "LOCALHOST.", &own]
                .into_iter()
                .chain(["status.example.com", "STATUS.example.com.:9808"])
        {
            assert_eq!(answered(Request::builder().header(HOST, ours).body(()).unwrap()), None, "{ours}");
        }
        for others in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "example.com",
            "broker:9808",
            "xlocalhost",
        ] {
            let request = || Request::builder().header(HOST, others);
            assert_eq!(answered(request().body(()).unwrap()), Some(421), "{others}");
            assert_eq!(
                answered(request().version(Version::HTTP_10).body(()).unwrap()),
                Some(421),
                "{others}"
            );
        }
    }

    #[test]
    fn what_names_nobody_is_bad_unless_it_is_old() {
        let request = || Request::builder().uri("/");
        assert_eq!(answered(request().body(()).unwrap()), Some(400));
        assert_eq!(answered(request().version(Version::HTTP_10).body(()).unwrap()), None);
        for bad in ["", "a b", "localhost/x", "\u{e4}"] {
            let header = hyper::header::HeaderValue::from_bytes(bad.as_bytes()).unwrap();
            assert_eq!(answered(request().header(HOST, header).body(()).unwrap()), Some(400), "{bad}");
        }
        let twice = request().header(HOST, "localhost").header(HOST, "localhost").body(()).unwrap();
        assert_eq!(answered(twice), Some(400));
        // In the form for proxies.
        let absolute = |uri: &str| Request::builder().uri(uri).header(HOST, "localhost").body(()).unwrap();
        assert_eq!(answered(absolute("http://evil.example/")), Some(421));
        assert_eq!(answered(absolute("http://127.0.0.1:9808/")), None);
    }
}
