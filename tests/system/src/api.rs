//! What is asked of the daemon, over its real API.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use holdfast_wire::api::{CrashView, JobRequest, JobView, Page, PhoneView, RackView};
use holdfast_wire::build::Build;
use holdfast_wire::id::{CrashId, JobId};
use holdfast_wire::notice::NoticeView;
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;

/// How long one answer may take on a machine that also runs the whole farm.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Entries asked for at once.
const PAGE_ENTRIES: usize = 100;

/// A client of one daemon.
#[derive(Debug, Clone)]
pub struct Api {
    http: reqwest::Client,
    url: String,
}

impl Api {
    /// A client of the daemon at this address.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        // An earlier one is as good.
        let _already = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER_LIMIT).build()?;
        Ok(Self { http, url: url.to_owned() })
    }

    /// Uploads a build with its symbols, and says where it came from.
    ///
    /// # Errors
    /// A file cannot be read, or the daemon refuses.
    pub async fn upload(
        &self,
        archive: &Path,
        symbols: &Path,
        origin: &[(&str, &str)],
    ) -> anyhow::Result<Build> {
        let read =
            |path: &Path| std::fs::read(path).with_context(|| format!("cannot read {}", path.display()));
        let build: Build = self
            .send(self.request(Method::POST, "/api/v1/builds").query(origin).body(read(archive)?))
            .await?;
        let path = format!("/api/v1/builds/{}/symbols", build.identity.hash);
        self.send(self.request(Method::PUT, &path).body(read(symbols)?)).await
    }

    /// Submits a job under a key of its own.
    ///
    /// # Errors
    /// The daemon refuses or is away.
    pub async fn submit(&self, job: &JobRequest, key: &str) -> anyhow::Result<JobView> {
        self.send(self.request(Method::POST, "/api/v1/jobs").header("idempotency-key", key).json(job)).await
    }

    /// One job.
    ///
    /// # Errors
    /// The daemon is away or does not know it.
    pub async fn job(&self, id: JobId) -> anyhow::Result<JobView> {
        self.send(self.request(Method::GET, &format!("/api/v1/jobs/{id}"))).await
    }

    /// Every job.
    ///
    /// # Errors
    /// The daemon is away.
    pub async fn jobs(&self) -> anyhow::Result<Vec<JobView>> {
        self.list("/api/v1/jobs").await
    }

    /// Every phone.
    ///
    /// # Errors
    /// The daemon is away.
    pub async fn phones(&self) -> anyhow::Result<Vec<PhoneView>> {
        self.list("/api/v1/phones").await
    }

    /// Every rack.
    ///
    /// # Errors
    /// The daemon is away.
    pub async fn racks(&self) -> anyhow::Result<Vec<RackView>> {
        self.list("/api/v1/racks").await
    }

    /// Every crash.
    ///
    /// # Errors
    /// The daemon is away.
    pub async fn crashes(&self) -> anyhow::Result<Vec<CrashView>> {
        self.list("/api/v1/crashes").await
    }

    /// What people were told about crashes, or not, of which this became.
    ///
    /// # Errors
    /// The daemon is away.
    pub async fn notices(&self, state: &str) -> anyhow::Result<Vec<NoticeView>> {
        let page: Page<NoticeView> =
            self.send(self.request(Method::GET, "/api/v1/notices").query(&[("state", state)])).await?;
        Ok(page.items)
    }

    /// A crash report as text for people.
    ///
    /// # Errors
    /// The daemon is away or does not know it.
    pub async fn crash_text(&self, id: CrashId) -> anyhow::Result<String> {
        let request = self.request(Method::GET, &format!("/api/v1/crashes/{id}/page"));
        Ok(request.send().await?.error_for_status()?.text().await?)
    }

    async fn list<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Vec<T>> {
        let mut all = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let mut query = vec![("limit", PAGE_ENTRIES.to_string())];
            query.extend(cursor.map(|cursor| ("cursor", cursor)));
            let page: Page<T> = self.send(self.request(Method::GET, path).query(&query)).await?;
            all.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => return Ok(all),
            }
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url))
    }

    async fn send<T: DeserializeOwned>(&self, request: RequestBuilder) -> anyhow::Result<T> {
        let response = request.send().await?;
        let (status, url) = (response.status(), response.url().clone());
        let body = response.bytes().await?;
        if !status.is_success() {
            bail!("{url} answered {status}: {}", String::from_utf8_lossy(&body));
        }
        serde_json::from_slice(&body).with_context(|| format!("{url} answered something else than expected"))
    }
}
