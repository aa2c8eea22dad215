//! What a rack is to be made of, and making its phones. Running it is in [`rack`](crate::rack).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use crate::behave::Behaviour;
use crate::framing;
use crate::identity::{Identity, IosVersion, MODELS, Model};
use crate::inflict::Fault;
use crate::phone::{Phone, PowerRequest, State};
use crate::rack::StartError;
use crate::scenario::{Planned, Scenario};
use crate::usbmux::PairRecords;

/// Whether a phone trusts the rack's computer from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairedness {
    /// As if somebody had pressed "Trust" long ago.
    Paired,
    /// Not yet.
    Unpaired,
}

/// Whether a phone is plugged in from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Plugged in.
    Attached,
    /// In a drawer.
    Away,
}

/// What one phone of a rack is to be.
#[derive(Debug, Clone)]
pub struct PhonePlan {
    /// Which model.
    pub model: &'static Model,
    /// Which iOS.
    pub ios: IosVersion,
    /// Its name; `None` gives it one that says that it is simulated.
    pub name: Option<String>,
    /// Whether it is paired.
    pub pairedness: Pairedness,
    /// Whether it is plugged in.
    pub presence: Presence,
    /// What is done to it before it is plugged in.
    pub begins_with: Vec<Fault>,
}

/// What a rack is to be.
#[derive(Debug, Clone, Default)]
pub struct RackConfig {
    /// A TCP address for the usbmuxd socket; port 0 takes a free one.
    pub listen: Option<SocketAddr>,
    /// A path for the usbmuxd socket.
    pub socket: Option<PathBuf>,
    /// A path for the [control](crate::control) socket.
    pub control: Option<PathBuf>,
    /// Where the phones' files are; `None` makes a temporary folder that goes with the rack.
    pub data: Option<PathBuf>,
    /// The phones.
    pub phones: Vec<PhonePlan>,
    /// What the launches of each app do, by bundle id, on every phone.
    pub apps: BTreeMap<String, Behaviour>,
    /// What goes wrong, and when.
    pub faults: Vec<Planned>,
}

impl RackConfig {
    /// The phones, apps and faults of a scenario. Of its phones, so many are taken as `phones` says, from the
    /// beginning again when there are not enough; all of them once when it says nothing.
    #[must_use]
    pub fn of_scenario(scenario: Scenario, phones: Option<usize>, ios: IosVersion) -> Self {
        let plain = Self::of(phones.unwrap_or(1), ios);
        let listed = scenario.plans(ios);
        let taken = match (listed, phones) {
            (None, _) => plain.phones.clone(),
            (Some(plans), None) => plans,
            (Some(plans), Some(count)) => plans.into_iter().cycle().take(count).collect(),
        };
        Self { phones: taken, apps: scenario.apps, faults: scenario.faults, ..plain }
    }

    /// So many phones with this iOS, models in turn, on a free port of the loopback address.
    #[must_use]
    pub fn of(phones: usize, ios: IosVersion) -> Self {
        Self {
            listen: Some(([127, 0, 0, 1], 0).into()),
            phones: MODELS.iter().cycle().take(phones).map(|model| PhonePlan::of(model, ios)).collect(),
            ..Self::default()
        }
    }
}

impl PhonePlan {
    /// A paired phone that is plugged in.
    #[must_use]
    pub fn of(model: &'static Model, ios: IosVersion) -> Self {
        let (pairedness, presence) = (Pairedness::Paired, Presence::Attached);
        Self { model, ios, name: None, pairedness, presence, begins_with: Vec::new() }
    }
}

/// Makes the phone of one place, and the computer's record when it is paired.
pub(crate) fn build(
    position: usize,
    plan: &PhonePlan,
    folder: &Path,
    records: &PairRecords,
) -> Result<(Phone, mpsc::UnboundedReceiver<PowerRequest>), StartError> {
    let number = u32::try_from(position).unwrap_or(u32::MAX);
    let identity = Identity::at_position(number, plan.model, plan.ios);
    let making = format!("making phone {}", identity.udid);
    let root = folder.join("phones").join(&identity.udid);
    let (phone, power) = Phone::new(identity, root).map_err(StartError::when(making))?;
    phone.change(|state: &mut State| {
        state.name = plan.name.clone().unwrap_or_else(|| format!("{} {}", state.name, position + 1));
    });
    if plan.pairedness == Pairedness::Paired {
        pair(&phone, records).map_err(StartError::when(format!("pairing phone {}", phone.identity.udid)))?;
    }
    Ok((phone, power))
}

/// Pairs a phone with the rack's computer on both sides.
fn pair(phone: &Phone, records: &PairRecords) -> std::io::Result<()> {
    let record = phone.lockdown.pairings.trust_first(&phone.identity).map_err(std::io::Error::other)?;
    let bytes = framing::xml(&record).map_err(std::io::Error::other)?;
    records.save(&phone.identity.udid, bytes)
}
