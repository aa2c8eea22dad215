//! Puts an archive into the phone's staging folder: streamed from disk, several writes on the way at once, memory
//! bounded by window times chunk. Installing it is [`apps`](crate::apps)' work.

use std::path::Path;
use std::time::Duration;

use tokio::fs::File;
use tokio::io::AsyncReadExt;

use crate::afc::{Afc, Mode};
use crate::error::{UsbError, afc_status};
use crate::guard::heard;

/// The folder that installation proxy takes archives from.
pub(crate) const STAGING: &str = "PublicStaging";

/// How our archives begin there, so that left-overs are known as ours.
const PREFIX: &str = "holdfast-";

/// How an archive is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Writes on the way at once, at least 1.
    pub(crate) window: usize,
    /// Bytes of one, at least 1.
    pub(crate) chunk_bytes: usize,
    /// How long the phone may be silent.
    pub(crate) silence: Duration,
}

/// A name that no other upload has.
pub(crate) fn remote_name() -> Result<String, UsbError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| UsbError::Disk {
        action: "draw a random name".to_owned(),
        source: std::io::Error::other(error.to_string()),
    })?;
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{STAGING}/{PREFIX}{digits}.ipa"))
}

/// Removes what earlier, interrupted uploads left.
pub(crate) async fn sweep(afc: &mut Afc) -> Result<(), UsbError> {
    let names = match afc.names(STAGING).await {
        Err(UsbError::Afc { status: afc_status::NOT_FOUND, .. }) => return Ok(()),
        names => names?,
    };
    for name in names.iter().filter(|name| name.starts_with(PREFIX)) {
        tracing::info!(name, "removing what an interrupted upload left on the phone");
        afc.remove(&format!("{STAGING}/{name}")).await?;
    }
    Ok(())
}

/// Sends the archive. `progress` is told bytes that the phone has confirmed, and the size. On an error the file is
/// left as it is.
pub(crate) async fn send(
    afc: &mut Afc,
    archive: &Path,
    remote: &str,
    pace: Pace,
    progress: &(dyn Fn(u64, u64) + Send + Sync),
) -> Result<(), UsbError> {
    let disk = |source| UsbError::Disk { action: format!("read {}", archive.display()), source };
    let mut source = File::open(archive).await.map_err(disk)?;
    let total = source.metadata().await.map_err(disk)?.len();
    heard(pace.silence, afc.make_folder(STAGING)).await?;
    let file = heard(pace.silence, afc.open(remote, Mode::Write)).await?;
    progress(0, total);

    let mut chunk = vec![0; pace.chunk_bytes];
    // The sizes of the writes that are on the way, oldest first.
    let mut waiting = std::collections::VecDeque::with_capacity(pace.window);
    let mut confirmed = 0;
    loop {
        let filled = fill(&mut source, &mut chunk).await.map_err(disk)?;
        if filled > 0 {
            heard(pace.silence, afc.begin_write(file, &chunk[..filled])).await?;
            waiting.push_back(u64::try_from(filled).unwrap_or(u64::MAX));
        }
        while waiting.len() >= pace.window || (filled == 0 && !waiting.is_empty()) {
            heard(pace.silence, afc.end_write()).await?;
            confirmed += waiting.pop_front().unwrap_or(0);
            progress(confirmed, total);
        }
        if filled == 0 {
            break;
        }
    }
    heard(pace.silence, afc.close(file)).await?;
    let arrived = heard(pace.silence, afc.info(remote)).await?.size_bytes;
    if arrived == total && confirmed == total {
        Ok(())
    } else {
        Err(UsbError::protocol(format!("{arrived} of {total} bytes of the archive arrived")))
    }
}

