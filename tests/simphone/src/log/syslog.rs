//! `com.apple.syslog_relay`: the log as lines of text. The binary form is in [`os_trace`](super::os_trace).

use std::sync::Arc;

use jiff::tz::TimeZone;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::broadcast::error::RecvError;

use super::bus::LogLine;
use crate::phone::Phone;
use crate::service::{BoxStream, ServiceError};

/// Sends every line from now on, until the client closes the connection. It asks for nothing.
pub(super) async fn serve(stream: BoxStream, phone: Arc<Phone>) -> Result<(), ServiceError> {
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
                Ok(received) => {
                    let text = line(&received, &phone.state().name, &phone.clock.zone());
                    writer.write_all(&text).await.map_err(ServiceError::io("sending the log"))?;
                    writer.flush().await.map_err(ServiceError::io("sending the log"))?;
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

/// One line as the relay sends it: `Sep 18 15:28:37 iPhone Runner(UIKitCore)[455] <Notice>: text`, a line feed and a
/// zero byte, in the phone's time zone. Line feeds inside the text stay, as on a real phone.
#[must_use]
pub fn line(line: &LogLine, phone_name: &str, zone: &TimeZone) -> Vec<u8> {
    let at = line.at.to_zoned(zone.clone()).strftime("%b %e %H:%M:%S").to_string();
    // Clients take the words by position, and iOS puts dashes for the spaces of a name too.
    let name = phone_name.replace(' ', "-");
    let sender = if line.sender.is_empty() { String::new() } else { format!("({})", line.sender) };
    let (process, pid, level) = (line.process(), line.pid, line.level.word());
    format!("{at} {name} {process}{sender}[{pid}] <{level}>: {}\n\0", line.message).into_bytes()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use jiff::tz::Offset;

    use super::*;

    #[test]
    fn a_line_is_in_the_phones_zone_and_ends_with_a_zero_byte() {
        let at = "2025-03-04T23:05:06Z".parse().unwrap();
        let written = LogLine::notice(at, 455, "/private/var/x/Runner.app/Runner", "hello").labelled(
            "UIKitCore",
            "com.apple.UIKit",
            "App",
        );
        let text = line(&written, "Simulated iPhone 13", &TimeZone::fixed(Offset::from_hours(9).unwrap()));
        let expected = b"Mar  5 08:05:06 Simulated-iPhone-13 Runner(UIKitCore)[455] <Notice>: hello\n\0";
        assert_eq!(String::from_utf8_lossy(&text), String::from_utf8_lossy(expected));
    }
}
