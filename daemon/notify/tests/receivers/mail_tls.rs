//! E-mail in TLS, from the first byte and after STARTTLS, against a server whose certificate is or is not to be trusted.
//! The certificates are made by `tls/make`.

use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::server::{Line, parcel, plain, words};

/// How a server begins TLS.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Begins {
    AtOnce,
    WhenAsked,
    Never,
}

/// What reached the server.
#[derive(Debug, PartialEq)]
enum Came {
    /// A letter that was said in TLS.
    Secret,
    /// A letter, or a password, that anybody could read.
    Open,
}

fn file(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/receivers/tls").join(name).display().to_string()
}

fn acceptor(certificate: &str) -> TlsAcceptor {
    let chain = CertificateDer::from_pem_file(file(&format!("{certificate}.pem"))).unwrap();
    let key = PrivateKeyDer::from_pem_file(file(&format!("{certificate}.key"))).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A mail server with this certificate.
async fn serve(begins: Begins, certificate: &str) -> (u16, mpsc::UnboundedReceiver<Came>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (came, heard) = mpsc::unbounded_channel();
    let acceptor = acceptor(certificate);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, begins, acceptor.clone(), came.clone()));
        }
    });
    (port, heard)
}

async fn connection(
    stream: TcpStream,
    begins: Begins,
    acceptor: TlsAcceptor,
    came: mpsc::UnboundedSender<Came>,
) -> Option<()> {
    match begins {
        Begins::AtOnce => {
            let mut stream = BufReader::new(acceptor.accept(stream).await.ok()?);
            talk(&mut stream, "", true, &Came::Secret, &came).await;
        }
        Begins::WhenAsked => {
            let mut open = BufReader::new(stream);
            if talk(&mut open, "250-STARTTLS\r\n", true, &Came::Open, &came).await == Some(Left::ForTls) {
                let mut stream = BufReader::new(acceptor.accept(open.into_inner()).await.ok()?);
                talk(&mut stream, "", false, &Came::Secret, &came).await;
            }
        }
        Begins::Never => {
            talk(&mut BufReader::new(stream), "", true, &Came::Open, &came).await;
        }
    }
    Some(())
}

#[derive(Debug, PartialEq)]
enum Left {
    Done,
    ForTls,
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    more: &str,
    greets: bool,
    of: &Came,
    came: &mpsc::UnboundedSender<Came>,
) -> Option<Left> {
    if greets {
        stream.write_all(b"220 mail.example.com ESMTP\r\n").await.ok()?;
    }
    let tell = || came.send(if *of == Came::Secret { Came::Secret } else { Came::Open }).ok();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return Some(Left::Done);
        }
        let said = match line.split([' ', ':', '\r']).next().unwrap_or_default() {
            "EHLO" => format!("250-mail.example.com\r\n{more}250 AUTH PLAIN"),
            "STARTTLS" => {
                stream.write_all(b"220 go on\r\n").await.ok()?;
                return Some(Left::ForTls);
            }
            "AUTH" => {
                if *of == Came::Open {
                    tell()?;
                }
                "235 ok".to_owned()
            }
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await.ok()?;
                while line.trim_end() != "." {
                    line.clear();
                    if stream.read_line(&mut line).await.ok()? == 0 {
                        return Some(Left::Done);
                    }
                }
                tell()?;
                "250 queued".to_owned()
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await.ok()?;
                return Some(Left::Done);
            }
            _ => "250 ok".to_owned(),
        };
        stream.write_all(format!("{said}\r\n").as_bytes()).await.ok()?;
    }
}

fn mailbox(port: u16, tls: &str, more: &str) -> Line {
    let yaml = format!(
        "{{name: r, kind: email, host: 127.0.0.1, port: {port}, tls: {tls}, user: holdfast, token: {{env: T}}, from: \
         farm@example.com, to: [stability@example.com]{more}}}"
    );
    Line::new(&yaml, &[("T", "canary-word")])
}

#[tokio::test]
async fn letters_go_in_tls_to_servers_that_their_authority_vouches_for() {
    for (begins, tls) in [(Begins::AtOnce, "wrapped"), (Begins::WhenAsked, "starttls")] {
        let (port, mut heard) = serve(begins, "here").await;
        let line = mailbox(port, tls, &format!(", ca_file: '{}'", file("ca.pem")));
        let outcome = line.send(&parcel(plain("ann@example.com"))).await;
        assert_eq!(words(&outcome).0, "accepted", "{tls}: {outcome:?}");
        assert_eq!(heard.try_recv().unwrap(), Came::Secret, "{tls}");
        assert!(heard.try_recv().is_err(), "{tls}: nothing else came");
    }
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_gets_neither_letter_nor_password() {
    let ca = |name: &str| format!(", ca_file: '{}'", file(name));
    // Certificate, whom the rules trust, and what is said: who vouches is unknown, or the name is another.
    let table = [
        ("here", String::new(), "UnknownIssuer"),
        ("here", ca("stranger.pem"), "UnknownIssuer"),
        ("elsewhere", ca("ca.pem"), "not valid for name"),
    ];
    for (begins, tls) in [(Begins::AtOnce, "wrapped"), (Begins::WhenAsked, "starttls")] {
        for (certificate, trusted, said) in &table {
            let (port, mut heard) = serve(begins, certificate).await;
            let outcome = mailbox(port, tls, trusted).send(&parcel(plain("ann@example.com"))).await;
            let (word, answer) = words(&outcome);
            // An operator mends it, so it waits.
            assert_eq!(word, "later", "{tls} {certificate}: {outcome:?}");
            assert!(
                answer.contains("a certificate that is not trusted; name its authority by `ca_file`"),
                "{answer}"
            );
            assert!(answer.contains(said), "{tls} {certificate} {said}: {answer}");
            assert!(heard.try_recv().is_err(), "{tls} {certificate}: something came");
        }
    }
}

#[tokio::test]
async fn a_server_that_does_not_begin_tls_is_told_nothing() {
    let table = [
        (Begins::Never, "starttls", "the server offers no STARTTLS; say `tls: wrapped`"),
        // Each waits for the other to begin.
        (Begins::AtOnce, "starttls", "see that `host`, `port` and `tls` fit the server"),
        (Begins::WhenAsked, "wrapped", "see that `host`, `port` and `tls` fit the server"),
    ];
    for (begins, tls, advice) in table {
        let (port, mut heard) = serve(begins, "here").await;
        let line = mailbox(port, tls, &format!(", ca_file: '{}'", file("ca.pem")));
        let outcome = line.send(&parcel(plain("ann@example.com"))).await;
        let (word, answer) = words(&outcome);
        assert_eq!(word, "later", "{begins:?} {tls}: {outcome:?}");
        assert!(answer.contains(advice), "{begins:?} {tls}: {answer}");
        assert!(heard.try_recv().is_err(), "{begins:?} {tls}: something came");
    }
}

#[tokio::test]
async fn a_file_that_vouches_for_nobody_is_told_of() {
    let (port, _heard) = serve(Begins::AtOnce, "here").await;
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate\n").unwrap();
    let missing = folder.path().join("missing.pem");
    let table = [(&empty, "holds no PEM certificates"), (&missing, "cannot be read")];
    for (file, said) in table {
        let line = mailbox(port, "wrapped", &format!(", ca_file: '{}'", file.display()));
        let outcome = line.send(&parcel(plain("ann@example.com"))).await;
        assert_eq!(words(&outcome).0, "later", "{outcome:?}");
        assert!(words(&outcome).1.contains(said), "{outcome:?}");
    }
}
