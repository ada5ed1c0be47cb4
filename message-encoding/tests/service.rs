//! What a service answers: to whom, whatever is wrong with the request, and with which headers. Long: one case after the other.

use message_encoding::Quotas;
use message_encoding::envelope::{
    Addressing, Code, DecodeError, Decoder, Element, EncodeError, Encoder, Header, MessageEncoding,
    MessageFault, MessageId, NO_ADDRESS, Outgoing, Reply, Request, SCHEMA_INSTANCE, SOAP_11, SOAP_12,
    Service, answer,
};

const ID: &str = "urn:uuid:6faed679-8bc4-4507-b9bb-f706ceb26c43";

fn id() -> MessageId<'static> {
    MessageId::from(std::borrow::Cow::Borrowed(ID))
}

/// Says what it was asked, and knows one header and one one-way operation.
struct Echo;

impl Service for Echo {
    fn call(&mut self, request: &Request<'_>) -> Result<Option<Reply>, MessageFault> {
        match request.action() {
            "urn:fail" | "urn:tell-and-fail" => Err(MessageFault::internal()),
            "urn:tell" => Ok(None),
            _ => {
                let headers = request.headers().application.clone();
                let mut reply = Reply::default();
                (reply.body, reply.headers) = (request.body().cloned(), headers);
                Ok(Some(reply))
            }
        }
    }

    fn is_one_way(&self, action: &str) -> bool {
        action.starts_with("urn:tell")
    }

    fn understands(&self, namespace: &str, name: &str) -> bool {
        (namespace, name) == ("urn:known", "Known")
    }
}

/// A text envelope with these headers and this body.
fn envelope(headers: &str, body: &str) -> String {
    format!(
        "<s:Envelope xmlns:s='{SOAP_12}' xmlns:a='http://www.w3.org/2005/08/addressing'><s:Header>{headers}</s:Header>\
         <s:Body>{body}</s:Body></s:Envelope>"
    )
}

fn usual(body: &str) -> String {
    envelope(&format!("<a:Action>urn:echo</a:Action><a:MessageID>{ID}</a:MessageID>"), body)
}

fn ask(encoding: MessageEncoding, octets: &[u8]) -> Option<Outgoing> {
    answer(&mut Decoder::new(encoding, Quotas::DEFAULT), octets, &mut Echo)
}

fn ask_text(text: &str) -> Option<Outgoing> {
    ask(MessageEncoding::Soap12Utf8, text.as_bytes())
}

