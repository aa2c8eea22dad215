//! What the faults of cable and phone do to a connection that is in use, and the control socket that begins them.

use std::time::{Duration, Instant};

use holdfast_simphone::control;
use holdfast_simphone::events::Event;
use holdfast_simphone::inflict::{Fault, inflict};
use holdfast_simphone::rack::RunningRack;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::client::{Usbmux, afc_answer, afc_send, service, session};
use crate::{in_time, rack};

const OPEN: u64 = 0x0D;
const WRITE: u64 = 0x10;
const FILE_INFO: u64 = 0x0A;

async fn set(running: &RunningRack, fault: Fault) {
    inflict(&running.rack, &running.rack.seats()[0], &fault).await.unwrap();
}

/// Opens a file for writing; its handle.
async fn open<S: AsyncRead + AsyncWrite + Unpin>(afc: &mut S, path: &str) -> Vec<u8> {
    let mut body = 3_u64.to_le_bytes().to_vec();
    body.extend_from_slice(path.as_bytes());
    body.push(0);
    afc_send(afc, OPEN, &body).await.unwrap();
    let (operation, handle) = afc_answer(afc).await.unwrap();
    assert_eq!(operation, 0x0E, "opened");
    handle
}

async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    afc: &mut S,
    handle: &[u8],
    bytes: usize,
) -> std::io::Result<u64> {
    let mut body = handle.to_vec();
    body.resize(8 + bytes, 0x5A);
    afc_send(afc, WRITE, &body).await?;
    let (_, status) = afc_answer(afc).await?;
    Ok(u64::from_le_bytes(status[..8].try_into().unwrap()))
}

#[tokio::test]
async fn a_phone_that_leaves_in_mid_upload_keeps_what_arrived_and_comes_back() {
    let running = rack(1).await;
    let before = running.rack.attachment_at(0).unwrap().device_id;
    let mut afc = service(&running, 0, "com.apple.afc").await;
    let handle = open(&mut afc, "PublicStaging/a.ipa").await;
    set(&running, Fault::DetachAfterUpload { bytes: 300_000, back_after_ms: Some(10) }).await;
    let mut written = 0;
    let broken = async {
        while write(&mut afc, &handle, 50_000).await.is_ok() {
            written += 50_000_u64;
        }
    };
    in_time("the detach", broken).await;
    let on_phone = running.phones().next().unwrap().disk.media().join("PublicStaging/a.ipa");
    let kept = std::fs::metadata(on_phone).unwrap().len();
    // TLS adds a little to what passes the cable.
    assert_eq!((written, kept), (250_000, 250_000));
    let mut newest = running.phones().next().unwrap().events.newest();
    let back = async {
        while running.rack.attachment_at(0).is_none_or(|now| now.device_id == before) {
            newest.changed().await.unwrap();
        }
    };
    in_time("the return", back).await;
}

#[tokio::test]
async fn a_hung_phone_closes_nothing_and_goes_on_when_resumed() {
    let running = rack(1).await;
    let mut afc = service(&running, 0, "com.apple.afc").await;
    set(&running, Fault::Hang { for_ms: None }).await;
    afc_send(&mut afc, FILE_INFO, b"/DCIM\0").await.unwrap();
    let silent = Duration::from_millis(200);
    assert!(
        tokio::time::timeout(silent, afc_answer(&mut afc)).await.is_err(),
        "nothing may come, no end either"
    );
    let device_id = running.rack.attachment_at(0).unwrap().device_id;
    let connecting = Usbmux::open(&running).await.connect(device_id, 62078);
    assert!(tokio::time::timeout(silent, connecting).await.is_err(), "new connections hang too");
    set(&running, Fault::Resume {}).await;
    let (operation, _) = in_time("the late answer", afc_answer(&mut afc)).await.unwrap();
    assert_eq!(operation, 0x02);
}

