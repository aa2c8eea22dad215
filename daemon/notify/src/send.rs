//! The only place with a network: carries one parcel to its receiver and says what came of it. Every way has a deadline,
//! redirects are not followed, and what is said never holds a key.

mod letters;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use holdfast_wire::time::Time;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderMap;

use crate::outbox::{Outcome, Parcel};
use crate::render::{Dialogue, Keys, Method, Reply, Request, Turn};
use crate::rules::{Receiver, Secret, SecretError, SecretPlace, Setup};

/// How the requests of the farm introduce themselves: some trackers refuse those that don't.
const USER_AGENT: &str = concat!("holdfast/", env!("CARGO_PKG_VERSION"));

/// The largest answer that is read, bytes: lists of five issues are the largest.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Requests of one parcel, at most: a ticket takes four.
const TURNS_MAX: usize = 8;

/// How long each part of the way may take.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// Until there is a connection.
    pub connect: Duration,
    /// From the request to the end of the answer.
    pub request: Duration,
}

impl Default for Deadlines {
    /// Robots answer within a second; Jira takes several on a bad day.
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), request: Duration::from_secs(20) }
    }
}

/// Why there is no sender.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The client cannot be made.
    #[error("the HTTP client for messages cannot be made; see the cause")]
    Client(#[source] reqwest::Error),
}

/// Carries parcels.
#[derive(Clone)]
pub struct Sender {
    http: reqwest::Client,
    deadlines: Deadlines,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("deadlines", &self.deadlines).finish_non_exhaustive()
    }
}

impl Sender {
    /// A sender.
    ///
    /// # Errors
    /// The client cannot be made: the machine has no usable certificates.
    pub fn new(deadlines: Deadlines) -> Result<Self, SendError> {
        // The one provider of the farm; that it is there already is well.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .redirect(reqwest::redirect::Policy::none())
            .dns_resolver(Arc::new(NotLinkLocal))
            .connect_timeout(deadlines.connect)
            .timeout(deadlines.request)
            .build()
            .map_err(SendError::Client)?;
        Ok(Self { http, deadlines })
    }

    /// Carries a parcel. `group` names the crash group, for the threads of letters; `clock` tells the time of each
    /// request, because signatures hold it.
    pub async fn send(
        &self,
        receiver: &Receiver,
        parcel: &Parcel,
        group: &str,
        clock: &(dyn Fn() -> Time + Sync),
        environment: &(dyn Fn(&str) -> Option<String> + Sync),
    ) -> Outcome {
        let keys = match keys(receiver, environment) {
            Ok(keys) => keys,
            // An operator mends it; what waits is not lost meanwhile.
            Err(error) => return later(&error),
        };
        let outcome = match &receiver.setup {
            Setup::Email(mailbox) => letters::carry(self.deadlines, mailbox, parcel, group, &keys).await,
            Setup::Feishu { .. }
            | Setup::Dingtalk { .. }
            | Setup::Wecom { .. }
            | Setup::Slack { .. }
            | Setup::Teams { .. }
            | Setup::Webhook { .. }
            | Setup::Github(_)
            | Setup::Gitlab { .. }
            | Setup::Jira { .. }
            | Setup::Tapd { .. }
            | Setup::TicketWebhook { .. } => self.talk(receiver, parcel, &keys, clock).await,
        };
        redacted(outcome, &keys)
    }

    async fn talk(
        &self,
        receiver: &Receiver,
        parcel: &Parcel,
        keys: &Keys,
        clock: &(dyn Fn() -> Time + Sync),
    ) -> Outcome {
        let mut dialogue = match Dialogue::begin(receiver, parcel, keys, clock()) {
            Ok(dialogue) => dialogue,
            Err(answer) => return Outcome::Later { quiet: None, answer },
        };
        let mut reply = None;
        for _ in 0..TURNS_MAX {
            let request = match dialogue.turn(reply.as_ref()) {
                Turn::Done(outcome) => return outcome,
                Turn::Ask(request) => request,
            };
            if let Err(answer) = allowed(request.url.expose(), receiver.plain_http) {
                return Outcome::Later { quiet: None, answer };
            }
            reply = match self.ask(&request, clock).await {
                Ok(reply) => Some(reply),
                Err(error) => {
                    let said = chain(&error.without_url());
                    let advice =
                        "it cannot be reached; see that its address is right and open to this machine";
                    return Outcome::Later { quiet: None, answer: format!("{advice} ({said})") };
                }
            };
        }
        Outcome::Later { quiet: None, answer: format!("not over after {TURNS_MAX} requests") }
    }

    async fn ask(
        &self,
        request: &Request,
        clock: &(dyn Fn() -> Time + Sync),
    ) -> Result<Reply, reqwest::Error> {
        let method = match request.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
        };
        let mut asked = self.http.request(method, request.url.expose());
        for (name, value) in &request.headers {
            asked = asked.header(*name, value.expose());
        }
        if !request.body.is_empty() {
            asked = asked.body(request.body.clone());
        }
        let mut response = asked.send().await?;
        let status = response.status().as_u16();
        let header = |headers: &HeaderMap, name: &str| {
            headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let retry_after = header(response.headers(), "retry-after");
        let rate = header(response.headers(), "x-ratelimit-remaining")
            .zip(header(response.headers(), "x-ratelimit-reset"));
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                body.truncate(ANSWER_BYTES_MAX);
                break;
            }
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok(Reply { status, retry_after, rate, body, at: clock() })
    }
}