/// Whatever is wrong with a request, as long as it can be told apart the fault says what it is the answer to.
#[test]
fn a_refused_request_gets_a_fault_that_relates_to_it() {
    let late = format!("<a:MessageID>{ID}</a:MessageID>");
    let long = "x".repeat(9000);
    let texts = [
        usual(&format!("<b>{long}</b>")),
        usual(&"<b>".repeat(40)),
        usual(&("<b>".repeat(40) + &"</b>".repeat(40))),
        usual("<b><?pi?></b>"),
        usual("<b></c>"),
        usual("<p:b/>"),
        usual("<b c='1' c='2'/>"),
        usual("<b>text<c/></b>"),
        usual("</s:Body></s:Envelope><!DOCTYPE b>"),
        usual("<b/>").replace("</s:Header>", "</s:Header><s:Other/>"),
        envelope(&format!("{late}<h s:mustUnderstand='yes'/>"), ""),
        usual("<b/>").replace("<a:Action>", "<a:Action>urn:first</a:Action><a:Action>"),
        // The identity comes behind what is wrong.
        envelope(&format!("<a:Action>{long}</a:Action>{late}"), ""),
        envelope(&format!("<h xmlns='urn:h'>{}{}</h>{late}", "<b>".repeat(40), "</b>".repeat(40)), ""),
        envelope(&format!("<h xmlns='urn:h' b='{}'/>{late}", "y".repeat(5000)), ""),
        usual("<b/>").replace(SOAP_12, SOAP_11),
    ];
    for text in &texts {
        let fault = ask_text(text).unwrap_or_else(|| panic!("{text}"));
        assert!(fault.body.is_err(), "{text}");
        assert_eq!(fault.relates_to, Some(id()), "{text}");
    }
    // An identity that is longer than the quota is not repeated, and one in the body is none.
    let too_long = usual("<b><c></b>").replace(ID, &long);
    let in_body = format!(
        "<s:Envelope xmlns:s='{SOAP_12}' xmlns:a='http://www.w3.org/2005/08/addressing'>\
                           <s:Body><a:MessageID>{ID}</a:MessageID><b></c></s:Body></s:Envelope>"
    );
    for text in [too_long, in_body] {
        let fault = ask_text(&text).unwrap();
        assert_eq!((fault.body.is_err(), fault.relates_to), (true, None), "{text}");
        assert_eq!(fault.addressing, Addressing::Wsa10);
    }
    let plain = "<To xmlns='http://schemas.microsoft.com/ws/2005/05/addressing/none'>net.tcp://h/</To>";
    assert_eq!(ask_text(&envelope(plain, "<b></c>")).unwrap().addressing, Addressing::None);
    let mismatch = ask_text(texts.last().unwrap()).unwrap().body.unwrap_err();
    assert_eq!(mismatch.code, Code::VersionMismatch);

    // Not all of it is text.
    let mut octets = usual("<b>?</b>").into_bytes();
    let at = octets.iter().position(|&octet| octet == b'?').unwrap();
    octets[at] = 0xFF;
    assert_eq!(ask(MessageEncoding::Soap12Utf8, &octets).unwrap().relates_to, Some(id()));

    // Cut short anywhere behind the identity, in text and in binary.
    for encoding in [MessageEncoding::Soap12Utf8, MessageEncoding::Binary, MessageEncoding::BinarySession] {
        let body = Element::new("urn:b", "b").child("c", "text").child("d", 1.5);
        let mut whole = Vec::new();
        Encoder::new(encoding, Quotas::DEFAULT)
            .encode(&Outgoing::request("urn:echo", "net.tcp://h/", id(), body), &mut whole)
            .unwrap();
        for end in whole.len() / 2 + 40..whole.len() {
            let fault = ask(encoding, &whole[..end]).unwrap();
            assert!(fault.body.is_err(), "{encoding:?} {end}");
            assert_eq!(fault.relates_to, Some(id()), "{encoding:?} {end} of {}", whole.len());
        }
        assert_eq!(ask(encoding, &whole).unwrap().action, "urn:echoResponse");
    }
}

/// The strings of an envelope were too many, but they are in the envelope.
#[test]
fn a_string_table_that_is_refused_is_still_read_for_the_identity() {
    let mut encoder = Encoder::new(MessageEncoding::BinarySession, Quotas::MAX);
    let mut decoder = Decoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT);
    let name = "n".repeat(3000);
    for (body, fails) in [(Element::new("urn:b", "b"), false), (Element::new("urn:b", &name), true)] {
        let mut octets = Vec::new();
        let request = Outgoing::request(&format!("urn:echo{fails}"), "net.tcp://h/", id(), body);
        encoder.encode(&request, &mut octets).unwrap();
        let reply = answer(&mut decoder, &octets, &mut Echo).unwrap();
        assert_eq!((reply.body.is_err(), decoder.is_broken()), (fails, fails));
        assert_eq!(reply.relates_to, Some(id()));
    }
}

