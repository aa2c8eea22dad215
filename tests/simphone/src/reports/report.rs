//! One report as it will stand in a file, and what all kinds share: names, times, the header line.
//! The bodies are in [`crash`](super::crash) and [`jetsam`](super::jetsam).

use jiff::Zoned;
use serde::Serialize;

use crate::phone::Phone;

/// One report, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Apple's number of its kind, such as `309`.
    pub bug_type: &'static str,
    /// What the limit of waiting files counts by, together with the kind: the name of the process.
    pub process: String,
    /// The file name without number and `.ips`, such as `Runner-2025-12-31-001847`.
    pub stem: String,
    /// Equal for reports of the same cause.
    pub signature: u64,
    /// The whole file.
    pub text: String,
}

/// The first line of a file.
///
/// The keys are those of iOS 15 to 26; jetsam reports have no process and no bundle id.
#[derive(Debug, Serialize)]
pub(super) struct Header {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_name: Option<String>,
    pub timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slice_uuid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_version: Option<String>,
    /// 2 is iOS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<u8>,
    #[serde(rename = "bundleID", skip_serializing_if = "Option::is_none")]
    pub bundle_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share_with_app_devs: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_first_party: Option<u8>,
    pub bug_type: String,
    pub os_version: String,
    /// Since iOS 16.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roots_installed: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Since iOS 26.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_cohort: Option<String>,
    /// Since iOS 26.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_beta: Option<u8>,
    pub incident_id: String,
}

/// What every report says of the phone.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub udid: String,
    pub product_type: &'static str,
    pub chip_id: u32,
    pub memory_bytes: u64,
    pub ios_major: u16,
    /// Such as `iPhone OS 16.7.2`.
    pub train: String,
    pub ios_build: String,
    pub boot_id: String,
    pub booted: jiff::Timestamp,
    pub zone: jiff::tz::TimeZone,
}

impl About {
    pub(super) fn phone(phone: &Phone) -> Self {
        let identity = &phone.identity;
        let boot = phone.state().boot;
        Self {
            udid: identity.udid.clone(),
            product_type: identity.model.product_type,
            chip_id: identity.model.chip_id,
            memory_bytes: identity.model.memory_bytes,
            ios_major: identity.ios.major,
            train: format!("iPhone OS {}", identity.ios),
            ios_build: identity.ios_build.clone(),
            boot_id: boot.id,
            booted: boot.at,
            zone: phone.clock.zone(),
        }
    }

    /// Such as `iPhone OS 16.7.2 (20H115)`.
    pub(super) fn os_version(&self) -> String {
        format!("{} ({})", self.train, self.ios_build)
    }

    /// A time of the phone in its own zone.
    pub(super) fn zoned(&self, at: jiff::Timestamp) -> Zoned {
        at.to_zoned(self.zone.clone())
    }

    /// The ticks of the phone's counter (24 million a second) since it started.
    pub(super) fn ticks(&self, at: jiff::Timestamp) -> u64 {
        let since = at.duration_since(self.booted).as_micros();
        u64::try_from(since).unwrap_or_default().saturating_mul(24)
    }

    pub(super) fn uptime_seconds(&self, at: jiff::Timestamp) -> u64 {
        u64::try_from(at.duration_since(self.booted).as_secs()).unwrap_or_default()
    }
}

/// The time of a header, with the phone's offset: `2025-12-31 00:18:47.00 +0300`.
#[must_use]
pub fn header_time(at: &Zoned) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S.00 %z").to_string()
}

/// The time inside a body, which has four digits after the point.
pub(super) fn body_time(at: &Zoned) -> String {
    let fraction = at.subsec_nanosecond() / 100_000;
    at.strftime(&format!("%Y-%m-%d %H:%M:%S.{fraction:04} %z")).to_string()
}

/// The time in a file's name: `2025-12-31-001847`.
#[must_use]
pub fn file_time(at: &Zoned) -> String {
    at.strftime("%Y-%m-%d-%H%M%S").to_string()
}

/// A UUID as bodies write it.
pub(super) fn dashed(uuid: &[u8; 16]) -> String {
    let hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[0..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32])
}

/// Header line and body as one text.
pub(super) fn two_parts(header: &Header, body: &serde_json::Value) -> String {
    let written = serde_json::to_string(header)
        .and_then(|header| Ok(format!("{header}\n{}\n", serde_json::to_string_pretty(body)?)));
    written.unwrap_or_else(|error| {
        tracing::error!(%error, "cannot write a crash report");
        String::new()
    })
}
