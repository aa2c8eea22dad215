//! Requests to the daemon, and its problems turned into words. What is asked for is not here (`commands`).

use std::time::Duration;

use holdfast_wire::api::{Page, Problem};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::exit::Failure;

/// How long the daemon may take to accept a connection: it is on the same network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take, uploads and watches aside: the daemon's slowest answer waits for one disk sync.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// How much of an answer that makes no sense is shown.
const SHOWN_CHARS_MAX: usize = 200;

/// A daemon to talk to.
#[derive(Debug, Clone)]
pub struct Client {
    server: String,
    http: reqwest::Client,
}

impl Client {
    /// A client of the daemon at this address (`http://host:port`).
    ///
    /// # Errors
    /// The address is no HTTP address.
    pub fn new(server: &str) -> Result<Self, Failure> {
        let server = server.trim_end_matches('/').to_owned();
        if !server.starts_with("http://") && !server.starts_with("https://") {
            return Err(Failure::Request(format!(
                "{server:?} is no address of a daemon; it begins with http:// or https://"
            )));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|cause| Failure::Unreachable { server: server.clone(), cause })?;
        Ok(Self { server, http })
    }

    /// Where the daemon is.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// A request to a path under the server, without a deadline of its own.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.server))
    }

    /// Gets a document.
    ///
    /// # Errors
    /// Unreachable, a problem, or an answer that is not the document.
    pub async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, Failure> {
        let request = self.request(Method::GET, path).query(query).timeout(ANSWER_TIMEOUT);
        self.document(self.send(request).await?).await
    }

    /// Gets one page of a list.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn page<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Page<T>, Failure> {
        self.get(path, query).await
    }

    /// Posts a document and reads the answer.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        headers: &[(&str, &str)],
    ) -> Result<T, Failure> {
        let mut request = self.request(Method::POST, path).json(body).timeout(ANSWER_TIMEOUT);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.document(self.send(request).await?).await
    }

    /// Puts a document and reads the answer.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, String)],
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let request = self.request(Method::PUT, path).query(query).json(body).timeout(ANSWER_TIMEOUT);
        self.document(self.send(request).await?).await
    }

    /// Asks for something to be done that needs no document, and reads the answer.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub async fn order<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<T, Failure> {
        let request = self.request(method, path).query(query).timeout(ANSWER_TIMEOUT);
        self.document(self.send(request).await?).await
    }

    /// Gets text or bytes as they are.
    ///
    /// # Errors
    /// Unreachable or a problem.
    pub async fn bytes(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let response = self.send(self.request(Method::GET, path).timeout(ANSWER_TIMEOUT)).await?;
        response.bytes().await.map(Into::into).map_err(|cause| self.unreachable(cause))
    }

    /// Sends a request; an answer that is no success becomes a failure in words.
    ///
    /// # Errors
    /// Unreachable or a problem.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|cause| self.unreachable(cause))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.bytes().await.map_err(|cause| self.unreachable(cause))?;
        let words = match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) => words_of(&problem),
            Err(_) => {
                let text: String = String::from_utf8_lossy(&body).chars().take(SHOWN_CHARS_MAX).collect();
                format!("the daemon answered {status}: {text}")
            }
        };
        Err(Failure::Problem { status: status.as_u16(), words })
    }

    /// Reads the JSON document of an answer.
    ///
    /// # Errors
    /// The connection broke, or the answer is something else.
    pub async fn document<T: DeserializeOwned>(&self, response: Response) -> Result<T, Failure> {
        let url = response.url().to_string();
        let body = response.bytes().await.map_err(|cause| self.unreachable(cause))?;
        serde_json::from_slice(&body).map_err(|error| Failure::Answer { url, what: error.to_string() })
    }

    fn unreachable(&self, cause: reqwest::Error) -> Failure {
        Failure::Unreachable { server: self.server.clone(), cause }
    }
}

fn words_of(problem: &Problem) -> String {
    let mut words = problem.detail.clone();
    for mistake in &problem.mistakes {
        words.push_str(&format!("\n  {}: {}", mistake.place, mistake.what));
    }
    words
}