#[test]
fn who_gets_an_answer() {
    let action = |action: &str| format!("<a:Action>{action}</a:Action>");
    let with_id = format!("<a:MessageID>{ID}</a:MessageID>");
    let relates = format!("<a:RelatesTo>{ID}</a:RelatesTo>");
    let none = format!("<a:ReplyTo><a:Address> {NO_ADDRESS}\n</a:Address></a:ReplyTo>");
    for (headers, fault) in [
        (action("urn:echo"), Some(false)),
        (action("urn:fail"), Some(true)),
        (action("urn:echo") + &with_id, Some(false)),
        (action("urn:tell"), None),
        (action("urn:tell-and-fail"), None),
        (action("urn:tell-and-fail") + &with_id, None),
        // An answer, which nobody has asked for, is not answered.
        (action("urn:fail") + &relates, None),
        (action("urn:echo") + &with_id + &none, None),
        (with_id.clone(), Some(false)),
        (String::new(), Some(false)),
    ] {
        let answer = ask_text(&envelope(&headers, "<b/>"));
        assert_eq!(answer.as_ref().map(|answer| answer.body.is_err()), fault, "{headers}");
        if let Some(answer) = answer {
            assert_eq!(answer.relates_to.is_some(), headers.contains("MessageID"), "{headers}");
        }
    }
}

/// In duplex an answer without RelatesTo would be nobody's: WCF faults such a request and does not call.
#[test]
fn a_request_in_duplex_has_an_identity() {
    let action = |action: &str| format!("<a:Action>{action}</a:Action>");
    let with_id = format!("<a:MessageID>{ID}</a:MessageID>");
    let plain = "<Action xmlns='http://schemas.microsoft.com/ws/2005/05/addressing/none'>urn:echo</Action>";
    for (headers, duplex, called, fault) in [
        (action("urn:echo"), false, true, Some(false)),
        (action("urn:echo"), true, false, Some(true)),
        (String::new(), true, true, Some(false)),
        (plain.to_owned(), true, true, Some(false)),
        (action("urn:echo") + &with_id, true, true, Some(false)),
        (action("urn:tell"), true, true, None),
        // An answer that nobody has asked for is still not answered.
        (action("urn:echo") + &with_id.replace("MessageID", "RelatesTo"), true, false, None),
    ] {
        let mut calls = Counted(0);
        let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
        if duplex {
            decoder = decoder.in_duplex();
        }
        let answer = answer(&mut decoder, envelope(&headers, "<b/>").as_bytes(), &mut calls);
        assert_eq!(answer.as_ref().map(|answer| answer.body.is_err()), fault, "{headers} {duplex}");
        assert_eq!(calls.0 == 1, called, "{headers} {duplex}");
        if let Some(Err(fault)) = answer.map(|answer| answer.body) {
            assert_eq!((fault.code, &fault.subcode), (Code::Receiver, &MessageFault::internal().subcode));
            assert!(fault.reason.starts_with("the request has no MessageID, "), "{fault}");
        }
    }
    assert!(Decoder::new(MessageEncoding::BinarySession, Quotas::DEFAULT).is_duplex());
    assert!(!Decoder::new(MessageEncoding::Binary, Quotas::DEFAULT).is_duplex());
}

/// [`Echo`] that counts its calls.
struct Counted(usize);

impl Service for Counted {
    fn call(&mut self, request: &Request<'_>) -> Result<Option<Reply>, MessageFault> {
        self.0 += 1;
        Echo.call(request)
    }

    fn is_one_way(&self, action: &str) -> bool {
        Echo.is_one_way(action)
    }
}

#[test]
fn header_values_are_uris_without_the_space_around_them() {
    let headers = "<a:Action>\n urn:echo\t</a:Action><a:To> net.tcp://h/ </a:To><a:MessageID> urn:1 </a:MessageID>\
                   <a:ReplyTo><a:Address>\r\nnet.tcp://client/ </a:Address></a:ReplyTo>";
    for uri in ["urn:echo", " urn:echo", "urn:echo\n", "urn:<!-- -->echo ", "\turn:<!-- -->echo"] {
        let text = envelope(&format!("<a:Action>{uri}</a:Action>"), "");
        let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
        assert_eq!(decoder.decode(text.as_bytes()).unwrap().action(), "urn:echo");
    }
    let text = envelope(headers, "");
    let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
    let heard = decoder.decode(text.as_bytes()).unwrap();
    assert_eq!((heard.action(), heard.headers().to.as_deref()), ("urn:echo", Some("net.tcp://h/")));
    let reply = ask_text(&text).unwrap();
    assert_eq!((reply.action.as_str(), reply.to.as_deref()), ("urn:echoResponse", Some("net.tcp://client/")));
    assert_eq!(reply.relates_to.unwrap().to_string(), "urn:1");
}

