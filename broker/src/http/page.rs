//! The status page: one document without scripts, which asks for itself again every few seconds.

use std::cmp::Reverse;
use std::fmt::Write;
use std::time::SystemTime;

use handoff::administration::{Holder, Nearest, RefusedRegistration, State, Status, Unmatched};

use super::html::{Text, ago, number, span};
use super::rates::{Rate, SECONDS};
use super::view::View;
use crate::about::unix_seconds;

/// No script, nothing from elsewhere, and this page's own style alone: its SHA-256 is in it, so that a style in what strangers wrote
/// would have no effect either.
pub(super) const POLICY: &str = "default-src 'none'; style-src 'sha256-2uFPbMk9kVnQY3XMnlfiQSl/jaCF6OLDzep64wecIUU='; \
     img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const STYLE: &str = include_str!("page.css");

/// The height and width of the figure, in its own units.
const HIGH: u64 = 100;
const WIDE: usize = SECONDS * 10;

/// By what the holders are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    #[default]
    Address,
    State,
    Waiting,
    HandedOver,
    Relayed,
    Refused,
    Age,
}

impl Sort {
    const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::Address, "address", "Address"),
        (Self::State, "state", "State"),
        (Self::Waiting, "waiting", "Waiting"),
        (Self::HandedOver, "handed_over", "Handed over"),
        (Self::Relayed, "relayed", "Relayed"),
        (Self::Refused, "refused", "Refused"),
        (Self::Age, "age", "Since"),
    ];

    /// By the query of the page's address; anything else is as nothing.
    pub(super) fn of(query: &str) -> Self {
        let named = query.split('&').find_map(|pair| pair.strip_prefix("sort="));
        let known = Self::ALL.iter().find(|(_, name, _)| Some(*name) == named);
        known.map_or_else(Self::default, |(sort, ..)| *sort)
    }

    fn sort(self, holders: &mut [&Holder]) {
        holders.sort_by(|a, b| (a.addresses.first(), a.id).cmp(&(b.addresses.first(), b.id)));
        match self {
            Self::Address => {}
            Self::State => holders.sort_by_key(|holder| holder.state == State::Up),
            Self::Waiting => holders.sort_by_key(|holder| Reverse(holder.waiting())),
            Self::HandedOver => holders.sort_by_key(|holder| Reverse(holder.handed_over)),
            Self::Relayed => holders.sort_by_key(|holder| Reverse(holder.relayed + holder.relaying)),
            Self::Refused => holders.sort_by_key(|holder| Reverse(holder.refused)),
            Self::Age => holders.sort_by_key(|holder| holder.age_seconds),
        }
    }
}

/// The document.
pub(super) fn page(view: &View, sort: Sort) -> String {
    let now = unix_seconds(SystemTime::now());
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>net.tcp port sharing</title>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"refresh\" content=\"5\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
    );
    // A `String` takes everything.
    let _ = head(&mut page, view)
        .and_then(|()| last_minute(&mut page, view))
        .and_then(|()| holders(&mut page, view, sort))
        .and_then(|()| unmatched(&mut page, &view.status.unmatched, now))
        .and_then(|()| refused(&mut page, &view.status.refused, now))
        .and_then(|()| by_reason(&mut page, view))
        .and_then(|()| configuration(&mut page, view, now));
    page + "</main>\n</body>\n</html>\n"
}

fn head(page: &mut String, view: &View) -> std::fmt::Result {
    let status = &view.status;
    write!(
        page,
        "<h1>net.tcp port sharing</h1>\n<p class=\"soft\">broker {} · process {} · up {}</p>\n\
         <section class=\"tiles\">",
        Text(&status.version),
        status.pid,
        span(status.uptime_seconds)
    )?;
    let taken_back = Some(status.taken_back).filter(|count| *count > 0);
    for (count, what) in [
        (Some(status.accepted), "accepted"),
        (Some(status.ended("handed_over")), "handed over"),
        (taken_back, "of them taken back"),
        (Some(status.ended("relayed")), "relayed"),
        (Some(status.refusals()), "refused"),
        (Some(status.here), "with the broker now"),
    ] {
        let Some(count) = count else { continue };
        write!(page, "<div><b>{}</b><span class=\"soft\">{what}</span></div>", number(count))?;
    }
    writeln!(page, "</section>")
}

