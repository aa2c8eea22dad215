//! What the crate does when cables are pulled, phones hang and usbmuxd restarts, on simulated phones.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

#[expect(clippy::unwrap_used, clippy::expect_used, unreachable_pub, reason = "shared by several tests")]
mod rack;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use holdfast_device::{FaultKind, Finder, FinderEvent, InstallSource, Phone};
use holdfast_simphone::cable::Motion;
use holdfast_simphone::rack::{Rack, RackConfig};
use holdfast_simphone::seat::Order;

use rack::{Farm, SILENCE, app, build, quietly, short};

fn config(phones: usize) -> RackConfig {
    RackConfig::of(phones, "16.7.2".parse().unwrap())
}

/// An archive that is large enough to be on the way for a while. The phone never gets to open it.
fn large(folder: &tempfile::TempDir) -> InstallSource {
    let archive = folder.path().join("large.ipa");
    std::fs::write(&archive, vec![7; 6 * 1024 * 1024]).unwrap();
    InstallSource { archive, ..build(140) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cable_pulled_in_mid_upload_is_a_phone_that_is_gone() {
    let mut farm = Farm::with(config(1), short).await;
    let (phone, _simulated) = farm.phone().await;
    let folder = tempfile::tempdir().unwrap();
    farm.rack.rack.seats()[0].cable().cut_after_upload(Some(2 * 1024 * 1024));
    let fault = phone.install(&large(&folder), &quietly).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Gone, "{fault:?}");
    assert_eq!(fault.blame(), holdfast_wire::outcome::Blame::Phone);
    assert!(matches!(farm.event().await, FinderEvent::Detached { .. }));
    assert_eq!(phone.installed(&app()).await.unwrap_err().kind, FaultKind::Gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_phone_is_silent_and_answers_again_afterwards() {
    let mut farm = Farm::with(config(1), short).await;
    let (phone, _simulated) = farm.phone().await;
    assert_eq!(phone.installed(&app()).await.unwrap(), None);
    let rack = farm.rack.rack.clone();
    let cable = rack.seats()[0].cable();

    cable.set_motion(Motion::Hung);
    let begun = Instant::now();
    let fault = phone.installed(&app()).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Silent { waited_ms: 3000 }, "{fault:?}");
    assert!(begun.elapsed() >= SILENCE && begun.elapsed() < SILENCE * 3, "{:?}", begun.elapsed());
    cable.set_motion(Motion::Moving);
    assert_eq!(phone.installed(&app()).await.unwrap(), None);

    let folder = tempfile::tempdir().unwrap();
    let source = large(&folder);
    let hang = |progress| {
        if let holdfast_device::InstallProgress::Uploading { sent: 1.., .. } = progress {
            cable.set_motion(Motion::Hung);
        }
    };
    let fault = phone.install(&source, &hang).await.unwrap_err();
    assert!(matches!(fault.kind, FaultKind::Silent { .. }), "{fault:?}");
    cable.set_motion(Motion::Moving);
    phone.install(&build(140), &quietly).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_operation_does_not_disturb_the_next() {
    let mut farm = Farm::with(config(1), short).await;
    let (phone, simulated) = farm.phone().await;
    simulated.faults.set_latency(Duration::from_millis(30));
    for wait_ms in [1, 5, 20, 60, 120] {
        let dropped = tokio::time::timeout(Duration::from_millis(wait_ms), phone.facts()).await;
        drop(dropped);
        assert_eq!(phone.installed(&app()).await.unwrap(), None, "after {wait_ms} ms");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_finder_outlives_usbmuxd() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("usbmuxd");
    let on_path =
        || RackConfig { socket: Some(socket.clone()), data: Some(folder.path().join("data")), ..config(2) };
    let rack = Rack::start(on_path()).await.unwrap();
    let address = format!("UNIX:{}", socket.display()).parse().unwrap();
    let settings = holdfast_usb::UsbSettings { usbmuxd: address, ..Default::default() };
    let finder = holdfast_usb::UsbFinder::start(settings.clone());
    let mut farm = Farm { rack, finder, settings };
    let first = [farm.attachment().await, farm.attachment().await];
    let phone = farm.finder.open(&first[0]).unwrap();
    phone.facts().await.unwrap();

    let Farm { rack, finder, settings } = farm;
    rack.stop().await;
    let kind = phone.facts().await.unwrap_err().kind;
    assert!(matches!(kind, FaultKind::Bus { .. }), "usbmuxd is to blame, not the phone: {kind:?}");
    let mut farm = Farm { rack: Rack::start(on_path()).await.unwrap(), finder, settings };
    let mut events = Vec::new();
    while !matches!(events.last(), Some(FinderEvent::BusFound)) {
        events.push(farm.event().await);
    }
    let losses = events.iter().filter(|event| matches!(event, FinderEvent::BusLost { .. })).count();
    assert_eq!(losses, 1, "{events:?}");
    let again = [farm.attachment().await, farm.attachment().await];
    let udids = |list: &[holdfast_device::Attachment]| -> BTreeSet<_> {
        list.iter().map(|attachment| (attachment.udid.clone(), attachment.slot.clone())).collect()
    };
    assert_eq!(udids(&first), udids(&again));
    farm.finder.open(&again[0]).unwrap().facts().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flapping_port_is_told_in_order() {
    let mut farm = Farm::of(1).await;
    let mut number = farm.attachment().await.number;
    let (out, in_for) = (Duration::from_millis(2), Duration::from_millis(2));
    farm.rack.rack.seats()[0].order(Order::Flap { times: 5, out, in_for }).await;
    for _ in 0..5 {
        let event = farm.event().await;
        assert!(matches!(&event, FinderEvent::Detached { number: gone, .. } if *gone == number), "{event:?}");
        number = farm.attachment().await.number;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_phones_are_served_at_once() {
    let mut farm = Farm::of(8).await;
    let mut phones = Vec::new();
    for _ in 0..8 {
        phones.push(farm.phone().await.0);
    }
    let work = phones.iter().map(|phone| async move {
        phone.install(&build(140), &quietly).await?;
        phone.facts().await
    });
    let facts: Vec<_> = join_all(work).await.into_iter().map(Result::unwrap).collect();
    let udids: BTreeSet<_> = facts.iter().map(|facts| facts.udid.clone()).collect();
    let slots: BTreeSet<_> = facts.iter().map(|facts| facts.slot.clone()).collect();
    assert_eq!((udids.len(), slots.len()), (8, 8));
    assert!(facts.iter().all(|facts| facts.apps.len() == 1));
}