#[test]
fn an_identity_is_repeated_as_it_is() {
    for id in [
        ID.to_uppercase().replace("URN:UUID", "urn:uuid"),
        ID.replace("6faed", "6FAED"),
        "uuid:1".into(),
        ID.into(),
    ] {
        let text = usual("<b/>").replace(ID, &id);
        let reply = ask_text(&text).unwrap();
        let mut octets = Vec::new();
        Encoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT).encode(&reply, &mut octets).unwrap();
        let written = String::from_utf8(octets).unwrap();
        assert!(written.contains(&format!(">{id}</a:RelatesTo>")), "{written}");
    }
    let upper = MessageId::Other(ID.replace("6faed", "6FAED").into());
    assert_eq!(upper, id(), "one GUID");
    assert_ne!(MessageId::Other("urn:1".into()), MessageId::Other("urn:2".into()));
}

#[test]
fn what_may_be_there_once_is_there_once() {
    let read = |headers: &str| {
        let text = envelope(headers, "");
        let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
        decoder
            .decode(text.as_bytes())
            .map(|heard| heard.headers().relates_to.as_ref().map(ToString::to_string))
    };
    for name in ["Action", "To", "MessageID", "RelatesTo"] {
        let twice = format!("<a:{name}>urn:1</a:{name}>").repeat(2);
        assert_eq!(read(&twice), Err(DecodeError::RepeatedHeader(name)));
        // One of them is for somebody else.
        let role = twice.replacen('>', &format!(" s:role='{SOAP_12}/role/none'>"), 1);
        assert!(read(&role).is_ok(), "{role}");
    }
    let reply_to = "<a:ReplyTo><a:Address>urn:1</a:Address></a:ReplyTo>".repeat(2);
    assert_eq!(read(&reply_to), Err(DecodeError::RepeatedHeader("ReplyTo")));
    let relationships =
        "<a:RelatesTo RelationshipType='urn:other'>urn:1</a:RelatesTo><a:RelatesTo>urn:2</a:RelatesTo>";
    assert_eq!(read(relationships), Ok(Some("urn:2".into())));
}

/// Without WS-Addressing a request has its action, whether or not it says where it goes, and an answer has neither.
#[test]
fn plain_requests_have_their_action() {
    let body = || Element::new("urn:b", "b");
    for to in [None, Some("net.tcp://h/".to_owned())] {
        let mut request = Outgoing::new("urn:echo", body());
        (request.addressing, request.to) = (Addressing::None, to.clone());
        for encoding in MessageEncoding::ALL {
            let mut octets = Vec::new();
            Encoder::new(encoding, Quotas::DEFAULT).encode(&request, &mut octets).unwrap();
            let mut decoder = Decoder::new(encoding, Quotas::DEFAULT);
            let heard = decoder.decode(&octets).unwrap();
            assert_eq!((heard.action(), heard.headers().to.as_deref()), ("urn:echo", to.as_deref()));
            let reply = ask(encoding, &octets).unwrap();
            octets.clear();
            Encoder::new(encoding, Quotas::DEFAULT).encode(&reply, &mut octets).unwrap();
            let mut decoder = Decoder::new(encoding, Quotas::DEFAULT);
            let mut heard = decoder.decode(&octets).unwrap();
            assert_eq!(heard.action(), "");
            assert_eq!(heard.body().unwrap(), Some(body()));
        }
    }
}

