//! The channel that tells when apps start and end. Which run is told in [`behave`](crate::behave).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio_util::task::AbortOnDropHandle;

use super::latency;
use crate::archive::Object;
use crate::behave;
use crate::dtx::{Answer, Call, Channel, Events};
use crate::phone::Phone;
use crate::service::BoxFuture;

pub(super) const NAME: &str = "com.apple.instruments.server.services.mobilenotifications";

/// How often it is looked whether new apps have started.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The channel.
pub(super) struct Notifications {
    phone: Arc<Phone>,
    events: Events,
    running: Option<AbortOnDropHandle<()>>,
}

impl Notifications {
    pub(super) fn new(phone: Arc<Phone>, events: Events) -> Self {
        Self { phone, events, running: None }
    }
}

impl Channel for Notifications {
    fn call<'a>(&'a mut self, call: &'a Call) -> BoxFuture<'a, Answer> {
        Box::pin(async move {
            latency(&self.phone).await;
            match call.selector.as_str() {
                "setApplicationStateNotificationsEnabled:" => {
                    self.running = (call.argument(0).as_bool() == Some(true)).then(|| {
                        let watch = watch(Arc::clone(&self.phone), self.events.clone());
                        AbortOnDropHandle::new(tokio::spawn(watch))
                    });
                    Ok(None)
                }
                // Memory warnings are not simulated, so nothing follows.
                "setMemoryNotificationsEnabled:" => Ok(None),
                _ => Err(call.not_understood()),
            }
        })
    }
}

async fn watch(phone: Arc<Phone>, events: Events) {
    let mut ends = phone.processes.ends();
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    let mut newest = 0;
    loop {
        let told = tokio::select! {
            _now = ticks.tick() => {
                let apps = behave::processes(&phone).into_iter().filter(|process| process.app().is_some());
                let new: Vec<_> = apps.filter(|process| process.pid > newest).collect();
                newest = new.last().map_or(newest, |process| process.pid);
                let told = |process: &Arc<behave::Process>| state(process.pid, &process.name, "Running", 8);
                new.iter().map(told).collect()
            }
            ended = ends.recv() => match ended {
                Ok(ended) => vec![state(ended.pid, &ended.name, "Terminated", 1)],
                Err(RecvError::Lagged(_)) => Vec::new(),
                Err(RecvError::Closed) => return,
            },
        };
        for notification in told {
            if !events.invoke("applicationStateNotification:", &[notification]).await {
                return;
            }
        }
    }
}

fn state(pid: u32, name: &str, description: &str, number: u64) -> Object {
    Object::dictionary([
        ("pid", Object::from(pid)),
        ("appName", Object::from(name)),
        ("execName", Object::from(name)),
        ("state", Object::from(number)),
        ("state_description", Object::from(description)),
        ("displayID", Object::from("")),
        ("elevated_state", Object::from(number)),
        ("elevated_state_description", Object::from(description)),
    ])
}
