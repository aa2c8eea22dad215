//! The faults by name, as the control socket and scenarios write them, and what each does to a phone. The switches
//! that a lasting fault leaves set are in [`faults`](crate::faults).

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::behave::Behaviour;
use crate::cable::{Cable, Motion};
use crate::disk::StorageFault;
use crate::events::Event;
use crate::phone::{Passcode, Phone, Thermal, Trust};
use crate::rack::Rack;
use crate::reports;
use crate::seat::{Order, Seat};
use crate::services::DeveloperImage;

/// One thing done to one phone. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// Plug it in.
    Attach {},
    /// Pull it out.
    Detach {
        /// After how long it comes back; without, it stays away.
        #[serde(default)]
        back_after_ms: Option<u64>,
    },
    /// Pull it out when so many more bytes have gone to its services (lockdown does not count).
    DetachAfterUpload {
        /// How many.
        bytes: u64,
        /// As for a detach.
        #[serde(default)]
        back_after_ms: Option<u64>,
    },
    /// Nothing moves and nothing is closed.
    Hang {
        /// For how long; without, until `resume`.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// Ends a hang.
    Resume {},
    /// All connections share so many bytes a second; without a number the link is fast again.
    SlowLink {
        /// At least 1.
        #[serde(default)]
        bytes_per_second: Option<u64>,
    },
    /// Each file operation takes so much longer.
    Latency {
        /// How much; 0 ends it.
        ms: u64,
    },
    /// Every installation is refused; without a reason they are allowed again.
    RefuseInstall {
        /// Such as `ApplicationVerificationFailed`.
        #[serde(default)]
        reason: Option<String>,
    },
    /// What the owner answers to "Trust This Computer?". Other than `granted` it also forgets every computer, and
    /// the rack's computer forgets its record, as usbmuxd does when a phone no longer knows it.
    Trust {
        /// The answer.
        answer: Trust,
    },
    /// The passcode.
    Passcode {
        /// Its state.
        state: Passcode,
    },
    /// Whether Developer Mode is on.
    DeveloperMode {
        /// On or off.
        on: bool,
    },
    /// Whether a developer image is mounted; without one the developer services do not answer.
    DeveloperImage {
        /// Mounted, or taken away.
        mounted: bool,
    },
    /// The battery.
    Battery {
        /// 0 to 100.
        percent: u8,
        /// Whether it charges; unchanged when not given.
        #[serde(default)]
        charging: Option<bool>,
    },
    /// How hot it is.
    Thermal {
        /// What it says.
        state: Thermal,
        /// Of the battery, in hundredths of a degree; one that fits the state when not given.
        #[serde(default)]
        temperature_centidegrees: Option<i32>,
    },
    /// Whether every write fails for want of space.
    StorageFull {
        /// Begin or end.
        on: bool,
    },
    /// How much space is free.
    StorageFree {
        /// How much.
        bytes: u64,
    },
    /// Off the bus, all that ran is gone, and back with a new boot. A passcode that was unlocked is locked then.
    Reboot {
        /// How long it is away.
        away_ms: u64,
    },
    /// Many deaths of an app at once.
    CrashStorm {
        /// Which app; it must be installed.
        bundle_id: String,
        /// How many.
        files: u32,
    },
    /// Out and in again and again.
    Flap {
        /// How often.
        times: u32,
        /// How long it is out each time.
        out_ms: u64,
        /// How long it is in each time.
        in_ms: u64,
    },
    /// The phone's clock.
    Clock {
        /// How far it is ahead of the host's; negative when behind.
        ahead_ms: i64,
        /// Its time zone, in seconds east of Greenwich; unchanged when not given.
        #[serde(default)]
        zone_seconds: Option<i32>,
    },
    /// What the launches of an app do from now on.
    Behaviour {
        /// Which app; it need not be installed yet.
        bundle_id: String,
        /// What they do.
        behaviour: Behaviour,
    },
    /// How many reports of one kind may wait.
    CrashLimit {
        /// Such as `309`.
        bug_type: String,
        /// How many.
        files_max: usize,
    },
    /// How long a restart that a client asks for keeps the phone away.
    RestartTakes {
        /// How long.
        ms: u64,
    },
    /// Ends hang, slow link, latency, refused installations, full storage and a waiting detach, and plugs it in.
    Heal {},
}

/// A fault makes no sense for this phone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InflictError {
    /// A storm of an app that is not there.
    #[error("`{0}` is not installed on this phone; install it first")]
    NotInstalled(String),
    /// A number out of its range.
    #[error("`{field}` must be {range}")]
    OutOfRange {
        /// Which field.
        field: &'static str,
        /// What it must be.
        range: &'static str,
    },
}