#[test]
fn headers_of_the_application_in_every_encoding() {
    let known = Element::new("urn:known", "Known")
        .child("Who", "me")
        .child("When", 7)
        .with_attribute("urn:x", "x", true);
    let other = Element::new("urn:other", "Other").with_value("text");
    for (encoding, addressing) in MessageEncoding::ALL
        .iter()
        .flat_map(|&encoding| [(encoding, Addressing::Wsa10), (encoding, Addressing::None)])
    {
        let mut request = Outgoing::request("urn:echo", "net.tcp://h/", id(), Element::new("", "b"));
        request.addressing = addressing;
        request.headers = vec![Header::new(other.clone()), Header::new(known.clone()).must_be_understood()];
        let mut octets = Vec::new();
        Encoder::new(encoding, Quotas::DEFAULT).encode(&request, &mut octets).unwrap();
        let reply = ask(encoding, &octets).unwrap();
        assert_eq!(reply.headers.len(), 2);
        for (heard, said) in reply.headers.iter().zip(&request.headers) {
            assert_eq!(heard.must_understand, said.must_understand);
            assert_eq!(heard.element.to_texts(), said.element.to_texts());
        }
    }
}

trait Texts {
    fn to_texts(&self) -> String;
}

impl Texts for Element {
    /// All that there is to see of it.
    fn to_texts(&self) -> String {
        let attributes = self
            .attributes()
            .map(|(namespace, name, value)| format!("{{{namespace}}}{name}={}", value.text().unwrap()));
        let children = self.children().iter().map(Self::to_texts);
        let inside = attributes.chain(children).collect::<Vec<_>>().join(" ");
        format!("{{{}}}{}({inside} {})", self.namespace(), self.name(), self.value().text().unwrap())
    }
}

#[test]
fn a_header_that_must_be_understood_is_understood_or_refused() {
    let ask = |header: &str| {
        let headers = format!("<a:Action>urn:echo</a:Action><a:MessageID>{ID}</a:MessageID>{header}");
        ask_text(&envelope(&headers, "<b/>")).unwrap()
    };
    assert!(ask("<k:Known xmlns:k='urn:known' s:mustUnderstand='true'/>").body.is_ok());
    assert!(ask("<k:Known xmlns:k='urn:unknown'/>").body.is_ok());
    // Text beside elements cannot be read as a tree, and need not.
    let mixed = ask(
        "<h xmlns='urn:h'>a<b>c<d/></b><e/></h><k:Known xmlns:k='urn:known' s:mustUnderstand='1'>me</k:Known>",
    );
    assert_eq!(mixed.headers.len(), 1, "{mixed:?}");
    for header in [
        "<k:Known xmlns:k='urn:unknown' s:mustUnderstand='1'/>",
        "<k:Known xmlns:k='urn:unknown' s:mustUnderstand='1'>a<b/></k:Known>",
    ] {
        let refused = ask(header);
        assert_eq!(
            (refused.action.as_str(), &refused.relates_to),
            ("http://www.w3.org/2005/08/addressing/soap/fault", &Some(id()))
        );
        let mut octets = Vec::new();
        Encoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT).encode(&refused, &mut octets).unwrap();
        let written = String::from_utf8(octets).unwrap();
        assert!(
            written.contains("<s:NotUnderstood qname=\"h:Known\" xmlns:h=\"urn:unknown\"/></s:Header>"),
            "{written}"
        );
        let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
        let fault = decoder.decode(written.as_bytes()).unwrap().reply().unwrap().unwrap_err();
        assert_eq!(fault.code, Code::MustUnderstand);
    }
}

