//! What people are told about crashes: the list, with what was held back and why; and what the rules would make of a
//! crash.

use axum::Json;
use axum::extract::State;
use holdfast_wire::api::{Page, Problem};
use holdfast_wire::id::CrashId;
use holdfast_wire::notice::{NoticePlan, NoticeState, NoticeTest, NoticeView, ReceiverView};
use serde::Deserialize;

use super::builds::by_prefix;
use super::lists::Paging;
use super::problem::{Body, Query, Refusal};
use super::state::App;
use crate::farm::Ask;
use crate::notices::NoticeAsk;

/// Which notices are listed.
#[derive(Debug, Clone, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// By what became of them; all unless said.
    pub state: Option<NoticeState>,
    /// About this crash group alone.
    pub group: Option<String>,
    /// To this receiver alone.
    pub receiver: Option<String>,
    /// Entries of this page, 1 to 200; 50 unless said.
    pub limit: Option<usize>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Lists what was told, what waits and what was held back, newest first.
#[utoipa::path(get, path = "/api/v1/notices", tag = "crashes", params(Wanted),
    responses((status = 200, body = Page<NoticeView>), (status = 410, body = Problem), (status = 422, body = Problem)))]
pub async fn list(
    State(app): State<App>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page<NoticeView>>, Refusal> {
    let snapshot = app.farm.snapshot();
    let Wanted { state, group, receiver, limit, cursor } = wanted;
    let is_wanted = |notice: &NoticeView| {
        state.is_none_or(|state| notice.state == state)
            && group.as_ref().is_none_or(|group| notice.group == *group)
            && receiver.as_ref().is_none_or(|receiver| notice.receiver == *receiver)
    };
    let page = app.listings.notices.page(
        &Paging { limit, cursor },
        || snapshot.notices.iter().rev().filter(|(_, notice)| is_wanted(notice)).map(|(id, _)| *id).collect(),
        |id| snapshot.notices.get(id).map(|notice| (**notice).clone()),
    )?;
    Ok(Json(page))
}

/// Lists the receivers of the rules by name, what waits for each and how often it may be spoken to. The list is whole.
#[utoipa::path(get, path = "/api/v1/receivers", tag = "crashes",
    responses((status = 200, body = Page<ReceiverView>)))]
pub async fn receivers(State(app): State<App>) -> Result<Json<Page<ReceiverView>>, Refusal> {
    let items = app.farm.ask(|answer| Ask::Notice(NoticeAsk::Receivers { answer })).await?;
    Ok(Json(Page { items, next_cursor: None }))
}

/// What the rules would make of a crash, if it were new. Nothing is sent.
#[utoipa::path(post, path = "/api/v1/notices/test", tag = "crashes", request_body = NoticeTest,
    responses((status = 200, body = Vec<NoticePlan>), (status = 404, body = Problem), (status = 422, body = Problem)))]
pub async fn test(
    State(app): State<App>,
    Body { value: wanted, .. }: Body<NoticeTest>,
) -> Result<Json<Vec<NoticePlan>>, Refusal> {
    let snapshot = app.farm.snapshot();
    let ids = snapshot.crashes.keys().map(|id| (id.to_string(), *id));
    let crash: CrashId = by_prefix(ids, &wanted.crash, "crash")?;
    Ok(Json(app.farm.ask(|answer| Ask::Notice(NoticeAsk::Plan { crash, answer })).await?))
}
