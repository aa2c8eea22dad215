//! lockdownd: sessions and the way back to plain text, pairing, what strangers and older versions get.

use holdfast_simphone::framing::{self, dict};
use holdfast_simphone::inflict::{Fault, inflict};
use holdfast_simphone::phone::{Passcode, Trust};
use holdfast_simphone::rack::{Rack, RackConfig, RunningRack};
use plist::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{self, Usbmux, ask, secure, session, text};
use crate::{in_time, rack};

async fn stranger(running: &RunningRack) -> TcpStream {
    let device_id = running.rack.attachment_at(0).unwrap().device_id;
    Usbmux::open(running).await.connect(device_id, 62078).await.unwrap()
}

#[tokio::test]
async fn a_session_ends_in_plain_text_even_when_the_client_hurries() {
    let running = rack(1).await;
    for who in ["Root", "Host"] {
        let (mut secured, id) = session(&running, 0, who).await;
        let value = ask(&mut secured, [("Request", "GetValue".into()), ("Key", "SerialNumber".into())]).await;
        assert!(text(&value, "Value").starts_with("SIM"), "{who}: {value:?}");
        let stopped =
            ask(&mut secured, [("Request", "StopSession".into()), ("SessionID", id.as_str().into())]).await;
        assert!(stopped.get("Error").is_none(), "{who}: {stopped:?}");
        let rest = in_time("the phone's end of TLS", secured.read(&mut [0_u8; 64])).await.unwrap();
        assert_eq!(rest, 0, "{who}: the phone ends TLS first");

        // The client's end of TLS and its next plain request in one write: neither may be swallowed with the other.
        let (mut plain, mut connection) = secured.into_inner();
        connection.send_close_notify();
        let mut hurried = Vec::new();
        connection.write_tls(&mut hurried).unwrap();
        framing::write_xml(&mut hurried, &dict([("Request", "QueryType".into())])).await.unwrap();
        plain.write_all(&hurried).await.unwrap();
        let answer = in_time("the plain answer", framing::read(&mut plain)).await.unwrap().unwrap();
        assert_eq!(text(answer.as_dictionary().unwrap(), "Type"), "com.apple.mobile.lockdown", "{who}");
    }
}

#[tokio::test]
async fn tls_is_for_the_paired_computer_alone() {
    let running = rack(2).await;
    let mut plain = stranger(&running).await;
    let wrong = ask(&mut plain, [("Request", "StartSession".into()), ("HostID", "nobody".into())]).await;
    assert_eq!(text(&wrong, "Error"), "InvalidHostID");

    let mut record = client::record(&running, 0);
    let started =
        ask(&mut plain, [("Request", "StartSession".into()), ("HostID", record["HostID"].clone())]).await;
    assert!(started.contains_key("SessionID"));
    // Signed by the same root, but neither of the two that were shown at pairing.
    record.insert("OtherCertificate".into(), record["DeviceCertificate"].clone());
    let device_key = include_bytes!("../../keys/device.key.pem");
    record.insert("OtherPrivateKey".into(), Value::Data(device_key.to_vec()));
    let refused = match secure(plain, &record, "Other").await {
        Ok(mut secured) => secured.read(&mut [0_u8; 1]).await.is_err(),
        Err(_) => true,
    };
    assert!(refused);
}

#[tokio::test]
async fn strangers_get_a_few_values_and_no_service() {
    let running = rack(1).await;
    let mut plain = stranger(&running).await;
    let get = |key: &str| [("Request", "GetValue".into()), ("Key", key.into())];
    for (key, told) in [("ProductVersion", "16.7.2"), ("ProductType", "iPhone14,5"), ("SerialNumber", "")] {
        assert_eq!(text(&ask(&mut plain, get(key)).await, "Value"), told, "{key}");
    }
    assert_eq!(text(&ask(&mut plain, get("SerialNumber")).await, "Error"), "MissingValue");
    let battery =
        ask(&mut plain, [("Request", "GetValue".into()), ("Domain", "com.apple.mobile.battery".into())])
            .await;
    assert_eq!(text(&battery, "Error"), "GetProhibited");
    let service =
        ask(&mut plain, [("Request", "StartService".into()), ("Service", "com.apple.afc".into())]).await;
    assert_eq!(text(&service, "Error"), "SessionInactive");
}

#[tokio::test]
async fn pairing_waits_for_the_owner() {
    let running = rack(1).await;
    let seat = &running.rack.seats()[0];
    let record = client::record(&running, 0);
    let mut plain = stranger(&running).await;
    let begin = [("Request", "StartSession".into()), ("HostID", record["HostID"].clone())];
    let pair = [("Request", "Pair".into()), ("PairRecord", Value::Dictionary(record))];
    let set = async |fault: Fault| inflict(&running.rack, seat, &fault).await.unwrap();

    set(Fault::Trust { answer: Trust::Pending }).await;
    assert_eq!(
        text(&ask(&mut plain, begin.clone()).await, "Error"),
        "InvalidHostID",
        "all pairings are forgotten"
    );
    assert_eq!(running.rack.records().read(&seat.phone().identity.udid), None);
    assert_eq!(text(&ask(&mut plain, pair.clone()).await, "Error"), "PairingDialogResponsePending");
    set(Fault::Trust { answer: Trust::Denied }).await;
    assert_eq!(text(&ask(&mut plain, pair.clone()).await, "Error"), "UserDeniedPairing");
    set(Fault::Trust { answer: Trust::Granted }).await;
    set(Fault::Passcode { state: Passcode::Locked }).await;
    assert_eq!(text(&ask(&mut plain, pair.clone()).await, "Error"), "PasswordProtected");
    set(Fault::Passcode { state: Passcode::Unlocked }).await;
    let paired = ask(&mut plain, pair).await;
    assert_eq!(paired.get("EscrowBag").and_then(Value::as_data).map(<[u8]>::len), Some(32), "{paired:?}");
    assert!(ask(&mut plain, begin).await.contains_key("SessionID"));
}

#[tokio::test]
async fn developer_services_left_lockdown_with_ios_17() {
    for (ios, expected) in [("16.7.2", ""), ("17.0", "InvalidService")] {
        let running = Rack::start(RackConfig::of(1, ios.parse().unwrap())).await.unwrap();
        let (mut secured, _) = session(&running, 0, "Host").await;
        let start = |name: &str| [("Request", "StartService".into()), ("Service", name.into())];
        let afc = ask(&mut secured, start("com.apple.afc")).await;
        assert_eq!(afc.get("EnableServiceSSL").and_then(Value::as_boolean), Some(true), "{ios}");
        // On iOS 16 it needs a mounted image, which this test has not: any answer but a missing service will do.
        for name in [
            "com.apple.instruments.remoteserver.DVTSecureSocketProxy",
            "com.apple.testmanagerd.lockdown.secure",
        ] {
            let answer = ask(&mut secured, start(name)).await;
            if expected == "InvalidService" {
                assert_eq!(text(&answer, "Error"), expected, "{ios} {name}");
            }
        }
    }
}
