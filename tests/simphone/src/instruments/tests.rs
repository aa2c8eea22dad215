//! The developer services as a client sees them: one in-memory connection, messages in and out.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;
use crate::archive::{NsError, decode, encode};
use crate::behave;
use crate::behave::{Behaviour, Ending};
use crate::dtx::{Assembler, HEADER_BYTES, Header, Kind, Message, Primitive};
use crate::identity::{Identity, IosVersion, MODELS};
use crate::registry;

/// The longest that a test waits for a message.
const DEADLINE: Duration = Duration::from_secs(10);

const APP: &str = "com.apple.Preferences";

const LAUNCH: &str = "launchSuspendedProcessWithDevicePath:bundleIdentifier:environment:arguments:options:";

struct Client {
    stream: DuplexStream,
    assembler: Assembler,
    identifier: u32,
    phone: Arc<Phone>,
    _folder: tempfile::TempDir,
}

impl Client {
    /// A connected client that has read the phone's capabilities.
    async fn connect() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::at_position(0, &MODELS[0], IosVersion { major: 16, minor: 7, patch: 2 });
        let (phone, _power) = Phone::new(identity, folder.path().to_owned()).unwrap();
        let phone = Arc::new(phone);
        let (ours, theirs) = tokio::io::duplex(4096);
        tokio::spawn(serve(Box::new(theirs), Arc::clone(&phone)));
        let assembler = Assembler::default();
        let mut client = Self { stream: ours, assembler, identifier: 0, phone, _folder: folder };
        let first = client.read().await;
        assert_eq!(first.selector().as_deref(), Some("_notifyOfPublishedCapabilities:"));
        assert_eq!((first.channel, first.conversation, first.expects_reply), (0, 0, false));
        client
    }

    async fn read(&mut self) -> Message {
        tokio::time::timeout(DEADLINE, self.read_fragments()).await.unwrap()
    }

    async fn read_fragments(&mut self) -> Message {
        loop {
            let mut head = [0; HEADER_BYTES];
            self.stream.read_exact(&mut head).await.unwrap();
            let header = Header::parse(&head).unwrap();
            let mut body = vec![0; header.body_bytes() as usize];
            self.stream.read_exact(&mut body).await.unwrap();
            if let Some((header, body)) = self.assembler.add(header, body).unwrap() {
                return Message::parse(&header, &body).unwrap();
            }
        }
    }

    async fn send(&mut self, channel: i32, selector: &str, arguments: Vec<Primitive>, expects_reply: bool) {
        self.identifier += 1;
        let mut message = Message::invocation(self.identifier, 0, selector, &[]);
        message.channel = channel;
        message.arguments = arguments;
        message.expects_reply = expects_reply;
        self.stream.write_all(&message.wire()).await.unwrap();
    }

    async fn call(
        &mut self,
        channel: i32,
        selector: &str,
        arguments: Vec<Primitive>,
    ) -> Result<Object, NsError> {
        self.send(channel, selector, arguments, true).await;
        let reply = loop {
            let message = self.read().await;
            if message.conversation == 1 {
                break message;
            }
        };
        assert_eq!((reply.identifier, reply.channel), (self.identifier, channel), "{selector}");
        match reply.kind {
            Kind::Done => Ok(Object::Null),
            Kind::Object => Ok(decode(&reply.payload).unwrap()),
            Kind::Error => match decode(&reply.payload).unwrap() {
                Object::Error(error) => Err(error),
                other => panic!("an error reply holds {other:?}"),
            },
            other => panic!("a reply of kind {other:?}"),
        }
    }

    async fn open(&mut self, code: u32, name: &str) -> Result<Object, NsError> {
        let arguments = vec![Primitive::Int32(code), archived(&Object::from(name))];
        self.call(0, "_requestChannelWithCode:identifier:", arguments).await
    }

    async fn launch(&mut self, channel: i32, bundle_id: &str) -> Result<Object, NsError> {
        let empty = || Object::Dictionary(Vec::new());
        let options = Object::dictionary([("KillExisting", Object::Bool(true))]);
        let arguments =
            [Object::from(""), Object::from(bundle_id), empty(), Object::Array(Vec::new()), options];
        self.call(channel, LAUNCH, arguments.iter().map(archived).collect()).await
    }
}

fn archived(object: &Object) -> Primitive {
    Primitive::Buffer(encode(object).unwrap())
}

#[test]
fn lockdown_offers_the_services_by_version() {
    let (old, new) =
        ("com.apple.instruments.remoteserver", "com.apple.instruments.remoteserver.DVTSecureSocketProxy");
    for (major, has_old, has_new) in
        [(13, true, false), (14, false, true), (16, false, true), (17, false, false)]
    {
        assert_eq!(registry::find(old, major).is_some(), has_old, "iOS {major}");
        assert_eq!(registry::find(new, major).is_some(), has_new, "iOS {major}");
    }
}

