//! Where a phone is plugged in: usbmuxd's location joined with the port path that the USB bus tells. Port power and
//! hubs are not handled here.

use std::time::Duration;

use holdfast_wire::id::{Slot, Udid};

/// Apple's number among makers of USB devices. A simulated phone's location may be that of a mouse on this computer.
const APPLE: u16 = 0x05AC;

/// How long the bus may take to be listed. It is read from memory; a computer whose controller hangs must not keep
/// phones from being seen.
const BUS_LISTING: Duration = Duration::from_secs(2);

/// How many digits of a UDID stand for a place that nobody knows: enough to be unique in a rack.
const UDID_DIGITS: usize = 12;

/// The slot of a phone at this location (`bus << 16 | address`): the port path as Linux writes it, `1-1.4.3`. Where
/// the USB bus does not know the phone (a simulated one, a usbmuxd on another computer) its place cannot be known, and
/// since its address changes at every replug, the end of its own name stands for the place: `usb-2D8E3C41801E`.
pub(crate) async fn slot(location: Option<u32>, udid: &Udid) -> Slot {
    let path = match location {
        Some(location) => port_path(location, udid.clone()).await,
        None => None,
    };
    path.and_then(|path| path.parse().ok()).unwrap_or_else(|| named_after(udid))
}

async fn port_path(location: u32, udid: Udid) -> Option<String> {
    let (bus, address) = (u8::try_from(location >> 16).ok()?, u8::try_from(location & 0xFFFF).ok()?);
    // Listing devices neither opens one nor talks to one: usbmuxd holds the phones.
    let listing = tokio::task::spawn_blocking(move || {
        let devices = rusb::devices().ok()?;
        let device =
            devices.iter().find(|device| (device.bus_number(), device.address()) == (bus, address))?;
        let maker = device.device_descriptor().ok()?.vendor_id();
        let ports = device.port_numbers().ok().filter(|ports| maker == APPLE && !ports.is_empty())?;
        let path = path_text(bus, &ports);
        // Linux shows the serial number without opening the device.
        let serial = std::fs::read_to_string(format!("/sys/bus/usb/devices/{path}/serial"));
        serial.map_or(true, |serial| is_serial_of(&serial, udid.as_str())).then_some(path)
    });
    tokio::time::timeout(BUS_LISTING, listing).await.ok()?.ok()?
}

fn path_text(bus: u8, ports: &[u8]) -> String {
    let ports: Vec<String> = ports.iter().map(u8::to_string).collect();
    format!("{bus}-{}", ports.join("."))
}

/// On the bus a UDID has no dash, and may be followed by zero bytes.
fn is_serial_of(serial: &str, udid: &str) -> bool {
    let serial = serial.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    serial.eq_ignore_ascii_case(&udid.replace('-', ""))
}

#[expect(clippy::expect_used, reason = "a part of one name is as good as the whole for another")]
fn named_after(udid: &Udid) -> Slot {
    let text = udid.as_str();
    let end = text.get(text.len().saturating_sub(UDID_DIGITS)..).unwrap_or(text);
    format!("usb-{end}").parse().expect("a good slot name")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    #[test]
    fn a_port_path_reads_as_linux_writes_it() {
        assert_eq!(path_text(1, &[1, 4, 3]), "1-1.4.3");
        assert_eq!(path_text(2, &[7]), "2-7");
    }

    #[test]
    fn a_serial_number_is_compared_as_the_bus_writes_it() {
        let udid = "00008110-000A2D8E3C41801E";
        let cases = [
            ("00008110000A2D8E3C41801E\n", true),
            ("00008110000a2d8e3c41801e\0\0\n", true),
            ("00008110000A2D8E3C41801F", false),
            ("", false),
        ];
        for (serial, expected) in cases {
            assert_eq!(is_serial_of(serial, udid), expected, "{serial:?}");
        }
    }

    #[tokio::test]
    async fn a_phone_that_the_bus_does_not_know_keeps_one_name() {
        let udid: Udid = "00008110-000A2D8E3C41801E".parse().unwrap();
        for location in [Some(250 << 16 | 9), Some(0xFFFF_FFFF), None] {
            assert_eq!(slot(location, &udid).await.as_str(), "usb-2D8E3C41801E");
        }
        let short: Udid = "A1".parse().unwrap();
        assert_eq!(slot(None, &short).await.as_str(), "usb-A1");
    }
}
