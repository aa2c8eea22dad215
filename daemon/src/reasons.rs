//! Why the first waiting jobs wait, for pages: worked out when a page looks, once for all pages that look at the same
//! time, and no more often than pages are brought up to date.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_wire::id::JobId;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::farm::{Ask, Farm};

/// Waiting jobs whose reasons a page shows.
pub const EXPLAINED_MAX: usize = 100;

/// Reasons are as old as this at most where the picture has changed since.
const LAST: Duration = Duration::from_millis(200);

/// The reasons that were worked out last. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Reasons {
    last: Arc<Mutex<Option<Last>>>,
}

#[derive(Debug)]
struct Last {
    picture: u64,
    at: Instant,
    reasons: Arc<BTreeMap<JobId, String>>,
}

impl Reasons {
    /// Why these jobs of this picture wait. Those that wait no longer, and all when the daemon stops, are left out.
    pub async fn of(&self, farm: &Farm, picture: u64, jobs: &[JobId]) -> Arc<BTreeMap<JobId, String>> {
        let mut last = self.last.lock().await;
        if let Some(last) = last.as_ref()
            && (last.picture == picture || last.at.elapsed() < LAST)
        {
            return last.reasons.clone();
        }
        let asked = jobs.to_vec();
        let answer = if jobs.is_empty() {
            Vec::new()
        } else {
            farm.ask(|answer| Ask::Reasons { jobs: asked, answer }).await.unwrap_or_default()
        };
        let reasons = jobs.iter().zip(answer).filter_map(|(job, reason)| Some((*job, reason?)));
        let reasons = Arc::new(reasons.collect());
        *last = Some(Last { picture, at: Instant::now(), reasons: Arc::clone(&reasons) });
        reasons
    }
}
