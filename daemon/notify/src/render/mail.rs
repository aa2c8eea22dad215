//! A message as a letter (RFC 5322): one thread per crash group, the same `Message-ID` at every try, and marked as sent by
//! a program, so that no other program answers.

use lettre::Message as Letter;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox as Address, MessageBuilder};

use super::layout::{self, Plain, Title};
use crate::outbox::Parcel;
use crate::rules::model::Mailbox;
use crate::sign;
use crate::text;

/// Longest subject, bytes: what lists of letters show.
pub const SUBJECT_BYTES_MAX: usize = 200;

/// Longest letter, bytes.
pub const BODY_BYTES_MAX: usize = 60_000;

/// The letter.
///
/// # Errors
/// Why it cannot be made, in words.
pub fn letter(mailbox: &Mailbox, parcel: &Parcel, group: &str) -> Result<Letter, String> {
    let address = |text: &str| {
        text.parse::<Address>()
            .map_err(|error| format!("{text:?} is no e-mail address ({error}); mend the rules"))
    };
    let from = address(&mailbox.from)?;
    let domain = from.email.domain().to_owned();
    let thread = format!("<group.{}@{domain}>", sign::name_of(group));
    let mut builder: MessageBuilder = Letter::builder()
        .from(from)
        .subject(text::one_line(&parcel.message.title, SUBJECT_BYTES_MAX))
        .message_id(Some(format!("<{}@{domain}>", sign::name_of(&parcel.key.0))))
        .references(thread)
        .header(ContentType::TEXT_PLAIN);
    let called = parcel.message.mentions.iter().take(layout::MENTIONS_MAX).map(|mention| mention.id.as_str());
    let mut seen: Vec<Address> = Vec::new();
    for to in mailbox.to.iter().map(String::as_str).chain(called) {
        let to = address(to)?;
        if !seen.iter().any(|known| known.email == to.email) {
            seen.push(to);
        }
    }
    for to in seen {
        builder = builder.to(to);
    }
    let body = layout::text(&Plain, &parcel.message, Title::Shown, BODY_BYTES_MAX);
    let mut letter = builder.body(body).map_err(|error| format!("the letter cannot be made ({error})"))?;
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    letter.headers_mut().insert_raw(HeaderValue::new(automatic, "auto-generated".to_owned()));
    Ok(letter)
}
