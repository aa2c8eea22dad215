//! `com.apple.springboardservices`: the home screen's icons, wallpaper and orientation.

use std::sync::{Arc, Mutex, PoisonError};

use plist::{Dictionary, Value};

use super::{dictionary, picture, request, text};
use crate::framing;
use crate::install::InstalledApp;
use crate::phone::Phone;
use crate::service::{BoxStream, ServiceError};

/// Apps that sit in the dock below every page.
const DOCK: &[&str] = &["com.apple.mobilesafari"];
/// Icons of one page: four columns of six.
const PAGE_ICONS: usize = 24;
/// Portrait, in SpringBoard's numbers.
const PORTRAIT: u64 = 1;
/// The side of an icon in pixels.
const ICON_PIXELS: u32 = 120;

/// Serves one connection.
pub(super) async fn serve(mut stream: BoxStream, phone: Arc<Phone>) -> Result<(), ServiceError> {
    // An arrangement lives as long as the connection that made it: nothing else on a pretend phone shows it.
    let arranged: Mutex<Option<Value>> = Mutex::default();
    while let Some(request) = request(&mut stream).await? {
        tokio::time::sleep(phone.faults.latency()).await;
        let drawing = ServiceError::io("drawing a picture");
        let png = |bytes| Value::Dictionary(dictionary([("pngData", Value::Data(bytes))]));
        let reply = match text(&request, "command").unwrap_or_default() {
            "getIconState" => {
                let arranged = arranged.lock().unwrap_or_else(PoisonError::into_inner).clone();
                arranged.unwrap_or_else(|| icon_state(&phone))
            }
            "setIconState" => {
                let state = request.get("iconState").cloned();
                *arranged.lock().unwrap_or_else(PoisonError::into_inner) = state;
                // SpringBoard takes a new arrangement without an answer.
                continue;
            }
            "getIconPNGData" => match text(&request, "bundleId").and_then(|id| phone.apps.get(id)) {
                Some(app) => png(picture::icon(&app.bundle_id, ICON_PIXELS).map_err(drawing)?),
                None => Value::Dictionary(dictionary([("error", "noSuchApplication".into())])),
            },
            "getHomeScreenWallpaperPNGData" | "getWallpaperPreviewImage" => {
                png(picture::wallpaper(&phone).map_err(drawing)?)
            }
            "getInterfaceOrientation" => {
                Value::Dictionary(dictionary([("interfaceOrientation", PORTRAIT.into())]))
            }
            "getHomeScreenIconMetrics" => Value::Dictionary(metrics(&phone)),
            "getWallpaperInfo" => {
                let name = text(&request, "wallpaperName").unwrap_or_default();
                Value::Dictionary(dictionary([("wallpaperName", name.into())]))
            }
            _ => return Err(ServiceError::protocol("not a command of springboardservices")),
        };
        framing::write_xml(&mut stream, &reply).await?;
    }
    Ok(())
}

/// The dock, then the pages.
fn icon_state(phone: &Phone) -> Value {
    let (dock, rest): (Vec<_>, Vec<_>) =
        phone.apps.all().into_iter().partition(|app| DOCK.contains(&app.bundle_id.as_str()));
    let page = |apps: &[Arc<InstalledApp>]| {
        Value::Array(apps.iter().map(|app| icon(phone, app)).collect::<Vec<_>>())
    };
    let mut pages = vec![page(&dock)];
    pages.extend(rest.chunks(PAGE_ICONS).map(page));
    Value::Array(pages)
}

fn icon(phone: &Phone, app: &InstalledApp) -> Value {
    // Whole seconds: XML property lists of Apple have no fractions, and Python's reader refuses them.
    let now = phone.clock.now();
    let now = std::time::SystemTime::from(jiff::Timestamp::from_second(now.as_second()).unwrap_or(now));
    Value::Dictionary(dictionary([
        ("bundleIdentifier", app.bundle_id.clone().into()),
        ("displayIdentifier", app.bundle_id.clone().into()),
        ("displayName", app.name.clone().into()),
        ("bundleVersion", app.build.clone().into()),
        ("iconModDate", Value::Date(now.into())),
    ]))
}

fn metrics(phone: &Phone) -> Dictionary {
    let (width, height) = phone.identity.model.screen;
    dictionary([
        ("homeScreenIconColumns", 4_u64.into()),
        ("homeScreenIconRows", 6_u64.into()),
        ("homeScreenIconDockMaxCount", 4_u64.into()),
        ("homeScreenIconWidth", 60_u64.into()),
        ("homeScreenIconHeight", 60_u64.into()),
        ("homeScreenIconMaxPages", 15_u64.into()),
        ("homeScreenWidth", u64::from(width / 3).into()),
        ("homeScreenHeight", u64::from(height / 3).into()),
    ])
}
