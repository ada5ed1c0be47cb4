//! Property tests, one for each layer: what is written is read again.

mod support;

use message_encoding::dictionary::Strings;
use message_encoding::envelope::{Decoder, Element, Encoder, MessageEncoding, MessageId, Outgoing, Scalar};
use message_encoding::event::{Event, Reader, ReaderState, Writer};
use message_encoding::record::Records;
use message_encoding::value::{DateTime, DateTimeKind, Decimal, TimeSpan, Uuid};
use message_encoding::{Quotas, Value};
use proptest::collection::vec;
use proptest::prelude::*;

/// A value that borrows from nothing.
#[derive(Clone, Debug)]
enum Owned {
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f32),
    Double(f64),
    Decimal(u128, u8, bool),
    DateTime(u64, usize),
    TimeSpan(i64),
    Uuid([u8; 16]),
    Text(String),
    Bytes(Vec<u8>),
}

impl Owned {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::UInt(value) => Value::UInt(*value),
            Self::Float(value) => Value::Float(*value),
            Self::Double(value) => Value::Double(*value),
            Self::Decimal(mantissa, scale, negative) => {
                Value::Decimal(Decimal::new(mantissa >> 32, scale % 29, *negative).unwrap())
            }
            Self::DateTime(bits, kind) => {
                let kinds = [DateTimeKind::Unspecified, DateTimeKind::Utc, DateTimeKind::Local];
                Value::DateTime(DateTime::new(bits % 3_155_378_976_000_000_000, kinds[*kind]).unwrap())
            }
            Self::TimeSpan(ticks) => Value::TimeSpan(TimeSpan::from_ticks(*ticks)),
            Self::Uuid(octets) => Value::Uuid(Uuid::from_octets(*octets)),
            Self::Text(text) => Value::String(text),
            Self::Bytes(octets) => Value::Bytes(octets),
        }
    }

    fn scalar(&self) -> Scalar {
        match (self, self.value()) {
            (_, Value::Bool(value)) => value.into(),
            (_, Value::Int(value)) => value.into(),
            (_, Value::UInt(value)) => value.into(),
            (_, Value::Float(value)) => value.into(),
            (_, Value::Double(value)) => value.into(),
            (_, Value::Decimal(value)) => value.into(),
            (_, Value::DateTime(value)) => value.into(),
            (_, Value::TimeSpan(value)) => value.into(),
            (_, Value::Uuid(value)) => value.into(),
            (Self::Text(text), _) => text.as_str().into(),
            (Self::Bytes(octets), _) => octets.as_slice().into(),
            (_, other) => panic!("{other:?}"),
        }
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    prop_oneof![
        any::<bool>().prop_map(Owned::Bool),
        any::<i64>().prop_map(Owned::Int),
        (-300..300_i64).prop_map(Owned::Int),
        any::<u64>().prop_map(Owned::UInt),
        any::<f32>().prop_map(Owned::Float),
        any::<f64>().prop_map(Owned::Double),
        any::<(u128, u8, bool)>()
            .prop_map(|(mantissa, scale, negative)| Owned::Decimal(mantissa, scale, negative)),
        (any::<u64>(), 0..3_usize).prop_map(|(bits, kind)| Owned::DateTime(bits, kind)),
        any::<i64>().prop_map(Owned::TimeSpan),
        any::<[u8; 16]>().prop_map(Owned::Uuid),
        "(\\PC|[\r\n\t\u{7F}-\u{9F}\u{2028}]){0,40}".prop_map(Owned::Text),
        vec(any::<u8>(), 0..600).prop_map(Owned::Bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_octets_as_records(octets in vec(any::<u8>(), 0..200)) {
        let mut records = Records::new(&octets);
        let mut again = Vec::new();
        while let Some(Ok(record)) = records.next() {
            record.encode(&mut again);
        }
        prop_assert_eq!(&again[..], &octets[..records.position()]);
    }

    #[test]
    fn values_as_texts_and_attributes(values in vec(owned(), 1..8)) {
        let mut document = Vec::new();
        let mut writer = Writer::new(&mut document, None);
        writer.start("", "r").unwrap();
        for (index, value) in values.iter().enumerate() {
            writer.start("p", format!("e{index}").as_str()).unwrap();
            writer.attribute("", "a", value.value()).unwrap();
            writer.declare("p", "urn:p").unwrap();
            writer.text(value.value()).unwrap();
            writer.end().unwrap();
        }
        writer.end().unwrap();
        let mut state = ReaderState::new();
        let mut reader = Reader::new(&mut state, &document, Strings::STATIC, Quotas::DEFAULT);
        reader.next().unwrap();
        for value in &values {
            let started = matches!(reader.next().unwrap(), Some(Event::Start(_)));
            prop_assert!(started);
            let attribute = reader.attributes().next().unwrap().value;
            same(value.value(), attribute)?;
            match value.value() {
                Value::Bytes(octets) => prop_assert_eq!(&*reader.read_bytes().unwrap(), octets),
                wanted => {
                    let text = reader.read_text().unwrap();
                    same(wanted, Value::from(&*text))?;
                }
            }
        }
    }

    #[test]
    fn messages_in_every_encoding(values in vec(owned(), 1..6), action in "[a-z:/]{1,60}", id in any::<[u8; 16]>()) {
        let mut body = Element::new("urn:body", "Body1");
        for value in &values {
            body = body.child("v", value.scalar());
        }
        for encoding in MessageEncoding::ALL {
            prop_assert!(encoding.known().is_none_or(|number| MessageEncoding::from_known(number) == Some(encoding)));
            let mut encoder = Encoder::new(encoding, Quotas::DEFAULT);
            let mut decoder = Decoder::new(encoding, Quotas::DEFAULT);
            for _ in 0..2 {
                let message_id = MessageId::Uuid(Uuid::from_octets(id));
                let message = Outgoing::request(&action, "net.tcp://host/a", message_id, body.clone());
                let mut out = Vec::new();
                encoder.encode(&message, &mut out).unwrap();
                let mut heard = decoder.decode(&out).unwrap();
                prop_assert_eq!(heard.action(), &action);
                prop_assert_eq!(&heard.headers().message_id, &message.message_id);
                let heard = heard.body().unwrap().unwrap();
                prop_assert_eq!(heard.children().len(), values.len());
                for (child, value) in heard.children().iter().zip(&values) {
                    same_value(value.value(), child.value(), encoding)?;
                }
            }
        }
    }
}

/// A value is what it was, whether it comes typed or as text.
fn same_value(wanted: Value<'_>, read: Value<'_>, encoding: MessageEncoding) -> Result<(), TestCaseError> {
    match wanted {
        Value::Bool(wanted) => prop_assert_eq!(read.to_bool(), Ok(wanted)),
        Value::Int(wanted) => prop_assert_eq!(read.to_i64(), Ok(wanted)),
        Value::UInt(wanted) => prop_assert_eq!(read.to_u64(), Ok(wanted)),
        Value::Float(wanted) if wanted.is_nan() => prop_assert!(read.to_f32().unwrap().is_nan()),
        Value::Double(wanted) if wanted.is_nan() => prop_assert!(read.to_f64().unwrap().is_nan()),
        // .NET's binary writer has no zero with a sign.
        Value::Float(wanted) if encoding.is_binary() => prop_assert_eq!(read.to_f32(), Ok(wanted)),
        Value::Double(wanted) if encoding.is_binary() => prop_assert_eq!(read.to_f64(), Ok(wanted)),
        Value::Float(wanted) => prop_assert_eq!(read.to_f32().map(f32::to_bits), Ok(wanted.to_bits())),
        Value::Double(wanted) => prop_assert_eq!(read.to_f64().map(f64::to_bits), Ok(wanted.to_bits())),
        // Zero has no sign in text: .NET writes none.
        Value::Decimal(wanted) if wanted.mantissa() == 0 => {
            prop_assert_eq!(read.to_decimal().unwrap().to_string(), wanted.to_string());
        }
        Value::Decimal(wanted) => prop_assert_eq!(read.to_decimal(), Ok(wanted)),
        Value::DateTime(wanted) => prop_assert_eq!(read.to_date_time(), Ok(wanted)),
        Value::TimeSpan(wanted) => prop_assert_eq!(read.to_time_span(), Ok(wanted)),
        Value::Uuid(wanted) => prop_assert_eq!(read.to_uuid(), Ok(wanted)),
        Value::Bytes(wanted) => prop_assert_eq!(&*read.to_bytes().unwrap(), wanted),
        wanted => prop_assert_eq!(read.to_text(), wanted.to_text()),
    }
    Ok(())
}

/// A number may come back with other digits, the same number still. A double that is a float is written as one, so that its text has
/// the digits of that.
fn same(wanted: Value<'_>, read: Value<'_>) -> Result<(), TestCaseError> {
    match wanted {
        Value::Float(wanted) if !wanted.is_nan() => prop_assert_eq!(read.to_f32(), Ok(wanted)),
        // Only in a text; what comes typed is the same number.
        Value::Double(wanted)
            if f64::from(wanted as f32) == wanted
                && matches!(read, Value::Chars(_) | Value::String(_) | Value::Unicode(_)) =>
        {
            prop_assert_eq!(read.to_f32().map(f64::from), Ok(wanted));
        }
        Value::Double(wanted) if !wanted.is_nan() => prop_assert_eq!(read.to_f64(), Ok(wanted)),
        wanted => prop_assert_eq!(read.text().unwrap(), wanted.text().unwrap()),
    }
    Ok(())
}
