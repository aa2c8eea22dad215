//! Crash groups: list, describe, what is suggested, what operators decide; and crash files that somebody brings.

use std::cmp::Reverse;

use axum::Json;
use axum::body::Body as RawBody;
use axum::extract::State;
use axum::http::StatusCode;
use holdfast_wire::api::{CrashView, Page, Problem};
use holdfast_wire::crash::CrashSource;
use holdfast_wire::group::{GroupDeed, GroupState, GroupView, Suggestions};
use holdfast_wire::id::{CrashId, GroupId};
use holdfast_wire::time::Time;
use imbl::OrdSet;
use serde::Deserialize;

use super::builds::{by_prefix, patient};
use super::lists::{Paging, newest_first};
use super::problem::{Body, Path, Query, Refusal};
use super::state::App;
use super::who::Asking;
use crate::blobs::Presence;
use crate::farm::Ask;
use crate::groups::{GroupRefused, suggestions, view};
use crate::snapshot::Snapshot;

/// Which groups are listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// Those at which somebody should look: open, regressed, and no longer ignored.
    #[default]
    Open,
    /// Those that nobody is told of.
    Ignored,
    /// Those that are mended.
    Fixed,
    /// All but those that count into another group.
    All,
}

/// Which groups are listed.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// By where they stand; `open` unless said.
    pub state: Option<Which>,
    /// Entries of this page, 1 to 200; 50 unless said.
    pub limit: Option<usize>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Lists crash groups, the one that happened last first.
#[utoipa::path(get, path = "/api/v1/groups", tag = "crashes", params(Wanted),
    responses((status = 200, body = Page<GroupView>), (status = 410, body = Problem), (status = 422, body = Problem)))]
pub async fn list(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page<GroupView>>, Refusal> {
    let (snapshot, now) = (app.farm.snapshot(), app.clock.now());
    let Wanted { state, limit, cursor } = wanted;
    let page = app.listings.groups.page(
        &Paging { limit, cursor },
        || newest(&snapshot, state.unwrap_or_default(), now).into_iter().map(|(_, id)| id).collect(),
        |id| snapshot.groups.get(id).map(|group| view(&snapshot, group, &app.hunt, now)),
    )?;
    Ok(Json(page))
}

/// Groups, the one that happened last first; those of no crash come last.
pub(crate) fn newest(snapshot: &Snapshot, which: Which, now: Time) -> OrdSet<(Reverse<Time>, GroupId)> {
    let is_wanted = |state: &GroupState| match which {
        Which::Open => state.is_open(now),
        Which::Ignored => matches!(state, GroupState::Ignored { .. }) && !state.is_open(now),
        Which::Fixed => matches!(state, GroupState::Fixed { .. }),
        Which::All => !matches!(state, GroupState::Merged { .. }),
    };
    let wanted = snapshot.groups.iter().filter(|group| is_wanted(&group.record.state));
    let last = |group| Reverse(snapshot.groups.last(group).unwrap_or_default());
    wanted.map(|group| (last(group), group.record.id.clone())).collect()
}

/// Describes a crash group, by its id or enough of its beginning. One that was merged says into which.
#[utoipa::path(get, path = "/api/v1/groups/{id}", tag = "crashes", params(("id" = String, Path)),
    responses((status = 200, body = GroupView), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn describe(State(app): State<App>, Path(id): Path<String>) -> Result<Json<GroupView>, Refusal> {
    let snapshot = app.farm.snapshot();
    Ok(Json(shown(&app, &snapshot, &find(&snapshot, &id)?)?))
}

/// What may be worth merging or splitting. Nothing of it is done by itself.
#[utoipa::path(get, path = "/api/v1/groups/{id}/suggestions", tag = "crashes", params(("id" = String, Path)),
    responses((status = 200, body = Suggestions), (status = 404, body = Problem), (status = 409, body = Problem)))]
pub async fn suggest(State(app): State<App>, Path(id): Path<String>) -> Result<Json<Suggestions>, Refusal> {
    let snapshot = app.farm.snapshot();
    let id = find(&snapshot, &id)?;
    let group = snapshot.groups.get(&id).cloned().ok_or(GroupRefused::Unknown(id))?;
    super::agents::off_the_runtime(move || Ok(Json(suggestions(&snapshot, &group)))).await
}

/// Crashes of a group, newest first, those of groups that were merged into it included.
#[utoipa::path(get, path = "/api/v1/groups/{id}/crashes", tag = "crashes", params(("id" = String, Path), Paging),
    responses((status = 200, body = Page<CrashView>), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn crashes(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<CrashView>>, Refusal> {
    let snapshot = app.farm.snapshot();
    let id = find(&snapshot, &id)?;
    let group = snapshot.groups.get(&id).cloned().ok_or(GroupRefused::Unknown(id))?;
    let show = |id: &CrashId| snapshot.crashes.get(id).map(|crash| (**crash).clone());
    Ok(Json(newest_first(&paging, &snapshot.groups.stats(&group).crashes, show)?))
}

/// Does something with a group: rename, ignore, fix, reopen, merge, split. Answers with the group as it is then.
#[utoipa::path(post, path = "/api/v1/groups/{id}", tag = "crashes", params(("id" = String, Path), Asking),
    request_body = GroupDeed,
    responses((status = 200, body = GroupView), (status = 404, body = Problem), (status = 409, body = Problem),
        (status = 422, body = Problem)))]
