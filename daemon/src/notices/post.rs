//! The task that carries messages out: it asks the loop what is to be sent, carries it to its receiver, and tells the
//! loop what came of it. What is on its way when the daemon stops waits again at the next start.

use std::sync::Arc;
use std::time::Duration;

use holdfast_notify::outbox::EntryId;
use holdfast_notify::rules::Receiver;
use holdfast_notify::send::{Deadlines, ready};
use holdfast_notify::{Outcome, Parcel, Sender};
use holdfast_wire::time::Time;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::ask::NoticeAsk;
use crate::clock::Clock;
use crate::farm::{Ask, Farm};

/// What messages on their way get when the daemon stops: most receivers answer within a second.
const FAREWELL: Duration = Duration::from_secs(3);

/// Where secrets are found by name: the environment of the daemon.
pub type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// What is to be carried out.
#[derive(Debug)]
pub enum Post {
    /// This, now.
    Send {
        /// What.
        parcel: Box<Parcel>,
        /// To whom.
        receiver: Box<Receiver>,
        /// About which crash group.
        group: String,
    },
    /// Nothing before then.
    WakeAt(Time),
    /// Nothing until there is news.
    Idle,
}

/// Carries messages out until the daemon stops.
pub async fn carry(farm: Farm, clock: Arc<Clock>, environment: Environment, stopping: CancellationToken) {
    let sender = match Sender::new(Deadlines::default()) {
        Ok(sender) => sender,
        Err(error) => {
            let cause: &dyn std::error::Error = &error;
            tracing::error!(cause, "nobody is told of crashes; what is to be told waits for the next start");
            return;
        }
    };
    for receiver in farm.snapshot().rules.config.notify.receivers.values() {
        if let Err(error) = ready(receiver, &|name| environment(name)) {
            let cause: &dyn std::error::Error = &error;
            tracing::warn!(receiver = %receiver.name, cause, "cannot be told anything yet");
        }
    }
    let mut under_way: JoinSet<()> = JoinSet::new();
    loop {
        let Ok(post) = farm.ask(|answer| Ask::Notice(NoticeAsk::Next { answer })).await else { return };
        let wake = match post {
            Post::Send { parcel, receiver, group } => {
                let (farm, clock) = (farm.clone(), clock.clone());
                let (sender, environment) = (sender.clone(), environment.clone());
                under_way.spawn(async move {
                    let outcome = sender
                        .send(&receiver, &parcel, &group, &|| clock.now(), &|name| environment(name))
                        .await;
                    answer(&farm, parcel.id, &receiver, outcome).await;
                });
                continue;
            }
            Post::WakeAt(at) => Some(at),
            Post::Idle => None,
        };
        tokio::select! {
            () = stopping.cancelled() => break,
            () = farm.notices.notified() => {}
            Some(_) = under_way.join_next(), if !under_way.is_empty() => {}
            () = sleep(&clock, wake) => {}
        }
    }
    let farewell = async { while under_way.join_next().await.is_some() {} };
    if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
        tracing::info!("some messages were on their way and are sent again at the next start");
    }
}

async fn sleep(clock: &Clock, wake: Option<Time>) {
    match wake {
        Some(at) => tokio::time::sleep(at.since(clock.now())).await,
        None => std::future::pending().await,
    }
}

async fn answer(farm: &Farm, id: EntryId, receiver: &Receiver, outcome: Outcome) {
    match &outcome {
        Outcome::Accepted { .. } => tracing::info!(receiver = %receiver.name, notice = id.0, "told"),
        Outcome::Later { answer, .. } => {
            tracing::warn!(receiver = %receiver.name, notice = id.0, answer, "not told yet");
        }
        Outcome::Refused { answer } => {
            tracing::error!(receiver = %receiver.name, notice = id.0, answer, "cannot be told");
        }
    }
    // Where there is no randomness every wait is as long as it may be.
    let jitter = getrandom::u32().map_or(1.0, |random| f64::from(random) / f64::from(u32::MAX));
    // A daemon that stops keeps the message waiting.
    let _stopping = farm.ask(|answer| Ask::Notice(NoticeAsk::Answered { id, outcome, jitter, answer })).await;
}
