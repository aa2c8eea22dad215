//! TLS as a phone speaks it: the phone's own certificate, a client certificate compared byte by byte with those of
//! the pairing, and the way back to plain text.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::keys::Keys;
use super::pairings::Pairing;
use crate::service::{BoxStream, ServiceError};

/// How long a client may take to begin TLS after it asked for it.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// How long a client may take to answer the end of TLS.
const GOODBYE: Duration = Duration::from_secs(5);

/// The header of a TLS record: type, two bytes of version, two bytes of length.
const RECORD_HEADER_BYTES: usize = 5;

/// How the connections of a session with this computer are secured.
///
/// # Errors
/// [`ServiceError::Protocol`] when the committed keys are damaged or TLS cannot be set up.
pub(super) fn config(pairing: &Pairing) -> Result<Arc<ServerConfig>, ServiceError> {
    let keys = Keys::get().map_err(|error| ServiceError::protocol(error.to_string()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(PairedClient {
        accepted: [pairing.host.clone(), pairing.root.clone()],
        algorithms: provider.signature_verification_algorithms,
    });
    // The certificate was made by the computer for the phone's key; nobody checks that the two agree, so neither
    // does this.
    let certified = CertifiedKey::new(vec![pairing.device.clone()], Arc::clone(&keys.device_key));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])
        .map_err(|error| ServiceError::protocol(error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(Always(Arc::new(certified))));
    // Phones resume no sessions, and a ticket after the handshake would sit unread before the plain text.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// Begins TLS with a client that has asked for it.
///
/// # Errors
/// When the client is not the paired one, speaks no TLS, or takes longer than [`HANDSHAKE`].
pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    config: Arc<ServerConfig>,
    stream: S,
) -> Result<TlsStream<S>, ServiceError> {
    let accepting = TlsAcceptor::from(config).accept(stream);
    let late = |_elapsed| ServiceError::protocol("the client did not begin TLS in time");
    tokio::time::timeout(HANDSHAKE, accepting).await.map_err(late)?.map_err(ServiceError::io("beginning TLS"))
}

/// A lockdown session: TLS that can go back to plain text on the same connection.
pub(super) struct Session {
    stream: TlsStream<RecordByRecord>,
}

impl Session {
    /// Begins TLS; see [`accept`].
    ///
    /// # Errors
    /// As [`accept`].
    pub(super) async fn begin(config: Arc<ServerConfig>, stream: BoxStream) -> Result<Self, ServiceError> {
        Ok(Self { stream: accept(config, RecordByRecord::new(stream)).await? })
    }

    /// The secured stream.
    pub(super) fn stream(&mut self) -> &mut (impl AsyncRead + AsyncWrite + Unpin + use<>) {
        &mut self.stream
    }

    /// Ends TLS from this side, waits for the client to end it too, and gives the plain stream back.
    ///
    /// # Errors
    /// When the client neither ends TLS nor closes within [`GOODBYE`].
    pub(super) async fn end(mut self) -> Result<BoxStream, ServiceError> {
        self.stream.shutdown().await.map_err(ServiceError::io("ending TLS"))?;
        let mut ignored = [0_u8; 1024];
        let draining = async {
            while self.stream.read(&mut ignored).await? > 0 {}
            Ok(())
        };
        let late = |_elapsed| ServiceError::protocol("the client did not end TLS in time");
        tokio::time::timeout(GOODBYE, draining)
            .await
            .map_err(late)?
            .map_err(ServiceError::io("waiting for the client to end TLS"))?;
        let (records, _connection) = self.stream.into_inner();
        Ok(records.stream)
    }
}

/// Shows the same certificate to everybody.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// Accepts a client whose certificate is byte for byte one of the pairing's. Its purpose, dates and issuer are not
/// looked at: certificates of real clients would fail that.
#[derive(Debug)]
struct PairedClient {
    accepted: [CertificateDer<'static>; 2],
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for PairedClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if self.accepted.iter().any(|accepted| accepted.as_ref() == end_entity.as_ref()) {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Never reads beyond the end of a TLS record, and never closes the stream below: so that what a client sends in
/// plain text right behind its end of TLS is still there when the plain stream is given back.
struct RecordByRecord {
    stream: BoxStream,
    header: [u8; RECORD_HEADER_BYTES],
    header_read: usize,
    body_left: usize,
}

impl RecordByRecord {
    fn new(stream: BoxStream) -> Self {
        Self { stream, header: [0; RECORD_HEADER_BYTES], header_read: 0, body_left: 0 }
    }

    fn take_note(&mut self, read: &[u8]) {
        if self.body_left > 0 {
            self.body_left -= read.len();
            return;
        }
        self.header[self.header_read..self.header_read + read.len()].copy_from_slice(read);
        self.header_read += read.len();
        if self.header_read == RECORD_HEADER_BYTES {
            let [_, _, _, high, low] = self.header;
            self.body_left = u16::from_be_bytes([high, low]).into();
            self.header_read = 0;
        }
    }
}

impl AsyncRead for RecordByRecord {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let wanted = if this.body_left > 0 { this.body_left } else { RECORD_HEADER_BYTES - this.header_read };
        let room = wanted.min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
        std::task::ready!(Pin::new(&mut this.stream).poll_read(context, &mut part))?;
        let read = part.filled().len();
        this.take_note(part.filled());
        buffer.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for RecordByRecord {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}
