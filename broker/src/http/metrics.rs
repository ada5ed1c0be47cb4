//! For Prometheus: the counters that are there anyway, read when they are scraped, in OpenMetrics and in the classic text.

use std::fmt;

use handoff::administration::{Holder, State};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::view::View;

/// Which text whoever scrapes understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    OpenMetrics,
    Classic,
}

impl Format {
    /// By what is accepted.
    pub(super) fn of<'a>(mut accept: impl Iterator<Item = &'a str>) -> Self {
        match accept.any(|accept| accept.contains("application/openmetrics-text")) {
            true => Self::OpenMetrics,
            false => Self::Classic,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

pub(super) fn text(view: View, format: Format) -> String {
    let mut registry = Registry::with_prefix("net_tcp_broker");
    registry.register_collector(Box::new(view));
    let mut text = String::new();
    // A `String` takes everything.
    let _ = encode(&mut text, &registry);
    match format {
        Format::OpenMetrics => text,
        Format::Classic => classic(&text),
    }
}

/// The classic text names a counter by its sample, and knows no units and no end.
fn classic(text: &str) -> String {
    let mut counters = Vec::new();
    for line in text.lines() {
        counters.extend(line.strip_prefix("# TYPE ").and_then(|rest| rest.strip_suffix(" counter")));
    }
    let mut classic = String::with_capacity(text.len());
    for line in text.lines().filter(|line| !line.starts_with("# UNIT ") && *line != "# EOF") {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some(what), Some(name), Some(rest)) if counters.contains(&name) => {
                classic += &format!("# {what} {name}_total {rest}\n");
            }
            _ => {
                classic += line;
                classic.push('\n');
            }
        }
    }
    classic
}

type Labels<'l> = Vec<(&'static str, &'l str)>;

/// Writes families of samples.
struct Families<'e>(DescriptorEncoder<'e>);

impl Families<'_> {
    fn counter<'l>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in samples {
            family.encode_family(&labels)?.encode_counter::<[(&str, &str); 0], _, u64>(&count, None)?;
        }
        Ok(())
    }

    fn gauge<'l>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        samples: impl IntoIterator<Item = (Labels<'l>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in samples {
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}

impl Collector for View {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(encoder);
        let Self { status, left_out, .. } = self;
        let alone = |value: u64| [(Labels::new(), value)];
        families.gauge(
            "build_info",
            "The broker's version",
            None,
            [(vec![("version", status.version.as_str())], 1)],
        )?;
        families.gauge(
            "start_time",
            "When the broker started, since 1970-01-01 UTC",
            Some(&Unit::Seconds),
            alone(status.started),
        )?;
        families.counter("connections_accepted", "Connections accepted", alone(status.accepted))?;
        let ended =
            status.outcomes.iter().map(|(outcome, count)| (vec![("outcome", outcome.as_str())], *count));
        families.counter(
            "connections_ended",
            "How often connections ended, by how; one that is taken back ends once more",
            ended,
        )?;
        families.counter(
            "connections_taken_back",
            "How often a connection that was handed over was taken back from a worker that had left it behind",
            alone(status.taken_back),
        )?;
        families.counter(
            "connections_returned",
            "How often a connection that was handed over was given back by its worker, for a session with another",
            alone(status.returned),
        )?;
        families.gauge(
            "connections_here",
            "Connections that the broker has: accepted + taken_back + returned - ended",
            None,
            alone(status.here),
        )?;
        let logs = status.logs;
        families.counter(
            "log_lost",
            "Lines or records that could not be written, or not fast enough",
            [("service", logs.lost), ("access", logs.access_lost)]
                .map(|(log, lost)| (vec![("log", log)], lost)),
        )?;
        families.counter(
            "access_log_suppressed",
            "Connections without a record in the access log because their source had too many",
            alone(logs.access_suppressed),
        )?;
        families.gauge(
            "listeners",
            "Local addresses that the broker listens on",
            None,
            alone(status.listening),
        )?;
        families.gauge("holders", "Registrations and static routes", None, alone(status.holders))?;
        families.gauge(
            "holders_left_out",
            "Registrations and static routes that have no series of their own because there are too many",
            None,
            alone(*left_out),
        )?;
        let totals = [
            ("descriptors", status.totals.descriptors),
            ("queued", status.totals.queued),
            ("held", status.totals.held),
            ("relays", status.totals.relays),
        ];
        let now = totals.iter().filter_map(|(what, total)| Some((vec![("what", *what)], total.now?)));
        families.gauge("used", "What there is a bound of, and how much of it is used", None, now)?;
        let most = totals.iter().map(|(what, total)| (vec![("what", *what)], total.most));
        families.gauge("bound", "How much of it may be used", None, most)?;
        if let Some(reload) = &status.last_reload {
            families.gauge(
                "last_reload_applied",
                "Whether the last reload of the configuration was applied",
                None,
                alone(reload.applied.into()),
            )?;
            families.gauge(
                "last_reload_time",
                "When the configuration was last reloaded, since 1970-01-01 UTC",
                Some(&Unit::Seconds),
                alone(reload.at),
            )?;
        }
        self.holders(&mut families)
    }
}

