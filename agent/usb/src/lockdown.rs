//! The one lockdown session of a phone, and how services are reached through it. Asking for trust is
//! [`pairing`](crate::pairing)'s work.

use std::sync::{Mutex as BriefMutex, PoisonError};

use holdfast_wire::id::Udid;
use idevice::lockdown::LockdownClient;
use idevice::pairing_file::PairingFile;
use idevice::{Idevice, IdeviceError, ReadWrite};
use plist::Value;
use tokio::sync::Mutex;

use crate::address::MuxerAddress;
use crate::error::UsbError;
use crate::muxer::Muxer;

/// Which plugging-in of which phone is meant, and how to reach it.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Where usbmuxd serves.
    pub(crate) usbmuxd: MuxerAddress,
    /// The phone.
    pub(crate) udid: Udid,
    /// usbmuxd's number for the plugging-in.
    pub(crate) number: u64,
    /// What we call ourselves.
    pub(crate) label: String,
}

impl Target {
    /// A connection to a port of the phone.
    pub(crate) async fn connect(&self, port: u16) -> Result<Idevice, UsbError> {
        let stream = Muxer::open(&self.usbmuxd).await?.connect(self.number, port).await?;
        Ok(Idevice::new(stream, self.label.clone()))
    }

    /// A lockdown connection without a session: what a phone tells anyone.
    pub(crate) async fn plain_lockdown(&self) -> Result<LockdownClient, UsbError> {
        Ok(LockdownClient::new(self.connect(LockdownClient::LOCKDOWND_PORT).await?))
    }

    /// The pair record that this rack has, as usbmuxd keeps it.
    pub(crate) async fn pair_record(&self) -> Result<PairingFile, UsbError> {
        let bytes = Muxer::open(&self.usbmuxd).await?.pair_record(&self.udid).await?;
        // A record that cannot be read is as good as none: pairing anew replaces it.
        PairingFile::from_bytes(&bytes.ok_or(UsbError::NotPaired)?).map_err(|_unreadable| UsbError::NotPaired)
    }
}

/// Starting a session costs two RSA handshakes, so one is kept and shared by everything that is asked of a phone.
/// It is taken out while it is in use: whoever fails, times out or is dropped takes the connection along, and the
/// next one starts anew.
#[derive(Debug)]
pub(crate) struct Lockdown {
    target: Target,
    kept: Mutex<Option<LockdownClient>>,
    record: BriefMutex<Option<PairingFile>>,
}

/// One question to lockdown. Each may be asked twice without harm.
#[derive(Debug, Clone, Copy)]
enum Question<'a> {
    Value { domain: Option<&'a str>, key: Option<&'a str> },
    Service { name: &'a str },
}

enum Answer {
    Value(Option<Value>),
    Port { port: u16, encrypted: bool },
}

