//! What the settings of SMSvcHost.exe.config mean here (docs/original.md §12).

use std::fmt::Write as _;
use std::time::Duration;

use handoff::printable;
use roxmltree::{Attribute, Document, Node};
use strsim::levenshtein;

use super::value::{MEMBER, account, number, time, truth};

/// The longest time and the largest number that the keys take.
const LONGEST: Duration = Duration::from_secs(86_400);
const MOST: u32 = 100_000;

/// A place in the file, from 1, and what is wrong there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) message: String,
}

/// Our configuration; or all that is wrong.
///
/// # Errors
/// What the original would not start with, too, each with its place.
pub(super) fn import(file: &str, text: &str) -> Result<String, Vec<Mistake>> {
    let document = Document::parse(text).map_err(|error| {
        let (line, column) = (error.pos().row, error.pos().col);
        vec![Mistake { line, column, message: not_xml(text, &error) }]
    })?;
    let mut import = Import { document: &document, toml: String::new(), mistakes: Vec::new() };
    import.comment(&format!("From {}, by `broker import`.", printable(file)));
    let root = document.root_element();
    if root.tag_name().name() == "configuration" {
        import.configuration(root);
    } else {
        let name = root.tag_name().name().to_owned();
        import.mistake(
            root.range().start,
            format!("<{name}> is no configuration of .NET: <configuration> must be"),
        );
    }
    if import.mistakes.is_empty() { Ok(import.toml) } else { Err(import.mistakes) }
}

struct Import<'d, 'x> {
    document: &'d Document<'x>,
    toml: String,
    mistakes: Vec<Mistake>,
}

impl<'d, 'x> Import<'d, 'x> {
    fn configuration(&mut self, root: Node<'d, 'x>) {
        let section = child(root, "system.serviceModel.activation");
        let net_tcp = section.and_then(|section| child(section, "net.tcp"));
        if let (None, Some(other)) = (section, child(root, "system.serviceModel")) {
            self.mistake(
                other.range().start,
                "this is the configuration of a service: SMSvcHost.exe.config has <system.serviceModel.activation>".to_owned(),
            );
        }
        match net_tcp {
            Some(net_tcp) => self.net_tcp(net_tcp),
            None => self.comment(
                "It sets nothing in <system.serviceModel.activation>, <net.tcp>: the defaults are the same here \
                 (100 connections, 30 s).",
            ),
        }
        self.toml.push('\n');
        self.comment(
            "compatibility = \"smsvchost\"  would reset connections wherever the original does, instead of saying why.",
        );
        let others = root.children().filter(|node| node.is_element() && Some(*node) != section);
        let inside = section.into_iter().flat_map(|section| section.children());
        let inside = inside.filter(|node| node.is_element() && Some(*node) != net_tcp);
        for node in inside.chain(others) {
            let name = printable(node.tag_name().name());
            let why = match &*name {
                "net.pipe" | "net.msmq" => "there is TCP only here.",
                "diagnostics" => "the figures are in `broker ls`, /metrics and the access log.",
                "runtime" | "startup" | "configSections" => "it is for .NET's own runtime.",
                _ => "it has no counterpart here.",
            };
            let line = self.line(node.range().start);
            self.comment(&format!("<{name}> (line {line}): {why}"));
        }
    }

    fn net_tcp(&mut self, net_tcp: Node<'d, 'x>) {
        for attribute in net_tcp.attributes() {
            if let Err(message) = self.setting(attribute) {
                let (name, value) = (attribute.name(), printable(attribute.value()));
                self.mistake(attribute.range().start, format!("{name} is \"{value}\": {message}"));
            }
        }
        for node in net_tcp.children().filter(Node::is_element) {
            match node.tag_name().name() {
                "allowAccounts" => self.accounts(node),
                other => {
                    let other = other.to_owned();
                    self.mistake(node.range().start, format!("unknown element <{other}> in <net.tcp>"));
                }
            }
        }
    }

