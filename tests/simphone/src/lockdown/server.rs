//! One connection to lockdownd: its requests, one after another, plain or secured.

use std::sync::Arc;

use plist::{Dictionary, Value};
use rustls::ServerConfig;

use super::pairings::{Pairing, escrow_bag};
use super::ports::Door;
use super::tls::{self, Session};
use super::values::{self, Asker};
use crate::events::Event;
use crate::framing;
use crate::phone::{Passcode, Phone, PowerRequest, Trust, random_uuid};
use crate::registry;
use crate::service::{BoxStream, ServiceError};
use crate::services::{developer_services_answer, needs_developer_image};

/// Services that a locked phone refuses to computers without its escrow bag, because they touch protected files or
/// show the screen. The others need nothing but the pairing. Which ones a real phone refuses differs by version.
const REFUSED_WHILE_LOCKED: &[&str] = &[
    "com.apple.mobile.house_arrest",
    "com.apple.mobile.mobile_image_mounter",
    "com.apple.mobile.screenshotr",
    "com.apple.instruments.remoteserver.DVTSecureSocketProxy",
    "com.apple.testmanagerd.lockdown.secure",
];

/// Serves one connection until the client says goodbye or closes it.
///
/// # Errors
/// When the client breaks the protocol or TLS fails; the connection is closed then.
pub(super) async fn serve(stream: BoxStream, phone: Arc<Phone>) -> Result<(), ServiceError> {
    let mut wire = Wire::Plain(stream);
    let mut session: Option<Trusted> = None;
    while let Some(request) = wire.read().await? {
        let request = Request(
            request
                .into_dictionary()
                .ok_or_else(|| ServiceError::protocol("a request must be a dictionary"))?,
        );
        let (answer, next) = respond(&phone, &request, session.as_ref());
        wire.write(&labelled(&request, answer)).await?;
        match next {
            Next::GoOn => {}
            Next::Secure(trusted) => {
                wire = wire.secure(Arc::clone(&trusted.tls)).await?;
                session = Some(trusted);
            }
            Next::Plain => {
                wire = wire.plain().await?;
                session = None;
            }
            Next::Close => return Ok(()),
        }
    }
    Ok(())
}

/// A session with a paired computer.
struct Trusted {
    id: String,
    tls: Arc<ServerConfig>,
}

/// What happens to the connection after the answer was sent.
enum Next {
    GoOn,
    Secure(Trusted),
    Plain,
    Close,
}

/// The keys of an answer, or the name of an error.
type Answer = Result<Dictionary, &'static str>;

struct Request(Dictionary);

impl Request {
    fn text(&self, key: &str) -> &str {
        self.0.get(key).and_then(Value::as_string).unwrap_or("")
    }

    /// `HostID` of the request itself, or of the pair record in it.
    fn host_id(&self) -> &str {
        let inside = self.record().and_then(|record| record.get("HostID")).and_then(Value::as_string);
        inside.unwrap_or_else(|| self.text("HostID"))
    }

    fn record(&self) -> Option<&Dictionary> {
        self.0.get("PairRecord").and_then(Value::as_dictionary)
    }
}

fn respond(phone: &Phone, request: &Request, session: Option<&Trusted>) -> (Answer, Next) {
    let answer = match request.text("Request") {
        "QueryType" => Ok(pairs([("Type", "com.apple.mobile.lockdown".into())])),
        "GetValue" => get_value(phone, request, session),
        "SetValue" => set_value(phone, request, session),
        "RemoveValue" => remove_value(phone, request, session),
        "Pair" => pair(phone, request),
        "ValidatePair" => match phone.lockdown.pairings.get(request.host_id()) {
            Some(_) => Ok(Dictionary::new()),
            None => Err("InvalidHostID"),
        },
        "Unpair" => match phone.lockdown.pairings.remove(request.host_id()) {
            Some(_) => Ok(Dictionary::new()),
            None => Err("InvalidHostID"),
        },
        "StartSession" => return start_session(phone, request, session),
        "StopSession" => {
            return match session {
                Some(running) if running.id == request.text("SessionID") => {
                    (Ok(Dictionary::new()), Next::Plain)
                }
                Some(_) => (Err("InvalidSessionID"), Next::GoOn),
                None => (Err("SessionInactive"), Next::GoOn),
            };
        }
        "StartService" => start_service(phone, request, session),
        "EnterRecovery" => {
            return match session {
                Some(_) => {
                    phone.ask_power(PowerRequest::Recovery);
                    (Ok(Dictionary::new()), Next::GoOn)
                }
                None => (Err("SessionInactive"), Next::GoOn),
            };
        }
        "Goodbye" => return (Ok(Dictionary::new()), Next::Close),
        _ => Err("InvalidRequest"),
    };
    (answer, Next::GoOn)
}

fn asker(session: Option<&Trusted>) -> Asker {
    session.map_or(Asker::Stranger, |_| Asker::Trusted)
}

fn get_value(phone: &Phone, request: &Request, session: Option<&Trusted>) -> Answer {
    let Some(told) = values::domain(phone, request.text("Domain"), asker(session)) else {
        return Err("GetProhibited");
    };
    let key = request.text("Key");
    let value = if key.is_empty() {
        Value::Dictionary(told)
    } else {
        match told.get(key) {
            Some(value) => value.clone(),
            None => return Err("MissingValue"),
        }
    };
    Ok(pairs([("Value", value)]))
}