impl Lockdown {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, kept: Mutex::new(None), record: BriefMutex::new(None) }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// A value, or the whole domain without a key; none when the phone has no such value.
    pub(crate) async fn value(
        &self,
        domain: Option<&str>,
        key: Option<&str>,
    ) -> Result<Option<Value>, UsbError> {
        match self.ask(Question::Value { domain, key }).await? {
            Answer::Value(value) => Ok(value),
            Answer::Port { .. } => Ok(None),
        }
    }

    /// Starts a service and connects to it.
    pub(crate) async fn service(&self, name: &str) -> Result<Box<dyn ReadWrite>, UsbError> {
        let Answer::Port { port, encrypted } = self.ask(Question::Service { name }).await? else {
            return Err(UsbError::protocol("a value where a port was asked for"));
        };
        let mut connection = self.target.connect(port).await?;
        if encrypted {
            let record = self.record().await?;
            connection.start_session(&record, false).await?;
        }
        connection.get_socket().ok_or_else(|| UsbError::protocol("a connection without a stream"))
    }

    /// Makes sure that there is a session. Errors tell why there cannot be one.
    pub(crate) async fn check(&self) -> Result<(), UsbError> {
        let mut kept = self.kept.lock().await;
        if kept.is_none() {
            *kept = Some(self.session().await?);
        }
        Ok(())
    }

    /// Forgets session and pair record.
    pub(crate) async fn forget(&self) {
        *self.kept.lock().await = None;
        self.keep_record(None);
    }

    async fn ask(&self, question: Question<'_>) -> Result<Answer, UsbError> {
        let mut kept = self.kept.lock().await;
        // Lockdown closes sessions that idle; only talking to one shows whether it is still open.
        if let Some(mut client) = kept.take() {
            match put(&mut client, question).await {
                Err(error) if error.kind() == holdfast_device::FaultKind::Gone => {}
                outcome => {
                    *kept = outcome.is_ok().then_some(client);
                    return outcome;
                }
            }
        }
        let mut client = self.session().await?;
        let answer = put(&mut client, question).await?;
        *kept = Some(client);
        Ok(answer)
    }

    /// A new session. A record that the phone refuses is read again once: another program may have paired anew.
    async fn session(&self) -> Result<LockdownClient, UsbError> {
        let known = self.known_record();
        let fresh = known.is_none();
        let record = match known {
            Some(record) => record,
            None => self.record().await?,
        };
        match self.session_with(&record).await {
            Err(UsbError::NotPaired) if !fresh => {
                self.keep_record(None);
                let record = self.record().await?;
                self.session_with(&record).await
            }
            Err(UsbError::NotPaired) => {
                self.keep_record(None);
                Err(UsbError::NotPaired)
            }
            outcome => outcome,
        }
    }

    async fn session_with(&self, record: &PairingFile) -> Result<LockdownClient, UsbError> {
        let mut client = self.target.plain_lockdown().await?;
        match client.start_session(record).await {
            Ok(_legacy) => Ok(client),
            Err(IdeviceError::InvalidHostID) => Err(UsbError::NotPaired),
            Err(error) => Err(error.into()),
        }
    }

    async fn record(&self) -> Result<PairingFile, UsbError> {
        if let Some(record) = self.known_record() {
            return Ok(record);
        }
        let record = self.target.pair_record().await?;
        self.keep_record(Some(record.clone()));
        Ok(record)
    }

    fn known_record(&self) -> Option<PairingFile> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep_record(&self, record: Option<PairingFile>) {
        *self.record.lock().unwrap_or_else(PoisonError::into_inner) = record;
    }
}

async fn put(client: &mut LockdownClient, question: Question<'_>) -> Result<Answer, UsbError> {
    match question {
        Question::Value { domain, key } => match client.get_value(key, domain).await {
            Ok(value) => Ok(Answer::Value(Some(value))),
            Err(error) if is_refusal(&error, &["MissingValue", "GetProhibited", "InvalidDomain"]) => {
                Ok(Answer::Value(None))
            }
            // The library's words for an answer that has no `Value`: the key exists and is empty.
            Err(IdeviceError::UnexpectedResponse(words)) if words.contains("missing Value") => {
                Ok(Answer::Value(None))
            }
            Err(error) => Err(error.into()),
        },
        Question::Service { name } => match client.start_service(name).await {
            Ok((port, encrypted)) => Ok(Answer::Port { port, encrypted }),
            Err(error) if is_refusal(&error, &["InvalidService", "ServiceProhibited", "ServiceLimit"]) => {
                Err(UsbError::ServiceMissing { service: name.to_owned() })
            }
            Err(error) => Err(error.into()),
        },
    }
}

/// Whether lockdown refused with one of these words.
fn is_refusal(error: &IdeviceError, words: &[&str]) -> bool {
    match error {
        IdeviceError::UnknownErrorType(said) => words.iter().any(|word| said.starts_with(word)),
        IdeviceError::GetProhibited => words.contains(&"GetProhibited"),
        _ => false,
    }
}
