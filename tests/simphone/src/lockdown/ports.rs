//! What listens on the ports of a phone: lockdown always, and each started service until somebody connects to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;

use super::{server, tls};
use crate::phone::Phone;
use crate::service::{BoxStream, Service};

/// Where lockdownd listens on every iPhone.
pub const LOCKDOWN_PORT: u16 = 62078;

/// The first of the ports that started services get.
const FIRST_DYNAMIC_PORT: u16 = 49152;

/// How many started services may wait for their client; the oldest is closed then, as launchd closes them after a
/// while.
const WAITING_MAX: usize = 256;

/// What is behind a port.
#[derive(Debug)]
pub enum Door {
    /// lockdownd.
    Lockdown,
    /// A service that lockdown started.
    Service {
        /// Which.
        service: &'static Service,
        /// How its connection is secured; `None` for one started outside of a session.
        tls: Option<Arc<ServerConfig>>,
    },
}

impl Door {
    /// Serves one connection until it ends; failures are logged.
    pub async fn serve(self, stream: BoxStream, phone: Arc<Phone>) {
        let udid = phone.identity.udid.clone();
        let (name, result) = match self {
            Self::Lockdown => ("lockdown", server::serve(stream, phone).await),
            Self::Service { service, tls: None } => (service.name, (service.start)(stream, phone).await),
            Self::Service { service, tls: Some(config) } => {
                let result = match tls::accept(config, stream).await {
                    Ok(secured) => (service.start)(Box::new(secured), phone).await,
                    Err(error) => Err(error),
                };
                (service.name, result)
            }
        };
        if let Err(error) = result {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::debug!(udid, service = name, %error, cause, "a connection ended early");
        }
    }
}

/// The ports of one phone.
#[derive(Debug, Default)]
pub struct Ports {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    opened: u16,
    waiting: BTreeMap<u16, Door>,
    /// Oldest first.
    order: std::collections::VecDeque<u16>,
}

impl Ports {
    /// Opens a port for one connection and returns its number.
    pub fn open(&self, door: Door) -> u16 {
        let mut inner = self.lock();
        if inner.order.len() >= WAITING_MAX
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.waiting.remove(&oldest);
        }
        // 10,000 numbers in turn, so that one in use is not given twice and lockdown's own is never given.
        let port = FIRST_DYNAMIC_PORT + inner.opened;
        inner.opened = (inner.opened + 1) % 10_000;
        inner.waiting.insert(port, door);
        inner.order.push_back(port);
        port
    }

    /// What a connection to this port meets; a started service is there for one connection only.
    pub fn take(&self, port: u16) -> Option<Door> {
        if port == LOCKDOWN_PORT {
            return Some(Door::Lockdown);
        }
        let mut inner = self.lock();
        inner.order.retain(|waiting| *waiting != port);
        inner.waiting.remove(&port)
    }

    /// Closes every port but lockdown's, as a reboot does.
    pub fn close_all(&self) {
        let mut inner = self.lock();
        inner.waiting.clear();
        inner.order.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