#[tokio::test]
async fn a_slow_link_is_shared_by_all_connections_of_the_phone() {
    let running = rack(1).await;
    let mut first = service(&running, 0, "com.apple.afc").await;
    let mut second = service(&running, 0, "com.apple.afc").await;
    let handles = (open(&mut first, "one").await, open(&mut second, "two").await);
    set(&running, Fault::SlowLink { bytes_per_second: Some(400_000) }).await;
    let began = Instant::now();
    let both = async {
        tokio::try_join!(write(&mut first, &handles.0, 100_000), write(&mut second, &handles.1, 100_000))
    };
    assert_eq!(in_time("two slow writes", both).await.unwrap(), (0, 0));
    // 200,000 bytes over one link of 400,000 a second; alone, each would take half of it.
    assert!(began.elapsed() >= Duration::from_millis(480), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_full_phone_refuses_to_write() {
    let running = rack(1).await;
    let mut afc = service(&running, 0, "com.apple.afc").await;
    let handle = open(&mut afc, "a").await;
    assert_eq!(write(&mut afc, &handle, 1000).await.unwrap(), 0);
    set(&running, Fault::StorageFull { on: true }).await;
    assert_eq!(write(&mut afc, &handle, 1000).await.unwrap(), 18);
    set(&running, Fault::Heal {}).await;
    assert_eq!(write(&mut afc, &handle, 1000).await.unwrap(), 0);
}

#[tokio::test]
async fn a_reboot_ends_everything_and_comes_back_as_another_boot() {
    let running = rack(1).await;
    let phone = running.phones().next().unwrap().clone();
    let (boot, device_id) = (phone.state().boot.id, running.rack.attachment_at(0).unwrap().device_id);
    let (mut lockdown, _) = session(&running, 0, "Host").await;
    set(&running, Fault::Reboot { away_ms: 10 }).await;
    let cut = async { tokio::io::copy(&mut lockdown, &mut tokio::io::sink()).await };
    // Cut off, with or without a goodbye of TLS: both are an end.
    let _either_end = in_time("the end of the session", cut).await;
    let mut newest = phone.events.newest();
    let back = async {
        while running.rack.attachment_at(0).is_none_or(|now| now.device_id == device_id) {
            newest.changed().await.unwrap();
        }
    };
    in_time("the return", back).await;
    assert_ne!(phone.state().boot.id, boot);
    let kinds: Vec<bool> = phone
        .events
        .after(0)
        .iter()
        .filter(|entry| matches!(entry.event, Event::Detached | Event::Booted { .. }))
        .map(|entry| matches!(entry.event, Event::Booted { .. }))
        .collect();
    assert_eq!(kinds, [false, true], "left first, then a new boot");
    session(&running, 0, "Host").await;
}

async fn control(running: &RunningRack, request: Value) -> Value {
    control::answer(&running.rack, request.to_string().as_bytes()).await
}

#[tokio::test]
async fn the_control_socket_tells_acts_and_refuses_nonsense() {
    let running = rack(2).await;
    let listed = control(&running, json!({ "do": "list" })).await;
    let udid = listed["phones"][1]["udid"].as_str().unwrap().to_owned();
    assert_eq!(listed["phones"][1]["simulated"], json!(true));
    let detach = json!({ "do": "inflict", "phone": udid, "fault": { "fault": "detach" } });
    assert_eq!(control(&running, detach).await, json!({ "ok": true }));
    assert_eq!(running.rack.present().len(), 1);
    let log = control(&running, json!({ "do": "events", "phone": udid })).await;
    let last = log["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["event"], json!({ "what": "detached" }));
    let after = control(&running, json!({ "do": "events", "phone": udid, "after": last["number"] })).await;
    assert_eq!(after["events"], json!([]));

    for (request, told) in [
        (json!({ "do": "dance" }), "unknown variant `dance`"),
        (json!({ "do": "list", "loud": true }), "unknown field `loud`"),
        (json!({ "do": "events", "phone": "x" }), "no phone `x`"),
        (
            json!({ "do": "inflict", "phone": "all", "fault": { "fault": "battery", "percent": 101 } }),
            "0 to 100",
        ),
        (
            json!({ "do": "inflict", "phone": udid, "fault": { "fault": "crash_storm", "bundle_id": "a.b", "files": 2 } }),
            "`a.b` is not installed",
        ),
    ] {
        let answer = control(&running, request.clone()).await;
        assert_eq!(answer["ok"], json!(false), "{request}");
        assert!(answer["error"].as_str().unwrap().contains(told), "{request}: {answer}");
    }
}
