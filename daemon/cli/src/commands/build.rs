//! `holdfast build …`: upload, list, describe.

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use holdfast_wire::api::Page;
use holdfast_wire::build::Build;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Method;
use tokio_util::io::ReaderStream;

use super::{Context, more, paging};
use crate::args::BuildCommand;
use crate::exit::{Exit, Failure};
use crate::output::{ago, bytes, fields, now, table};
use crate::zipped::zip_folder;

/// Read from disk at once while uploading: large enough for a local network, small beside a build.
const CHUNK_BYTES: usize = 256 * 1024;

/// How often progress is drawn: more would only flicker.
const DRAW_INTERVAL: Duration = Duration::from_millis(100);

pub(super) async fn run(context: &Context, command: BuildCommand) -> Result<Exit, Failure> {
    match command {
        BuildCommand::Upload { archive, symbols, commit, branch, author, parents } => {
            let hash = hash_file(&archive).await?;
            let mut query = vec![("hash", hash)];
            let parents = (!parents.is_empty()).then(|| parents.join(","));
            let origin = [("commit", commit), ("branch", branch), ("author", author), ("parents", parents)];
            query.extend(origin.into_iter().filter_map(|(name, value)| Some((name, value?))));
            let mut build: Build =
                send_file(context, Method::POST, "/api/v1/builds", &query, &archive).await?;
            if let Some(symbols) = symbols {
                build = send_symbols(context, &build.identity.hash.to_string(), &symbols).await?;
            }
            context.show(&build, describe)
        }
        BuildCommand::Symbols { hash, path } => {
            context.show(&send_symbols(context, &hash, &path).await?, describe)
        }
        BuildCommand::List(page) => {
            let page: Page<Build> = context.client.page("/api/v1/builds", &paging(&page)).await?;
            context.show(&page, list)
        }
        BuildCommand::Describe { hash } => {
            let build: Build = context.client.get(&format!("/api/v1/builds/{hash}"), &[]).await?;
            context.show(&build, describe)
        }
    }
}

fn list(page: &Page<Build>) -> String {
    if page.items.is_empty() {
        return "no builds yet: holdfast build upload App.ipa".to_owned();
    }
    let now = now();
    let rows = page.items.iter().map(|build| {
        let identity = &build.identity;
        vec![
            identity.hash.short(),
            identity.executable.clone(),
            format!("{} ({})", identity.version, identity.build_number),
            build.origin.branch.clone().unwrap_or_default(),
            build.origin.commit.as_ref().map(|commit| commit.chars().take(12).collect()).unwrap_or_default(),
            bytes(identity.size_bytes),
            if build.symbols.is_some() { "yes" } else { "no" }.to_owned(),
            ago(now, build.uploaded_at),
        ]
    });
    let columns = ["build", "app", "version", "branch", "commit", "size", "symbols", "uploaded"];
    table(&columns, &["symbols", "size", "commit", "branch"], rows) + &more(page.next_cursor.as_ref())
}

fn describe(build: &Build) -> String {
    let identity = &build.identity;
    let unsaid = || "(not said)".to_owned();
    fields(&[
        ("build", identity.hash.to_string()),
        ("app", format!("{} {} ({})", identity.executable, identity.version, identity.build_number)),
        ("bundle", identity.bundle_id.to_string()),
        ("size", bytes(identity.size_bytes)),
        ("wants iOS", identity.minimum_os.clone().unwrap_or_else(unsaid)),
        ("UUIDs", identity.uuids.join(", ")),
        ("commit", build.origin.commit.clone().unwrap_or_else(unsaid)),
        ("branch", build.origin.branch.clone().unwrap_or_else(unsaid)),
        ("author", build.origin.author.clone().unwrap_or_else(unsaid)),
        ("symbols", build.symbols.map_or_else(|| "none yet".to_owned(), |hash| hash.short())),
        ("uploaded", build.uploaded_at.to_string()),
    ])
}

/// Sends a zip of dSYMs, or what is in a folder as one.
async fn send_symbols(context: &Context, build: &str, symbols: &Path) -> Result<Build, Failure> {
    let path = format!("/api/v1/builds/{build}/symbols");
    if !symbols.is_dir() {
        return send_file(context, Method::PUT, &path, &[], symbols).await;
    }
    let folder = symbols.to_owned();
    let zipped = tokio::task::spawn_blocking(move || zip_folder(&folder));
    let zipped = zipped.await.map_err(std::io::Error::other).and_then(|result| result);
    // It is removed when it goes out of scope.
    let zipped = zipped.map_err(|cause| Failure::File {
        operation: "zip",
        path: symbols.display().to_string(),
        cause,
    })?;
    send_file(context, Method::PUT, &path, &[], zipped.path()).await
}

/// Streams a file into a request body, with progress on a terminal.
async fn send_file(
    context: &Context,
    method: Method,
    path: &str,
    query: &[(&str, String)],
    file: &Path,
) -> Result<Build, Failure> {
    let opened = tokio::fs::File::open(file).await.map_err(|cause| cannot_read(file, cause))?;
    let size = opened.metadata().await.map_err(|cause| cannot_read(file, cause))?.len();
    let bar = progress_bar(size, file);
    let drawn = bar.clone();
    let body = ReaderStream::with_capacity(opened, CHUNK_BYTES).inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            drawn.inc(chunk.len() as u64);
        }
    });
    let request = context
        .client
        .request(method, path)
        .query(query)
        .header("content-type", "application/octet-stream")
        .header("content-length", size)
        .body(reqwest::Body::wrap_stream(body));
    let answer = context.client.send(request).await;
    bar.finish_and_clear();
    context.client.document(answer?).await
}

fn progress_bar(size: u64, file: &Path) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(size);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}") {
        bar.set_style(style);
    }
    bar.set_message(file.file_name().unwrap_or_default().to_string_lossy().into_owned());
    bar.enable_steady_tick(DRAW_INTERVAL);
    bar
}

/// The BLAKE3 hash of a file: sent along, so that damage on the way is seen by the daemon.
async fn hash_file(file: &Path) -> Result<String, Failure> {
    let path = file.to_owned();
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hasher = blake3::Hasher::new();
        let opened = std::fs::File::open(&path)?;
        hasher.update_reader(opened)?;
        Ok(hasher.finalize().to_hex().to_string())
    });
    let hashed = hashed.await.map_err(std::io::Error::other).and_then(|result| result);
    hashed.map_err(|cause| cannot_read(file, cause))
}

pub(super) fn cannot_read(file: &Path, cause: std::io::Error) -> Failure {
    Failure::File { operation: "read", path: file.display().to_string(), cause }
}