#[tokio::test]
async fn channels_are_opened_by_name_once() {
    let mut client = Client::connect().await;
    assert_eq!(client.open(1, device_info::NAME).await, Ok(Object::Null));
    for (code, name) in [(2, "no.such.service"), (1, device_info::NAME), (0, device_info::NAME)] {
        assert_eq!(client.open(code, name).await.unwrap_err().domain, "DTXMessage", "{code} {name}");
    }
    let closed = vec![Primitive::Int32(1)];
    assert_eq!(client.call(0, "_channelCanceled:", closed).await, Ok(Object::Null));
    assert!(client.call(1, "runningProcesses", vec![]).await.is_err());
}

#[tokio::test]
async fn processes_are_listed_with_dates() {
    let mut client = Client::connect().await;
    client.open(1, device_info::NAME).await.unwrap();
    let listed = client.call(1, "runningProcesses", vec![]).await.unwrap();
    let processes = listed.as_array().unwrap();
    let board =
        processes.iter().find(|process| process.get("name") == Some(&Object::from("SpringBoard"))).unwrap();
    assert!(matches!(board.get("startDate"), Some(Object::Date(_))), "{board:?}");
    assert_eq!(board.get("isApplication"), Some(&Object::Bool(false)));
    let unknown = client.call(1, "doWhatIMean", vec![]).await.unwrap_err();
    assert_eq!((unknown.domain.as_str(), unknown.code), ("DTXMessage", 1));
}

#[tokio::test]
async fn an_unknown_app_is_refused_in_frontboards_words() {
    let mut client = Client::connect().await;
    client.open(1, process_control::NAME).await.unwrap();
    let error = client.launch(1, "absent").await.unwrap_err();
    assert_eq!((error.domain.as_str(), error.code), ("com.apple.dt.deviceprocesscontrolservice", 2));
    let inner = error.user_info.iter().find(|(key, _)| key == "NSUnderlyingError");
    let Some((_, Object::Error(inner))) = inner else { panic!("no cause in {error:?}") };
    assert_eq!((inner.domain.as_str(), inner.code), ("FBSOpenApplicationErrorDomain", 4));
}

#[tokio::test]
async fn a_client_that_asks_for_it_is_told_how_its_app_ended() {
    let mut client = Client::connect().await;
    client.phone.processes.set_behaviour(APP, Behaviour::always(Ending::Exit { after_ms: 1, code: 7 }));
    let capabilities = Object::dictionary([(TERMINATION_CALLBACK, Object::from(1_u64))]);
    client.send(0, "_notifyOfPublishedCapabilities:", vec![archived(&capabilities)], false).await;
    client.open(1, process_control::NAME).await.unwrap();
    let pid = client.launch(1, APP).await.unwrap();
    let told = client.read().await;
    assert_eq!(told.selector().as_deref(), Some("processWithPID:terminatedWithExitCode:orCrashingSignal:"));
    assert_eq!(told.channel, -1, "the client's channel, seen from the phone");
    let arguments: Vec<Object> = told.arguments.into_iter().map(Primitive::into_object).collect();
    assert_eq!(arguments, [pid, Object::from(7_u64), Object::Null]);
}

#[tokio::test]
async fn samples_hold_the_system_and_every_process_by_number() {
    let mut client = Client::connect().await;
    client.open(3, sysmontap::NAME).await.unwrap();
    let names = Object::Array(vec![Object::from("pid"), Object::from("name"), Object::from("physFootprint")]);
    let config = Object::dictionary([
        ("ur", Object::from(1_u64)),
        ("procAttrs", names),
        ("sysAttrs", Object::Array(vec![Object::from("physMemSize")])),
        ("cpuUsage", Object::Bool(true)),
    ]);
    assert_eq!(client.call(3, "setConfig:", vec![archived(&config)]).await, Ok(Object::Null));
    client.send(3, "start", vec![], false).await;
    let first = client.read().await;
    assert_eq!((first.kind, first.conversation, first.channel), (Kind::Object, 0, -3));
    let sample = decode(&client.read().await.payload).unwrap();
    let [system, processes] = sample.as_array().unwrap() else { panic!("two rows: {sample:?}") };
    let memory = Object::from(MODELS[0].memory_bytes);
    assert_eq!(system.get("System").and_then(Object::as_array), Some(&[memory][..]));
    assert!(system.get("SystemCPUUsage").is_some_and(|usage| usage.get("CPU_TotalLoad").is_some()));
    let Some(Object::Dictionary(rows)) = processes.get("Processes") else { panic!("no processes") };
    assert_eq!(rows.len(), behave::processes(&client.phone).len());
    for (pid, values) in rows {
        let [told, Object::String(name), footprint] = values.as_array().unwrap() else {
            panic!("{values:?}")
        };
        assert_eq!(pid, told, "{name}");
        assert!(matches!(pid, Object::Integer(_)), "{name}");
        assert!(footprint.as_i64().unwrap() > 1_000_000, "{name}");
    }
    client.call(3, "stop", vec![]).await.unwrap();
}