fn last_minute(page: &mut String, view: &View) -> std::fmt::Result {
    let each = view.rates.each();
    let most = each.clone().map(|rate| rate.accepted.max(rate.refused)).max().unwrap_or_default().max(1);
    let line = |class: &str, of: fn(Rate) -> u64| {
        let first = SECONDS - each.clone().count();
        let points = each.clone().enumerate().map(|(second, rate)| {
            let x = (first + second + 1) * WIDE / SECONDS;
            format!("{x},{}", HIGH - of(rate) * (HIGH - 4) / most)
        });
        format!("<polyline class=\"{class}\" points=\"{}\"/>", points.collect::<Vec<_>>().join(" "))
    };
    let Rate { accepted, refused } = view.rates.now();
    writeln!(
        page,
        "<section><h2>Last minute</h2>\n<svg viewBox=\"0 0 {WIDE} {HIGH}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"connections a second\">{}{}</svg>\n<p><span class=\"key\"></span>{} accepted a second\
         <span class=\"key r\"></span>{} refused a second <span class=\"soft\">· at most {}</span></p></section>",
        line("accepted", |rate| rate.accepted),
        line("refused", |rate| rate.refused),
        number(accepted),
        number(refused),
        number(most),
    )
}

fn holders(page: &mut String, view: &View, sort: Sort) -> std::fmt::Result {
    writeln!(page, "<section><h2>Registrations and static routes</h2>")?;
    if view.holders.is_empty() {
        return writeln!(
            page,
            "<p class=\"soft\">None: every connection is refused, and no port is open.</p></section>"
        );
    }
    write!(page, "<table><thead><tr>")?;
    for (by, name, head) in Sort::ALL {
        let class = if by as usize > Sort::State as usize { " class=\"n\"" } else { "" };
        let sorted = match (by == sort, by) {
            (false, _) => "",
            (true, Sort::Address | Sort::State | Sort::Age) => " aria-sort=\"ascending\"",
            (true, _) => " aria-sort=\"descending\"",
        };
        write!(page, "<th{class}{sorted}><a href=\"?sort={name}\">{head}</a></th>")?;
    }
    writeln!(page, "</tr></thead><tbody>")?;
    let mut sorted: Vec<&Holder> = view.holders.iter().collect();
    sort.sort(&mut sorted);
    sorted.into_iter().try_for_each(|other| holder(page, other))?;
    writeln!(page, "</tbody></table>")?;
    if view.left_out > 0 {
        writeln!(page, "<p class=\"soft\">and {} more: <code>broker ls</code></p>", number(view.left_out))?;
    }
    writeln!(page, "</section>")
}

