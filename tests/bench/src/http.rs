//! An HTTP/1.1 client of one daemon on the loopback: one connection, one request at a time, whole answers. It does as
//! little as possible, so that the machine is left to what is measured. No TLS, no redirects, no pooling.

use std::io::Write;
use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest head of an answer; the daemon's have a few hundred bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// A connection that is made when it is needed. A request that is dropped half-way takes its connection with it, as
/// an agent's does.
#[derive(Debug)]
pub struct Http {
    address: SocketAddr,
    host: String,
    stream: Option<TcpStream>,
    sent: Vec<u8>,
    read: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Http {
    /// A client of the daemon at this address. Nothing is sent yet.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, host: address.to_string(), stream: None, sent: Vec::new(), read: Vec::new() }
    }

    /// Sends a JSON body and reads the answer.
    ///
    /// # Errors
    /// There is no connection, it breaks, or what comes back is not HTTP as the daemon speaks it.
    pub async fn post(&mut self, path: &str, body: &[u8]) -> anyhow::Result<Answer> {
        self.send("POST", path, "application/json", body).await
    }

    /// Sends bytes and reads the answer.
    ///
    /// # Errors
    /// As [`Http::post`].
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        content: &str,
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address).await.context("cannot reach the daemon")?;
                stream.set_nodelay(true).context("cannot switch off Nagle's delay")?;
                stream
            }
        };
        self.sent.clear();
        write!(
            self.sent,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: {content}\r\ncontent-length: {}\r\n\r\n",
            self.host,
            body.len()
        )
        .context("memory takes every head")?;
        self.sent.extend_from_slice(body);
        stream.write_all(&self.sent).await.context("the connection broke while sending")?;
        let answer = read_answer(&mut stream, &mut self.read).await?;
        self.stream = Some(stream);
        Ok(answer)
    }
}

async fn read_answer(stream: &mut TcpStream, read: &mut Vec<u8>) -> anyhow::Result<Answer> {
    read.clear();
    let head_end = loop {
        let before = read.len();
        if stream.read_buf(read).await.context("the connection broke while reading")? == 0 {
            bail!("the daemon closed the connection");
        }
        let from = before.saturating_sub(3);
        if let Some(place) = read[from..].windows(4).position(|four| four == b"\r\n\r\n") {
            break from + place + 4;
        }
        if read.len() > HEAD_BYTES_MAX {
            bail!("the head of the answer has no end");
        }
    };
    let (status, length) = parse_head(&read[..head_end])?;
    let end = head_end + length;
    read.reserve(end.saturating_sub(read.len()));
    while read.len() < end {
        if stream.read_buf(read).await.context("the connection broke while reading")? == 0 {
            bail!("the answer was cut off");
        }
    }
    Ok(Answer { status, body: read[head_end..end].to_vec() })
}

fn parse_head(head: &[u8]) -> anyhow::Result<(u16, usize)> {
    let head = std::str::from_utf8(head).context("the head of the answer is not text")?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let status = status.with_context(|| format!("no HTTP/1.1 answer: {head:?}"))?;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") {
            return Ok((status, value.trim().parse().context("a length is a number")?));
        }
        if name.eq_ignore_ascii_case("transfer-encoding") {
            bail!("this client reads no chunked answers");
        }
    }
    Ok((status, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_or_refused() {
        for (head, expected) in [
            ("HTTP/1.1 201 Created\r\ncontent-length: 12\r\n\r\n", Some((201, 12))),
            ("HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n", Some((204, 0))),
            ("HTTP/1.1 200 OK\r\nContent-Length:  7\r\n\r\n", Some((200, 7))),
            ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", None),
            ("SSH-2.0\r\n\r\n", None),
        ] {
            assert_eq!(parse_head(head.as_bytes()).ok(), expected, "{head:?}");
        }
    }
}
