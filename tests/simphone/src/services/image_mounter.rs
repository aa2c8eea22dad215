//! `com.apple.mobile.mobile_image_mounter`: clients look up, send, mount and unmount developer images. What is mounted
//! is remembered by [`images`](super::images).

use std::sync::Arc;

use plist::{Dictionary, Value};
use tokio::io::AsyncReadExt;

use super::images::{self, Unfit};
use super::{dictionary, request, text};
use crate::framing;
use crate::phone::{Passcode, Phone};
use crate::service::{BoxStream, ServiceError};

/// Larger than any developer image: Apple's are between 10 and 60 megabytes.
const IMAGE_BYTES_MAX: u64 = 1 << 30;

/// Serves one connection.
pub(super) async fn serve(mut stream: BoxStream, phone: Arc<Phone>) -> Result<(), ServiceError> {
    while let Some(request) = request(&mut stream).await? {
        tokio::time::sleep(phone.faults.latency()).await;
        let reply = match text(&request, "Command").unwrap_or_default() {
            "CopyDevices" => copy_devices(&phone),
            "LookupImage" => lookup(&phone, &request),
            "ReceiveBytes" => receive(&mut stream, &phone, &request).await?,
            "MountImage" => mount(&phone, &request),
            "UnmountImage" => unmount(&phone, &request),
            "QueryDeveloperModeStatus" => {
                dictionary([("DeveloperModeStatus", phone.state().developer_mode.into())])
            }
            "QueryNonce" => dictionary([("PersonalizationNonce", Value::Data(nonce(&phone)))]),
            "QueryPersonalizationIdentifiers" => {
                let identifiers = Value::Dictionary(identifiers(&phone));
                dictionary([("PersonalizationIdentifiers", identifiers)])
            }
            "QueryPersonalizationManifest" => {
                failure("InternalError", "There is no manifest for this image on the device")
            }
            "Hangup" => {
                return framing::write_xml(&mut stream, &dictionary([("Goodbye", true.into())])).await;
            }
            _ => failure("UnknownCommand", "The image mounter does not know this command"),
        };
        framing::write_xml(&mut stream, &reply).await?;
    }
    Ok(())
}

fn complete() -> Dictionary {
    dictionary([("Status", "Complete".into())])
}

fn failure(error: &str, detail: &str) -> Dictionary {
    dictionary([("Error", error.into()), ("DetailedError", detail.into())])
}

fn copy_devices(phone: &Phone) -> Dictionary {
    let (kind, mounted_at) = images::kind(phone.identity.ios);
    let entries = phone.images.signature().into_iter().map(|signature| {
        Value::Dictionary(dictionary([
            ("DiskImageType", kind.into()),
            ("PersonalizedImageType", "DeveloperDiskImage".into()),
            ("ImageSignature", Value::Data(signature)),
            ("IsMounted", true.into()),
            ("MountPath", mounted_at.into()),
            ("BackingImage", format!("/simulated/{kind}.dmg").into()),
        ]))
    });
    dictionary([("EntryList", Value::Array(entries.collect())), ("Status", "Complete".into())])
}

/// go-ios insists on `ImageSignature` being there, as an empty array, when nothing is mounted.
fn lookup(phone: &Phone, request: &Dictionary) -> Dictionary {
    let (kind, _) = images::kind(phone.identity.ios);
    let asked = text(request, "ImageType").unwrap_or(kind);
    let signature = phone.images.signature().filter(|_| asked == kind);
    dictionary([
        ("ImagePresent", signature.is_some().into()),
        ("ImageSignature", Value::Array(signature.into_iter().map(Value::Data).collect())),
        ("Status", "Complete".into()),
    ])
}

/// Takes the bytes of an image. They are counted and thrown away: nothing on a pretend phone reads them.
async fn receive(
    stream: &mut BoxStream,
    phone: &Phone,
    request: &Dictionary,
) -> Result<Dictionary, ServiceError> {
    let bytes = request.get("ImageSize").and_then(Value::as_unsigned_integer).unwrap_or(0);
    if bytes == 0 || bytes > IMAGE_BYTES_MAX {
        return Ok(failure("InvalidArgument", "ImageSize is not the size of an image"));
    }
    framing::write_xml(stream, &dictionary([("Status", "ReceiveBytesAck".into())])).await?;
    let io = ServiceError::io("receiving an image");
    let got = tokio::io::copy(&mut (&mut *stream).take(bytes), &mut tokio::io::sink()).await.map_err(io)?;
    if got < bytes {
        return Err(ServiceError::protocol("the connection ended inside an image"));
    }
    phone.images.receive(signature(request));
    Ok(complete())
}

fn mount(phone: &Phone, request: &Dictionary) -> Dictionary {
    let (kind, _) = images::kind(phone.identity.ios);
    let state = phone.state();
    if state.passcode == Passcode::Locked {
        return failure("DeviceLocked", "The device is locked");
    }
    if phone.identity.ios.major >= 16 && !state.developer_mode {
        return failure("ImageMountFailed", "Developer mode is not enabled.");
    }
    if text(request, "ImageType") != Some(kind) {
        return failure("ImageMountFailed", &format!("This device takes images of type {kind} only"));
    }
    match phone.images.mount(&signature(request)) {
        Ok(()) => complete(),
        Err(Unfit::MountedAlready) => {
            failure("ImageMountFailed", &format!("There is already an image mounted of type {kind}"))
        }
        Err(Unfit::NotReceived | Unfit::NotMounted) => {
            failure("ImageMountFailed", "The image with this signature was not received")
        }
    }
}

fn unmount(phone: &Phone, request: &Dictionary) -> Dictionary {
    let (_, mounted_at) = images::kind(phone.identity.ios);
    let asked = text(request, "MountPath").unwrap_or_default().trim_end_matches('/');
    if asked != mounted_at || phone.images.unmount().is_err() {
        return failure(
            "UnmountFailed",
            &format!("There is no matching entry in the device map for {asked}"),
        );
    }
    complete()
}

/// The signature as data, or the first of an array of them.
fn signature(request: &Dictionary) -> Vec<u8> {
    match request.get("ImageSignature") {
        Some(Value::Data(signature)) => signature.clone(),
        Some(Value::Array(several)) => {
            several.first().and_then(Value::as_data).map(<[u8]>::to_vec).unwrap_or_default()
        }
        _ => Vec::new(),
    }
}

/// Stays the same for one boot, as on a phone.
fn nonce(phone: &Phone) -> Vec<u8> {
    phone.state().boot.id.bytes().filter(u8::is_ascii_hexdigit).collect()
}

fn identifiers(phone: &Phone) -> Dictionary {
    let model = phone.identity.model;
    dictionary([
        ("BoardId", u64::from(model.board_id).into()),
        ("ChipID", u64::from(model.chip_id).into()),
        ("SecurityDomain", 1_u64.into()),
        ("UniqueChipID", phone.identity.ecid.into()),
    ])
}
