//! Builds: upload, symbols, list, describe.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body as RawBody, Bytes};
use axum::extract::State;
use axum::http::StatusCode;
use futures_util::{Stream, StreamExt};
use holdfast_wire::api::{Page, Problem};
use holdfast_wire::build::{Build, Origin};
use holdfast_wire::id::{BlobHash, BuildHash};
use serde::Deserialize;

use super::agents::off_the_runtime;
use super::lists::{Paging, newest_first};
use super::problem::{Path, Query, Refusal};
use super::state::App;
use crate::blobs::Presence;
use crate::builds::{check_symbols, damaged, identify};
use crate::farm::Ask;
use crate::snapshot::Snapshot;
use crate::symbols::name_waiting;

/// What an uploader says of a build.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Upload {
    /// The BLAKE3 hash of the archive; when said, other bytes are refused.
    #[param(value_type = Option<String>)]
    hash: Option<BuildHash>,
    /// The commit it was made from.
    commit: Option<String>,
    /// The branch that was built.
    branch: Option<String>,
    /// Who wrote the commit.
    author: Option<String>,
    /// The commits that it follows, with commas between them: from these, builds have their order.
    parents: Option<String>,
}

/// How long symbols wait for others to be looked into: a large app's take a minute.
const CHECKS_WAIT_MAX: Duration = Duration::from_secs(600);

/// Parents of a commit: an octopus has more arms than any merge.
const PARENTS_MAX: usize = 16;

/// Longest commit, branch or author, in bytes: they go into every job's table.
const ORIGIN_BYTES_MAX: usize = 256;

/// Uploads a build. The same archive again is the same build; the first upload's origin counts.
#[utoipa::path(post, path = "/api/v1/builds", tag = "builds", params(Upload),
    request_body(content_type = "application/octet-stream"),
    responses((status = 200, body = Build), (status = 201, body = Build), (status = 409, body = Problem),
        (status = 413, body = Problem), (status = 422, body = Problem), (status = 507, body = Problem)))]
pub async fn upload(
    State(app): State<App>,
    Query(upload): Query<Upload>,
    body: RawBody,
) -> Result<(StatusCode, Json<Build>), Refusal> {
    let said = [
        ("commit", &upload.commit),
        ("branch", &upload.branch),
        ("author", &upload.author),
        ("parents", &upload.parents),
    ];
    for (name, value) in said {
        let bad = |text: &&String| text.len() > ORIGIN_BYTES_MAX || text.chars().any(char::is_control);
        if value.as_ref().filter(bad).is_some() {
            let what = format!("has more than {ORIGIN_BYTES_MAX} bytes or control characters; shorten it");
            return Err(Refusal::mistake(name, what));
        }
    }
    let announced = upload.hash.map(BlobHash::from);
    let stream = patient(body, app.timeouts.upload_idle);
    let kept = app.blobs.keep_stream(stream, app.limits.build_bytes_max, announced).await?;
    let hash = BuildHash::from(kept.hash);
    if let Some(known) = app.farm.snapshot().builds.get(&hash) {
        return Ok((StatusCode::OK, Json((**known).clone())));
    }
    let blobs = app.blobs.clone();
    let identity = off_the_runtime(move || {
        let file = std::fs::File::open(blobs.path(&kept.hash))
            .map_err(|error| Refusal::trouble(format!("cannot open the upload again: {error}")))?;
        identify(std::io::BufReader::new(file), kept.size_bytes, hash).map_err(|error| {
            // What is no build is not worth its room. A leftover does no harm.
            let _removed = blobs.remove(&kept.hash);
            Refusal::from(error)
        })
    })
    .await?;
    let parents = upload.parents.iter().flat_map(|parents| parents.split(',')).map(str::trim);
    let parents = parents.filter(|parent| !parent.is_empty()).take(PARENTS_MAX).map(str::to_owned).collect();
    let origin = Origin { commit: upload.commit, branch: upload.branch, author: upload.author, parents };
    let build = Box::new(Build { identity, origin, uploaded_at: app.clock.now(), symbols: None });
    let build = app.farm.ask(|answer| Ask::Build { build, answer }).await?;
    Ok((StatusCode::CREATED, Json((*build).clone())))
}

/// Uploads the symbols of a build: its zipped dSYM.
#[utoipa::path(put, path = "/api/v1/builds/{hash}/symbols", tag = "builds", params(("hash" = String, Path)),
    request_body(content_type = "application/octet-stream"),
    responses((status = 200, body = Build), (status = 404, body = Problem), (status = 413, body = Problem),
        (status = 422, body = Problem), (status = 507, body = Problem)))]