/// A null of .NET's is something else than an empty text, and neither is a value.
#[test]
fn nil_is_no_value() {
    let element =
        Element::new("urn:b", "b").with_child(Element::new("urn:b", "null").nil()).child("empty", "");
    for encoding in MessageEncoding::ALL {
        let mut octets = Vec::new();
        let request = Outgoing::request("urn:echo", "net.tcp://h/", id(), element.clone());
        Encoder::new(encoding, Quotas::DEFAULT).encode(&request, &mut octets).unwrap();
        let mut decoder = Decoder::new(encoding, Quotas::DEFAULT);
        let body = decoder.decode(&octets).unwrap().body().unwrap().unwrap();
        let [null, empty] = ["null", "empty"].map(|name| body.find(name).unwrap());
        assert_eq!((null.is_nil(), empty.is_nil()), (true, false), "{encoding:?}");
        assert_eq!((body.member("null"), body.member("empty")), (None, Some(empty)), "{encoding:?}");
        let wrong = |name| body.required_member(name).map_err(|fault| fault.reason);
        assert_eq!(wrong("null"), Err("the element 'null' is nil".into()));
        assert_eq!(wrong("other"), Err("the element 'other' is missing".into()));
    }
    let not = usual(&format!("<b xmlns:i='{SCHEMA_INSTANCE}' i:nil='false'/>"));
    let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
    assert!(!decoder.decode(not.as_bytes()).unwrap().body().unwrap().unwrap().is_nil());
}

/// As the framing of .NET calls them, and as its text encoder does.
#[test]
fn content_types_are_those_of_dotnet() {
    for (content_type, encoding) in [
        ("text/xml; charset=utf-8", MessageEncoding::Soap11Utf8),
        ("text/xml; charset=utf16", MessageEncoding::Soap11Utf16),
        ("text/xml; charset=utf-16LE", MessageEncoding::Soap11Utf16),
        ("text/xml; charset=unicodeFFFE", MessageEncoding::Soap11Utf16Le),
        ("text/xml; charset=utf-16BE", MessageEncoding::Soap11Utf16Be),
        ("application/soap+xml; charset=utf-8", MessageEncoding::Soap12Utf8),
        ("application/soap+xml; charset=utf16", MessageEncoding::Soap12Utf16),
        ("application/soap+xml; charset=utf-16LE", MessageEncoding::Soap12Utf16),
        ("application/soap+xml; charset=unicodeFFFE", MessageEncoding::Soap12Utf16Le),
        ("application/soap+xml; charset=utf-16BE", MessageEncoding::Soap12Utf16Be),
        ("application/soap+msbin1", MessageEncoding::Binary),
        ("application/soap+msbinsession1", MessageEncoding::BinarySession),
    ] {
        for content_type in [content_type.to_owned(), content_type.to_uppercase()] {
            assert_eq!(MessageEncoding::from_content_type(&content_type), Some(encoding), "{content_type}");
        }
    }
    assert_eq!(MessageEncoding::from_content_type("text/plain"), None);
}

/// A fault that cannot be written as it is meant, and one with an action of its own.
#[test]
fn a_fault_has_its_action() {
    let typed = MessageFault::sender("no").with_detail(Element::new("urn:d", "D")).with_action("urn:DFault");
    let mut service = |_: &Request<'_>| Err::<Option<Reply>, _>(typed.clone());
    let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
    let reply = answer(&mut decoder, usual("").as_bytes(), &mut service).unwrap();
    assert_eq!(reply.action, "urn:DFault");
    let mut octets = Vec::new();
    Encoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT).encode(&reply, &mut octets).unwrap();
    assert_eq!(decoder.decode(&octets).unwrap().reply().unwrap().unwrap_err(), typed);

    let mut unwritable = reply;
    unwritable.body = Ok(Some(Element::new("", "no name")));
    let mut encoder = Encoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
    assert_eq!(encoder.encode(&unwritable, &mut octets), Err(EncodeError::Name));
    let instead = unwritable.with_fault(MessageFault::internal());
    assert_eq!(
        (instead.action.as_str(), &instead.relates_to),
        (MessageFault::internal().action(), &Some(id()))
    );
    octets.clear();
    encoder.encode(&instead, &mut octets).unwrap();
}