fn holder(page: &mut String, holder: &Holder) -> std::fmt::Result {
    let address = holder.addresses.first().map(String::as_str).unwrap_or_default();
    let more = match holder.addresses.len() {
        0 | 1 => String::new(),
        many => format!(" <span class=\"soft\">+{}</span>", many - 1),
    };
    let whose = match (&holder.relay, holder.pid, &holder.program) {
        (Some(relay), ..) => format!("→ {}", Text(relay)),
        (None, Some(pid), Some(program)) => format!("{} · process {pid}", Text(program)),
        (None, Some(pid), None) => format!("process {pid}"),
        (None, None, _) => "a process of another PID namespace".to_owned(),
    };
    let user = holder.user.clone().or_else(|| holder.uid.map(|uid| uid.to_string()));
    let user = user.map(|user| format!(" · {}", Text(user))).unwrap_or_default();
    let state = |state: &State| {
        let name = match state {
            State::Up => "up",
            State::Draining => "draining",
            State::Stuck => "stuck",
            State::Full => "full",
            State::Absent => "absent",
            _ => "unknown",
        };
        format!("<span class=\"state {name}\">{name}</span>")
    };
    let states = holder.states.iter().map(state).collect::<Vec<_>>().join(" ");
    let waiting = match holder.max_pending {
        Some(most) => format!(
            "{} of {}{}<meter min=\"0\" max=\"{most}\" high=\"{}\" optimum=\"0\" value=\"{}\"></meter>",
            number(holder.queued),
            number(most),
            held(holder),
            most * 3 / 4,
            holder.queued.min(most)
        ),
        None => "–".to_owned(),
    };
    writeln!(
        page,
        "<tr><td><code>{}</code>{more}<br><span class=\"soft\">{} · {whose}{user}</span></td>\
         <td data-label=\"State\"><span>{states}</span></td>\
         <td class=\"n\" data-label=\"Waiting\"><span>{waiting}</span></td>\
         <td class=\"n\" data-label=\"Handed over\">{}</td><td class=\"n\" data-label=\"Relayed\">{}</td>\
         <td class=\"n\" data-label=\"Refused\">{}</td><td class=\"n\" data-label=\"Since\">{}</td></tr>",
        Text(address),
        Text(holder.host_name_comparison.replace('_', " ")),
        number(holder.handed_over),
        number(holder.relayed + holder.relaying),
        number(holder.refused),
        span(holder.age_seconds),
    )
}

/// What waits in the broker because the queue is full.
fn held(holder: &Holder) -> String {
    let most = holder.max_held.map(|most| format!(" of {}", number(most))).unwrap_or_default();
    match holder.held {
        0 => String::new(),
        held => format!(" <span class=\"soft\">+ {}{most} held</span>", number(held)),
    }
}

fn unmatched(page: &mut String, entries: &[Unmatched], now: u64) -> std::fmt::Result {
    writeln!(page, "<section><h2>Asked for, and nobody has it</h2>")?;
    if entries.is_empty() {
        return writeln!(page, "<p class=\"soft\">No client has got EndpointNotFound.</p></section>");
    }
    writeln!(
        page,
        "<p class=\"soft\">The last {} different Vias whose clients got EndpointNotFound.</p>\n<table><thead><tr><th>Via</th>\
         <th>Why, and what may have been meant</th><th>Client</th><th class=\"n\">Times</th><th class=\"n\">Last</th></tr></thead>\
         <tbody>",
        entries.len()
    )?;
    for entry in entries {
        let peer = entry.peer.map(|peer| peer.to_string()).unwrap_or_default();
        let local = entry
            .local
            .map(|local| format!("<br><span class=\"soft\">to {local}</span>"))
            .unwrap_or_default();
        writeln!(
            page,
            "<tr><td><code>{}</code></td><td class=\"text\" data-label=\"Why\"><span>{}{}</span></td>\
             <td class=\"short\" data-label=\"Client\"><span>{peer}{local}</span></td>\
             <td class=\"n\" data-label=\"Times\">{}</td><td class=\"n\" data-label=\"Last\">{}</td></tr>",
            Text(&entry.via),
            Text(&entry.reason),
            meant(entry.nearest.as_ref()),
            number(entry.count),
            ago(entry.last, now),
        )?;
    }
    writeln!(page, "</tbody></table></section>")
}

fn refused(page: &mut String, entries: &[RefusedRegistration], now: u64) -> std::fmt::Result {
    writeln!(page, "<section><h2>Refused registrations</h2>")?;
    if entries.is_empty() {
        return writeln!(page, "<p class=\"soft\">No service was refused an address.</p></section>");
    }
    writeln!(
        page,
        "<table><thead><tr><th>Address</th><th>Why</th><th>Worker</th><th class=\"n\">Times</th><th class=\"n\">Last</th></tr>\
         </thead><tbody>"
    )?;
    for entry in entries {
        let reason = entry.reason.map(|reason| format!("{reason}: ")).unwrap_or_default();
        let pid = entry.pid.map(|pid| format!("process {pid}<br>")).unwrap_or_default();
        // The address itself, which another has, is said already.
        let nearest = entry.nearest.as_ref().filter(|near| Some(&near.address) != entry.address.as_ref());
        writeln!(
            page,
            "<tr><td><code>{}</code></td><td class=\"text\" data-label=\"Why\"><span>{}{}{}</span></td>\
             <td class=\"short\" data-label=\"Worker\"><span>{pid}<span class=\"soft\">user {}</span></span></td>\
             <td class=\"n\" data-label=\"Times\">{}</td><td class=\"n\" data-label=\"Last\">{}</td></tr>",
            Text(entry.address.as_deref().unwrap_or("none")),
            Text(reason),
            Text(&entry.message),
            meant(nearest),
            entry.uid,
            number(entry.count),
            ago(entry.last, now),
        )?;
    }
    writeln!(page, "</tbody></table></section>")
}

