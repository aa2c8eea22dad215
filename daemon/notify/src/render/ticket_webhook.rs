//! Tickets of any program: the message and what becomes of the ticket, signed after Standard Webhooks. The program finds
//! its ticket by the marker, and may answer `{"ticket": "…", "url": "…"}`.

use holdfast_wire::time::Time;
use serde_json::json;

use super::exchange::{Keys, Reply, Request};
use super::webhook::{envelope, signed};
use crate::outbox::{Outcome, Parcel};

/// The body's type.
const TICKET: &str = "crash_group.ticket";

/// The longest id of a ticket, bytes.
const REFERENCE_BYTES_MAX: usize = 200;

/// The request.
///
/// # Errors
/// Why it cannot be signed.
pub fn request(parcel: &Parcel, keys: &Keys, now: Time) -> Result<Request, String> {
    let Some(ticket) = &parcel.message.ticket else {
        return Err("the message says nothing of a ticket".to_owned());
    };
    let data = json!({
        "key": parcel.key,
        "action": ticket.action,
        "marker": ticket.marker,
        "ticket": parcel.ticket,
        "message": parcel.message,
    });
    signed(parcel, &envelope(TICKET, now, data), keys, now)
}

/// What the program said. A ticket without a name goes by its marker, which every message has.
pub fn read(reply: &Reply) -> Outcome {
    if let Err(outcome) = reply.good() {
        return outcome;
    }
    let json = reply.json();
    let named = json["ticket"].as_str().filter(|id| !id.is_empty() && id.len() <= REFERENCE_BYTES_MAX);
    let reference = named.unwrap_or("by its marker").to_owned();
    let url = json["url"].as_str().map(str::to_owned);
    Outcome::Accepted { ticket: Some((reference, url)), answer: reply.words() }
}