/// The values of a receiver's secrets, as they are now.
fn keys(
    receiver: &Receiver,
    environment: &(dyn Fn(&str) -> Option<String> + Sync),
) -> Result<Keys, SecretError> {
    let read = |place: &SecretPlace| place.read(&|name| environment(name));
    let maybe = |place: &Option<SecretPlace>| place.as_ref().map(read).transpose();
    let token = |place: &SecretPlace| Ok(Keys { token: Some(read(place)?), ..Keys::default() });
    match &receiver.setup {
        Setup::Feishu { url, secret } | Setup::Dingtalk { url, secret, .. } => {
            Ok(Keys { url: Some(read(url)?), secret: maybe(secret)?, token: None })
        }
        Setup::Wecom { url } | Setup::Slack { url } | Setup::Teams { url } => {
            Ok(Keys { url: Some(read(url)?), ..Keys::default() })
        }
        Setup::Webhook { url, secret } | Setup::TicketWebhook { url, secret } => {
            Ok(Keys { url: Some(read(url)?), secret: Some(read(secret)?), token: None })
        }
        Setup::Email(mailbox) => {
            let token = mailbox.login.as_ref().map(|(_, place)| read(place)).transpose()?;
            Ok(Keys { token, ..Keys::default() })
        }
        Setup::Github(tracker)
        | Setup::Gitlab { tracker, .. }
        | Setup::Jira { tracker, .. }
        | Setup::Tapd { tracker, .. } => token(&tracker.token),
    }
}

/// Whether an address may be spoken to: https, or http on this machine or where the rules say so; and never the
/// link-local range, where clouds keep the keys of their machines.
///
/// # Errors
/// Why not, without the address.
fn allowed(url: &str, plain_http: bool) -> Result<(), String> {
    let parsed =
        reqwest::Url::parse(url).map_err(|_| "the address of the receiver is none; mend it".to_owned())?;
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("the address of the receiver holds a user; take it out".to_owned());
    }
    let host = parsed.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let ip: Option<IpAddr> = host.parse().ok();
    if ip.is_some_and(is_link_local) {
        return Err("the address of the receiver is link-local, which is never spoken to".to_owned());
    }
    let here = ip.is_some_and(|ip| ip.is_loopback()) || host == "localhost";
    match parsed.scheme() {
        "https" => Ok(()),
        "http" if here || plain_http => Ok(()),
        _ => Err("the address of the receiver is not https; mend it, or say `plain_http: true`".to_owned()),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_link_local())
        }
    }
}

/// Finds addresses of names, without the link-local ones: a name may lead there as well as an address.
#[derive(Debug)]
struct NotLinkLocal;

impl Resolve for NotLinkLocal {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is put in by whoever connects.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let spoken_to = without_link_local(found);
            if spoken_to.is_empty() {
                return Err("the name leads to no address that may be spoken to".into());
            }
            Ok(Box::new(spoken_to.into_iter()) as Addrs)
        })
    }
}

fn without_link_local(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    found.filter(|address| !is_link_local(address.ip())).collect()
}

fn later(error: &dyn std::error::Error) -> Outcome {
    Outcome::Later { quiet: None, answer: chain(error) }
}

/// An error and its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(&format!(": {error}"));
        cause = error.source();
    }
    words
}

fn redacted(outcome: Outcome, keys: &Keys) -> Outcome {
    match outcome {
        Outcome::Accepted { ticket, answer } => Outcome::Accepted { ticket, answer: keys.redact(&answer) },
        Outcome::Later { quiet, answer } => Outcome::Later { quiet, answer: keys.redact(&answer) },
        Outcome::Refused { answer } => Outcome::Refused { answer: keys.redact(&answer) },
    }
}

/// Whether a receiver could be spoken to, as far as its secrets go: for checks before anything happens.
///
/// # Errors
/// Which secret cannot be read.
pub fn ready(
    receiver: &Receiver,
    environment: &(dyn Fn(&str) -> Option<String> + Sync),
) -> Result<(), SecretError> {
    let keys = keys(receiver, environment)?;
    // The values are dropped unseen.
    let _values: [Option<Secret>; 3] = [keys.url, keys.secret, keys.token];
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_no_link_local_address() {
        let found = [[169, 254, 169, 254], [10, 0, 0, 7]].map(|ip| SocketAddr::from((ip, 0)));
        assert_eq!(without_link_local(found.into_iter()), [found[1]]);
    }

    #[test]
    fn only_safe_addresses_are_spoken_to() {
        let table = [
            ("https://chat.example.com/hook", false, true),
            ("http://chat.example.com/hook", false, false),
            ("http://chat.example.com/hook", true, true),
            ("http://127.0.0.1:8080/hook", false, true),
            ("http://[::1]:8080/hook", false, true),
            ("https://169.254.169.254/latest", true, false),
            ("https://[fe80::1]/", true, false),
            ("https://[::ffff:169.254.169.254]/", true, false),
            ("https://user:word@chat.example.com/", false, false),
            ("ftp://chat.example.com/", true, false),
            ("no address", true, false),
        ];
        for (url, plain, expected) in table {
            assert_eq!(allowed(url, plain).is_ok(), expected, "{url}");
        }
    }
}
