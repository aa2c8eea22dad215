//! What a phone's log says of its crash reports, over the syslog relay. What the words mean is told elsewhere.

use idevice::ReadWrite;
use tokio::io::AsyncReadExt;

use crate::error::UsbError;

/// The service that sends every line of the log from now on.
pub(crate) const SERVICE: &str = "com.apple.syslog_relay";

/// Longest line looked at; the lines that count are below 500 bytes.
const LINE_BYTES_MAX: usize = 4 * 1024;

/// Bytes read at once: a busy phone writes some hundred lines a second.
const READ_BYTES: usize = 16 * 1024;

/// Who speaks of crash reports: the writing process and the library that it is made of.
const SPEAKER: &[u8] = b"osanalytics";

/// Hands every message of the crash reporter to `tell`, until the phone ends the connection.
pub(crate) async fn listen(
    mut stream: Box<dyn ReadWrite>,
    tell: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), UsbError> {
    let mut lines = Lines::default();
    let mut bytes = vec![0; READ_BYTES];
    loop {
        let read = stream.read(&mut bytes).await.map_err(UsbError::stream)?;
        if read == 0 {
            return Ok(());
        }
        lines.take(bytes.get(..read).unwrap_or_default(), tell);
    }
}

/// Lines that are put together from what comes; each ends with a zero byte.
#[derive(Debug, Default)]
struct Lines {
    begun: Vec<u8>,
    /// Of a line that was too long, what follows is left out too.
    skips: bool,
}

impl Lines {
    fn take(&mut self, bytes: &[u8], tell: &(dyn Fn(&str) + Send + Sync)) {
        for part in bytes.split_inclusive(|byte| *byte == 0) {
            let (text, ends) = match part.split_last() {
                Some((0, text)) => (text, true),
                _ => (part, false),
            };
            self.skips |= self.begun.len() + text.len() > LINE_BYTES_MAX;
            if !self.skips {
                self.begun.extend_from_slice(text);
            }
            if ends {
                let line = std::mem::take(&mut self.begun);
                if !std::mem::take(&mut self.skips)
                    && let Some(message) = message(&line)
                {
                    tell(&message);
                }
            }
        }
    }
}

/// What the crash reporter says in a line such as
/// `Sep 18 15:28:37 iPhone osanalyticshelper(OSAnalytics)[118] <Notice>: text`; none of any other process.
fn message(line: &[u8]) -> Option<String> {
    let end_of_head = line.windows(2).position(|two| two == b" <")?;
    let (head, rest) = line.split_at(end_of_head);
    let speaks = head.windows(SPEAKER.len()).any(|part| part.eq_ignore_ascii_case(SPEAKER));
    let begin = rest.windows(3).position(|three| three == b">: ")? + 3;
    speaks.then(|| String::from_utf8_lossy(&rest[begin..]).trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn heard(parts: &[&[u8]]) -> Vec<String> {
        let told = Mutex::new(Vec::new());
        let mut lines = Lines::default();
        for part in parts {
            lines.take(part, &|message| {
                told.lock().map(|mut told| told.push(message.to_owned())).unwrap_or(())
            });
        }
        told.into_inner().unwrap_or_default()
    }

    #[test]
    fn only_the_crash_reporter_is_heard_in_lines_that_come_in_any_pieces() {
        let text = b"Sep 18 15:28:37 iPhone osanalyticshelper(OSAnalytics)[118] <Notice>: Saved type 'x'\n\0\
            Sep 18 15:28:37 iPhone Runner[455] <Notice>: osanalyticshelper: Saved <b>: y\n\0\
            Sep 18 15:28:38 iPhone ReportCrash(OSAnalytics)[119] <Error>: Report of <odd>: z\n\0half a line";
        let expected = ["Saved type 'x'", "Report of <odd>: z"];
        for size in [1, 2, 7, 64, text.len()] {
            let parts: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(heard(&parts), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_an_end_fills_nothing_and_the_next_one_is_heard() {
        let long = vec![b'x'; 3 * LINE_BYTES_MAX];
        let good = b"\0Sep 1 1:1:1 p osanalyticshelper[1] <Notice>: good\n\0";
        let mut lines = Lines::default();
        lines.take(&long, &|_message| ());
        assert!(lines.begun.len() <= LINE_BYTES_MAX);
        assert_eq!(heard(&[&long, good]), ["good"]);
        assert_eq!(heard(&[b"\0\0 <\0 <x\0\xff <\xff>: \0"]), [""; 0]);
    }
}
