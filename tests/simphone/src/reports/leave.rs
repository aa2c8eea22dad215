//! From a death to a file: chooses the kind of report, renders it, and hands it over at its time.
//! Where it is kept, and whether there is room, is told in [`store`](super::store).

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::binary::Binary;
use super::report::{About, Report};
use super::{crash, jetsam};
use crate::behave::{self, CrashSignal, Ending};
use crate::install::InstalledApp;
use crate::phone::Phone;

/// How many files one storm writes at most: far over every limit of waiting files.
pub const STORM_MAX: u32 = 10_000;

/// How many different causes the deaths of a storm have.
const STORM_CAUSES: u64 = 7;

/// A process that died in a way that leaves a report.
#[derive(Debug, Clone)]
pub struct Death {
    /// Which app.
    pub app: Arc<InstalledApp>,
    /// Its process.
    pub pid: u32,
    /// When it was launched, by the phone's clock.
    pub launched: Timestamp,
    /// When it died, by the phone's clock.
    pub died: Timestamp,
    /// The how manieth launch of the app it was, from 0: the place of the crash follows from it.
    pub launch_number: u64,
    /// What it died of.
    pub ending: Ending,
}

/// Writes the report of a death when its time has come; gone with the boot in which it was made.
pub async fn leave(phone: &Phone, death: Death, when: behave::Report) {
    match when {
        behave::Report::Never => {}
        behave::Report::AtOnce => {
            if let Some(report) = render(phone, &death, Timestamp::MIN) {
                phone.reports.save(phone, &report);
            }
        }
        behave::Report::OnFlush => {
            if let Some(report) = render(phone, &death, Timestamp::MIN) {
                phone.reports.keep_for_flush(report);
            }
        }
        behave::Report::Late { after_ms } => {
            let ended = phone.boot_ended();
            let wait = Duration::from_millis(after_ms);
            let half = render(phone, &death, Timestamp::MIN).map(|half| phone.reports.begin(phone, &half));
            tokio::select! {
                () = ended.cancelled() => {}
                () = tokio::time::sleep(wait) => {
                    if let Some(report) = render(phone, &death, phone.clock.now()) {
                        phone.reports.save(phone, &report);
                    }
                }
            }
            if let Some(Some(half)) = half {
                phone.reports.abandon(&half);
            }
        }
    }
}

/// Many deaths of an app at once, as a crash loop leaves them; at most [`STORM_MAX`]. Gives back how many files were
/// really written.
pub fn storm(phone: &Phone, app: &Arc<InstalledApp>, count: u32) -> u32 {
    let mut written = 0;
    for number in 0..u64::from(count.min(STORM_MAX)) {
        let died = phone.clock.now();
        let death = Death {
            app: Arc::clone(app),
            pid: u32::try_from(10_000 + number).unwrap_or(u32::MAX),
            launched: died,
            died,
            launch_number: number % STORM_CAUSES,
            ending: Ending::Signal { after_ms: 0, signal: CrashSignal::Segv, function: None },
        };
        if let Some(report) = render(phone, &death, Timestamp::MIN)
            && phone.reports.save(phone, &report).is_written()
        {
            written += 1;
        }
    }
    written
}

/// The report of a death, when it leaves one. Written at the time of death unless `written` is later.
pub(super) fn render(phone: &Phone, death: &Death, written: Timestamp) -> Option<Report> {
    let about = About::phone(phone);
    let written = written.max(death.died);
    match &death.ending {
        Ending::Never | Ending::Exit { .. } => None,
        Ending::Jetsam { reason, .. } => {
            Some(jetsam::report(&about, death, reason, &behave::processes(phone), written))
        }
        Ending::Signal { .. }
        | Ending::Exception { .. }
        | Ending::Watchdog { .. }
        | Ending::BeforeMain { .. }
        | Ending::DiskFull { .. } => {
            let binary = binary(phone, death);
            Some(crash::report(&about, death, binary.as_deref(), written))
        }
    }
}

fn binary(phone: &Phone, death: &Death) -> Option<Arc<Binary>> {
    let path = death.app.executable.as_deref()?;
    phone
        .reports
        .binary(path)
        .inspect_err(|error| {
            tracing::warn!(%error, app = death.app.bundle_id, "the report will have no frames of the app");
        })
        .ok()
}