    /// An attribute of `<net.tcp>`.
    fn setting(&mut self, attribute: Attribute<'d, 'x>) -> Result<(), String> {
        let value = attribute.value();
        let from = format!(
            "{} = {} (line {})",
            attribute.name(),
            printable(value),
            self.line(attribute.range().start)
        );
        match attribute.name() {
            "listenBacklog" => {
                number(value)?;
                self.comment(&format!("{from}: it is 4096 here; the system's net.core.somaxconn bounds it."));
            }
            "maxPendingAccepts" => {
                number(value)?;
                self.comment(&format!("{from}: no counterpart; the broker accepts all that wait."));
            }
            // The second is its name in .NET 3.0.
            "maxPendingConnections" | "maxConnectionsPendingDispatch" => match number(value)? {
                0 => {
                    return Err(
                        "with 0 no connection would ever be taken; leave it out, or write 100".to_owned()
                    );
                }
                most if most > MOST => {
                    self.set("max_pending_connections", MOST, &format!("{from}; the most here"));
                }
                most => self.set("max_pending_connections", most, &from),
            },
            "receiveTimeout" => match time(value)? {
                Some(time) if time < Duration::from_millis(1) => {
                    return Err(
                        "no preamble would be quick enough; leave it out, or write 00:00:30".to_owned()
                    );
                }
                Some(time) if time <= LONGEST => {
                    self.set("receive_timeout_seconds", time.as_secs_f64(), &from)
                }
                _ => self.set(
                    "receive_timeout_seconds",
                    LONGEST.as_secs(),
                    &format!("{from}; the longest here"),
                ),
            },
            "teredoEnabled" => {
                let what = if truth(value)? { "Linux has no Teredo of its own." } else { "as here." };
                self.comment(&format!("{from}: {what}"));
            }
            name => {
                let known = [
                    "listenBacklog",
                    "maxPendingAccepts",
                    "maxPendingConnections",
                    "receiveTimeout",
                    "teredoEnabled",
                ];
                let nearest =
                    known.iter().min_by_key(|known| levenshtein(&known.to_lowercase(), &name.to_lowercase()));
                return Err(format!("there is no such setting; did you mean {}?", nearest.unwrap_or(&"")));
            }
        }
        Ok(())
    }

    /// Who may register.
    fn accounts(&mut self, accounts: Node<'d, 'x>) {
        let line = self.line(accounts.range().start);
        self.toml.push('\n');
        self.comment(&format!(
            "allowAccounts (line {line}), who may register: here the broker's own user, root, and members of one group. \
             Make it (groupadd --system net-tcp) and take the # away:"
        ));
        self.comment("control_group = \"net-tcp\"");
        for entry in accounts.children().filter(Node::is_element) {
            let action = entry.tag_name().name();
            let identifier = entry.attribute("securityIdentifier").unwrap_or_default();
            match (action, account(identifier)) {
                ("clear", _) => {}
                ("add" | "remove", Err(message)) => {
                    let what = printable(identifier);
                    self.mistake(entry.range().start, format!("securityIdentifier is \"{what}\": {message}"));
                }
                ("add", Ok(known)) => {
                    let (name, here) = known.unwrap_or(("an account of that Windows", MEMBER));
                    self.comment(&format!("  {}, {name}: {here}", printable(identifier.trim())));
                }
                ("remove", Ok(_)) => self.comment(&format!("  {}: removed", printable(identifier.trim()))),
                (other, _) => {
                    let message = format!("unknown element <{}> in <allowAccounts>", printable(other));
                    self.mistake(entry.range().start, message);
                }
            }
        }
    }

    fn set(&mut self, key: &str, value: impl std::fmt::Display, from: &str) {
        let _ = writeln!(self.toml, "{key} = {value}  # {from}");
    }

    fn comment(&mut self, words: &str) {
        let _ = writeln!(self.toml, "# {words}");
    }

    fn line(&self, at: usize) -> u32 {
        self.document.text_pos_at(at).row
    }

    fn mistake(&mut self, at: usize, message: String) {
        let place = self.document.text_pos_at(at);
        self.mistakes.push(Mistake { line: place.row, column: place.col, message });
    }
}

fn child<'d, 'x>(node: Node<'d, 'x>, name: &str) -> Option<Node<'d, 'x>> {
    node.children().find(|child| child.tag_name().name() == name)
}

/// The examples of Microsoft's documentation have comments in the middle of a tag, which no parser takes.
fn not_xml(text: &str, error: &roxmltree::Error) -> String {
    let line = usize::try_from(error.pos().row).unwrap_or_default().saturating_sub(1);
    let rest = text.lines().nth(line).unwrap_or_default();
    let rest: String =
        rest.chars().skip(usize::try_from(error.pos().col).unwrap_or_default().saturating_sub(1)).collect();
    let hint = if rest.trim_start().starts_with("<!--") {
        "; a comment may not stand inside a tag: move it in front of the tag"
    } else {
        ""
    };
    format!("not XML: {error}{hint}")
}
