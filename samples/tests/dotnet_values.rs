//! Values there and back between Microsoft's WCF client and a service of ours, bit by bit, and envelopes of ours that .NET reads.

mod common;

use common::{DotNet, Process, free_port, sample, serve};
use message_encoding::envelope::{Element, Encoder, MessageEncoding, MessageFault, Outgoing, Reply, Request};
use message_encoding::value::{DateTime, DateTimeKind, Decimal, TimeSpan, Uuid};
use message_encoding::{Quotas, Value};

const NAMESPACE: &str = "http://interop.example/2024";
const ARRAYS: &str = "http://schemas.microsoft.com/2003/10/Serialization/Arrays";

/// The ways in which the client opens sessions.
const WAYS: [&[&str]; 4] = [
    &[],
    &["--mode", "streamed"],
    &["--encoding", "text12"],
    &["--encoding", "text12", "--mode", "streamed"],
];

fn client(dotnet: &DotNet, address: &str, contract: &str, way: &[&str]) {
    let mut client = dotnet.client();
    // The clock of the client is not that of the service.
    client.env("TZ", "Asia/Kolkata").args(["--address", address, "--contract", contract]).args(way);
    let (status, said, errors) = Process::start(&mut client).finish();
    assert!(status.success(), "{contract} {way:?}: {said:#?} {errors:#?}");
}

#[test]
fn pairs_of_doubles_through_the_calculator() {
    let Some(dotnet) = DotNet::found() else { return };
    let port = free_port().to_string();
    let mut service = sample("calculator-service");
    let service = Process::start(service.args(["--port", &port, "--number", "1", "--no-port-sharing"]));
    service.expect("Press");
    for way in WAYS {
        client(&dotnet, &format!("net.tcp://localhost:{port}/calculator/1"), "doubles", way);
    }
}

/// Every encoding that the client has: Unicode has no number in the framing, it goes by its content type.
#[test]
fn the_calculator_in_every_encoding() {
    let Some(dotnet) = DotNet::found() else { return };
    let port = free_port().to_string();
    let mut service = sample("calculator-service");
    let service = Process::start(service.args(["--port", &port, "--number", "1", "--no-port-sharing"]));
    service.expect("Press");
    for encoding in ["text11", "text12", "text12-unicode", "text12-bigendian"] {
        client(
            &dotnet,
            &format!("net.tcp://localhost:{port}/calculator/1"),
            "calc",
            &["--encoding", encoding],
        );
    }
}

#[test]
fn every_primitive_of_the_data_contract_serialiser() {
    let Some(dotnet) = DotNet::found() else { return };
    let address = format!("net.tcp://localhost:{}/values", free_port());
    let _service = serve(&address, Quotas::MAX, echo);
    for way in WAYS {
        client(&dotnet, &address, "values", way);
    }
}

/// An operation that gives back what it gets: read as its type says, and written of that.
fn echo(request: &Request<'_>) -> Result<Option<Reply>, MessageFault> {
    let name = request.action().rsplit('/').next().unwrap();
    let value = request.body_named(NAMESPACE, name)?.find("v").unwrap();
    let result = Element::new(NAMESPACE, &format!("{name}Result"));
    let result = match (value.is_nil(), name.strip_suffix("Array")) {
        (true, _) => result.nil(),
        (_, Some(item_type)) => value.children().iter().try_fold(result, |result, item| {
            let again = Element::new(item.namespace(), item.name());
            Ok::<_, MessageFault>(result.with_child(if item.is_nil() {
                again.nil()
            } else {
                of_type(item_type, item, again)?
            }))
        })?,
        _ => of_type(name, value, result)?,
    };
    Ok(Some(Element::new(NAMESPACE, &format!("{name}Response")).with_child(result).into()))
}

/// `again` with the value of `element`, which is of this type of .NET's.
fn of_type(name: &str, element: &Element, again: Element) -> Result<Element, MessageFault> {
    let value = element.value();
    Ok(match name {
        "String" => again.with_value(value.to_text()?),
        "Boolean" => again.with_value(value.to_bool()?),
        "UInt64" => again.with_value(value.to_u64()?),
        "Single" => again.with_value(value.to_f32()?),
        "Double" => again.with_value(value.to_f64()?),
        "Decimal" => again.with_value(value.to_decimal()?),
        "DateTime" => again.with_value(value.to_date_time()?),
        "TimeSpan" => again.with_value(value.to_time_span()?),
        "Guid" => again.with_value(value.to_uuid()?),
        "Bytes" => again.with_value(&*value.to_bytes()?),
        // All other integers, and a Char, which is its number.
        _ => again.with_value(value.to_i64()?),
    })
}

/// What our client would send, in every type, and how the DataContract serialiser understands it.
#[test]
fn net_reads_what_we_write() {
    let Some(dotnet) = DotNet::found() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (way, encoding) in [("binary", MessageEncoding::Binary), ("text12", MessageEncoding::Soap12Utf8)] {
        let (body, wanted) = values(encoding.is_binary());
        let id = samples::random::message_id();
        let request = Outgoing::request("urn:values", "net.tcp://localhost/", id, body);
        let mut octets = Vec::new();
        Encoder::new(encoding, Quotas::DEFAULT).encode(&request, &mut octets).unwrap();
        let file = folder.path().join(way);
        std::fs::write(&file, octets).unwrap();
        let mut reader = dotnet.client();
        reader.arg("--read").arg(&file).args(["--encoding", way]);
        let (status, said, errors) = Process::start(&mut reader).finish();
        assert!(status.success(), "{errors:#?}");
        assert_eq!(said[0], "Action urn:values");
        for (said, wanted) in said[1..].iter().zip(&wanted) {
            assert_eq!(said, wanted, "{way}");
        }
        assert_eq!(said.len(), wanted.len() + 1, "{way}");
    }
}

