//! A server that notes what came and answers as it is told, and a sender that speaks to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use holdfast_notify::event::{DedupeKey, Frame, ReceiverName};
use holdfast_notify::message::{Mention, Message, Ticket};
use holdfast_notify::outbox::{EntryId, Outcome, Parcel};
use holdfast_notify::rules::Raw;
use holdfast_notify::send::Deadlines;
use holdfast_notify::{Rules, Sender, TicketAction};
use serde_json::Value;

use crate::support::{at, event};

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Came {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn form(&self) -> BTreeMap<String, String> {
        pairs(std::str::from_utf8(&self.body).unwrap())
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// What a server says to a request.
pub(crate) type Answer = (u16, Vec<(&'static str, String)>, String);

type Rule = Box<dyn FnMut(&Came) -> Answer + Send>;

#[derive(Clone)]
struct Shared {
    came: Arc<Mutex<Vec<Came>>>,
    rule: Arc<Mutex<Rule>>,
}

/// A running server.
pub(crate) struct Server {
    pub(crate) base: String,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Server {
    pub(crate) async fn start(rule: impl FnMut(&Came) -> Answer + Send + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let came = Arc::new(Mutex::new(Vec::new()));
        let shared = Shared { came: came.clone(), rule: Arc::new(Mutex::new(Box::new(rule))) };
        let router = Router::new().fallback(answer).with_state(shared);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { base, came }
    }

    pub(crate) fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }
}

async fn answer(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let query = pairs(uri.query().unwrap_or_default());
    let came = Came { method: method.to_string(), path: uri.path().to_owned(), query, headers, body };
    let (status, headers, body) = (shared.rule.lock().unwrap())(&came);
    shared.came.lock().unwrap().push(came);
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

/// Names and values of a query or form.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let url = reqwest::Url::parse(&format!("http://x/?{text}")).unwrap();
    url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned())).collect()
}

/// An answer of JSON.
pub(crate) fn json(status: u16, body: &Value) -> Answer {
    (status, Vec::new(), body.to_string())
}

/// One receiver, by its lines in the rules; `URL`, `SECRET` and `TOKEN` are in its environment.
pub(crate) struct Line {
    rules: Rules,
    environment: BTreeMap<String, String>,
}

impl Line {
    pub(crate) fn new(yaml: &str, environment: &[(&str, &str)]) -> Self {
        let text = format!("receivers:\n- {yaml}\n");
        let rules = serde_yaml::from_str::<Raw>(&text).unwrap().check().unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { rules, environment: environment.collect() }
    }

    pub(crate) async fn send(&self, parcel: &Parcel) -> Outcome {
        let deadlines = Deadlines { connect: Duration::from_secs(2), request: Duration::from_secs(5) };
        let sender = Sender::new(deadlines).unwrap();
        let receiver = self.rules.receivers.values().next().unwrap();
        let environment = |name: &str| self.environment.get(name).cloned();
        sender.send(receiver, parcel, "g1", &|| at(123), &environment).await
    }
}

/// A parcel with a message.
pub(crate) fn parcel(message: Message) -> Parcel {
    Parcel {
        id: EntryId(7),
        entries: vec![EntryId(7)],
        receiver: ReceiverName::from("r"),
        key: DedupeKey::from("chat/r/g1/b1"),
        message,
        ticket: None,
    }
}

/// A plain message that calls Ann.
pub(crate) fn plain(id: &str) -> Message {
    let mut message = Message::about(&event());
    message.mentions = vec![Mention { id: id.to_owned(), name: "Ann".to_owned() }];
    message
}

/// A message whose every part is as long and as nasty as it can be.
pub(crate) fn nasty(id: &str) -> Message {
    let mut event = event();
    let evil = "`*_~[x](http://evil)<@all> <!channel> <at id=all></at> @all \\ \" | 崩溃 \n\u{202e}";
    event.title = evil.repeat(40);
    event.process = evil.repeat(40);
    event.ended_by = Some(evil.repeat(40));
    event.os = Some(evil.repeat(40));
    event.case = Some(evil.repeat(40));
    event.stack = (0..600)
        .map(|number| Frame {
            module: evil.repeat(4),
            function: format!("{number}{}", evil.repeat(20)),
            file: Some("崩".repeat(300)),
            line: Some(number),
            in_app: true,
        })
        .collect();
    event.links[0].label = evil.to_owned();
    let mut message = Message::about(&event);
    message.mentions = vec![Mention { id: id.to_owned(), name: "Ann <@all>".to_owned() }];
    message
}

/// A digest of ten that are as long as they can be.
pub(crate) fn digest() -> Message {
    let mut one = nasty("u");
    one.links[0].url = format!("https://farm.example.com/groups/{}", "9".repeat(80));
    Message::digest(&[&one; 10], 5)
}

/// A parcel for a tracker.
pub(crate) fn ticket(action: TicketAction, known: Option<&str>) -> Parcel {
    let mut message = plain("x");
    message.mentions.clear();
    message.ticket = Some(Ticket {
        action,
        marker: "holdfast-g1".to_owned(),
        assignees: vec!["42".to_owned()],
        module: Some("Mooring".to_owned()),
    });
    Parcel { ticket: known.map(str::to_owned), ..parcel(message) }
}

/// The answer of an outcome, and which it is.
pub(crate) fn words(outcome: &Outcome) -> (&'static str, &str) {
    match outcome {
        Outcome::Accepted { answer, .. } => ("accepted", answer),
        Outcome::Later { answer, .. } => ("later", answer),
        Outcome::Refused { answer } => ("refused", answer),
    }
}
