//! HTTP to the daemon, with its deadlines kept apart: connect, first byte, silence in the middle, whole. What is
//! said in a sync is `link`'s.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use holdfast_wire::api::Problem;
use holdfast_wire::id::BlobHash;
use holdfast_wire::sync::{SyncReply, SyncRequest};
use reqwest::{Response, StatusCode};
use tokio_util::io::ReaderStream;

use crate::error::{AgentError, chain};

/// Until the connection stands: a rack and its daemon share a site.
const CONNECT: Duration = Duration::from_secs(3);

/// From the whole request to the head of the answer, on top of what the daemon may wait.
const FIRST_BYTE: Duration = Duration::from_secs(10);

/// Between two pieces of a body; longer means that the other side is gone.
const SILENCE: Duration = Duration::from_secs(30);

/// The body of a sync answer, from its head to its end.
const REPLY_BODY: Duration = Duration::from_secs(30);

/// The largest sync answer that is read: orders of a full rack are far below a megabyte.
const REPLY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The slowest upload that is borne, bytes a second; the whole deadline of a PUT follows from it.
const UPLOAD_BYTES_PER_SECOND_MIN: u64 = 100_000;

/// Between the starts of two addresses in a race: a healthy one answers well before the next is tried.
const STAGGER: Duration = Duration::from_millis(300);

/// Characters of the daemon's words that go into a message.
const DETAIL_CHARS_MAX: usize = 300;

/// A client of one daemon with one or more addresses.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    daemons: Arc<[String]>,
    preferred: Arc<AtomicUsize>,
}

impl Client {
    /// For these addresses; there is at least one.
    ///
    /// # Errors
    /// [`AgentError::Http`].
    pub fn new(daemons: &[String]) -> Result<Self, AgentError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .tcp_keepalive(Duration::from_secs(15))
            .no_proxy()
            .build()
            .map_err(AgentError::Http)?;
        Ok(Self { http, daemons: daemons.into(), preferred: Arc::new(AtomicUsize::new(0)) })
    }

    /// Says a request to the address that did well last.
    ///
    /// # Errors
    /// [`AgentError::Unreachable`], [`AgentError::Refused`], [`AgentError::Answer`].
    pub async fn sync(&self, request: &SyncRequest) -> Result<SyncReply, AgentError> {
        self.sync_with(self.address(), request).await
    }

    /// Says a request to every address, one shortly after the other; the first good answer counts, and its
    /// address is preferred from then on. Harmless: what is said twice is taken once.
    ///
    /// # Errors
    /// As [`Client::sync`]; that of the address which failed last.
    pub async fn race(&self, request: &SyncRequest) -> Result<SyncReply, AgentError> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut runs: FuturesUnordered<_> = (0u32..)
            .zip(0..self.daemons.len())
            .map(|(turn, place)| async move {
                let index = (first + place) % self.daemons.len();
                tokio::time::sleep(STAGGER * turn).await;
                let address = self.daemons.get(index).map_or("", String::as_str);
                self.sync_with(address, request).await.map(|reply| (index, reply))
            })
            .collect();
        let mut last = AgentError::Ended { part: "list of daemons" };
        while let Some(run) = runs.next().await {
            match run {
                Ok((index, reply)) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(reply);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Puts a file under its hash; one that the daemon has already is not sent.
    ///
    /// # Errors
    /// As [`Client::sync`]; [`AgentError::Hash`] when the bytes do not have the hash, [`AgentError::Disk`].
    pub async fn put_blob(&self, hash: BlobHash, path: &Path) -> Result<(), AgentError> {
        let (address, url) = self.blob_url(hash);
        let head = within(&address, FIRST_BYTE, self.http.head(&url).send()).await?;
        if head.status() == StatusCode::OK {
            return Ok(());
        }
        let file = tokio::fs::File::open(path).await.map_err(AgentError::disk("open", path))?;
        let size = file.metadata().await.map_err(AgentError::disk("read", path))?.len();
        let whole = FIRST_BYTE + Duration::from_secs(size / UPLOAD_BYTES_PER_SECOND_MIN);
        let body = reqwest::Body::wrap_stream(ReaderStream::new(file));
        let put = self.http.put(&url).header(reqwest::header::CONTENT_LENGTH, size).body(body).send();
        let response = within(&address, whole, put).await?;
        match response.status() {
            status if status.is_success() => Ok(()),
            StatusCode::CONFLICT | StatusCode::UNPROCESSABLE_ENTITY => {
                let found = problem(response).await.to_string();
                Err(AgentError::Hash { wanted: hash.short(), found })
            }
            _ => Err(problem(response).await),
        }
    }

    /// Asks for a blob; the body is still to be read.
    ///
    /// # Errors
    /// As [`Client::sync`].
    pub async fn get_blob(&self, hash: BlobHash) -> Result<Response, AgentError> {
        let (address, url) = self.blob_url(hash);
        let response = within(&address, FIRST_BYTE, self.http.get(&url).send()).await?;
        if response.status().is_success() { Ok(response) } else { Err(problem(response).await) }
    }

    fn address(&self) -> &str {
        self.daemons.get(self.preferred.load(Ordering::Relaxed)).map_or("", String::as_str)
    }

    fn blob_url(&self, hash: BlobHash) -> (String, String) {
        let address = self.address().to_owned();
        let url = format!("{address}/agent/v1/blobs/{hash}");
        (address, url)
    }

    async fn sync_with(&self, address: &str, request: &SyncRequest) -> Result<SyncReply, AgentError> {
        let url = format!("{address}/agent/v1/sync");
        let patience = FIRST_BYTE + Duration::from_millis(request.wait_ms);
        // The silence between two pieces of a body must not end a wait that was asked for.
        let whole = patience + REPLY_BODY;
        let send = self.http.post(&url).timeout(whole).json(request).send();
        let response = within(address, patience, send).await?;
        if !response.status().is_success() {
            return Err(problem(response).await);
        }
        let body = tokio::time::timeout(REPLY_BODY, bounded_body(response, REPLY_BYTES_MAX));
        let body =
            body.await.map_err(|_elapsed| unreachable_at(address, "its answer did not come to an end"))?;
        parse_reply(&body.map_err(|what| unreachable_at(address, &what))?)
    }
}

/// Reads a sync answer.
///
/// # Errors
/// [`AgentError::Answer`] with the path of what is wrong.
pub fn parse_reply(bytes: &[u8]) -> Result<SyncReply, AgentError> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| AgentError::Answer {
        place: error.path().to_string(),
        what: error.into_inner().to_string(),
    })
}

