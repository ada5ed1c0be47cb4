//! The names of SOAP and WS-Addressing, and their ids in the static dictionary.

use crate::dictionary::StaticString;

/// The namespace of SOAP 1.1.
pub const SOAP_11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
/// The namespace of SOAP 1.2.
pub const SOAP_12: &str = "http://www.w3.org/2003/05/soap-envelope";
/// The namespace of WS-Addressing 1.0.
pub const ADDRESSING: &str = "http://www.w3.org/2005/08/addressing";
/// The address of whoever sent the message: the other end of the session.
pub const ANONYMOUS: &str = "http://www.w3.org/2005/08/addressing/anonymous";
/// The address that nothing is sent to: a message to be answered there wants no answer.
pub const NO_ADDRESS: &str = "http://www.w3.org/2005/08/addressing/none";
/// What a reply is to the message that it relates to.
pub(super) const REPLY_RELATIONSHIP: &str = "http://www.w3.org/2005/08/addressing/reply";
/// The action of a fault that the application means ([WS-Addressing 1.0 SOAP binding] section 6).
pub const FAULT_ACTION: &str = "http://www.w3.org/2005/08/addressing/soap/fault";
/// The action of a fault that WS-Addressing itself knows.
pub(super) const ADDRESSING_FAULT_ACTION: &str = "http://www.w3.org/2005/08/addressing/fault";
/// The action of a fault that WCF's dispatcher gives when the application has failed.
pub(super) const DISPATCHER_FAULT_ACTION: &str =
    "http://schemas.microsoft.com/net/2005/12/windowscommunicationfoundation/dispatcher/fault";
/// The namespace of the fault codes that WCF's dispatcher gives.
pub const DISPATCHER: &str =
    "http://schemas.microsoft.com/net/2005/12/windowscommunicationfoundation/dispatcher";
/// The namespace of `nil` and `type`, attributes of any element ([XML Schema Part 1] section 2.6).
pub const SCHEMA_INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// Where WCF puts action and address if a binding has no WS-Addressing.
pub(super) const NO_ADDRESSING: &str = "http://schemas.microsoft.com/ws/2005/05/addressing/none";

macro_rules! static_strings {
    ($($name:ident = $id:literal;)*) => {
        $(pub(super) const $name: StaticString = StaticString::known($id);)*
    };
}

static_strings! {
    MUST_UNDERSTAND = 0;
    ENVELOPE = 2;
    SOAP_12_STRING = 4;
    ADDRESSING_STRING = 6;
    HEADER = 8;
    ACTION = 10;
    TO = 12;
    BODY = 14;
    RELATES_TO = 18;
    ANONYMOUS_STRING = 20;
    MESSAGE_ID = 26;
    ADDRESS = 42;
    REPLY_TO = 44;
    FAULT = 134;
    CODE = 142;
    REASON = 144;
    TEXT = 146;
    DETAIL = 152;
    VALUE = 154;
    SUBCODE = 156;
    NO_ADDRESSING_STRING = 878;
    SCHEMA_INSTANCE_STRING = 882;
    NIL = 886;
    SOAP_11_STRING = 962;
    FAULT_CODE = 966;
    FAULT_STRING = 968;
    FAULT_DETAIL = 972;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_are_those_of_the_names() {
        for (string, name) in [
            (MUST_UNDERSTAND, "mustUnderstand"),
            (ENVELOPE, "Envelope"),
            (SOAP_12_STRING, SOAP_12),
            (ADDRESSING_STRING, ADDRESSING),
            (HEADER, "Header"),
            (ACTION, "Action"),
            (TO, "To"),
            (BODY, "Body"),
            (RELATES_TO, "RelatesTo"),
            (ANONYMOUS_STRING, ANONYMOUS),
            (MESSAGE_ID, "MessageID"),
            (ADDRESS, "Address"),
            (REPLY_TO, "ReplyTo"),
            (FAULT, "Fault"),
            (CODE, "Code"),
            (REASON, "Reason"),
            (TEXT, "Text"),
            (DETAIL, "Detail"),
            (VALUE, "Value"),
            (SUBCODE, "Subcode"),
            (NO_ADDRESSING_STRING, NO_ADDRESSING),
            (SCHEMA_INSTANCE_STRING, SCHEMA_INSTANCE),
            (NIL, "nil"),
            (SOAP_11_STRING, SOAP_11),
            (FAULT_CODE, "faultcode"),
            (FAULT_STRING, "faultstring"),
            (FAULT_DETAIL, "detail"),
        ] {
            assert_eq!(string.as_str(), name);
        }
    }
}
