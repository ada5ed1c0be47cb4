//! What .NET's dispatcher does with a request in duplex that has no MessageID: `answer` does the same.

mod common;

use common::{DotNet, Process, free_port};
use message_encoding::Quotas;
use message_encoding::envelope::{
    Decoder, Element, Encoder, MessageEncoding, MessageFault, MessageId, Outgoing, Reply, Request, answer,
};
use tokio::runtime::Runtime;
use transport::{ListenOptions, Listener};

const NAMESPACE: &str = "http://interop.example/2024";

fn request(text: &str, id: Option<MessageId<'static>>) -> Outgoing {
    let body = Element::new(NAMESPACE, "Ask").child("text", text);
    let mut request = Outgoing::new("http://interop.example/2024/IAsks/Ask", body);
    request.message_id = id;
    request
}

/// What there is to see of an answer: its fault's subcode, if it is one, and to what it relates.
fn shown(
    body: Result<Option<Element>, MessageFault>,
    relates_to: Option<MessageId<'_>>,
) -> (Option<String>, Option<String>) {
    let fault = body.err().map(|fault| format!("{:?} {:?}", fault.code, fault.subcode.unwrap().1));
    (fault, relates_to.map(|id| id.to_string()))
}

#[test]
fn a_request_without_identity_is_answered_as_by_dotnet() {
    let Some(dotnet) = DotNet::found() else { return };
    let address = format!("net.tcp://localhost:{}/asks", free_port());
    let runtime = Runtime::new().unwrap();
    let encoding = MessageEncoding::BinarySession;
    let mut listener = runtime
        .block_on(Listener::bind(ListenOptions::new(&address).content_type(encoding.content_type())))
        .unwrap();
    let mut client = dotnet.client();
    let client = Process::start(client.args(["--address", &address, "--contract", "asks"]));

    let requests = [
        request("with", Some(MessageId::Other("urn:1".into()))),
        request("again", Some(MessageId::Other("urn:2".into()))),
        request("without", None),
    ];
    let theirs = runtime.block_on(async {
        let mut channel = listener.accept().await.unwrap();
        let (mut decoder, mut encoder) =
            (Decoder::new(encoding, Quotas::DEFAULT), Encoder::new(encoding, Quotas::DEFAULT));
        let begin = channel.receive().await.unwrap().unwrap();
        assert!(decoder.decode(&begin.octets).unwrap().action().ends_with("/Begin"));
        let mut answers = Vec::new();
        for request in &requests {
            let mut octets = Vec::new();
            encoder.encode(request, &mut octets).unwrap();
            channel.send(&octets).await.unwrap();
            let answer = channel.receive().await.unwrap().unwrap();
            let mut answer = decoder.decode(&answer.octets).unwrap();
            let body = answer.reply().unwrap();
            answers.push(shown(body, answer.headers().relates_to.clone()));
        }
        answers
    });
    let (status, said, errors) = client.finish();
    assert!(status.success(), "{said:#?} {errors:#?}");
    let asked: Vec<_> = said.iter().filter_map(|line| line.strip_prefix("[0a] ")).collect();

    let (mut decoder, mut encoder) =
        (Decoder::new(encoding, Quotas::DEFAULT), Encoder::new(encoding, Quotas::DEFAULT));
    let mut called = Vec::new();
    let ours = requests.map(|request| {
        let mut octets = Vec::new();
        encoder.encode(&request, &mut octets).unwrap();
        let mut service = |request: &Request<'_>| {
            called.push(format!("Ask({})", request.body().unwrap().find("text").unwrap().value().text()?));
            Ok(Some(Reply::from(Element::new("", "yes"))))
        };
        let answer = answer(&mut decoder, &octets, &mut service).unwrap();
        shown(answer.body, answer.relates_to)
    });
    assert_eq!(theirs, ours);
    called.push("end".into());
    assert_eq!(asked, called);
    assert_eq!(theirs[2], (Some("Receiver \"InternalServiceFault\"".into()), None));
}
