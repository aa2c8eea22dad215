//! Who a phone is: what never changes while it lives. What changes is in [`phone::State`](crate::phone::State).

use std::fmt;
use std::str::FromStr;

/// A version of iOS, such as `16.7.2`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IosVersion {
    /// 16 of `16.7.2`: decides which services lockdown offers.
    pub major: u16,
    /// 7 of `16.7.2`.
    pub minor: u16,
    /// 2 of `16.7.2`, 0 when it is not written.
    pub patch: u16,
}

impl fmt::Display for IosVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        if self.patch > 0 {
            write!(f, ".{}", self.patch)?;
        }
        Ok(())
    }
}

/// The text is no version of iOS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a version of iOS; write it like 16.7 or 17.4.1")]
pub struct NotAVersion(String);

impl FromStr for IosVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let wrong = || NotAVersion(text.to_owned());
        let numbers: Vec<u16> =
            text.split('.').map(|part| part.parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
        match *numbers.as_slice() {
            [major] => Ok(Self { major, minor: 0, patch: 0 }),
            [major, minor] => Ok(Self { major, minor, patch: 0 }),
            [major, minor, patch] => Ok(Self { major, minor, patch }),
            _ => Err(wrong()),
        }
    }
}

/// One model of iPhone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    /// Apple's name of the model, such as `iPhone14,5`.
    pub product_type: &'static str,
    /// The name people know, such as `iPhone 13`.
    pub marketing_name: &'static str,
    /// The board, such as `D17AP`.
    pub hardware_model: &'static str,
    /// The number of the chip, such as 0x8110; the first half of the UDID.
    pub chip_id: u32,
    /// The board's number, which personalised images are made for.
    pub board_id: u32,
    /// The order number without region, such as `MLPF3`.
    pub model_number: &'static str,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Screen in pixels, width and height.
    pub screen: (u32, u32),
}

/// The models that a rack of pretend phones is made of, taken in turn.
pub const MODELS: &[Model] = &[
    Model {
        product_type: "iPhone14,5",
        marketing_name: "iPhone 13",
        hardware_model: "D17AP",
        chip_id: 0x8110,
        board_id: 0x18,
        model_number: "MLPF3",
        memory_bytes: 4 << 30,
        screen: (1170, 2532),
    },
    Model {
        product_type: "iPhone13,2",
        marketing_name: "iPhone 12",
        hardware_model: "D53gAP",
        chip_id: 0x8101,
        board_id: 0x0c,
        model_number: "MGJ53",
        memory_bytes: 4 << 30,
        screen: (1170, 2532),
    },
    Model {
        product_type: "iPhone12,1",
        marketing_name: "iPhone 11",
        hardware_model: "N104AP",
        chip_id: 0x8030,
        board_id: 0x04,
        model_number: "MWLT2",
        memory_bytes: 4 << 30,
        screen: (828, 1792),
    },
    Model {
        product_type: "iPhone15,2",
        marketing_name: "iPhone 14 Pro",
        hardware_model: "D73AP",
        chip_id: 0x8120,
        board_id: 0x0c,
        model_number: "MPXV3",
        memory_bytes: 6 << 30,
        screen: (1179, 2556),
    },
];

/// The model with this product type.
#[must_use]
pub fn model(product_type: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.product_type == product_type)
}

/// Who a phone is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// 25 characters with a dash, such as `00008110-001A2B3C4D5E6F70`.
    pub udid: String,
    /// The chip's own number, the second half of the UDID.
    pub ecid: u64,
    /// Twelve characters, such as `SIM0000000A1`.
    pub serial_number: String,
    /// What was built.
    pub model: &'static Model,
    /// Which iOS it runs.
    pub ios: IosVersion,
    /// The build of that iOS, such as `20H19`.
    pub ios_build: String,
    /// Such as `02:5d:00:00:00:07`.
    pub wifi_mac: String,
    /// Such as `02:5d:00:01:00:07`.
    pub bluetooth_mac: String,
    /// The suffix of the order number, such as `LL/A`.
    pub region: String,
}

impl Identity {
    /// The phone at this position (from 0) of a rack. The same position always gives the same phone, because clients
    /// cache keys by UDID. The addresses are locally administered and the serial number says that it is simulated.
    #[must_use]
    pub fn at_position(position: u32, model: &'static Model, ios: IosVersion) -> Self {
        // Odd multiplier: distinct positions give distinct numbers. The top byte is 0 on real phones too.
        let ecid = (u64::from(position) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) & 0x00FF_FFFF_FFFF_FFFF;
        let [_, _, high, low] = position.to_be_bytes();
        Self {
            udid: format!("{:08X}-{ecid:016X}", model.chip_id),
            ecid,
            serial_number: format!("SIM{position:09}"),
            model,
            ios,
            ios_build: ios_build(ios),
            wifi_mac: format!("02:5d:00:00:{high:02x}:{low:02x}"),
            bluetooth_mac: format!("02:5d:00:01:{high:02x}:{low:02x}"),
            region: "LL/A".to_owned(),
        }
    }
}

/// Apple's build number of a version: the real one where it is well known, else one of the right shape.
/// Its first number is the major version plus four, its letter the minor version.
fn ios_build(ios: IosVersion) -> String {
    match (ios.major, ios.minor, ios.patch) {
        (16, 0, 0) => "20A362".to_owned(),
        (16, 7, 2) => "20H115".to_owned(),
        (17, 0, 0) => "21A329".to_owned(),
        (17, 4, 1) => "21E236".to_owned(),
        (major, minor, patch) => {
            let letter = char::from(b'A' + u8::try_from(minor.min(25)).unwrap_or(0));
            format!("{}{letter}{}", major + 4, 300 + patch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rack_of_a_thousand_phones_has_a_thousand_udids_of_the_modern_shape() {
        let ios = IosVersion { major: 16, minor: 7, patch: 2 };
        let udids: std::collections::BTreeSet<String> =
            (0..1000).map(|position| Identity::at_position(position, &MODELS[0], ios).udid).collect();
        assert_eq!(udids.len(), 1000);
        for udid in udids {
            assert_eq!(udid.len(), 25, "{udid}");
            assert_eq!(udid.find('-'), Some(8), "{udid}");
        }
    }

    #[test]
    fn versions_are_read_and_written() {
        for (text, shown) in
            [("16", Some("16.0")), ("16.7.2", Some("16.7.2")), ("17.0", Some("17.0")), ("17.a", None)]
        {
            let got = text.parse::<IosVersion>().ok().map(|ios| ios.to_string());
            assert_eq!(got.as_deref(), shown, "{text}");
        }
    }
}
