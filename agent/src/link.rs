//! The connection to the daemon: sync by version, one request in flight. What a request says and what an answer
//! changes is in [`talk`]; what the answer means is the rack's.
//!
//! A request with news is answered at once and never dropped; one without waits at the daemon until there is news
//! there, and is dropped as soon as there is news here. News leaves without being gathered: whatever comes while a
//! request is under way goes together with the next.

pub mod talk;

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use holdfast_wire::id::{RackId, StartId};
use holdfast_wire::sync::{SyncReply, SyncRequest};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::client::Client;
use crate::error::AgentError;
use crate::outbox::{Outbox, Waiting};
pub use talk::{Talk, Voice};

/// Progress alone makes a request at most this often.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// The first pause after a failure; it doubles.
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// The longest pause: a daemon that is back is found within it.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long the rack may take to make an answer its own; it writes a few small files.
const OWN: Duration = Duration::from_secs(60);

/// An answer on its way to the rack. The next request, which confirms it, leaves when `own` is told.
#[derive(Debug)]
pub struct Heard {
    /// The answer.
    pub reply: SyncReply,
    /// Told when everything in it is the rack's own.
    pub own: oneshot::Sender<()>,
}

/// One end of the connection.
#[derive(Debug)]
pub struct Link {
    /// HTTP.
    pub client: Client,
    /// Who speaks.
    pub rack: RackId,
    /// This start.
    pub agent_start: StartId,
    /// How long the daemon may hold an answer back.
    pub poll: Duration,
    /// What the rack has to say.
    pub voice: watch::Receiver<Arc<Voice>>,
    /// What waits.
    pub outbox: Outbox,
    /// Where answers go.
    pub heard: mpsc::Sender<Heard>,
}

/// What made a wait end.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Here,
    Nobody,
}

impl Link {
    /// Talks until the rack has ended.
    pub async fn run(mut self) {
        let mut talk = Talk::new(self.rack.clone(), self.agent_start.clone());
        let mut waiting_now = self.outbox.waiting();
        let mut pauses = None;
        loop {
            let sent_at = Instant::now();
            let voice = Arc::clone(&self.voice.borrow_and_update());
            let waiting = Arc::clone(&waiting_now.borrow_and_update());
            let has_news = talk.has_news(&voice, &waiting);
            let wait = if has_news { Duration::ZERO } else { self.poll };
            let request = talk.request(&voice, &waiting, wait);
            let in_trouble = pauses.is_some();
            let say = async {
                if in_trouble || talk.is_new() {
                    self.client.race(&request).await
                } else {
                    self.client.sync(&request).await
                }
            };
            let answer = if has_news {
                Some(say.await)
            } else {
                let mut voices = (self.voice.clone(), waiting_now.clone());
                tokio::select! {
                    answer = say => Some(answer),
                    news = news(&talk, &request, &mut voices, sent_at) => match news {
                        News::Here => None,
                        News::Nobody => return,
                    },
                }
            };
            match answer {
                // There is news: it is said at once.
                None => {}
                Some(Ok(reply)) => {
                    if pauses.take().is_some() {
                        tracing::info!("the daemon answers again");
                    }
                    talk.answered(&request, &reply);
                    if self.make_own(reply).await.is_err() {
                        return;
                    }
                }
                Some(Err(error)) => {
                    if matches!(error, AgentError::Refused { .. }) {
                        // A daemon that lost bytes cannot take the entries that name them.
                        self.outbox.bytes_again().await;
                    }
                    let pauses = pauses.get_or_insert_with(|| {
                        tracing::warn!(%error, "the daemon does not answer; work goes on, results wait on disk");
                        pauses_between_tries()
                    });
                    let pause = pauses.next().unwrap_or(PAUSE_MAX);
                    tracing::debug!(%error, ?pause, "no answer");
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn make_own(&self, reply: SyncReply) -> Result<(), AgentError> {
        let ended = || AgentError::Ended { part: "rack" };
        let (own, owned) = oneshot::channel();
        self.heard.send(Heard { reply, own }).await.map_err(|_ended| ended())?;
        match tokio::time::timeout(OWN, owned).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_gone)) => Err(ended()),
            Err(_elapsed) => {
                tracing::error!("the rack did not take an answer in time");
                Err(ended())
            }
        }
    }
}

fn pauses_between_tries() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(PAUSE_MIN)
        .with_max_delay(PAUSE_MAX)
        .without_max_times()
        .with_jitter()
        .build()
}

