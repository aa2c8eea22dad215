//! What every handler needs.

use std::ops::Deref;
use std::sync::Arc;

use holdfast_wire::id::{GroupId, StartId};
use tokio_util::sync::CancellationToken;

use super::agents::Agents;
use super::job_list::JobListings;
use super::jobs::JobFilter;
use super::lists::Listings;
use crate::blobs::Blobs;
use crate::clock::Clock;
use crate::config::{Catalogue, Limits, Timeouts};
use crate::farm::Farm;
use crate::groups::Hunt;
use crate::reasons::Reasons;
use crate::reload::Reloader;
use crate::symbols::Symbols;

/// What handlers are given: cloned several times for each request, so it is one pointer.
#[derive(Debug, Clone)]
pub struct App(Arc<Shared>);

/// What all handlers share.
#[derive(Debug)]
pub struct Shared {
    /// The way to the loop.
    pub farm: Farm,
    /// Bytes by hash.
    pub blobs: Blobs,
    /// How crashes are signed.
    pub signing: holdfast_crash::Rules,
    /// Symbols of builds.
    pub symbols: Symbols,
    /// For which crash groups the first bad build is looked for.
    pub hunt: Hunt,
    /// The one clock.
    pub clock: Arc<Clock>,
    /// Reads the configuration again.
    pub reloader: Arc<Reloader>,
    /// How much is too much.
    pub limits: Limits,
    /// How long is too long.
    pub timeouts: Timeouts,
    /// This start of the daemon.
    pub start: StartId,
    /// What is known of agents between their requests.
    pub agents: Agents,
    /// Listings under way.
    pub listings: AllListings,
    /// Why the first waiting jobs wait.
    pub reasons: Reasons,
    /// Ends long polls and streams when the daemon stops.
    pub stopping: CancellationToken,
}

impl From<Shared> for App {
    fn from(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl App {
    /// The catalogue of cases in force.
    pub fn cases(&self) -> Catalogue {
        self.farm.snapshot().rules.config.catalogue.clone()
    }
}

/// Listings under way of what changes its place, by what they list.
#[derive(Debug, Default)]
pub struct AllListings {
    /// Of jobs.
    pub jobs: JobListings<JobFilter>,
    /// Of what people are told.
    pub notices: Listings<u64>,
    /// Of crash groups.
    pub groups: Listings<GroupId>,
}