fn meant(nearest: Option<&Nearest>) -> String {
    nearest.map_or_else(String::new, |nearest| {
        format!(
            "<br><span class=\"hint\">nearest: <code>{}</code><br>{}</span>",
            Text(&nearest.address),
            Text(&nearest.difference)
        )
    })
}

fn by_reason(page: &mut String, view: &View) -> std::fmt::Result {
    let outcomes = &view.status.outcomes;
    let mut refusals: Vec<_> =
        outcomes.iter().filter(|(name, count)| Status::is_refusal(name) && **count > 0).collect();
    refusals.sort_by_key(|(_, count)| Reverse(**count));
    writeln!(page, "<section><h2>Refused connections</h2>")?;
    if refusals.is_empty() {
        return writeln!(page, "<p class=\"soft\">None.</p></section>");
    }
    writeln!(page, "<table><thead><tr><th>Reason</th><th class=\"n\">Connections</th></tr></thead><tbody>")?;
    for (name, count) in refusals {
        let name = name.replace('_', " ");
        writeln!(
            page,
            "<tr><td>{}</td><td class=\"n\" data-label=\"Connections\">{}</td></tr>",
            Text(name),
            number(*count)
        )?;
    }
    writeln!(page, "</tbody></table></section>")
}

fn configuration(page: &mut String, view: &View, now: u64) -> std::fmt::Result {
    let status = &view.status;
    let file = match &status.configuration {
        Some(file) => format!("<code>{}</code>", Text(file)),
        None => "no file: defaults and options".to_owned(),
    };
    let reload = match &status.last_reload {
        None => "never".to_owned(),
        Some(reload) => {
            let (class, how) = if reload.applied { ("", "applied") } else { ("bad", "not applied") };
            format!(
                "{}, <span class=\"state {class}\">{how}</span>: {}",
                ago(reload.at, now),
                Text(&reload.message)
            )
        }
    };
    writeln!(
        page,
        "<section><h2>Configuration</h2><dl><dt>File</dt><dd>{file}</dd><dt>Last reload</dt><dd>{reload}</dd>\
         <dt>Started</dt><dd>{}</dd>",
        ago(status.started, now)
    )?;
    for (what, total) in [
        ("Descriptors", status.totals.descriptors),
        ("In queues", status.totals.queued),
        ("Held", status.totals.held),
        ("Relayed", status.totals.relays),
    ] {
        let of = total.now.map(|now| format!("{} of ", number(now))).unwrap_or_default();
        write!(page, "<dt>{what}</dt><dd>{of}{}</dd>", number(total.most))?;
    }
    writeln!(page, "</dl></section>\n<section><h2>Listeners</h2><ul class=\"listeners\">")?;
    for listener in &status.listeners {
        write!(
            page,
            "<li><code>{}</code> <span class=\"soft\">{}</span></li>",
            listener.address,
            ago(listener.since, now)
        )?;
    }
    writeln!(page, "</ul>")?;
    let shown = u64::try_from(status.listeners.len()).unwrap_or(u64::MAX);
    if status.listening > shown {
        writeln!(page, "<p class=\"soft\">and {} more</p>", number(status.listening - shown))?;
    }
    if status.listening == 0 {
        writeln!(page, "<p class=\"soft\">No port is open.</p>")?;
    }
    writeln!(page, "</section>")
}
