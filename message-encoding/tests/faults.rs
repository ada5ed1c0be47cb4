//! Faults: what a client reads of them, and what an envelope that is refused is answered.

use message_encoding::Quotas;
use message_encoding::envelope::{
    ADDRESSING, Code, DISPATCHER, DecodeError, Decoder, Element, Encoder, FAULT_ACTION, MessageEncoding,
    MessageFault, Outgoing, SOAP_11, SOAP_12, SoapVersion,
};

fn reply(encoding: MessageEncoding, octets: &[u8]) -> MessageFault {
    let mut decoder = Decoder::new(encoding, Quotas::DEFAULT);
    decoder.decode(octets).unwrap().reply().unwrap().unwrap_err()
}

/// The fault that an envelope with this content of a fault is.
fn fault(soap: SoapVersion, content: &str) -> MessageFault {
    let (namespace, encoding) = match soap {
        SoapVersion::Soap11 => (SOAP_11, MessageEncoding::Soap11Utf8),
        SoapVersion::Soap12 => (SOAP_12, MessageEncoding::Soap12Utf8),
    };
    let text = format!(
        "<s:Envelope xmlns:s='{namespace}'><s:Body><s:Fault>{content}</s:Fault></s:Body></s:Envelope>"
    );
    reply(encoding, text.as_bytes())
}

fn subcode(namespace: &str, name: &str) -> Option<(String, String)> {
    Some((namespace.to_owned(), name.to_owned()))
}

#[test]
fn a_fault_is_read_as_it_was_written() {
    let detail = Element::new("urn:shop", "OutOfStock").child("Left", "two");
    for encoding in MessageEncoding::ALL {
        for code in [Code::Sender, Code::Receiver, Code::MustUnderstand, Code::VersionMismatch] {
            let mut fault = MessageFault::sender("no");
            fault.code = code;
            for mut fault in [
                fault.clone(),
                fault.clone().with_subcode("urn:s", "Sub"),
                fault.clone().with_detail(detail.clone()),
                fault.clone().with_subcode(DISPATCHER, "Sub").with_detail(detail.clone()),
                fault.with_action("urn:shop/Fault"),
            ] {
                let mut octets = Vec::new();
                let message = Outgoing::refusal(fault.clone());
                Encoder::new(encoding, Quotas::DEFAULT).encode(&message, &mut octets).unwrap();
                if encoding.soap() == SoapVersion::Soap11 && fault.subcode.is_some() {
                    fault.code = Code::Other; // the one code is that
                }
                assert_eq!(reply(encoding, &octets), fault, "{encoding:?}");
            }
        }
    }
}

#[test]
fn the_first_of_several_is_kept() {
    let read = fault(
        SoapVersion::Soap12,
        "<s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value xmlns:p='urn:p'> p:First</s:Value>\
         <s:Subcode><s:Value xmlns:p='urn:p'>p:Second</s:Value></s:Subcode></s:Subcode><s:Other/></s:Code>\
         <s:Reason><s:Text xml:lang='en'>first</s:Text><s:Text xml:lang='de'>zweiter</s:Text></s:Reason>\
         <s:Node>urn:node</s:Node><s:Detail><d>1</d><e>2</e></s:Detail>",
    );
    assert_eq!((read.code, read.subcode.clone()), (Code::Sender, subcode("urn:p", "First")));
    assert_eq!(read.reason, "first");
    assert_eq!(read.detail.as_deref(), Some(&Element::new("", "d").with_value("1".to_owned())));
    let read = fault(
        SoapVersion::Soap11,
        "<faultcode>s:Client</faultcode><faultstring>why</faultstring><faultactor>urn:a</faultactor><detail/>",
    );
    assert_eq!((read.code, read.subcode.clone()), (Code::Sender, None));
    assert_eq!((read.reason.as_str(), read.detail), ("why", None));
}

/// The parts of one version mean nothing in the other.
#[test]
fn each_version_has_parts_of_its_own() {
    let parts = "<s:Code><s:Value>s:Sender</s:Value></s:Code><s:Reason><s:Text>twelve</s:Text></s:Reason>\
                 <s:Detail><twelve/></s:Detail><faultcode>s:Server</faultcode><faultstring>eleven</faultstring>\
                 <detail><eleven/></detail>";
    for (soap, code, word) in
        [(SoapVersion::Soap11, Code::Receiver, "eleven"), (SoapVersion::Soap12, Code::Sender, "twelve")]
    {
        let read = fault(soap, parts);
        assert_eq!((read.code, read.reason.as_str()), (code, word));
        assert_eq!(read.detail.unwrap().name(), word);
    }
}

#[test]
fn who_defines_the_subcode_defines_the_action() {
    let with = |namespace| MessageFault::sender("").with_subcode(namespace, "Sub");
    assert_eq!(MessageFault::sender("").action(), FAULT_ACTION);
    assert_eq!(with("urn:s").action(), FAULT_ACTION);
    assert_eq!(with(ADDRESSING).action(), format!("{ADDRESSING}/fault"));
    assert_eq!(with(DISPATCHER).action(), format!("{DISPATCHER}/fault"));
    assert_eq!(with(DISPATCHER).with_action("urn:a").action(), "urn:a");
}

#[test]
fn what_is_wrong_with_an_envelope_is_a_fault_of_its_sender() {
    let of = |error: DecodeError| MessageFault::from(error);
    let header = Box::new(("urn:h".to_owned(), "Lease".to_owned()));
    let not_understood = of(DecodeError::NotUnderstood(header.clone()));
    assert_eq!((not_understood.code, not_understood.not_understood), (Code::MustUnderstand, Some(header)));
    let repeated = of(DecodeError::RepeatedHeader("To"));
    assert_eq!(
        (repeated.code, repeated.subcode),
        (Code::Sender, subcode(ADDRESSING, "InvalidAddressingHeader"))
    );
    for error in [DecodeError::NotSoap, DecodeError::SoapVersion] {
        assert_eq!((of(error.clone()).code, of(error).subcode), (Code::VersionMismatch, None));
    }
    let broken = of(DecodeError::SessionBroken);
    assert_eq!((broken.code, broken.subcode), (Code::Sender, None));
}
