//! Requests and replies as plain data, and what a status alone says about the message.

use std::time::Duration;

use holdfast_wire::time::Time;
use serde_json::Value;

use crate::outbox::Outcome;
use crate::rules::Secret;
use crate::text;

/// The longest piece of an answer that is shown, bytes.
const ANSWER_BYTES_MAX: usize = 200;

/// The values of a receiver's secrets, read for one parcel.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// Where to post.
    pub url: Option<Secret>,
    /// What to sign with.
    pub secret: Option<Secret>,
    /// The access token or password.
    pub token: Option<Secret>,
}

impl Keys {
    /// Where to post; empty when there is none.
    pub fn url(&self) -> &str {
        self.url.as_ref().map_or("", Secret::expose)
    }

    /// The access token; empty when there is none.
    pub fn token(&self) -> &str {
        self.token.as_ref().map_or("", Secret::expose)
    }

    /// A text without any of the values: receivers repeat what they were sent.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for secret in [&self.url, &self.secret, &self.token].into_iter().flatten() {
            // The key of a robot's address is the secret part of it, and may be repeated alone.
            let whole = secret.expose();
            let parts = whole.split(['/', '?', '&', '=', '#']).filter(|part| part.len() >= 12);
            for part in std::iter::once(whole).chain(parts) {
                out = out.replace(part, "[secret]");
            }
        }
        out
    }
}

/// How a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes.
    Post,
    /// Replaces.
    Put,
    /// Changes.
    Patch,
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Where: it may hold a key.
    pub url: Secret,
    /// Headers; their values may be keys.
    pub headers: Vec<(&'static str, Secret)>,
    /// What.
    pub body: Vec<u8>,
}

impl Request {
    /// JSON to an address.
    pub fn json(method: Method, url: impl Into<String>, body: &Value) -> Self {
        let request =
            Self { method, url: Secret::new(url), headers: Vec::new(), body: body.to_string().into_bytes() };
        request.with("content-type", "application/json; charset=utf-8")
    }

    /// A question.
    pub fn get(url: impl Into<String>) -> Self {
        Self { method: Method::Get, url: Secret::new(url), headers: Vec::new(), body: Vec::new() }
    }

    /// A form to an address.
    pub fn form(url: impl Into<String>, fields: &[(&str, String)]) -> Self {
        let request = Self {
            method: Method::Post,
            url: Secret::new(url),
            headers: Vec::new(),
            body: query(fields).into_bytes(),
        };
        request.with("content-type", "application/x-www-form-urlencoded; charset=utf-8")
    }

    /// With a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, Secret::new(value)));
        self
    }
}

/// What came back.
#[derive(Debug, Clone, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// `Retry-After`, as it is.
    pub retry_after: Option<String>,
    /// `X-RateLimit-Remaining` and `X-RateLimit-Reset` (Unix seconds), as they are.
    pub rate: Option<(String, String)>,
    /// The beginning of the body.
    pub body: String,
    /// When it came.
    pub at: Time,
}

impl Reply {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The reply on one line.
    pub fn words(&self) -> String {
        let body = text::one_line(&self.body, ANSWER_BYTES_MAX);
        if body.is_empty() {
            format!("status {}", self.status)
        } else {
            format!("status {}: {body}", self.status)
        }
    }

    /// What an operator can do, and the reply that says so. The advice comes first, because answers are cut.
    pub fn advised(&self, advice: &str) -> String {
        format!("{advice} ({})", self.words())
    }

    /// For how long the receiver wants to be left alone.
    pub fn quiet(&self) -> Option<Duration> {
        if let Some(text) = &self.retry_after {
            if let Ok(seconds) = text.trim().parse::<u64>() {
                return Some(Duration::from_secs(seconds));
            }
            let zoned = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
            return Some(Time::from(zoned.timestamp()).since(self.at));
        }
        let (remaining, reset) = self.rate.as_ref()?;
        let reset: i64 = reset.trim().parse().ok()?;
        (remaining.trim() == "0").then(|| Time::from_unix_ms(reset.saturating_mul(1_000)).since(self.at))
    }

    /// What the status alone says: nothing when it is a good one.
    ///
    /// # Errors
    /// The outcome. A wrong key (401, 403) may be mended by an operator, so it is tried again; what is wrong with the
    /// message itself is not.
    pub fn good(&self) -> Result<(), Outcome> {
        let later = |advice: &str| Outcome::Later { quiet: self.quiet(), answer: self.advised(advice) };
        let refused = |advice: &str| Outcome::Refused { answer: self.advised(advice) };
        match self.status {
            200..=299 => Ok(()),
            401 => Err(later("the key is not taken; mend its secret in the place that the rules name")),
            403 => Err(later("the key may not do this; give it the right, or name another")),
            429 => Err(later("too often; it goes by itself later, lower `per_minute` when that stays so")),
            408 | 425 | 500..=599 => Err(later("the receiver has trouble; it is tried again by itself")),
            300..=399 => Err(refused("it has moved; mend its address")),
            404 | 410 => Err(refused("nothing is there; mend its address or `project`")),
            413 => Err(refused("the message is too large for it; tell whoever looks after Holdfast")),
            _ => Err(refused("it takes no such message; what it said tells why")),
        }
    }

