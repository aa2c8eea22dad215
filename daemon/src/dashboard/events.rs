//! The stream that keeps an open page up to date: every part that changed, as a whole element.
//!
//! | event | data | meaning |
//! |---|---|---|
//! | `part` | `{"id", "html"}` | replace the element |
//! | `turn` | `{"now", "assets"}` | everything up to here belongs together; also the heartbeat |
//! | `reload` | `{}` | the page is another one now: load it anew |
//!
//! The `id` of a turn names what the page then shows. A reader who comes back with it, after a lost connection or
//! even after a restart of the daemon, gets nothing if it still looks so, and everything otherwise.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use futures_util::Stream;
use futures_util::stream;
use holdfast_wire::id::{JobId, Udid};
use holdfast_wire::time::Time;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::assets::version;
use super::part::{Part, changed, digest, find};
use super::picture::{Pictures, Unreadable};
use super::{farm_page, job_page, phone_page, queue_page};

/// Pages are brought up to date at most four times a second: faster is a flicker, and costs on both sides.
const TURN_GAP: Duration = Duration::from_millis(250);
/// A page that hears nothing for a while says that it is stale, so something is said at least this often.
const HEARTBEAT: Duration = Duration::from_secs(4);
/// How long looking at the farm may take before the stream ends, and the page says that it is stale.
const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// Which page follows the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// The first page.
    Farm,
    /// The page of the queue.
    Queue,
    /// The page of a job.
    Job(JobId),
    /// The page of a phone.
    Phone(Udid),
}

/// A page as it looks at one moment.
struct Look {
    now: Time,
    parts: Vec<Part>,
    /// The same at the fixed moment at which looks are compared.
    resting: Vec<Part>,
}

impl View {
    /// None when what the page is about does not exist.
    async fn look<P: Pictures>(&self, pictures: &P) -> Result<Option<Look>, Unreadable> {
        let rest = Time::default();
        let picture = pictures.picture().await;
        let now = picture.now;
        let both = match self {
            Self::Farm => Some((farm_page::parts(&picture, now), farm_page::parts(&picture, rest))),
            Self::Queue => {
                let page = pictures.queue().await?;
                Some((queue_page::parts(&page, now), queue_page::parts(&page, rest)))
            }
            Self::Job(id) => pictures
                .job(*id)
                .await?
                .map(|page| (job_page::parts(&page, now), job_page::parts(&page, rest))),
            Self::Phone(udid) => pictures
                .phone(udid)
                .await?
                .map(|page| (phone_page::parts(&page, now), phone_page::parts(&page, rest))),
        };
        Ok(both.map(|(parts, resting)| Look { now, parts, resting }))
    }
}

/// Everything a stream needs between two events.
struct Reader<P: Pictures> {
    pictures: Arc<P>,
    view: View,
    follow: watch::Receiver<P::Shown>,
    stop: CancellationToken,
    /// What the reader says it has seen.
    seen: Option<String>,
    /// What it has been shown; none before the first turn.
    shown: Option<Vec<Part>>,
    ready: VecDeque<Event>,
    last_turn: Instant,
    over: bool,
    _place: OwnedSemaphorePermit,
}

/// The stream for one reader. It ends when the daemon stops, or when the farm cannot be looked at; the browser then
/// comes back by itself. `seen` is the `id` of the last turn that the reader has got; `place` is held meanwhile.
pub fn stream<P: Pictures>(
    pictures: Arc<P>,
    view: View,
    seen: Option<String>,
    stop: CancellationToken,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let follow = pictures.follow();
    let reader = Reader {
        pictures,
        view,
        follow,
        stop,
        seen,
        shown: None,
        ready: VecDeque::new(),
        last_turn: Instant::now(),
        over: false,
        _place: place,
    };
    stream::unfold(reader, |mut reader| async move {
        let event = reader.next().await?;
        Some((Ok(event), reader))
    })
}

impl<P: Pictures> Reader<P> {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            if self.shown.is_none() {
                self.follow.mark_unchanged();
                self.turn().await?;
            } else {
                self.wait().await?;
            }
        }
    }

    /// Waits for a change and then for the end of the pause between turns, or says that all is quiet.
    async fn wait(&mut self) -> Option<()> {
        let stop = self.stop.clone();
        tokio::select! {
            () = stop.cancelled() => None,
            changed = self.follow.changed() => {
                changed.ok()?;
                tokio::select! {
                    () = stop.cancelled() => return None,
                    () = sleep_until(self.last_turn + TURN_GAP) => {}
                }
                // What came in during the pause belongs to this turn.
                self.follow.mark_unchanged();
                self.turn().await
            }
            () = sleep_until(self.last_turn + HEARTBEAT) => self.turn().await,
        }
    }

    /// Looks, and prepares what the reader has to be told; none when the stream has to end.
    async fn turn(&mut self) -> Option<()> {
        let looked = timeout(LOOK_LIMIT, self.view.look(&*self.pictures)).await.ok()?;
        let look = match looked {
            Ok(look) => look,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a page cannot be brought up to date"
                );
                return None;
            }
        };
        let Some(look) = look else { return self.reload() };
        let name = digest(&look.resting);
        let known = self.seen.take().is_some_and(|seen| seen == name);
        let ids: Vec<&str> = match &self.shown {
            Some(shown) => match changed(shown, &look.resting) {
                Some(ids) => ids,
                None => return self.reload(),
            },
            None if known => Vec::new(),
            None => look.parts.iter().map(|part| part.id.as_str()).collect(),
        };
        let quiet = ids.is_empty() && self.shown.is_some();
        if quiet && self.last_turn.elapsed() < HEARTBEAT {
            return Some(());
        }
        let parts = ids.into_iter().filter_map(|id| find(&look.parts, id));
        self.ready.extend(parts.map(|part| event("part", &json!({ "id": part.id, "html": part.html }))));
        self.ready.push_back(event("turn", &json!({ "now": look.now, "assets": version() })).id(name));
        self.shown = Some(look.resting);
        self.last_turn = Instant::now();
        Some(())
    }

    fn reload(&mut self) -> Option<()> {
        self.ready.push_back(event("reload", &json!({})));
        self.over = true;
        Some(())
    }
}

fn event(name: &str, data: &serde_json::Value) -> Event {
    Event::default().event(name).data(data.to_string())
}
