//! `com.apple.os_trace_relay`: the log as binary records, and the list of processes.
//! The text form is in [`syslog`](super::syslog).

use std::sync::Arc;

use plist::{Dictionary, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::broadcast::error::RecvError;

use super::bus::LogLine;
use crate::behave;
use crate::framing;
use crate::phone::Phone;
use crate::service::{BoxStream, ServiceError};

/// The fixed part of a record; the texts follow it.
const RECORD_HEADER_BYTES: usize = 129;

/// In front of an answer.
const ANSWER: u8 = 1;

/// In front of a record.
const RECORD: u8 = 2;

/// Answers requests until the client wants the stream, then sends every line from now on.
pub(super) async fn serve(mut stream: BoxStream, phone: Arc<Phone>) -> Result<(), ServiceError> {
    while let Some(request) = framing::read(&mut stream).await? {
        let request = request.into_dictionary().unwrap_or_default();
        match request.get("Request").and_then(Value::as_string) {
            Some("PidList") => answer(&mut stream, pid_list(&phone)).await?,
            Some("StartActivity") => {
                answer(&mut stream, status("RequestSuccessful")).await?;
                let pid = request.get("Pid").and_then(Value::as_signed_integer);
                return send_records(stream, &phone, pid.and_then(|pid| u32::try_from(pid).ok())).await;
            }
            // The stored log of a pretend phone is not kept, so there is no archive of it.
            _ => answer(&mut stream, status("RequestFailed")).await?,
        }
    }
    Ok(())
}

/// Sends the records of one process, or of all.
async fn send_records(stream: BoxStream, phone: &Phone, pid: Option<u32>) -> Result<(), ServiceError> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut lines = phone.log.listen();
    let mut ignored = [0_u8; 64];
    loop {
        tokio::select! {
            read = reader.read(&mut ignored) => {
                if read.map_err(ServiceError::io("waiting for the client of the log"))? == 0 {
                    return Ok(());
                }
            }
            received = lines.recv() => match received {
                Ok(line) if pid.is_none_or(|pid| pid == line.pid) => {
                    writer.write_all(&record(&line)).await.map_err(ServiceError::io("sending the log"))?;
                    writer.flush().await.map_err(ServiceError::io("sending the log"))?;
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

async fn answer(stream: &mut BoxStream, answer: Value) -> Result<(), ServiceError> {
    stream.write_all(&[ANSWER]).await.map_err(ServiceError::io("answering a request for the log"))?;
    framing::write_xml(stream, &answer).await
}

fn status(word: &str) -> Value {
    let mut answer = Dictionary::new();
    answer.insert("Status".to_owned(), word.into());
    Value::Dictionary(answer)
}

fn pid_list(phone: &Phone) -> Value {
    let mut payload = Dictionary::new();
    for process in behave::processes(phone) {
        let mut entry = Dictionary::new();
        entry.insert("ProcessName".to_owned(), process.name.clone().into());
        payload.insert(process.pid.to_string(), Value::Dictionary(entry));
    }
    let mut answer = Dictionary::new();
    answer.insert("Status".to_owned(), "RequestSuccessful".into());
    answer.insert("Payload".to_owned(), Value::Dictionary(payload));
    Value::Dictionary(answer)
}

/// One line as the relay sends it: the byte 2, its length (little endian), a header of 129 bytes, then the path of the
/// process, the sender, the text, subsystem and category, each with a zero byte that its length counts.
#[must_use]
pub fn record(line: &LogLine) -> Vec<u8> {
    let terminated = |text: &str| [text.as_bytes(), &[0]].concat();
    // A zero byte inside would end the text early; the real one is a C string.
    let message = terminated(&line.message.replace('\0', " "));
    let message = if message.len() > usize::from(u16::MAX) { terminated("(too long)") } else { message };
    let path = terminated(&line.process_path);
    let sender = if line.sender.is_empty() { line.process_path.clone() } else { line.sender.clone() };
    let sender = terminated(&sender);
    let (subsystem, category) = line
        .label
        .as_ref()
        .map_or_else(Default::default, |(subsystem, category)| (terminated(subsystem), terminated(category)));
    let mut header = [0_u8; RECORD_HEADER_BYTES];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    let u16_of = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_le_bytes();
    let u32_of = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    put(9, &line.pid.to_le_bytes());
    put(13, &u64::from(line.pid).to_le_bytes());
    put(37, &u16_of(path.len()));
    let micros = line.at.as_microsecond();
    put(55, &u32::try_from(micros.div_euclid(1_000_000)).unwrap_or_default().to_le_bytes());
    put(63, &u32::try_from(micros.rem_euclid(1_000_000)).unwrap_or_default().to_le_bytes());
    put(68, &[line.level.number()]);
    put(75, &(micros.unsigned_abs() * 24).to_le_bytes());
    put(83, &(u64::from(line.pid) * 16 + 259).to_le_bytes());
    put(107, &u16_of(sender.len()));
    put(109, &u32_of(message.len()));
    put(117, &u32_of(subsystem.len()));
    put(121, &u32_of(category.len()));
    let content = [&header[..], &path, &sender, &message, &subsystem, &category].concat();
    [&[RECORD][..], &u32_of(content.len()), &content].concat()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_record_has_the_layout_that_clients_read() {
        let line =
            LogLine::notice("2025-03-04T05:06:07.250Z".parse().unwrap(), 321, "/usr/libexec/x", "hello")
                .labelled("UIKitCore", "com.apple.a", "cat")
                .level(Level::Error);
        let record = record(&line);
        assert_eq!(record[0], 2);
        assert_eq!(u32::from_le_bytes(record[1..5].try_into().unwrap()) as usize, record.len() - 5);
        let body = &record[5..];
        let u32_at = |at: usize| u32::from_le_bytes(body[at..at + 4].try_into().unwrap());
        let u16_at = |at: usize| u16::from_le_bytes(body[at..at + 2].try_into().unwrap());
        assert_eq!((u32_at(9), body[68]), (321, 0x10));
        assert_eq!((u32_at(55), u32_at(63)), (1_741_064_767, 250_000));
        // Lengths of path, sender, message, subsystem and category, each with its zero byte.
        assert_eq!([u32::from(u16_at(37)), u32::from(u16_at(107))], [15, 10]);
        assert_eq!([u32_at(109), u32_at(117), u32_at(121)], [6, 12, 4]);
        assert_eq!(&body[129..], b"/usr/libexec/x\0UIKitCore\0hello\0com.apple.a\0cat\0");
    }
}