fn set_value(phone: &Phone, request: &Request, session: Option<&Trusted>) -> Answer {
    let (domain, key) = (request.text("Domain"), request.text("Key"));
    let value = request.0.get("Value").cloned();
    let (Some(_), Some(value)) = (session, value) else {
        return Err(if session.is_none() { "SetProhibited" } else { "MissingValue" });
    };
    match (domain, key, &value) {
        (_, "", _) => return Err("MissingKey"),
        ("", "DeviceName", Value::String(name)) => phone.change(|state| state.name.clone_from(name)),
        // What the phone is cannot be changed from outside.
        ("", "TimeZone" | "TimeZoneOffsetFromUTC" | "Uses24HourClock", _) => {
            phone.lockdown.set_values.set(domain, key, value.clone());
        }
        ("", ..) | ("com.apple.security.mac.amfi", ..) => return Err("SetProhibited"),
        _ if phone.lockdown.set_values.set(domain, key, value.clone()) => {}
        _ => return Err("SetProhibited"),
    }
    Ok(pairs([("Value", value)]))
}

fn remove_value(phone: &Phone, request: &Request, session: Option<&Trusted>) -> Answer {
    if session.is_none() {
        return Err("RemoveProhibited");
    }
    if phone.lockdown.set_values.remove(request.text("Domain"), request.text("Key")) {
        Ok(Dictionary::new())
    } else {
        Err("MissingValue")
    }
}

fn pair(phone: &Phone, request: &Request) -> Answer {
    let Some(pairing) = request.record().and_then(Pairing::from_record) else {
        return Err("InvalidPairRecord");
    };
    let state = phone.state();
    // A locked phone cannot show the question.
    if state.passcode == Passcode::Locked {
        return Err("PasswordProtected");
    }
    match state.trust {
        Trust::Pending => Err("PairingDialogResponsePending"),
        Trust::Denied => Err("UserDeniedPairing"),
        Trust::Granted => {
            phone.lockdown.pairings.add(pairing);
            Ok(pairs([("EscrowBag", Value::Data(escrow_bag(&phone.identity)))]))
        }
    }
}

fn start_session(phone: &Phone, request: &Request, session: Option<&Trusted>) -> (Answer, Next) {
    if session.is_some() {
        return (Err("SessionActive"), Next::GoOn);
    }
    let Some(pairing) = phone.lockdown.pairings.get(request.text("HostID")) else {
        return (Err("InvalidHostID"), Next::GoOn);
    };
    let tls = match tls::config(&pairing) {
        Ok(tls) => tls,
        Err(error) => {
            tracing::error!(%error, "cannot set up TLS for a session");
            return (Err("InternalError"), Next::GoOn);
        }
    };
    let id = random_uuid();
    let answer = pairs([("SessionID", id.as_str().into()), ("EnableSessionSSL", true.into())]);
    (Ok(answer), Next::Secure(Trusted { id, tls }))
}

fn start_service(phone: &Phone, request: &Request, session: Option<&Trusted>) -> Answer {
    let name = request.text("Service");
    let Some(service) = registry::find(name, phone.identity.ios.major) else {
        return Err("InvalidService");
    };
    if needs_developer_image(name) && !developer_services_answer(phone) {
        return Err("InvalidService");
    }
    // The services with this word in their names are there for computers that are not paired yet.
    if session.is_none() && !name.contains("insecure") {
        return Err("SessionInactive");
    }
    let without_bag = !request.0.contains_key("EscrowBag");
    if phone.state().passcode == Passcode::Locked && without_bag && REFUSED_WHILE_LOCKED.contains(&name) {
        return Err("PasswordProtected");
    }
    let tls = session.map(|trusted| Arc::clone(&trusted.tls));
    let secured = tls.is_some();
    let port = phone.lockdown.ports.open(Door::Service { service, tls });
    phone.events.record(Event::ServiceStarted { service: name.to_owned() });
    Ok(pairs([
        ("Service", name.into()),
        ("Port", u32::from(port).into()),
        ("EnableServiceSSL", secured.into()),
    ]))
}

/// An answer as it is sent: it repeats what was asked for, as lockdownd does.
fn labelled(request: &Request, answer: Answer) -> Value {
    let mut sent = Dictionary::new();
    for key in ["Request", "Domain", "Key"] {
        if let Some(asked) = request.0.get(key) {
            sent.insert(key.to_owned(), asked.clone());
        }
    }
    match answer {
        Ok(keys) => sent.extend(keys),
        Err(name) => {
            sent.insert("Error".to_owned(), name.into());
        }
    }
    Value::Dictionary(sent)
}

fn pairs<const N: usize>(pairs: [(&str, Value); N]) -> Dictionary {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The connection, plain or in a session.
enum Wire {
    Plain(BoxStream),
    Secured(Box<Session>),
}

impl Wire {
    async fn read(&mut self) -> Result<Option<Value>, ServiceError> {
        match self {
            Self::Plain(stream) => framing::read(stream).await,
            Self::Secured(session) => framing::read(session.stream()).await,
        }
    }

    async fn write(&mut self, value: &Value) -> Result<(), ServiceError> {
        match self {
            Self::Plain(stream) => framing::write_xml(stream, value).await,
            Self::Secured(session) => framing::write_xml(session.stream(), value).await,
        }
    }

    async fn secure(self, tls: Arc<ServerConfig>) -> Result<Self, ServiceError> {
        match self {
            Self::Plain(stream) => Ok(Self::Secured(Box::new(Session::begin(tls, stream).await?))),
            Self::Secured(_) => Ok(self),
        }
    }

    async fn plain(self) -> Result<Self, ServiceError> {
        match self {
            Self::Plain(_) => Ok(self),
            Self::Secured(session) => Ok(Self::Plain(session.end().await?)),
        }
    }
}
