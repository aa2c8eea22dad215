//! The signatures of receivers. Feishu's and DingTalk's recipes are each other's reverse: what is the key of the one is
//! the message of the other.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// The mark of a secret of Standard Webhooks.
const WEBHOOK_SECRET_PREFIX: &str = "whsec_";

/// Feishu, the field `sign` of the body: HMAC-SHA256 of nothing, under the key `SECONDS\nSECRET`, in base64
/// (open.feishu.cn, "Custom bot usage guide").
pub fn feishu(unix_s: i64, secret: &str) -> String {
    hmac_base64(format!("{unix_s}\n{secret}").as_bytes(), b"")
}

/// DingTalk, the query parameter `sign` before it is percent-encoded: HMAC-SHA256 of `MILLISECONDS\nSECRET`, under the
/// key `SECRET`, in base64 (open.dingtalk.com, "Custom robot access").
pub fn dingtalk(unix_ms: i64, secret: &str) -> String {
    hmac_base64(secret.as_bytes(), format!("{unix_ms}\n{secret}").as_bytes())
}

/// Standard Webhooks, the header `webhook-signature`: HMAC-SHA256 of `ID.SECONDS.BODY` in base64, after `v1,`. The
/// secret is base64 after `whsec_`; one without that mark is taken as it is.
///
/// # Errors
/// The secret has the mark, and what follows is no base64.
pub fn standard_webhook(
    id: &str,
    unix_s: i64,
    body: &[u8],
    secret: &str,
) -> Result<String, base64::DecodeError> {
    let key = match secret.strip_prefix(WEBHOOK_SECRET_PREFIX) {
        Some(encoded) => STANDARD.decode(encoded)?,
        None => secret.as_bytes().to_vec(),
    };
    let mut signed = format!("{id}.{unix_s}.").into_bytes();
    signed.extend_from_slice(body);
    Ok(format!("v1,{}", hmac_base64(&key, &signed)))
}

/// The header `Authorization` for a user and a password.
pub fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// A short name for a text: the first 16 bytes of its SHA-256, in hex.
pub fn name_of(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn hmac_base64(key: &[u8], message: &[u8]) -> String {
    STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Python's hmac module and `openssl dgst -sha256 -mac HMAC` agreed on each of these; that of Standard Webhooks is
    // the example of its specification.
    #[test]
    fn signatures_are_those_that_others_compute() {
        assert_eq!(feishu(1_795_000_000, "SEC0123-demo"), "45ULGuxQOm+BpX+a1IblCi+3FrG+wV5jQS0ia6Xi7JA=");
        assert_eq!(
            dingtalk(1_795_000_000_123, "SEC0123-demo"),
            "xu9NwoPBLXBaXMKsHqU/ORYvY+Eehev+hDnrgiFEU4g="
        );
        let signed = standard_webhook(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            br#"{"test": 2432232314}"#,
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        );
        assert_eq!(signed.as_deref(), Ok("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="));
        // RFC 7617, section 2.
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }

    #[test]
    fn the_two_recipes_are_not_the_same() {
        assert_ne!(feishu(1_795_000_000, "secret"), dingtalk(1_795_000_000, "secret"));
        assert!(standard_webhook("a", 1, b"", "whsec_no base64").is_err());
    }
}