/// Waits until there is something to say; for progress alone not before its time.
async fn news(
    talk: &Talk,
    request: &SyncRequest,
    (voice, waiting): &mut (watch::Receiver<Arc<Voice>>, watch::Receiver<Arc<Waiting>>),
    sent_at: Instant,
) -> News {
    let progress_at = sent_at + PROGRESS_EVERY;
    loop {
        // In this order: what rests by the voice is held against what waits at a later moment.
        let said = Arc::clone(&voice.borrow_and_update());
        let entries = Arc::clone(&waiting.borrow_and_update());
        if talk.has_grave_news(&said, &entries) || talk::idle(&said, &entries) != request.idle {
            return News::Here;
        }
        let has_progress = talk.has_news(&said, &entries);
        let changed = tokio::select! {
            changed = voice.changed() => changed,
            changed = waiting.changed() => changed,
            () = tokio::time::sleep_until(progress_at), if has_progress => return News::Here,
        };
        if changed.is_err() {
            return News::Nobody;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
    use futures_util::FutureExt;
    use holdfast_wire::id::LeaseNumber;
    use holdfast_wire::sync::{AttemptProgress, IdlePhone, Version};
    use holdfast_wire::time::Time;

    use super::*;

    fn idle(obeyed: u64) -> Vec<IdlePhone> {
        vec![IdlePhone { phone: "phone".parse().unwrap(), obeyed: LeaseNumber(obeyed) }]
    }

    fn progress() -> AttemptProgress {
        let step = holdfast_wire::outcome::StepName::Run;
        AttemptProgress { attempt: "J1.1".parse().unwrap(), step, percent: 1, note: String::new() }
    }

    /// Each line: what the rack says while a request waits at the daemon, and whether that request is dropped now.
    #[test]
    fn a_request_that_waits_is_dropped_for_news_and_for_nothing_else() {
        let rests = Voice { idle: idle(4), ..Voice::default() };
        let cases = [
            ("nothing new", rests.clone(), Waiting::default(), false),
            ("another lease is over", Voice { idle: idle(5), ..Voice::default() }, Waiting::default(), true),
            (
                "its report waits",
                rests.clone(),
                Waiting { unreported: ["phone".parse().unwrap()].into(), ..Waiting::default() },
                true,
            ),
            ("a phone's report", Voice { version: Version(1), ..rests.clone() }, Waiting::default(), true),
            (
                "progress, too soon",
                Voice { progress: vec![progress()], ..rests.clone() },
                Waiting::default(),
                false,
            ),
        ];
        for (what, said, waits, is_dropped) in cases {
            let mut talk = Talk::new("rack".parse().unwrap(), "a1".parse().unwrap());
            let first = talk.request(&rests, &Waiting::default(), Duration::ZERO);
            let reply = SyncReply {
                daemon_start: "d1".parse().unwrap(),
                now: Time::from_unix_ms(0),
                orders_version: Version(1),
                orders: Vec::new(),
                phones_seen: Version(0),
                confirmed: Vec::new(),
                refused: Vec::new(),
            };
            talk.answered(&first, &reply);
            let waiting_request = talk.request(&rests, &Waiting::default(), Duration::from_secs(20));
            let ((_voice, voices), (_waiting, waits)) =
                (watch::channel(Arc::new(said)), watch::channel(Arc::new(waits)));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            let _inside = runtime.enter();
            let news = news(&talk, &waiting_request, &mut (voices, waits), Instant::now()).now_or_never();
            assert_eq!(news, is_dropped.then_some(News::Here), "{what}");
        }
    }
}