/// Reads until the buffer is full or the file ends.
async fn fill(source: &mut File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]).await? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncWriteExt, DuplexStream};

    use super::*;

    /// What the pretend file service below does with the third write.
    #[derive(Clone, Copy)]
    enum Third {
        Takes,
        Refuses(u64),
        Ignores,
    }

    /// Answers as AFC does, and tells how many writes were on the way at most.
    async fn serve(mut wire: DuplexStream, hold: usize, third: Third) -> (Vec<u8>, usize) {
        let (mut content, mut held, mut most, mut writes) = (Vec::new(), Vec::new(), 0, 0);
        loop {
            let mut header = [0; 40];
            if wire.read_exact(&mut header).await.is_err() {
                return (content, most);
            }
            let word =
                |index: usize| u64::from_le_bytes(header[index * 8..index * 8 + 8].try_into().unwrap());
            let mut body = vec![0; usize::try_from(word(1)).unwrap() - 40];
            wire.read_exact(&mut body).await.unwrap();
            let answer = |operation: u64, arguments: &[u8], data: &[u8]| {
                let head = 40 + arguments.len() as u64;
                let words =
                    [head + data.len() as u64, head, word(3), operation].map(u64::to_le_bytes).concat();
                [b"CFA6LPAA".as_slice(), &words, arguments, data].concat()
            };
            let fine = answer(1, &0_u64.to_le_bytes(), &[]);
            match word(4) {
                0x0D => wire.write_all(&answer(0x0E, &5_u64.to_le_bytes(), &[])).await.unwrap(),
                0x0A => {
                    let text = format!("st_size\0{}\0st_ifmt\0S_IFREG\0", content.len());
                    wire.write_all(&answer(2, &[], text.as_bytes())).await.unwrap();
                }
                0x10 => {
                    writes += 1;
                    content.extend_from_slice(&body[8..]);
                    held.push(match third {
                        Third::Refuses(status) if writes == 3 => answer(1, &status.to_le_bytes(), &[]),
                        Third::Ignores if writes == 3 => Vec::new(),
                        Third::Takes | Third::Refuses(_) | Third::Ignores => fine,
                    });
                    most = most.max(held.len());
                    // The last write of these tests is a short one.
                    if held.len() == hold || body.len() < 8 + 10 {
                        for answer in held.drain(..) {
                            wire.write_all(&answer).await.unwrap();
                        }
                    }
                }
                _ => wire.write_all(&fine).await.unwrap(),
            }
        }
    }

    async fn upload(window: usize, third: Third) -> (Result<(), UsbError>, Vec<u64>, usize, bool) {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("app.ipa");
        let bytes: Vec<u8> = (0..95_u8).collect();
        std::fs::write(&archive, &bytes).unwrap();
        let (ours, theirs) = tokio::io::duplex(4096);
        let served = tokio::spawn(serve(theirs, window, third));
        let seen = Mutex::new(Vec::new());
        let mut afc = Afc::new(Box::new(ours));
        let pace = Pace { window, chunk_bytes: 10, silence: Duration::from_secs(30) };
        let outcome =
            send(&mut afc, &archive, "PublicStaging/x.ipa", pace, &|sent, _| seen.lock().unwrap().push(sent))
                .await;
        drop(afc);
        let (content, most) = served.await.unwrap();
        (outcome, seen.into_inner().unwrap(), most, content == bytes)
    }

    #[tokio::test]
    async fn writes_are_on_the_way_at_once_and_arrive_in_order() {
        for window in [1, 3] {
            let (outcome, seen, most, same) = upload(window, Third::Takes).await;
            assert!(outcome.is_ok(), "{outcome:?}");
            assert!(same, "the content differs at window {window}");
            assert_eq!(most, window, "a server that answers {window} at a time must get that many");
            assert_eq!(seen.first().zip(seen.last()), Some((&0, &95)));
            assert!(seen.is_sorted());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_and_an_unanswered_write_are_told_apart() {
        let (outcome, ..) = upload(3, Third::Refuses(18)).await;
        assert!(matches!(outcome, Err(UsbError::Afc { status: 18, .. })), "{outcome:?}");
        let (outcome, ..) = upload(1, Third::Ignores).await;
        assert!(matches!(outcome, Err(UsbError::Silent { waited_ms: 30_000 })), "{outcome:?}");
    }

    #[test]
    fn names_are_unique_and_known_as_ours() {
        let (one, two) = (remote_name().unwrap(), remote_name().unwrap());
        assert_ne!(one, two);
        assert!(one.starts_with("PublicStaging/holdfast-") && one.ends_with(".ipa"), "{one}");
    }
}