fn unreachable_at(address: &str, what: &str) -> AgentError {
    AgentError::Unreachable { address: address.to_owned(), what: what.to_owned() }
}

async fn within(
    address: &str,
    limit: Duration,
    send: impl Future<Output = Result<Response, reqwest::Error>>,
) -> Result<Response, AgentError> {
    match tokio::time::timeout(limit, send).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(error)) => Err(unreachable_at(address, &chain(&error))),
        Err(_elapsed) => {
            Err(unreachable_at(address, &format!("it did not answer within {} ms", limit.as_millis())))
        }
    }
}

async fn bounded_body(response: Response, limit: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| chain(&error))?;
        if bytes.len() + piece.len() > limit {
            return Err(format!("its answer is larger than {limit} bytes"));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

async fn problem(response: Response) -> AgentError {
    let status = response.status().as_u16();
    let body = tokio::time::timeout(FIRST_BYTE, bounded_body(response, 64 * 1024)).await;
    let bytes = body.ok().and_then(Result::ok).unwrap_or_default();
    let detail = match serde_json::from_slice::<Problem>(&bytes) {
        Ok(problem) => problem.detail,
        Err(_) => String::from_utf8_lossy(&bytes).chars().take(DETAIL_CHARS_MAX).collect(),
    };
    AgentError::Refused { status, detail }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use proptest::prelude::*;

    use super::*;

    const REPLY: &str = r#"{"daemon_start":"d1","now":"2026-11-21T03:30:46.120Z","orders_version":4,
        "orders":[{"phone":"p1","order":{"order":"rest","through":7}}],"phones_seen":2,
        "confirmed":["e1"],"refused":[{"id":"e2","reason":"no"}]}"#;

    #[test]
    fn a_good_reply_is_read() {
        let reply = parse_reply(REPLY.as_bytes()).unwrap();
        assert_eq!((reply.orders.len(), reply.confirmed.len(), reply.refused.len()), (1, 1, 1));
    }

    #[test]
    fn a_bad_reply_names_the_place() {
        let bad = REPLY.replace("\"through\":7", "\"through\":\"x\"");
        let message = parse_reply(bad.as_bytes()).unwrap_err().to_string();
        assert!(message.starts_with("the daemon's answer is wrong at orders[0].order"), "{message}");
        let bad = REPLY.replace("\"e1\"", "\"e 1\"");
        let message = parse_reply(bad.as_bytes()).unwrap_err().to_string();
        assert!(message.starts_with("the daemon's answer is wrong at confirmed[0]"), "{message}");
    }

    proptest! {
        #[test]
        fn a_cut_or_damaged_reply_is_an_error_or_a_reply(cut in 0usize..250, at in 0usize..250, byte in any::<u8>()) {
            prop_assert!(parse_reply(&REPLY.as_bytes()[..cut.min(REPLY.len() - 1)]).is_err());
            let mut bytes = REPLY.as_bytes().to_vec();
            let at = at.min(bytes.len() - 1);
            bytes[at] = byte;
            if let Err(error) = parse_reply(&bytes) {
                prop_assert!(error.to_string().contains("wrong at"), "{}", error);
            }
        }

        #[test]
        fn noise_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(parse_reply(&bytes).is_err());
        }
    }
}