pub async fn act(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(asking): Query<Asking>,
    body: Body<GroupDeed>,
) -> Result<Json<GroupView>, Refusal> {
    let (who, deed) = (asking.who()?, body.value);
    let id = find(&app.farm.snapshot(), &id)?;
    let done = app.farm.ask(|answer| Ask::Group { id: id.clone(), deed, who, answer }).await?;
    done?;
    let snapshot = app.farm.snapshot();
    Ok(Json(shown(&app, &snapshot, &id)?))
}

/// What a brought file is called.
#[derive(Debug, Clone, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Brought {
    /// Its name, for people.
    pub name: Option<String>,
}

/// Characters of a brought file's name that are kept.
const NAME_CHARS_MAX: usize = 200;

/// Takes a crash file in that came from no phone of the farm: it is read, signed and grouped like any other. The same
/// bytes again are the same crash.
#[utoipa::path(post, path = "/api/v1/crashes", tag = "crashes", params(Brought),
    request_body(content_type = "application/octet-stream"),
    responses((status = 200, body = CrashView), (status = 201, body = CrashView), (status = 413, body = Problem),
        (status = 422, body = Problem), (status = 507, body = Problem)))]
pub async fn import(
    State(app): State<App>,
    Query(brought): Query<Brought>,
    body: RawBody,
) -> Result<(StatusCode, Json<CrashView>), Refusal> {
    let stream = patient(body, app.timeouts.upload_idle);
    let kept = app.blobs.keep_stream(stream, app.limits.blob_bytes_max, None).await?;
    let id = CrashId::from(kept.hash);
    if let Some(known) = app.farm.snapshot().crashes.get(&id) {
        return Ok((StatusCode::OK, Json((**known).clone())));
    }
    let read = crate::crashes::read(&app.blobs, &app.symbols, id).await?;
    let read = read.ok_or_else(|| Refusal::trouble("the bytes that were just kept are gone".to_owned()))?;
    if read.report.container == holdfast_crash::Container::Unreadable {
        // What is no report is not worth its room, unless it is here for another reason. A leftover does no harm.
        if kept.presence == Presence::New {
            let _removed = app.blobs.remove(&kept.hash);
        }
        let what = read.report.malformed.first().map_or("is no crash report", |fault| fault.what.as_str());
        return Err(Refusal::mistake("body", format!("nothing can be read of this file: {what}")));
    }
    let name = brought.name.unwrap_or_else(|| "imported".to_owned());
    let source = CrashSource {
        id,
        phone: None,
        rack: None,
        path: name.chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect(),
        size_bytes: kept.size_bytes,
        collected_at: app.clock.now(),
        attempt: None,
    };
    let crash = crate::crashes::view(source, kept.size_bytes, &read.report, &app.signing, &app.symbols.roots);
    let crash = app.farm.ask(|answer| Ask::Crash { crash: Box::new(crash), answer }).await?;
    Ok((StatusCode::CREATED, Json((*crash).clone())))
}

fn shown(app: &App, snapshot: &Snapshot, id: &GroupId) -> Result<GroupView, Refusal> {
    let group = snapshot.groups.get(id).ok_or_else(|| GroupRefused::Unknown(id.clone()))?;
    Ok(view(snapshot, group, &app.hunt, app.clock.now()))
}

/// The group of this id, or the only one whose id begins so.
fn find(snapshot: &Snapshot, text: &str) -> Result<GroupId, Refusal> {
    let exact = text.parse().ok().and_then(|id: GroupId| snapshot.groups.get(&id).map(|_| id));
    match exact {
        Some(id) => Ok(id),
        None => {
            let all = snapshot.groups.iter().map(|group| group.record.id.clone());
            by_prefix(all.map(|id| (id.to_string(), id)), text, "group")
        }
    }
}

impl From<GroupRefused> for Refusal {
    fn from(refused: GroupRefused) -> Self {
        let words = refused.to_string();
        match refused {
            GroupRefused::Unknown(_) => {
                Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", words)
            }
            GroupRefused::Merged { .. } => {
                Self::new(StatusCode::CONFLICT, "merged", "The group was merged", words)
            }
            GroupRefused::Same(_)
            | GroupRefused::NotAbsorbed { .. }
            | GroupRefused::NotInside { .. }
            | GroupRefused::Nothing
            | GroupRefused::Everything
            | GroupRefused::TooMany(_)
            | GroupRefused::Name
            | GroupRefused::NoBuild(_) => Self::mistake("do", words),
        }
    }
}
