//! A small tree of XML elements, as much as a SOAP 1.2 envelope may hold: elements, attributes and text.

use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

/// The deepest nesting that is read, in elements: WCF's own reader quota. It also keeps recursion over a tree short.
const MAX_DEPTH: usize = 32;

/// An element with its children and its text. Text between children is joined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Namespace, empty for none.
    pub namespace: String,
    /// Local name.
    pub name: String,
    /// Attributes except namespace declarations: namespace, local name, value.
    pub attributes: Vec<(String, String, String)>,
    /// Child elements in the order of the document.
    pub children: Vec<Self>,
    /// All text directly inside the element.
    pub text: String,
}

impl Element {
    /// An element without content.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into(), ..Self::default() }
    }

    /// An element in `namespace` that holds `text`.
    pub fn with_text(namespace: &str, name: &str, text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::new(namespace, name) }
    }

    /// The first child of that name.
    pub fn child(&self, namespace: &str, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.is(namespace, name))
    }

    /// Whether this element has that namespace and local name.
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }

    /// The value of an attribute.
    pub fn attribute(&self, namespace: &str, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(ns, local, _)| ns == namespace && local == name);
        found.map(|(_, _, value)| value.as_str())
    }

    /// Reads one document.
    ///
    /// # Errors
    /// A text that says what is wrong with it: not well-formed, nested deeper than 32 elements, or with a document type
    /// declaration or a processing instruction, which SOAP 1.2 (part 1, section 5) does not allow.
    pub fn parse(document: &str) -> Result<Self, String> {
        let mut reader = NsReader::from_str(document);
        reader.config_mut().expand_empty_elements = true;
        let mut open: Vec<Self> = Vec::new();
        let mut root = None;
        loop {
            let event = reader.read_event().map_err(|error| error.to_string())?;
            match event {
                Event::Start(_) if root.is_some() => return Err("more than one root element".into()),
                Event::Start(_) if open.len() == MAX_DEPTH => {
                    return Err(format!("nested deeper than {MAX_DEPTH} elements"));
                }
                Event::Start(start) => open.push(Self::open(&reader, &start)?),
                Event::End(_) => {
                    let Some(done) = open.pop() else { return Err("end tag without a start".into()) };
                    match open.last_mut() {
                        Some(parent) => parent.children.push(done),
                        None => root = Some(done),
                    }
                }
                Event::Text(text) => add_text(&mut open, &text.xml10_content())?,
                Event::CData(text) => add_text(&mut open, &text.xml10_content())?,
                Event::GeneralRef(reference) => {
                    add_text(&mut open, resolve(&reference)?.encode_utf8(&mut [0; 4]))?
                }
                Event::Comment(_) | Event::Decl(_) => {}
                Event::DocType(_) => {
                    return Err("a SOAP message may not hold a document type declaration".into());
                }
                Event::PI(_) => return Err("a SOAP message may not hold a processing instruction".into()),
                Event::Empty(_) => return Err("empty element was not expanded".into()),
                Event::Eof if !open.is_empty() => return Err("the document ends inside an element".into()),
                Event::Eof => return root.ok_or_else(|| "no root element".into()),
            }
        }
    }

    fn open(reader: &NsReader<&[u8]>, start: &BytesStart<'_>) -> Result<Self, String> {
        let (namespace, name) = reader.resolver().resolve_element(start.name());
        let mut element = Self::new(&namespace_of(namespace)?, name.as_ref());
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| error.to_string())?;
            if attribute.key.as_namespace_binding().is_some() {
                continue;
            }
            let (namespace, name) = reader.resolver().resolve_attribute(attribute.key);
            let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0);
            let value = value.map_err(|error| error.to_string())?;
            element.attributes.push((namespace_of(namespace)?, name.as_ref().into(), value.into_owned()));
        }
        Ok(element)
    }
}

fn add_text(open: &mut [Element], text: &str) -> Result<(), String> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim_start_matches('\u{feff}').trim().is_empty() => {}
        None => return Err("text outside the root element".into()),
    }
    Ok(())
}

fn namespace_of(resolved: ResolveResult<'_>) -> Result<String, String> {
    match resolved {
        ResolveResult::Bound(namespace) => Ok(namespace.as_ref().into()),
        ResolveResult::Unbound => Ok(String::new()),
        ResolveResult::Unknown(prefix) => Err(format!("undeclared namespace prefix {prefix:?}")),
    }
}

fn resolve(reference: &BytesRef<'_>) -> Result<char, String> {
    if let Some(character) = reference.resolve_char_ref().map_err(|error| error.to_string())? {
        return Ok(character);
    }
    match &**reference {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        other => Err(format!("unknown entity {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_text_and_references() {
        let root = Element::parse(
            "\u{feff}<?xml version=\"1.0\"?>\n<a:r xmlns:a='u:a' xmlns='u:d' a:k='1&lt;2'>x&amp;<b>1<![CDATA[<2>]]>&#x33;</b>y<c xmlns=''/></a:r>",
        )
        .unwrap();
        assert!(root.is("u:a", "r"));
        assert_eq!(root.attribute("u:a", "k"), Some("1<2"));
        assert_eq!(root.text, "x&y");
        assert_eq!(root.child("u:d", "b").unwrap().text, "1<2>3");
        assert!(root.child("", "c").is_some());
    }

    #[test]
    fn refusals() {
        let deep = "<a>".repeat(33) + &"</a>".repeat(33);
        for (document, why) in [
            ("", "no root element"),
            ("<a>", "ends inside"),
            ("<a></b>", "b"),
            ("<a/><b/>", "more than one root"),
            ("<a/>x", "outside"),
            ("<!DOCTYPE a><a/>", "document type"),
            ("<?x y?><a/>", "processing instruction"),
            ("<a>&nope;</a>", "unknown entity"),
            ("<p:a/>", "prefix"),
            ("<a x='1' x='2'/>", "uplicat"),
            (deep.as_str(), "deeper"),
        ] {
            let refused = Element::parse(document).expect_err(document);
            assert!(refused.contains(why), "{document}: {refused}");
        }
    }
}