pub async fn symbols(
    State(app): State<App>,
    Path(hash): Path<String>,
    body: RawBody,
) -> Result<Json<Build>, Refusal> {
    let build = find(&app.farm.snapshot(), &hash)?;
    let stream = patient(body, app.timeouts.upload_idle);
    let kept = app.blobs.keep_stream(stream, app.limits.symbols_bytes_max, None).await?;
    let (blobs, identity, library) = (app.blobs.clone(), build.identity.clone(), app.symbols.library.clone());
    let turn = tokio::time::timeout(CHECKS_WAIT_MAX, app.symbols.checking.clone().lock_owned());
    let checking = turn.await.map_err(|_| {
        let detail =
            "other symbols are still being looked into; send these again in a few minutes".to_owned();
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too-slow", "It took too long", detail)
    })?;
    off_the_runtime(move || {
        let _one = checking;
        let zip = blobs.path(&kept.hash);
        let checked = check_symbols(&zip, kept.size_bytes, &identity).and_then(|contents| {
            let troubles = library.add(&contents);
            let usable = identity.uuids.iter().any(|uuid| library.knows(uuid));
            if usable { Ok(()) } else { Err(damaged(&troubles, &zip)) }
        });
        checked.map_err(|error| {
            // What holds no symbols is not worth its room, unless it is here for another reason: a build that was sent as
            // symbols by mistake. A leftover does no harm.
            if kept.presence == Presence::New {
                let _removed = blobs.remove(&kept.hash);
            }
            Refusal::from(error)
        })
    })
    .await?;
    let ask = |answer| Ask::Symbols { build: build.identity.hash, symbols: kept.hash, answer };
    let build = app.farm.ask(ask).await?;
    // Whoever uploads does not wait for the crashes of the past; what the end of the daemon interrupts, its next start
    // does.
    let (farm, blobs, symbols) = (app.farm.clone(), app.blobs.clone(), app.symbols.clone());
    let rules = app.signing.clone();
    tokio::spawn(async move { name_waiting(&farm, &blobs, &symbols, &rules).await });
    build.map(|build| Json((*build).clone())).ok_or_else(|| unknown(&hash))
}

/// Lists builds, newest first.
#[utoipa::path(get, path = "/api/v1/builds", tag = "builds", params(Paging),
    responses((status = 200, body = Page<Build>), (status = 422, body = Problem)))]
pub async fn list(
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<Build>>, Refusal> {
    let snapshot = app.farm.snapshot();
    let show = |hash: &BuildHash| snapshot.builds.get(hash).map(|build| (**build).clone());
    Ok(Json(newest_first(&paging, &snapshot.builds_newest, show)?))
}

/// Describes a build, by its hash or enough of its beginning.
#[utoipa::path(get, path = "/api/v1/builds/{hash}", tag = "builds", params(("hash" = String, Path)),
    responses((status = 200, body = Build), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn describe(State(app): State<App>, Path(hash): Path<String>) -> Result<Json<Build>, Refusal> {
    Ok(Json((*find(&app.farm.snapshot(), &hash)?).clone()))
}

fn find(snapshot: &Snapshot, text: &str) -> Result<Arc<Build>, Refusal> {
    let hash = by_prefix(snapshot.builds.keys().map(|hash| (hash.to_string(), *hash)), text, "build")?;
    snapshot.builds.get(&hash).cloned().ok_or_else(|| unknown(text))
}

fn unknown(hash: &str) -> Refusal {
    Refusal::not_found(format!("build {hash:?}"), "`holdfast build list` shows what there is")
}

/// Fewest digits of a hash that name something: fewer are more likely a slip.
const PREFIX_DIGITS_MIN: usize = 4;

/// The one thing whose hash begins so.
pub(crate) fn by_prefix<T>(
    all: impl Iterator<Item = (String, T)>,
    text: &str,
    what: &str,
) -> Result<T, Refusal> {
    let text = text.to_ascii_lowercase();
    if text.len() < PREFIX_DIGITS_MIN || !text.chars().all(|c| c.is_ascii_hexdigit()) {
        let detail =
            format!("is no {what}: give at least {PREFIX_DIGITS_MIN} hexadecimal digits of its hash");
        return Err(Refusal::mistake("path", format!("{text:?} {detail}")));
    }
    let mut found = all.filter(|(hash, _)| hash.starts_with(&text));
    match (found.next(), found.next()) {
        (None, _) => Err(Refusal::not_found(
            format!("{what} {text:?}"),
            &format!("`holdfast {what} list` shows what there is"),
        )),
        (Some((_, only)), None) => Ok(only),
        (Some(_), Some(_)) => {
            let detail = format!("{text:?} is the beginning of several; give more digits");
            Err(Refusal::new(StatusCode::CONFLICT, "ambiguous", "Several begin so", detail))
        }
    }
}

/// A body that is given up when it brings nothing for so long.
pub(crate) fn patient(body: RawBody, idle: Duration) -> impl Stream<Item = Result<Bytes, String>> + Send {
    let stream = Box::pin(body.into_data_stream());
    futures_util::stream::unfold(Some(stream), move |stream| async move {
        let mut stream = stream?;
        match tokio::time::timeout(idle, stream.next()).await {
            Ok(None) => None,
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(stream))),
            Ok(Some(Err(error))) => Some((Err(error.to_string()), None)),
            Err(_) => Some((Err(format!("nothing came for {} s", idle.as_secs())), None)),
        }
    })
}