impl View {
    /// Each has series of its own: what two of one address have together would fall when one of them leaves.
    fn holders(&self, families: &mut Families<'_>) -> fmt::Result {
        let ids: Vec<String> = self.holders.iter().map(|holder| holder.id.to_string()).collect();
        let those = |has: fn(&Holder) -> bool, of: fn(&Holder) -> u64| {
            let with_id = self.holders.iter().zip(&ids).filter(move |(holder, _)| has(holder));
            with_id.map(move |(holder, id)| {
                let address = holder.addresses.first().map(String::as_str).unwrap_or_default();
                let kind = if is_worker(holder) { "registration" } else { "route" };
                let mode = holder.host_name_comparison.as_str();
                (vec![("address", address), ("mode", mode), ("kind", kind), ("id", id.as_str())], of(holder))
            })
        };
        let of_workers = |of| those(is_worker, of);
        let of_all = |of| those(|_| true, of);
        families.counter(
            "handed_over",
            "How often connections were handed over; those that were taken back are among them",
            of_workers(|holder| holder.handed_over),
        )?;
        families.counter(
            "taken_back",
            "How many of those were taken back because the worker had left them behind",
            of_workers(|holder| holder.taken_back),
        )?;
        families.counter(
            "relayed",
            "Connections relayed that have ended",
            of_all(|holder| holder.relayed),
        )?;
        families.counter("refused", "Connections refused", of_all(|holder| holder.refused))?;
        families.gauge("relaying", "Connections that are relayed", None, of_all(|holder| holder.relaying))?;
        for (name, help, of) in [
            (
                "queue_waiting",
                "Connections in the worker's queue",
                (|holder| holder.queued) as fn(&Holder) -> u64,
            ),
            ("queue_limit", "How many may be in it", |holder| holder.max_pending.unwrap_or_default()),
            ("held_waiting", "Connections that wait in the broker because the queue is full", |holder| {
                holder.held
            }),
            ("held_limit", "How many may do that", |holder| holder.max_held.unwrap_or_default()),
        ] {
            families.gauge(name, help, None, of_workers(of))?;
        }
        let is_up = |holder: &Holder| u64::from(holder.state == State::Up);
        families.gauge("up", "Whether it takes connections", None, of_all(is_up))?;
        let is_absent = |holder: &Holder| holder.grace_left_seconds.is_some();
        let left = those(is_absent, |holder| holder.grace_left_seconds.unwrap_or_default());
        families.gauge(
            "grace_left",
            "How long its addresses still stay; its worker has left",
            Some(&Unit::Seconds),
            left,
        )
    }
}

fn is_worker(holder: &Holder) -> bool {
    holder.relay.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classic_text_names_counters_by_their_samples() {
        let open = "# HELP a_b Bs so far.\n# TYPE a_b counter\na_b_total{x=\"# TYPE a_b counter\"} 1\n\
                    # HELP a_c_seconds C.\n# TYPE a_c_seconds gauge\n# UNIT a_c_seconds seconds\na_c_seconds 2\n# EOF\n";
        let expected = "# HELP a_b_total Bs so far.\n# TYPE a_b_total counter\na_b_total{x=\"# TYPE a_b counter\"} 1\n\
                        # HELP a_c_seconds C.\n# TYPE a_c_seconds gauge\na_c_seconds 2\n";
        assert_eq!(classic(open), expected);
    }

    #[test]
    fn prometheus_says_what_it_understands() {
        let of = |accept: &[&str]| Format::of(accept.iter().copied());
        assert_eq!(
            of(&["application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.1"]),
            Format::OpenMetrics
        );
        assert_eq!(of(&["text/plain;version=0.0.4", "*/*"]), Format::Classic);
        assert_eq!(of(&[]), Format::Classic);
    }
}