/// Does it to the phone of a seat; returns when it is done, or when its first step is.
///
/// # Errors
/// [`InflictError`]; nothing has happened then.
pub async fn inflict(rack: &Rack, seat: &Seat, fault: &Fault) -> Result<(), InflictError> {
    check(fault)?;
    let phone = seat.phone();
    let told = serde_json::to_string(fault).unwrap_or_default();
    phone.events.record(Event::Fault { told });
    if let Some(order) = order(fault) {
        seat.order(order).await;
        return Ok(());
    }
    match fault {
        Fault::Trust { answer } => trust(rack, phone, *answer),
        Fault::Hang { for_ms } => {
            seat.cable().set_motion(Motion::Hung);
            if let Some(for_ms) = for_ms {
                resume_later(rack, Arc::clone(seat.cable()), ms(*for_ms));
            }
        }
        Fault::Resume {} => seat.cable().set_motion(Motion::Moving),
        Fault::DetachAfterUpload { bytes, back_after_ms } => {
            phone.faults.set_back_after_upload_cut(back_after_ms.map(ms));
            seat.cable().cut_after_upload(Some(*bytes));
        }
        Fault::CrashStorm { bundle_id, files } => {
            let Some(app) = phone.apps.get(bundle_id) else {
                return Err(InflictError::NotInstalled(bundle_id.clone()));
            };
            reports::storm(phone, &app, *files);
        }
        Fault::Heal {} => {
            seat.cable().set_motion(Motion::Moving);
            seat.cable().cut_after_upload(None);
            phone.faults.set_link_bytes_per_second(None);
            phone.faults.set_latency(Duration::ZERO);
            phone.faults.set_refuse_install(None);
            phone.disk.set_full(StorageFault::None);
            seat.order(Order::Attach).await;
        }
        _ => set_state(phone, fault),
    }
    Ok(())
}

fn check(fault: &Fault) -> Result<(), InflictError> {
    match fault {
        Fault::Battery { percent: 101.., .. } => {
            Err(InflictError::OutOfRange { field: "percent", range: "0 to 100" })
        }
        Fault::SlowLink { bytes_per_second: Some(0) } => {
            Err(InflictError::OutOfRange { field: "bytes_per_second", range: "at least 1; hang for nothing" })
        }
        _ => Ok(()),
    }
}

/// The faults that are orders to the seat.
fn order(fault: &Fault) -> Option<Order> {
    Some(match *fault {
        Fault::Attach {} => Order::Attach,
        Fault::Detach { back_after_ms } => Order::Detach { back_after: back_after_ms.map(ms) },
        Fault::Reboot { away_ms } => Order::Reboot { away: ms(away_ms) },
        Fault::Flap { times, out_ms, in_ms } => Order::Flap { times, out: ms(out_ms), in_for: ms(in_ms) },
        _ => return None,
    })
}

/// The faults that only set something on the phone.
fn set_state(phone: &Phone, fault: &Fault) {
    match fault.clone() {
        Fault::SlowLink { bytes_per_second } => phone.faults.set_link_bytes_per_second(bytes_per_second),
        Fault::Latency { ms: latency } => phone.faults.set_latency(ms(latency)),
        Fault::RefuseInstall { reason } => phone.faults.set_refuse_install(reason),
        Fault::RestartTakes { ms: takes } => phone.faults.set_restart_takes(ms(takes)),
        Fault::Passcode { state } => phone.change(|now| now.passcode = state),
        Fault::DeveloperMode { on } => phone.change(|now| now.developer_mode = on),
        Fault::DeveloperImage { mounted } => phone.images.set_developer(if mounted {
            DeveloperImage::Mounted
        } else {
            DeveloperImage::NotMounted
        }),
        Fault::Battery { percent, charging } => phone.change(|now| {
            now.battery.percent = percent;
            now.battery.charging = charging.unwrap_or(now.battery.charging);
        }),
        Fault::Thermal { state, temperature_centidegrees } => phone.change(|now| {
            now.thermal = state;
            now.battery.temperature_centidegrees = temperature_centidegrees.unwrap_or(match state {
                Thermal::Nominal => 2910,
                Thermal::Fair => 3450,
                Thermal::Serious => 4000,
                Thermal::Critical => 4600,
            });
        }),
        Fault::StorageFull { on } => {
            phone.disk.set_full(if on { StorageFault::Full } else { StorageFault::None });
        }
        Fault::StorageFree { bytes } => phone.disk.set_free_bytes(bytes),
        Fault::Clock { ahead_ms, zone_seconds } => {
            phone.clock.set_ahead_ms(ahead_ms);
            if let Some(seconds) = zone_seconds {
                phone.clock.set_zone_seconds(seconds);
            }
        }
        Fault::Behaviour { bundle_id, behaviour } => phone.processes.set_behaviour(&bundle_id, behaviour),
        Fault::CrashLimit { bug_type, files_max } => phone.reports.set_limit(&bug_type, files_max),
        // Carried out above, with the seat at hand.
        Fault::Attach {}
        | Fault::Detach { .. }
        | Fault::DetachAfterUpload { .. }
        | Fault::Hang { .. }
        | Fault::Resume {}
        | Fault::Trust { .. }
        | Fault::Reboot { .. }
        | Fault::CrashStorm { .. }
        | Fault::Flap { .. }
        | Fault::Heal {} => {}
    }
}

fn trust(rack: &Rack, phone: &Phone, answer: Trust) {
    phone.change(|state| state.trust = answer);
    if answer != Trust::Granted {
        phone.lockdown.pairings.clear();
        if let Err(error) = rack.records().delete(&phone.identity.udid) {
            tracing::warn!(%error, "cannot forget a pair record");
        }
    }
}

fn resume_later(rack: &Rack, cable: Arc<Cable>, after: Duration) {
    let closing = rack.closing().clone();
    tokio::spawn(async move {
        tokio::select! {
            () = closing.cancelled() => {}
            () = tokio::time::sleep(after) => cable.set_motion(Motion::Moving),
        }
    });
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}
