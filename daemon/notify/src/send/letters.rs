//! Letters to a mail server: SMTP (RFC 5321), in TLS from the first byte or after STARTTLS (RFC 3207), and what its
//! refusals mean. What stands in a letter is `render::mail`'s.

use std::path::{Path, PathBuf};

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls as MailTls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

use super::{Deadlines, chain};
use crate::outbox::{Outcome, Parcel};
use crate::render::{Keys, mail};
use crate::rules::model::Mailbox;
use crate::rules::raw::Tls;

/// The largest file of authorities, bytes: every public one together has a quarter of it.
const CA_BYTES_MAX: u64 = 1 << 20;

/// The server does not let this user in (RFC 4954).
const LOGIN_REFUSED: u16 = 535;

/// Why there is no way to a mail server.
#[derive(Debug, thiserror::Error)]
enum WayError {
    /// The authorities cannot be read.
    #[error("`ca_file` {} cannot be read; name a file of PEM certificates that the daemon may read", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// The file is none of certificates.
    #[error("`ca_file` {} holds no PEM certificates; name the right file", .0.display())]
    NoCertificates(PathBuf),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up; see the cause")]
    Tls(#[source] lettre::transport::smtp::Error),
}

/// Carries a letter about a crash group.
pub(super) async fn carry(
    deadlines: Deadlines,
    mailbox: &Mailbox,
    parcel: &Parcel,
    group: &str,
    keys: &Keys,
) -> Outcome {
    let letter = match mail::letter(mailbox, parcel, group) {
        Ok(letter) => letter,
        Err(answer) => return Outcome::Refused { answer },
    };
    let transport = match transport(deadlines, mailbox, keys).await {
        Ok(transport) => transport,
        Err(error) => return super::later(&error),
    };
    match tokio::time::timeout(deadlines.request, transport.send(letter)).await {
        Err(_) => {
            let answer = format!(
                "{}:{} does not answer in time; see that `host`, `port` and `tls` fit the server",
                mailbox.host, mailbox.port
            );
            Outcome::Later { quiet: None, answer }
        }
        Ok(Ok(response)) => {
            let said: Vec<&str> = response.message().collect();
            Outcome::Accepted { ticket: None, answer: format!("{} {}", response.code(), said.join(" ")) }
        }
        Ok(Err(error)) => outcome(mailbox, &error),
    }
}

/// What an error means. What an operator can mend waits for it.
fn outcome(mailbox: &Mailbox, error: &lettre::transport::smtp::Error) -> Outcome {
    let said = chain(error);
    let later = |answer: String| Outcome::Later { quiet: None, answer };
    if said.contains("invalid peer certificate") {
        return later(format!(
            "{} shows a certificate that is not trusted; name its authority by `ca_file`, or by `host` the name that it \
             was made for: {said}",
            mailbox.host
        ));
    }
    if error.status().is_some_and(|code| u16::from(code) == LOGIN_REFUSED) {
        return later(format!("the server does not let the user in; mend `user` and `token`: {said}"));
    }
    if error.is_permanent() {
        return Outcome::Refused {
            answer: format!("it takes no such letter; what it said tells why: {said}"),
        };
    }
    if mailbox.tls == Tls::Starttls && error.is_client() {
        let answer = "the server offers no STARTTLS; say `tls: wrapped`, or `none` for one on this machine";
        return later(format!("{answer}: {said}"));
    }
    if error.is_transient() {
        return later(format!("the server has trouble; it is tried again by itself: {said}"));
    }
    later(format!("see that `host`, `port` and `tls` fit the server, and that it runs: {said}"))
}

async fn transport(
    deadlines: Deadlines,
    mailbox: &Mailbox,
    keys: &Keys,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, WayError> {
    let tls = match mailbox.tls {
        Tls::None => MailTls::None,
        Tls::Starttls => MailTls::Required(parameters(mailbox).await?),
        Tls::Wrapped => MailTls::Wrapper(parameters(mailbox).await?),
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mailbox.host)
        .port(mailbox.port)
        .tls(tls)
        .timeout(Some(deadlines.connect));
    if let Some((user, _)) = &mailbox.login {
        builder = builder.credentials(Credentials::new(user.clone(), keys.token().to_owned()));
    }
    Ok(builder.build())
}

/// Whom to trust: the authorities of the file when there is one, else those of this machine.
async fn parameters(mailbox: &Mailbox) -> Result<TlsParameters, WayError> {
    let mut builder = TlsParameters::builder(mailbox.host.clone());
    if let Some(file) = &mailbox.ca_file {
        let pem = read(file).await?;
        let certificates = pem.windows(BEGIN.len()).filter(|window| *window == BEGIN).count();
        let authorities = Certificate::from_pem(&pem).map_err(|_| WayError::NoCertificates(file.clone()))?;
        if certificates == 0 {
            return Err(WayError::NoCertificates(file.clone()));
        }
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(authorities);
    }
    builder.build().map_err(WayError::Tls)
}

/// How a certificate begins (RFC 7468).
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";

async fn read(file: &Path) -> Result<Vec<u8>, WayError> {
    let failed = |cause| WayError::Read(file.to_owned(), cause);
    let about = tokio::fs::metadata(file).await.map_err(failed)?;
    if about.len() > CA_BYTES_MAX {
        return Err(WayError::NoCertificates(file.to_owned()));
    }
    tokio::fs::read(file).await.map_err(failed)
}
