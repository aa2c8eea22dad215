//! Any program: JSON signed after Standard Webhooks (standardwebhooks.com). The id is the same at every try, so that a
//! receiver knows a repetition.

use holdfast_wire::time::Time;
use serde_json::{Value, json};

use super::exchange::{Keys, Method, Reply, Request};
use crate::outbox::{Outcome, Parcel};
use crate::rules::Secret;
use crate::sign;

/// The version of what is sent.
pub const VERSION: u32 = 1;

/// The body's type for what goes to a chat.
const TOLD: &str = "crash_group.told";

/// The request.
///
/// # Errors
/// Why it cannot be signed.
pub fn request(parcel: &Parcel, keys: &Keys, now: Time) -> Result<Request, String> {
    let data = json!({ "key": parcel.key, "message": parcel.message });
    signed(parcel, &envelope(TOLD, now, data), keys, now)
}

/// What every webhook of ours sends.
pub(super) fn envelope(kind: &str, now: Time, data: Value) -> Value {
    json!({ "type": kind, "timestamp": now, "version": VERSION, "data": data })
}

/// A signed request.
///
/// # Errors
/// Why it cannot be signed.
pub(super) fn signed(parcel: &Parcel, body: &Value, keys: &Keys, now: Time) -> Result<Request, String> {
    let body = body.to_string().into_bytes();
    let seconds = now.as_unix_ms().div_euclid(1_000);
    // A dot would end the id in what is signed.
    let id = format!("msg_{}", sign::name_of(&parcel.key.0));
    let secret = keys.secret.as_ref().map_or("", Secret::expose);
    let signature = sign::standard_webhook(&id, seconds, &body, secret)
        .map_err(|_| "the secret after whsec_ is no base64; mend it".to_owned())?;
    let request = Request { method: Method::Post, url: Secret::new(keys.url()), headers: Vec::new(), body };
    Ok(request
        .with("content-type", "application/json")
        .with("webhook-id", id)
        .with("webhook-timestamp", seconds.to_string())
        .with("webhook-signature", signature))
}

/// What the program said.
pub fn read(reply: &Reply) -> Outcome {
    match reply.good() {
        Ok(()) => reply.accepted(),
        Err(outcome) => outcome,
    }
}
