//! The change stream: server-sent events with numbers, so that a reader goes on where it was.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::Stream;
use holdfast_wire::api::Change;

use super::state::App;
use crate::changes::Changes;

/// A comment is sent after so long without news: proxies cut what is silent for a minute.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Follows what changes. Each event has an id; with `Last-Event-ID` a reader goes on behind it, and when that is too
/// long ago, or of another start of the daemon, the event `reset` says to read everything anew.
#[utoipa::path(get, path = "/api/v1/changes", tag = "changes",
    responses((status = 200, body = Change, content_type = "text/event-stream")))]
pub async fn stream(
    State(app): State<App>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let seen = last_seen(&headers, &app);
    let follow = Follow { changes: app.farm.changes.clone(), seen, start: app.start.to_string() };
    let stopping = app.stopping.clone();
    let events = futures_util::stream::unfold((follow, Vec::new().into_iter()), next);
    let events = futures_util::StreamExt::take_until(events, stopping.cancelled_owned());
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

struct Follow {
    changes: Changes,
    /// None when the reader's place is lost.
    seen: Option<u64>,
    start: String,
}

type Waiting = std::vec::IntoIter<(u64, Change)>;

async fn next(
    (mut follow, mut waiting): (Follow, Waiting),
) -> Option<(Result<Event, Infallible>, (Follow, Waiting))> {
    let mut newest = follow.changes.follow();
    loop {
        if let Some((number, change)) = waiting.next() {
            follow.seen = Some(number);
            let id = format!("{}-{number}", follow.start);
            let event = Event::default().id(id).json_data(&change).unwrap_or_else(|_| Event::default());
            return Some((Ok(event), (follow, waiting)));
        }
        match follow.seen.and_then(|seen| follow.changes.since(seen)) {
            None => {
                let newest = follow.changes.newest();
                follow.seen = Some(newest);
                let id = format!("{}-{newest}", follow.start);
                let event = Event::default().id(id).event("reset").data("{}");
                return Some((Ok(event), (follow, waiting)));
            }
            Some(changes) if changes.is_empty() => newest.changed().await.ok()?,
            Some(changes) => waiting = changes.into_iter(),
        }
    }
}

/// Where the reader was; the newest change when it does not say.
fn last_seen(headers: &HeaderMap, app: &App) -> Option<u64> {
    let Some(id) = headers.get("last-event-id") else { return Some(app.farm.changes.newest()) };
    let (start, number) = id.to_str().ok()?.rsplit_once('-')?;
    (start == app.start.as_str()).then(|| number.parse().ok()).flatten()
}
