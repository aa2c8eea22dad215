//! A small client of our own for what the third-party clients cannot be made to do: talk to usbmuxd, lockdown and AFC
//! one message at a time.

use std::net::SocketAddr;
use std::sync::Arc;

use holdfast_simphone::framing::{self, dict};
use holdfast_simphone::rack::RunningRack;
use holdfast_simphone::usbmux::packet;
use plist::{Dictionary, Value};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A connection to the usbmuxd socket.
pub(crate) struct Usbmux(pub(crate) TcpStream);

impl Usbmux {
    pub(crate) async fn open(running: &RunningRack) -> Self {
        Self::open_at(running.address.unwrap()).await
    }

    pub(crate) async fn open_at(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn ask<const N: usize>(&mut self, pairs: [(&str, Value); N]) -> Dictionary {
        packet::write(&mut self.0, 42, &dict(pairs)).await.unwrap();
        let answer = packet::read(&mut self.0).await.unwrap().unwrap();
        assert_eq!(answer.tag, 42, "an answer carries the tag of its request");
        answer.message
    }

    /// The next event after `Listen`.
    pub(crate) async fn event(&mut self) -> Dictionary {
        packet::read(&mut self.0).await.unwrap().unwrap().message
    }

    /// Connects to a port; the number of the result when it is refused.
    pub(crate) async fn connect(mut self, device_id: u32, port: u16) -> Result<TcpStream, u64> {
        let answer = self
            .ask([
                ("MessageType", "Connect".into()),
                ("DeviceID", device_id.into()),
                ("PortNumber", u32::from(port.swap_bytes()).into()),
            ])
            .await;
        match number(&answer) {
            0 => Ok(self.0),
            refused => Err(refused),
        }
    }
}

pub(crate) fn number(answer: &Dictionary) -> u64 {
    answer.get("Number").and_then(Value::as_unsigned_integer).unwrap()
}

/// One request to lockdown and its answer.
pub(crate) async fn ask<S: AsyncRead + AsyncWrite + Unpin, const N: usize>(
    stream: &mut S,
    pairs: [(&str, Value); N],
) -> Dictionary {
    framing::write_xml(stream, &dict(pairs)).await.unwrap();
    framing::read(stream).await.unwrap().unwrap().into_dictionary().unwrap()
}

pub(crate) fn text<'a>(answer: &'a Dictionary, key: &str) -> &'a str {
    answer.get(key).and_then(Value::as_string).unwrap_or("")
}

/// The rack's pair record of its phone at this position.
pub(crate) fn record(running: &RunningRack, position: usize) -> Dictionary {
    let udid = &running.rack.seats()[position].phone().identity.udid;
    let bytes = running.rack.records().read(udid).unwrap();
    framing::parse(&bytes).unwrap().into_dictionary().unwrap()
}

/// Begins TLS with the certificate and key of these names in a pair record.
pub(crate) async fn secure(
    stream: TcpStream,
    record: &Dictionary,
    who: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let pem = |key: &str| record.get(key).and_then(Value::as_data).unwrap();
    let certificate = CertificateDer::from_pem_slice(pem(&format!("{who}Certificate"))).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pem(&format!("{who}PrivateKey"))).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyPhone))
        .with_client_auth_cert(vec![certificate], key)
        .unwrap();
    let name = ServerName::try_from("phone").unwrap();
    let mut secured = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    // With TLS 1.3 a client learns only from the next answer that it was refused.
    secured.flush().await?;
    Ok(secured)
}

/// Opens lockdown on a phone and begins a session as this half of the pair record.
pub(crate) async fn session(
    running: &RunningRack,
    position: usize,
    who: &str,
) -> (TlsStream<TcpStream>, String) {
    let device_id = running.rack.attachment_at(position).unwrap().device_id;
    let mut plain = Usbmux::open(running).await.connect(device_id, 62078).await.unwrap();
    let record = record(running, position);
    let answer =
        ask(&mut plain, [("Request", "StartSession".into()), ("HostID", record["HostID"].clone())]).await;
    assert_eq!(answer.get("EnableSessionSSL").and_then(Value::as_boolean), Some(true));
    (secure(plain, &record, who).await.unwrap(), text(&answer, "SessionID").to_owned())
}

/// Starts a service and connects to it.
pub(crate) async fn service(running: &RunningRack, position: usize, name: &str) -> TlsStream<TcpStream> {
    let (mut lockdown, _) = session(running, position, "Host").await;
    let answer = ask(&mut lockdown, [("Request", "StartService".into()), ("Service", name.into())]).await;
    let port = answer.get("Port").and_then(Value::as_unsigned_integer).unwrap();
    let device_id = running.rack.attachment_at(position).unwrap().device_id;
    let plain = Usbmux::open(running).await.connect(device_id, u16::try_from(port).unwrap()).await.unwrap();
    secure(plain, &record(running, position), "Host").await.unwrap()
}

/// Sends one AFC request without waiting for its answer.
pub(crate) async fn afc_send<S: AsyncWrite + Unpin>(
    stream: &mut S,
    operation: u64,
    body: &[u8],
) -> std::io::Result<()> {
    let length = 40 + body.len() as u64;
    let mut sent = b"CFA6LPAA".to_vec();
    for field in [length, length, 7, operation] {
        sent.extend_from_slice(&field.to_le_bytes());
    }
    sent.extend_from_slice(body);
    stream.write_all(&sent).await?;
    stream.flush().await
}

/// One AFC answer: its operation and body.
pub(crate) async fn afc_answer<S: AsyncRead + Unpin>(stream: &mut S) -> std::io::Result<(u64, Vec<u8>)> {
    let mut header = [0_u8; 40];
    stream.read_exact(&mut header).await?;
    let field = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().unwrap());
    assert_eq!(field(24), 7, "an answer carries the number of its request");
    let mut body = vec![0_u8; usize::try_from(field(8)).unwrap() - 40];
    stream.read_exact(&mut body).await?;
    Ok((field(32), body))
}

/// Believes every phone, as all clients do.
#[derive(Debug)]
struct AnyPhone;

impl ServerCertVerifier for AnyPhone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
