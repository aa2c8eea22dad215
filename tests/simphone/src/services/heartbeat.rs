//! `com.apple.mobile.heartbeat`: the phone says `Marco`, the client answers `Polo`; who misses one is dropped.

use std::sync::Arc;
use std::time::Duration;

use super::{dictionary, request, text};
use crate::framing;
use crate::phone::Phone;
use crate::service::{BoxStream, ServiceError};

/// How long a phone waits between two questions, and how long for an answer: what iOS tells as `Interval`.
const INTERVAL: Duration = Duration::from_secs(10);

/// Serves one connection.
pub(super) async fn serve(stream: BoxStream, _phone: Arc<Phone>) -> Result<(), ServiceError> {
    beat(stream, INTERVAL).await
}

async fn beat(mut stream: BoxStream, interval: Duration) -> Result<(), ServiceError> {
    loop {
        let marco = dictionary([
            ("Command", "Marco".into()),
            ("Interval", interval.as_secs().into()),
            ("SupportsSleepyTime", true.into()),
        ]);
        framing::write_xml(&mut stream, &marco).await?;
        let asked = tokio::time::Instant::now();
        match tokio::time::timeout(interval, request(&mut stream)).await {
            Err(_late) => {
                let farewell = dictionary([("Command", "SleepyTime".into())]);
                return framing::write_xml(&mut stream, &farewell).await;
            }
            Ok(answer) => match answer? {
                Some(answer) if text(&answer, "Command") == Some("Polo") => {}
                Some(_) => return Err(ServiceError::protocol("the answer to Marco is Polo")),
                None => return Ok(()),
            },
        }
        tokio::time::sleep_until(asked + interval).await;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    async fn next_command(stream: &mut tokio::io::DuplexStream) -> Option<String> {
        let told = framing::read(stream).await.unwrap()?.into_dictionary().unwrap();
        text(&told, "Command").map(str::to_owned)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_misses_a_beat_is_dropped() {
        let (mut client, phone) = tokio::io::duplex(4096);
        let serving = tokio::spawn(beat(Box::new(phone), INTERVAL));
        for _ in 0..3 {
            assert_eq!(next_command(&mut client).await.as_deref(), Some("Marco"));
            framing::write_xml(&mut client, &dictionary([("Command", "Polo".into())])).await.unwrap();
        }
        assert_eq!(next_command(&mut client).await.as_deref(), Some("Marco"));
        assert_eq!(next_command(&mut client).await.as_deref(), Some("SleepyTime"));
        assert_eq!(next_command(&mut client).await, None);
        serving.await.unwrap().unwrap();
    }
}
