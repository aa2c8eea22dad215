//! The phone's side of one DTX connection: greets, opens channels, passes calls on. What the channels do is in
//! [`instruments`](crate::instruments).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::DtxError;
use super::channel::{Answer, Call, Channel, Events, OpenChannel};
use super::frame::{Assembler, HEADER_BYTES, Header};
use super::message::{Kind, Message};
use super::primitive::Primitive;
use crate::archive::{NsError, Object};
use crate::service::ServiceError;

/// How many messages may wait for a client that reads slowly, before events wait too.
const OUTGOING_MAX: usize = 32;

/// How many channels one client may have open: Instruments itself opens a dozen.
const CHANNELS_MAX: usize = 64;

/// How many bytes are taken from the socket at once; a body grows with what arrives, not with what is announced.
const READ_BYTES: usize = 16 * 1024;

/// What a connection offers.
pub struct Served<'a> {
    /// What the phone can do, by name and version; the first message tells it.
    pub capabilities: &'a [(&'a str, u32)],
    /// Told what the client can do, as soon as it says so.
    pub client_capabilities: &'a mut (dyn FnMut(&Object) + Send),
    /// Opens a channel by name.
    pub open: &'a mut OpenChannel<'a>,
}

/// Serves one client until it closes the connection.
///
/// # Errors
/// [`ServiceError`] when the client breaks the protocol or the connection fails.
pub async fn serve<S>(stream: S, served: Served<'_>) -> Result<(), ServiceError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let (reader, writer) = tokio::io::split(stream);
    let (outgoing, waiting) = mpsc::channel(OUTGOING_MAX);
    let identifiers = Arc::new(AtomicU32::new(1));
    let hello = Events::new(0, Arc::clone(&identifiers), outgoing.clone());
    let capabilities =
        Object::dictionary(served.capabilities.iter().map(|(name, version)| (*name, Object::from(*version))));
    hello.invoke("_notifyOfPublishedCapabilities:", &[capabilities]).await;
    let mut connection = Connection { served, identifiers, outgoing, channels: BTreeMap::new() };
    tokio::select! {
        read = connection.read_all(reader) => read,
        written = write_all(writer, waiting) => written,
    }
}

struct Connection<'a> {
    served: Served<'a>,
    identifiers: Arc<AtomicU32>,
    outgoing: mpsc::Sender<Vec<u8>>,
    channels: BTreeMap<i32, Box<dyn Channel>>,
}

impl Connection<'_> {
    async fn read_all<S>(&mut self, mut reader: ReadHalf<S>) -> Result<(), ServiceError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin,
    {
        let mut assembler = Assembler::default();
        while let Some((header, body)) = read_fragment(&mut reader).await? {
            let Some((header, body)) = assembler.add(header, body).map_err(broken)? else { continue };
            let message = Message::parse(&header, &body).map_err(broken)?;
            // Replies to what the phone sent: nothing that it sends waits for one.
            if message.kind != Kind::Invocation {
                continue;
            }
            let expects_reply = message.expects_reply;
            let head = Message { arguments: Vec::new(), payload: Vec::new(), ..message.clone() };
            let answer = self.answer(message).await;
            if expects_reply && self.outgoing.send(head.reply(answer).wire()).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn answer(&mut self, message: Message) -> Answer {
        let Some(selector) = message.selector() else {
            return Err(NsError::new("DTXMessage", 1, "Unable to invoke: the selector is not a string"));
        };
        let arguments = message.arguments.into_iter().map(Primitive::into_object).collect();
        let call = Call { selector, arguments };
        if message.channel == 0 {
            return self.control(&call);
        }
        match self.channels.get_mut(&message.channel) {
            Some(channel) => channel.call(&call).await,
            None => Err(NsError::new("DTXMessage", 1, &format!("No channel with code {}", message.channel))),
        }
    }

    /// The calls on channel 0, which is the connection itself.
    fn control(&mut self, call: &Call) -> Answer {
        match call.selector.as_str() {
            "_notifyOfPublishedCapabilities:" => {
                (self.served.client_capabilities)(call.argument(0));
                Ok(None)
            }
            "_requestChannelWithCode:identifier:" => self.open(call),
            "_channelCanceled:" => {
                let code = call.argument(0).as_i64().and_then(|code| i32::try_from(code).ok());
                self.channels.remove(&code.unwrap_or_default());
                Ok(None)
            }
            _ => Err(call.not_understood()),
        }
    }

    fn open(&mut self, call: &Call) -> Answer {
        let refused = |why: String| Err(NsError::new("DTXMessage", 1, &why));
        let code = call.argument(0).as_i64().and_then(|code| i32::try_from(code).ok());
        let Some(code) = code.filter(|code| *code > 0) else {
            return refused("Unable to open a channel: its code is not a positive number".to_owned());
        };
        let name = call.text(1)?;
        if self.channels.contains_key(&code) || self.channels.len() == CHANNELS_MAX {
            return refused(format!("Unable to open a channel: code {code} is taken, or too many are open"));
        }
        let events = Events::new(code, Arc::clone(&self.identifiers), self.outgoing.clone());
        match (self.served.open)(name, events) {
            Some(channel) => {
                self.channels.insert(code, channel);
                Ok(None)
            }
            None => refused(format!("Unable to open a channel: no service is named {name}")),
        }
    }
}

async fn read_fragment<S>(reader: &mut ReadHalf<S>) -> Result<Option<(Header, Vec<u8>)>, ServiceError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let mut head = [0; HEADER_BYTES];
    let first = reader.read(&mut head).await.map_err(ServiceError::io("reading a DTX header"))?;
    if first == 0 {
        return Ok(None);
    }
    reader.read_exact(&mut head[first..]).await.map_err(ServiceError::io("reading a DTX header"))?;
    let header = Header::parse(&head).map_err(broken)?;
    let skipped = header.header_bytes.saturating_sub(head.len() as u32);
    read_bytes(reader, skipped).await?;
    let body = read_bytes(reader, header.body_bytes()).await?;
    Ok(Some((header, body)))
}

async fn read_bytes<S>(reader: &mut ReadHalf<S>, count: u32) -> Result<Vec<u8>, ServiceError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    let mut bytes = Vec::with_capacity(READ_BYTES.min(count as usize));
    let got = reader.take(count.into()).read_to_end(&mut bytes).await;
    let got = got.map_err(ServiceError::io("reading a DTX message"))?;
    if got < count as usize {
        return Err(ServiceError::protocol("the connection ended inside a DTX message"));
    }
    Ok(bytes)
}

async fn write_all<S>(
    mut writer: WriteHalf<S>,
    mut waiting: mpsc::Receiver<Vec<u8>>,
) -> Result<(), ServiceError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    while let Some(wire) = waiting.recv().await {
        writer.write_all(&wire).await.map_err(ServiceError::io("sending a DTX message"))?;
        writer.flush().await.map_err(ServiceError::io("sending a DTX message"))?;
    }
    Ok(())
}

fn broken(error: DtxError) -> ServiceError {
    ServiceError::protocol(error.to_string())
}
