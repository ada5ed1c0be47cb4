//! Which replies Microsoft's WCF client accepts: our client judges the same.

mod common;

use std::sync::{Arc, Mutex};

use common::{DotNet, Process, free_port};
use message_encoding::Quotas;
use message_encoding::envelope::{DecodeError, Decoder, MessageEncoding, SOAP_12};
use tokio::runtime::Runtime;
use transport::{Channel, ListenOptions, Listener};

/// Serves at `address`: a reply has the headers that the request's text has before `|`, and the body behind it. Replies are kept.
fn serve(address: &str, replies: Arc<Mutex<Vec<String>>>) -> Runtime {
    let runtime = Runtime::new().unwrap();
    let options = ListenOptions::new(address).content_type(MessageEncoding::Soap12Utf8.content_type());
    let mut listener = runtime.block_on(Listener::bind(options)).unwrap();
    runtime.spawn(async move {
        while let Ok(mut channel) = listener.accept().await {
            answer(&mut channel, &replies).await;
        }
    });
    runtime
}

async fn answer(channel: &mut Channel, replies: &Mutex<Vec<String>>) {
    let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
    while let Ok(Some(request)) = channel.receive().await {
        let mut request = decoder.decode(&request.octets).unwrap();
        let body = request.body().unwrap().unwrap();
        let id = request.headers().message_id.as_ref().unwrap();
        let text = body.find("text").unwrap().value().to_text().unwrap();
        let (headers, content) = text.split_once('|').unwrap();
        let reply = format!(
            "<s:Envelope xmlns:s='{SOAP_12}' xmlns:a='http://www.w3.org/2005/08/addressing'><s:Header>\
             <a:RelatesTo>{id}</a:RelatesTo>{headers}</s:Header><s:Body>{content}</s:Body></s:Envelope>"
        );
        channel.send(reply.as_bytes()).await.unwrap();
        replies.lock().unwrap().push(reply);
    }
}

/// What became of a reply.
#[derive(Debug, PartialEq)]
enum Verdict {
    Accepted,
    Fault,
    NotUnderstood,
    Refused,
}

fn theirs(said: &str) -> Verdict {
    match said.split_once(' ') {
        None if said == "void" => Verdict::Accepted,
        Some(("FaultException", _)) => Verdict::Fault,
        Some(("ProtocolException", why)) if why.contains("was not understood") => Verdict::NotUnderstood,
        _ => Verdict::Refused,
    }
}

fn ours(reply: &str) -> Verdict {
    let mut decoder = Decoder::new(MessageEncoding::Soap12Utf8, Quotas::DEFAULT);
    match decoder.decode(reply.as_bytes()).and_then(|mut reply| reply.reply()) {
        Ok(Ok(_)) => Verdict::Accepted,
        Ok(Err(_)) => Verdict::Fault,
        Err(DecodeError::NotUnderstood(_)) => Verdict::NotUnderstood,
        Err(_) => Verdict::Refused,
    }
}

#[test]
fn a_reply_is_judged_as_by_the_client() {
    let Some(dotnet) = DotNet::found() else { return };
    let role = |role: &str| format!("<h xmlns='urn:h' s:mustUnderstand='1' s:role='{role}'/>");
    let soap_role = |name: &str| role(&format!("{SOAP_12}/role/{name}"));
    let headers = [
        "",
        "<h xmlns='urn:h' s:mustUnderstand='1'/>",
        "<h xmlns='urn:h' s:mustUnderstand='true'>a<b/></h>",
        "<h xmlns='urn:h' s:mustUnderstand=' 1 '/>",
        "<h xmlns='urn:h' s:mustUnderstand='0'>a<b/></h>",
        "<h xmlns='urn:h' s:mustUnderstand='false'/>",
        "<h xmlns='urn:h' s:mustUnderstand='yes'/>",
        "<h xmlns='urn:h' s:mustUnderstand=''/>",
        "<h xmlns='urn:h' mustUnderstand='1'/>",
        "<h s:mustUnderstand='1'/>",
        "<h xmlns='urn:h' s:mustUnderstand='1' s:relay='1'/>",
        &role(""),
        &soap_role("next"),
        &soap_role("ultimateReceiver"),
        "<a:To s:mustUnderstand='1'>http://www.w3.org/2005/08/addressing/anonymous</a:To>",
        "<a:MessageID s:mustUnderstand='1'>urn:1</a:MessageID>",
        "<a:From s:mustUnderstand='1'><a:Address>urn:1</a:Address></a:From>",
        "<a:FaultTo s:mustUnderstand='1'><a:Address>urn:1</a:Address></a:FaultTo>",
        "<a:ReplyTo s:mustUnderstand='1'><a:Address>urn:1</a:Address></a:ReplyTo>",
        "<a:RelatesTo s:mustUnderstand='1'>urn:1</a:RelatesTo>",
        "<a:ProblemAction s:mustUnderstand='1'/>",
        "<s:NotUnderstood qname='a:b' s:mustUnderstand='1'/>",
        "<s:Upgrade s:mustUnderstand='1'/>",
    ];
    // What SOAP says is for somebody else and .NET's client wants understood all the same.
    let elsewhere = [role("urn:log"), soap_role("none")];
    let action = "<a:Action s:mustUnderstand='1'>http://interop.example/2024/IShop/NoteResponse</a:Action>";
    let note = "<NoteResponse xmlns='http://interop.example/2024'/>";
    let fault = "<s:Fault><s:Code><s:Value>s:Sender</s:Value></s:Code>\
                 <s:Reason><s:Text xml:lang='en'>no</s:Text></s:Reason></s:Fault>";
    let lines = |content: &str, headers: &[&str]| -> Vec<String> {
        headers.iter().map(|header| format!("{action}{header}|{content}")).collect()
    };
    let elsewhere = lines(note, &elsewhere.each_ref().map(String::as_str));
    let lines = [lines(note, &headers), lines(fault, &headers), elsewhere.clone()].concat();

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("replies");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let address = format!("net.tcp://localhost:{}/shop", free_port());
    let replies = Arc::new(Mutex::new(Vec::new()));
    let _service = serve(&address, replies.clone());
    let mut client = dotnet.client();
    client.args(["--address", &address, "--contract", "shop", "--encoding", "text12", "--replies"]).arg(file);
    let (status, said, errors) = Process::start(&mut client).finish();
    assert!(status.success(), "{said:#?} {errors:#?}");

    let verdicts: Vec<Verdict> =
        said.iter().filter_map(|line| line.strip_prefix("verdict ")).map(theirs).collect();
    let replies = replies.lock().unwrap();
    assert_eq!((verdicts.len(), replies.len()), (lines.len(), lines.len()));
    for ((line, verdict), reply) in lines.iter().zip(&verdicts).zip(replies.iter()) {
        if elsewhere.contains(line) {
            assert_eq!((verdict, ours(reply)), (&Verdict::NotUnderstood, Verdict::Accepted), "{line}");
        } else {
            assert_eq!(verdict, &ours(reply), "{line}");
        }
    }
    for verdict in [Verdict::Accepted, Verdict::Fault, Verdict::NotUnderstood, Verdict::Refused] {
        assert!(verdicts.iter().filter(|found| **found == verdict).count() >= 3, "{verdicts:?}");
    }
}
