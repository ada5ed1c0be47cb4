//! Headers, typed faults and refusals between Mono's client and our service, and our client and Mono's service.

mod common;

use common::{MonoProgram, Shop, free_port, serve};
use message_encoding::Quotas;
use message_encoding::envelope::{Decoder, Element, Encoder, Header, MessageEncoding, MessageId, Outgoing};
use tokio::runtime::Runtime;
use transport::ConnectOptions;

const NAMESPACE: &str = "http://interop.example/2024";

#[test]
fn a_mono_client_gets_what_the_service_means() {
    let Some(program) = MonoProgram::compile("shop.cs") else { return };
    let address = format!("net.tcp://localhost:{}/shop", free_port());
    let _service = serve(&address, Quotas::DEFAULT, Shop);
    for binding in ["net-tcp", "text"] {
        let (status, lines, errors) = program.start(["client", binding, &address]).finish();
        assert!(status.success(), "{binding}: {lines:#?} {errors:#?}");
        let unsupported = "ActionNotSupportedException: no operation has the action 'http://interop.example/2024/IShop/Return'";
        assert_eq!(
            lines,
            [
                "Order(2) = 2",
                "Order(3) = 3",
                "Order(8) = out of stock but for 7",
                "Note(long) = fault Sender",
                "Tell = void",
                "Order(4) = 4",
                "Order(5) = fault MustUnderstand",
                &format!("Return(6) = {unsupported}"),
                &format!("Return(7) = {unsupported}"),
            ],
            "{binding}"
        );
    }
}

#[test]
fn our_client_gets_what_a_mono_service_means() {
    let Some(program) = MonoProgram::compile("shop.cs") else { return };
    for (binding, encoding) in
        [("net-tcp", MessageEncoding::BinarySession), ("text", MessageEncoding::Soap12Utf8)]
    {
        let address = format!("net.tcp://localhost:{}/shop", free_port());
        let service = program.start(["service", binding, &address]);
        service.expect("ready");
        let order = |copies: i64| {
            let id = MessageId::Other(format!("urn:order:{copies}").into());
            let body = Element::new(NAMESPACE, "Order").child("copies", copies);
            let mut order = Outgoing::request(&format!("{NAMESPACE}/IShop/Order"), &address, id, body);
            let tenant = Header::new(Element::new(NAMESPACE, "Tenant").with_value("blue"));
            order.headers.push(if copies == 3 { tenant } else { tenant.must_be_understood() });
            order
        };
        Runtime::new().unwrap().block_on(async {
            let options = ConnectOptions::new(encoding.content_type());
            let mut channel = transport::connect(&address, options).await.unwrap();
            let mut encoder = Encoder::new(encoding, Quotas::DEFAULT);
            let mut decoder = Decoder::new(encoding, Quotas::DEFAULT);
            for copies in [3, 4, 8] {
                let mut octets = Vec::new();
                encoder.encode(&order(copies), &mut octets).unwrap();
                channel.send(&octets).await.unwrap();
                let envelope = channel.receive().await.unwrap().unwrap();
                let mut reply = decoder.decode(&envelope.octets).unwrap();
                match reply.reply().unwrap() {
                    Ok(body) => {
                        let result = body.unwrap().find("OrderResult").unwrap().value().to_i64();
                        assert_eq!(result, Ok(copies), "{binding}");
                        let served = &reply.headers().header(NAMESPACE, "Served").unwrap().element;
                        assert_eq!(served.value().text().unwrap(), "blue", "{binding}");
                        assert_eq!(
                            reply.headers().relates_to,
                            Some(MessageId::Other(format!("urn:order:{copies}").into()))
                        );
                    }
                    Err(fault) => {
                        let left = fault.detail.as_ref().unwrap().find("Left").unwrap().value().to_i64();
                        assert_eq!((copies, left), (8, Ok(7)), "{binding}: {fault:?}");
                    }
                }
            }
        });
    }
}
