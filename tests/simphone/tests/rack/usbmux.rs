//! The usbmuxd socket: listing, hotplug, connecting, pair records.

use holdfast_simphone::inflict::{Fault, inflict};
use plist::{Dictionary, Value};

use crate::client::{Usbmux, number};
use crate::{in_time, rack};

fn devices(answer: &Dictionary) -> Vec<Dictionary> {
    let list = answer.get("DeviceList").and_then(Value::as_array).unwrap();
    list.iter()
        .map(|entry| entry.as_dictionary().unwrap()["Properties"].as_dictionary().unwrap().clone())
        .collect()
}

#[tokio::test]
async fn phones_are_listed_with_place_and_speed() {
    let running = rack(3).await;
    let mut client = Usbmux::open(&running).await;
    let listed = devices(&client.ask([("MessageType", "ListDevices".into())]).await);
    assert_eq!(listed.len(), 3);
    let mut places: Vec<u64> = Vec::new();
    for (phone, properties) in running.phones().zip(&listed) {
        assert_eq!(properties["SerialNumber"].as_string(), Some(phone.identity.udid.as_str()));
        assert_eq!(properties["ConnectionType"].as_string(), Some("USB"));
        assert_eq!(properties["ConnectionSpeed"].as_unsigned_integer(), Some(480_000_000));
        assert_eq!(properties["ProductID"].as_unsigned_integer(), Some(0x12A8));
        places.push(properties["LocationID"].as_unsigned_integer().unwrap());
    }
    places.dedup();
    assert_eq!(places.len(), 3, "each phone has a place of its own");
}

#[tokio::test]
async fn a_listener_sees_phones_leave_and_return_under_a_new_number() {
    let running = rack(1).await;
    let mut client = Usbmux::open(&running).await;
    let answer = client.ask([("MessageType", "Listen".into()), ("ProgName", "judge".into())]).await;
    assert_eq!(number(&answer), 0);
    let first = client.event().await;
    assert_eq!(first["MessageType"].as_string(), Some("Attached"));

    let mut other = Usbmux::open(&running).await;
    let listeners = other.ask([("MessageType", "ListListeners".into())]).await;
    let names: Vec<_> = listeners["ListenerList"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|listener| listener.as_dictionary()?.get("ProgName")?.as_string())
        .collect();
    assert_eq!(names, ["judge"]);

    let seat = &running.rack.seats()[0];
    inflict(&running.rack, seat, &Fault::Detach { back_after_ms: Some(10) }).await.unwrap();
    let left = in_time("the detach", client.event()).await;
    assert_eq!(left["MessageType"].as_string(), Some("Detached"));
    assert_eq!(left["DeviceID"], first["DeviceID"]);
    let back = in_time("the return", client.event()).await;
    assert_eq!(back["MessageType"].as_string(), Some("Attached"));
    assert_ne!(back["DeviceID"], first["DeviceID"]);
    let place = |event: &Dictionary| event["Properties"].as_dictionary().unwrap()["LocationID"].clone();
    assert_ne!(place(&back), place(&first));
}

#[tokio::test]
async fn wrong_connects_are_refused_by_number_and_the_client_may_go_on() {
    let running = rack(1).await;
    let device_id = running.rack.attachment_at(0).unwrap().device_id;
    let mut client = Usbmux::open(&running).await;
    for (what, id, port, expected) in [
        ("no such phone", device_id + 9, 62078_u16, 2),
        ("nothing listens there", device_id, 8100, 3),
        ("a port that is not swapped", device_id, 62078_u16.swap_bytes(), 3),
    ] {
        let answer = client
            .ask([
                ("MessageType", "Connect".into()),
                ("DeviceID", id.into()),
                ("PortNumber", u32::from(port.swap_bytes()).into()),
            ])
            .await;
        assert_eq!(number(&answer), expected, "{what}");
    }
    assert_eq!(number(&client.ask([("MessageType", "Dance".into())]).await), 1);
}

#[tokio::test]
async fn pair_records_are_read_saved_and_deleted() {
    let running = rack(1).await;
    let udid = running.phones().next().unwrap().identity.udid.clone();
    let mut client = Usbmux::open(&running).await;
    let read = |id: &str| [("MessageType", "ReadPairRecord".into()), ("PairRecordID", id.into())];
    let first = client.ask(read(&udid)).await;
    assert!(first["PairRecordData"].as_data().unwrap().starts_with(b"<?xml"));
    let delete = [("MessageType", "DeletePairRecord".into()), ("PairRecordID", udid.as_str().into())];
    assert_eq!(number(&client.ask(delete.clone()).await), 0);
    assert_eq!(number(&client.ask(delete).await), 2, "it is gone");
    assert_eq!(number(&client.ask(read(&udid)).await), 2);
    let saved = client
        .ask([
            ("MessageType", "SavePairRecord".into()),
            ("PairRecordID", udid.as_str().into()),
            ("PairRecordData", Value::Data(b"mine".to_vec())),
        ])
        .await;
    assert_eq!(number(&saved), 0);
    assert_eq!(client.ask(read(&udid)).await["PairRecordData"].as_data(), Some(b"mine".as_slice()));
}
