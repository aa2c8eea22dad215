//! `com.apple.mobile.diagnostics_relay`: battery and registry, MobileGestalt, and the power of the phone.

use std::sync::Arc;
use std::time::Duration;

use plist::{Dictionary, Value};

use super::{battery, dictionary, gestalt, request, text};
use crate::framing;
use crate::phone::{Phone, PowerRequest};
use crate::service::{BoxStream, ServiceError};

/// A phone that was told to restart goes down when the client has hung up, at the latest after this time.
const HANGUP_WAIT: Duration = Duration::from_secs(5);

/// From this version on MobileGestalt no longer answers through this service.
const GESTALT_DEPRECATED: (u16, u16) = (17, 4);

/// Serves one connection.
pub(super) async fn serve(mut stream: BoxStream, phone: Arc<Phone>) -> Result<(), ServiceError> {
    while let Some(request) = request(&mut stream).await? {
        tokio::time::sleep(phone.faults.latency()).await;
        let wanted = text(&request, "Request").unwrap_or_default();
        if let Some(power) = power_request(wanted) {
            framing::write_xml(&mut stream, &success()).await?;
            return go_down(stream, &phone, power).await;
        }
        let reply = match wanted {
            "Goodbye" => {
                return framing::write_xml(&mut stream, &success()).await;
            }
            "All" => diagnostics(dictionary([
                ("GasGauge", Value::Dictionary(battery::gas_gauge(&phone))),
                ("WiFi", Value::Dictionary(wifi())),
            ])),
            "GasGauge" => {
                diagnostics(dictionary([("GasGauge", Value::Dictionary(battery::gas_gauge(&phone)))]))
            }
            "WiFi" => diagnostics(dictionary([("WiFi", Value::Dictionary(wifi()))])),
            "MobileGestalt" => diagnostics(dictionary([("MobileGestalt", mobile_gestalt(&phone, &request))])),
            "IORegistry" => match registry(&phone, &request) {
                Some(entry) => diagnostics(dictionary([("IORegistry", Value::Dictionary(entry))])),
                // A phone has no words for an entry that is not there: it succeeds and tells nothing.
                None => diagnostics(Dictionary::new()),
            },
            "NAND" | "HDMI" | "Obliterate" => dictionary([("Status", "Failure".into())]),
            _ => dictionary([("Status", "UnknownRequest".into())]),
        };
        framing::write_xml(&mut stream, &reply).await?;
    }
    Ok(())
}

fn power_request(wanted: &str) -> Option<PowerRequest> {
    match wanted {
        "Restart" => Some(PowerRequest::Restart),
        "Shutdown" => Some(PowerRequest::Shutdown),
        "Sleep" => Some(PowerRequest::Sleep),
        _ => None,
    }
}

/// Waits for the client to hang up, politely or not, and then asks for the change of power.
async fn go_down(mut stream: BoxStream, phone: &Phone, power: PowerRequest) -> Result<(), ServiceError> {
    let hangup = async {
        while let Ok(Some(request)) = framing::read(&mut stream).await {
            let request = request.into_dictionary().unwrap_or_default();
            if text(&request, "Request") == Some("Goodbye") {
                framing::write_xml(&mut stream, &success()).await?;
            }
        }
        Ok(())
    };
    let ended = tokio::time::timeout(HANGUP_WAIT, hangup).await.unwrap_or(Ok(()));
    phone.ask_power(power);
    ended
}

fn success() -> Dictionary {
    dictionary([("Status", "Success".into())])
}

fn diagnostics(told: Dictionary) -> Dictionary {
    dictionary([("Diagnostics", Value::Dictionary(told)), ("Status", "Success".into())])
}

fn wifi() -> Dictionary {
    dictionary([("Active", true.into()), ("Status", "Success".into())])
}

fn mobile_gestalt(phone: &Phone, request: &Dictionary) -> Value {
    let mut told = Dictionary::new();
    let ios = phone.identity.ios;
    if (ios.major, ios.minor) >= GESTALT_DEPRECATED {
        told.insert("Status".to_owned(), "MobileGestaltDeprecated".into());
        return Value::Dictionary(told);
    }
    let keys = request.get("MobileGestaltKeys").and_then(Value::as_array);
    for key in keys.into_iter().flatten().filter_map(Value::as_string) {
        if let Some(value) = gestalt::value(phone, key) {
            told.insert(key.to_owned(), value);
        }
    }
    told.insert("Status".to_owned(), "Success".into());
    Value::Dictionary(told)
}

/// The registry entry that is asked for by name, by class or by plane.
fn registry(phone: &Phone, request: &Dictionary) -> Option<Dictionary> {
    let battery_names = ["AppleSmartBattery", "AppleARMPMUCharger", "IOPMPowerSource"];
    let entry = text(request, "EntryName").or_else(|| text(request, "EntryClass"));
    match (entry, text(request, "CurrentPlane")) {
        (Some(entry), _) if battery_names.contains(&entry) => Some(battery::registry_entry(phone)),
        (Some("IOPlatformExpertDevice"), _) => Some(platform(phone)),
        (None, Some("IODeviceTree" | "IOService" | "IOPower") | None) => {
            let mut root = platform(phone);
            root.insert("IORegistryEntryName".to_owned(), "Root".into());
            Some(root)
        }
        _ => None,
    }
}

fn platform(phone: &Phone) -> Dictionary {
    let model = phone.identity.model;
    dictionary([
        ("IOObjectClass", "IOPlatformExpertDevice".into()),
        ("IORegistryEntryName", model.hardware_model.into()),
        ("IOPlatformSerialNumber", phone.identity.serial_number.clone().into()),
        ("model", model.product_type.into()),
        ("manufacturer", "Simulated".into()),
    ])
}
