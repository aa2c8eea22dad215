//! A rack of simulated phones and a finder that looks at it, for the tests beside this folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_device::{Attachment, Finder, FinderEvent, InstallProgress, InstallSource, Phone};
use holdfast_simphone::phone::Phone as SimulatedPhone;
use holdfast_simphone::rack::{Rack, RackConfig, RunningRack};
use holdfast_usb::{Deadlines, MuxerAddress, UsbFinder, UsbPhone, UsbSettings};
use holdfast_wire::id::BundleId;

/// The app inside the sample builds.
pub const APP: &str = "dev.holdfast.demo.mooring";

/// How long a test waits for what must happen; only a failing test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long tests let a phone be silent: well above what an overloaded computer needs for an answer.
pub const SILENCE: Duration = Duration::from_secs(3);

/// A rack, what looks at it, and the settings it looks with.
pub struct Farm {
    pub rack: RunningRack,
    pub finder: UsbFinder,
    pub settings: UsbSettings,
}

impl Farm {
    pub async fn of(phones: usize) -> Self {
        Self::with(RackConfig::of(phones, "16.7.2".parse().unwrap()), |_settings| {}).await
    }

    pub async fn with(config: RackConfig, change: impl FnOnce(&mut UsbSettings)) -> Self {
        let rack = Rack::start(config).await.unwrap();
        let mut settings = UsbSettings {
            usbmuxd: MuxerAddress::Tcp(rack.address.unwrap().to_string()),
            ..UsbSettings::default()
        };
        change(&mut settings);
        Self { finder: UsbFinder::start(settings.clone()), rack, settings }
    }

    /// The next event; a failure when none comes.
    pub async fn event(&mut self) -> FinderEvent {
        tokio::time::timeout(PATIENCE, self.finder.next()).await.expect("nothing happened on the bus")
    }

    /// The next attachment.
    pub async fn attachment(&mut self) -> Attachment {
        loop {
            if let FinderEvent::Attached(attachment) = self.event().await {
                return attachment;
            }
        }
    }

    /// A handle on the phone that comes next, and the simulation behind it.
    pub async fn phone(&mut self) -> (UsbPhone, Arc<SimulatedPhone>) {
        let attachment = self.attachment().await;
        let phone = self.finder.open(&attachment).unwrap();
        let simulated = self.rack.rack.seat(phone.udid().as_str()).unwrap().phone().clone();
        (phone, simulated)
    }
}

/// Deadlines that make silence a matter of seconds.
pub fn short(settings: &mut UsbSettings) {
    let deadlines = &mut settings.deadlines;
    *deadlines =
        Deadlines { question: SILENCE, upload_silence: SILENCE, install_silence: SILENCE, ..*deadlines };
}

pub fn app() -> BundleId {
    APP.parse().unwrap()
}

/// A sample build: 140 or 141.
pub fn build(number: u32) -> InstallSource {
    let builds = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/builds");
    InstallSource {
        archive: builds.join(format!("mooring-{number}.ipa")),
        bundle_id: app(),
        title: format!("Mooring {number}"),
    }
}

/// Nobody looks at the progress.
pub fn quietly(_progress: InstallProgress) {}