    /// The good outcome of a message that leaves no ticket.
    pub fn accepted(&self) -> Outcome {
        Outcome::Accepted { ticket: None, answer: self.words() }
    }
}

/// What the numbers mean that a robot answers with: its status may be 200 all the same. 0 is always good.
#[derive(Debug, Clone, Copy)]
pub struct Codes {
    /// Too often.
    pub too_often: &'static [i64],
    /// For how long the robot is left alone then.
    pub quiet: Duration,
    /// It is busy, or an operator can mend it, which is said in words: tried again, as is an answer without a number. All
    /// others are refusals.
    pub again: &'static [(i64, &'static str)],
}

impl Codes {
    /// What a reply with this number says.
    pub fn outcome(&self, reply: &Reply, code: Option<i64>) -> Outcome {
        if let Err(outcome) = reply.good() {
            return outcome;
        }
        let Some(code) = code else {
            let answer = reply.advised("something else answered in its place; mend its address");
            return Outcome::Later { quiet: None, answer };
        };
        if code == 0 {
            return reply.accepted();
        }
        if self.too_often.contains(&code) {
            let advice = "too often; it goes by itself later, lower `per_minute` when that stays so";
            return Outcome::Later { quiet: Some(self.quiet), answer: reply.advised(advice) };
        }
        match self.again.iter().find(|(known, _)| *known == code) {
            Some((_, advice)) => Outcome::Later { quiet: None, answer: reply.advised(advice) },
            None => {
                Outcome::Refused { answer: reply.advised("it takes no such message; what it said tells why") }
            }
        }
    }
}

/// Names and values, percent-encoded and joined: for queries and forms.
pub fn query(fields: &[(&str, String)]) -> String {
    let parts: Vec<String> =
        fields.iter().map(|(name, value)| format!("{}={}", percent(name), percent(value))).collect();
    parts.join("&")
}

/// Every byte but letters, digits and `-._~` as `%XX` (RFC 3986, section 2.3).
pub fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_says_in_three_ways_how_long_to_wait() {
        let at = Time::from_unix_ms(1_795_000_000_000);
        let reply = |retry: Option<&str>, rate: Option<(&str, &str)>| Reply {
            status: 429,
            retry_after: retry.map(str::to_owned),
            rate: rate.map(|(a, b)| (a.to_owned(), b.to_owned())),
            body: String::new(),
            at,
        };
        let table = [
            (reply(Some("30"), None), Some(30)),
            // 1 795 000 000 s is 2026-11-18 11:06:40 UTC.
            (reply(Some("Wed, 18 Nov 2026 11:07:40 GMT"), None), Some(60)),
            (reply(None, Some(("0", "1795000005"))), Some(5)),
            (reply(None, Some(("3", "1795000005"))), None),
            (reply(Some("soon"), None), None),
            (reply(None, None), None),
        ];
        for (reply, expected) in table {
            assert_eq!(reply.quiet().map(|quiet| quiet.as_secs()), expected, "{reply:?}");
        }
    }

    #[test]
    fn statuses_say_whether_it_is_worth_trying_again() {
        let table = [
            (200, "good"),
            (204, "good"),
            (302, "refused"),
            (400, "refused"),
            (401, "later"),
            (404, "refused"),
            (413, "refused"),
            (429, "later"),
            (502, "later"),
        ];
        for (status, expected) in table {
            let found = match (Reply { status, ..Reply::default() }).good() {
                Ok(()) => "good",
                Err(Outcome::Later { .. }) => "later",
                Err(Outcome::Refused { .. }) => "refused",
                Err(Outcome::Accepted { .. }) => "accepted",
            };
            assert_eq!(found, expected, "{status}");
        }
    }

    #[test]
    fn what_receivers_repeat_is_not_shown() {
        let keys = Keys {
            url: Some(Secret::new("https://host/send?key=canary-693axxx6-7aoc")),
            secret: Some(Secret::new("SECcanary")),
            token: None,
        };
        let shown = keys
            .redact("bad key canary-693axxx6-7aoc at https://host/send?key=canary-693axxx6-7aoc SECcanary");
        assert!(!shown.contains("canary"), "{shown}");
        assert_eq!(percent("a b/ü+"), "a%20b%2F%C3%BC%2B");
    }
}
