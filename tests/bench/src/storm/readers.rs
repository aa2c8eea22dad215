//! People with the dashboard open, and programs that read lists: each page is fetched again and again over a connection
//! of its own, and some pages stay open and follow.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::http::Http;

/// Between two fetches of one page.
const EVERY: Duration = Duration::from_millis(200);

/// The streams of open pages: walls that show the farm, desks that show the queue.
const OPEN: [&str; 4] = [
    "/dashboard/events",
    "/dashboard/events",
    "/dashboard/events?view=queue",
    "/dashboard/events?view=queue",
];

/// How long a page took each time.
#[derive(Debug, Clone)]
pub struct Read {
    /// What the page is called in figures.
    pub name: &'static str,
    /// How long each answer took, whole.
    pub took: Vec<Duration>,
}

/// Fetches pages until it is told to stop.
///
/// # Errors
/// A page is not answered with 200.
pub async fn read(
    address: SocketAddr,
    pages: Vec<(&'static str, String)>,
    stop: CancellationToken,
) -> anyhow::Result<Vec<Read>> {
    let mut readers = JoinSet::new();
    for (name, path) in pages {
        let stop = stop.clone();
        readers.spawn(async move { fetch(address, name, &path, stop).await });
    }
    let mut open = JoinSet::new();
    for path in OPEN {
        open.spawn(follow(address, path));
    }
    let mut all = Vec::new();
    while let Some(read) = readers.join_next().await {
        all.push(read.context("a reader stopped")??);
    }
    if let Some(ended) = open.try_join_next() {
        ended.context("an open page stopped")?.context("an open page was closed")?;
    }
    all.sort_by_key(|read| read.name);
    Ok(all)
}

async fn fetch(
    address: SocketAddr,
    name: &'static str,
    path: &str,
    stop: CancellationToken,
) -> anyhow::Result<Read> {
    let mut http = Http::new(address);
    let mut took = Vec::new();
    let mut due = tokio::time::interval(EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        due.tick().await;
        let asked = Instant::now();
        let answer =
            http.send("GET", path, "text/plain", b"").await.with_context(|| format!("GET {path}"))?;
        took.push(asked.elapsed());
        if answer.status != 200 {
            bail!("{path} was answered with {}", answer.status);
        }
    }
    Ok(Read { name, took })
}

/// Reads what an open page is sent, and looks at none of it.
async fn follow(address: SocketAddr, path: &str) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await.context("cannot reach the daemon")?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: text/event-stream\r\n\r\n");
    stream.write_all(request.as_bytes()).await.context("the connection broke while sending")?;
    let mut piece = vec![0; 64 * 1024];
    while stream.read(&mut piece).await.context("the connection broke while reading")? > 0 {}
    bail!("the daemon closed the stream {path}")
}
