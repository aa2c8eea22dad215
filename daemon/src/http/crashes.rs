//! Crashes: list, describe, raw bytes, the page for people and Apple's text form.

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use holdfast_wire::api::{CrashView, Page, Problem};
use holdfast_wire::id::CrashId;
use serde::Serialize;

use super::agents::stream_blob;
use super::builds::by_prefix;
use super::lists::{Paging, newest_first};
use super::problem::{Path, Query, Refusal};
use super::state::App;
use crate::symbols::{self, Named};

/// A crash with its whole report.
#[derive(Debug, Serialize)]
pub struct WholeCrash {
    /// What lists show of it.
    pub crash: CrashView,
    /// What the file says: threads, images, how it ended.
    pub report: holdfast_crash::Report,
}

/// Lists crashes, newest first.
#[utoipa::path(get, path = "/api/v1/crashes", tag = "crashes", params(Paging),
    responses((status = 200, body = Page<CrashView>), (status = 422, body = Problem)))]
pub async fn list(
    State(app): State<App>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<CrashView>>, Refusal> {
    let snapshot = app.farm.snapshot();
    let show = |id: &CrashId| snapshot.crashes.get(id).map(|crash| (**crash).clone());
    Ok(Json(newest_first(&paging, &snapshot.crashes_newest, show)?))
}

/// Describes a crash, by its id or enough of its beginning: `crash` as in lists, `report` as read from the file.
#[utoipa::path(get, path = "/api/v1/crashes/{id}", tag = "crashes", params(("id" = String, Path)),
    responses((status = 200, description = "`crash` (CrashView) and `report` (what the file says)"),
        (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn describe(State(app): State<App>, Path(id): Path<String>) -> Result<Json<WholeCrash>, Refusal> {
    Ok(Json(whole(&app, &id).await?))
}

/// The bytes as the phone wrote them.
#[utoipa::path(get, path = "/api/v1/crashes/{id}/raw", tag = "crashes", params(("id" = String, Path)),
    responses((status = 200, content_type = "application/octet-stream"), (status = 404, body = Problem)))]
pub async fn raw(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Refusal> {
    stream_blob(&app, &find(&app, &id)?.origin.id.into()).await
}

/// Looks for symbols again, in the searched folder too, and names the crash's frames by them.
#[utoipa::path(post, path = "/api/v1/crashes/{id}/symbolicate", tag = "crashes", params(("id" = String, Path)),
    responses((status = 200, description = "`crash` (CrashView) and `report` (what the file says), as they are now"),
        (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn symbolicate(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Result<Json<WholeCrash>, Refusal> {
    find(&app, &id)?;
    if let Some(folder) = app.symbols.folder.clone() {
        symbols::late::search(&app.symbols, (*folder).clone()).await;
    }
    let mut read = whole(&app, &id).await?;
    if let Some(server) = app.symbols.server.clone() {
        let missing: Vec<String> =
            read.crash.missing_symbols.iter().flatten().map(|it| it.uuid.clone()).collect();
        let library = app.symbols.library.clone();
        // Whoever asks for it outright is not told what the server said an hour ago. What takes longer than a request may is
        // there for the next one.
        let asking = tokio::spawn(async move {
            for uuid in &missing {
                server.fetch(&library, uuid).await;
            }
        });
        asking
            .await
            .map_err(|error| Refusal::trouble(format!("asking the symbol server broke off: {error}")))?;
        read = whole(&app, &id).await?;
    }
    let named = Named::of(read.crash.origin.id, &read.report, &app.signing, &app.symbols.roots);
    symbols::late::record(&app.farm, vec![named]).await?;
    // As lists show it from now on.
    Ok(Json(WholeCrash { crash: find(&app, &id)?, ..read }))
}

/// The report as a page of text for people: what ended the process, and the stack that matters.
#[utoipa::path(get, path = "/api/v1/crashes/{id}/page", tag = "crashes", params(("id" = String, Path)),
    responses((status = 200, content_type = "text/plain"), (status = 404, body = Problem)))]
pub async fn page(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Refusal> {
    Ok(plain(page_of(&whole(&app, &id).await?)))
}

/// The report in the text form that Apple's own tools make of it, with the names that the farm's symbols give; of a kind
/// without such a form, the page.
#[utoipa::path(get, path = "/api/v1/crashes/{id}/text", tag = "crashes", params(("id" = String, Path)),
    responses((status = 200, content_type = "text/plain"), (status = 404, body = Problem)))]
pub async fn text(State(app): State<App>, Path(id): Path<String>) -> Result<Response, Refusal> {
    let (bytes, whole) = bytes_and_whole(&app, &id).await?;
    Ok(plain(holdfast_crash::apple_text(&bytes, &whole.report).unwrap_or_else(|| page_of(&whole))))
}

fn plain(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

fn page_of(whole: &WholeCrash) -> String {
    holdfast_crash::render_text(&whole.report) + &wanted(&whole.crash)
}

/// The part of the text about symbols that nobody has uploaded; empty when none miss.
fn wanted(crash: &CrashView) -> String {
    let missing = crash.missing_symbols.as_deref().unwrap_or_default();
    if missing.is_empty() {
        return String::new();
    }
    let mut words = format!("\nsymbols are missing; {}\n", crate::symbols::HOW_TO_UPLOAD);
    for image in missing {
        let asked = image.asked.as_ref().map(|asked| format!("  {asked}")).unwrap_or_default();
        words.push_str(&format!("       {:<28} {}{asked}\n", image.image, image.uuid));
    }
    words
}

/// A crash with its report, read anew.
pub(crate) async fn whole(app: &App, id: &str) -> Result<WholeCrash, Refusal> {
    Ok(bytes_and_whole(app, id).await?.1)
}

async fn bytes_and_whole(app: &App, id: &str) -> Result<(Vec<u8>, WholeCrash), Refusal> {
    let crash = find(app, id)?;
    let read = crate::crashes::read(&app.blobs, &app.symbols, crash.origin.id).await?;
    let mut read =
        read.ok_or_else(|| Refusal::trouble(format!("the bytes of crash {id} are gone from the disk")))?;
    app.symbols.link(&mut read.report, &app.farm.snapshot());
    let missing = app.symbols.missing(&read.report);
    let crash = CrashView { missing_symbols: Some(missing), ..crash };
    Ok((read.bytes, WholeCrash { crash, report: read.report }))
}

fn find(app: &App, text: &str) -> Result<CrashView, Refusal> {
    let snapshot = app.farm.snapshot();
    let whole = text.parse().ok().filter(|id| snapshot.crashes.contains_key(id));
    let id: CrashId = match whole {
        Some(id) => id,
        None => by_prefix(snapshot.crashes.keys().map(|id| (id.to_string(), *id)), text, "crash")?,
    };
    let found = snapshot.crashes.get(&id).map(|crash| (**crash).clone());
    found.ok_or_else(|| {
        Refusal::not_found(format!("crash {text:?}"), "`holdfast crash list` shows what there is")
    })
}