/// A body with many values, and the lines that they are.
fn values(binary: bool) -> (Element, Vec<String>) {
    let mut lines = Vec::new();
    let hex = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02X}")).collect::<String>();
    let mut all = Element::new(NAMESPACE, "Values");
    let mut member = |name: &str, item: &str, values: Vec<(Value<'_>, String)>| {
        let mut list = Element::new(NAMESPACE, &format!("{name}s").replace("Bytess", "Bytes"));
        for (value, line) in values {
            let element = Element::new(ARRAYS, item);
            list = list.with_child(match value {
                Value::Empty => element,
                Value::String(value) => element.with_value(value),
                Value::Bool(value) => element.with_value(value),
                Value::Int(value) => element.with_value(value),
                Value::UInt(value) => element.with_value(value),
                Value::Float(value) => element.with_value(value),
                Value::Double(value) => element.with_value(value),
                Value::Decimal(value) => element.with_value(value),
                Value::DateTime(value) => element.with_value(value),
                Value::TimeSpan(value) => element.with_value(value),
                Value::Uuid(value) => element.with_value(value),
                Value::Bytes(value) => element.with_value(value),
                other => panic!("{other:?}"),
            });
            lines.push(format!("{name} {line}"));
        }
        all = all.clone().with_child(list);
    };

    let long = "x".repeat(9000);
    let strings = [
        "",
        " ",
        "\r\n",
        "a\rb\nc\td",
        "]]>",
        "<&>\"'",
        "0",
        "1",
        "true",
        "\u{7f}\u{85}\u{2028}",
        "漢字",
        "😀\u{10FFFD}",
        &long,
    ];
    let units = |text: &str| text.encode_utf16().map(|unit| format!("{unit:04X}")).collect::<String>();
    member("String", "string", strings.into_iter().map(|text| (Value::from(text), units(text))).collect());
    member(
        "Boolean",
        "boolean",
        [(true, "True"), (false, "False")].map(|(value, line)| (Value::Bool(value), line.into())).into(),
    );
    let integers = [0, 1, -1, 127, -128, 128, 32_768, -32_769, 1 << 31, i64::MAX, i64::MIN];
    member("Int64", "long", integers.map(|value| (Value::Int(value), value.to_string())).into());
    let integers = [0, 1, 255, 1 << 63, u64::MAX];
    member("UInt64", "unsignedLong", integers.map(|value| (Value::UInt(value), value.to_string())).into());
    let sent = |number: f64| if binary && number == 0.0 { 0.0 } else { number };
    let numbers = || {
        let odd = [
            0.0,
            -0.0,
            0.1,
            1.0 / 3.0,
            2_147_483_648.0,
            1.0 / 32768.0,
            9_007_199_254_740_993.0,
            f64::MAX,
            5e-324,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1e15,
            1e16,
            1e17,
            1e-5,
            3_101_310.25,
            123_456_790.0,
        ];
        odd.into_iter().chain(
            (0..400_u64).map(|index| f64::from_bits(index.wrapping_mul(0x9E37_79B9_7F4A_7C15) & !(1 << 62))),
        )
    };
    let singles = numbers().map(|number| number as f32);
    member(
        "Single",
        "float",
        singles
            .map(|value| (Value::Float(value), format!("{:08X}", (sent(value.into()) as f32).to_bits())))
            .collect(),
    );
    member(
        "Double",
        "double",
        numbers().map(|value| (Value::Double(value), format!("{:016X}", sent(value).to_bits()))).collect(),
    );
    let decimals =
        [(0, 0, false), (0, 3, false), (1599, 2, true), ((1 << 96) - 1, 28, false), ((1 << 96) - 1, 0, true)];
    member(
        "Decimal",
        "decimal",
        decimals
            .map(|(mantissa, scale, negative)| {
                let words = [
                    mantissa as u32,
                    (mantissa >> 32) as u32,
                    (mantissa >> 64) as u32,
                    u32::from(scale) << 16 | u32::from(negative) << 31,
                ];
                let line = words.map(|word| format!("{word:08X}")).join(" ");
                (Value::Decimal(Decimal::new(mantissa, scale, negative).unwrap()), line)
            })
            .into(),
    );
    let kinds = [DateTimeKind::Unspecified, DateTimeKind::Utc, DateTimeKind::Local];
    let times = [864_000_000_000, 638_881_234_567_890_000, 639_000_000_001_234_567_u64];
    member(
        "DateTime",
        "dateTime",
        kinds
            .into_iter()
            .flat_map(|kind| {
                times.map(|ticks| {
                    (Value::DateTime(DateTime::new(ticks, kind).unwrap()), format!("{ticks} {kind:?}"))
                })
            })
            .collect(),
    );
    let spans = [0, 1, -1, 864_000_000_000, 937_845_000_000, i64::MAX, i64::MIN];
    member(
        "TimeSpan",
        "duration",
        spans.map(|ticks| (Value::TimeSpan(TimeSpan::from_ticks(ticks)), ticks.to_string())).into(),
    );
    let guids = [[0; 16], [0xFF; 16], core::array::from_fn(|index| index as u8)].map(Uuid::from_octets);
    member("Guid", "guid", guids.map(|id| (Value::Uuid(id), id.to_string())).into());
    let octets: Vec<u8> = (0..100_000).map(|index| (index % 251) as u8).collect();
    let sizes = (0..20).chain([255, 256, 257, 384, 1023, 65_535, 65_536, 100_000]);
    member(
        "Bytes",
        "base64Binary",
        sizes.map(|size| (Value::Bytes(&octets[..size]), hex(&octets[..size]))).collect(),
    );
    (all, lines)
}
