//! go-ios against a pretend rack. It installs through the streaming zip conduit and speaks its own DTX, so it sees
//! other corners than the other judges.

use crate::judges::{MOORING, Program, REPORT, Rack, build, build_without, png_size, udid};
use serde_json::Value;

fn ios(rack: &Rack, arguments: &[&str]) -> crate::judges::Told {
    let phone = format!("--udid={}", udid(0));
    rack.run(&Program::go_ios(), &[arguments, &[&phone]].concat())
}

/// The first JSON document that go-ios printed on standard output.
fn json(told: &str) -> Value {
    let mut documents = serde_json::Deserializer::from_str(told).into_iter::<Value>();
    documents
        .next()
        .unwrap_or_else(|| panic!("nothing printed"))
        .unwrap_or_else(|error| panic!("{error}: {told}"))
}

#[test]
fn list_and_info() {
    let rack = Rack::start();
    let listed = json(&rack.run(&Program::go_ios(), &["list"]).ok());
    let mut listed: Vec<&str> =
        listed["deviceList"].as_array().unwrap().iter().flat_map(Value::as_str).collect();
    let mut expected = [udid(0), udid(1)];
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
    let info = json(&ios(&rack, &["info"]).ok());
    assert_eq!(info["ProductVersion"], "16.7.2");
    assert_eq!(info["UniqueDeviceID"], udid(0));
}

#[test]
fn install_streams_the_app_and_tells_progress() {
    let rack = Rack::start();
    for number in [140, 141] {
        let told = ios(&rack, &["install", &format!("--path={}", build(number))]);
        let printed = told.all();
        told.ok();
        for part in ["VerifyingApplication", "installation successful"] {
            assert!(printed.contains(part), "{part} is missing in {printed}");
        }
        let listed = ios(&rack, &["apps"]).ok();
        let apps = json(&listed);
        let app = apps.as_array().unwrap().iter().find(|app| app["CFBundleIdentifier"] == MOORING).cloned();
        assert_eq!(app.unwrap_or_default()["CFBundleVersion"], number.to_string(), "{listed}");
    }
    ios(&rack, &["uninstall", MOORING]).ok();
    let listed = ios(&rack, &["apps", "--list"]).ok();
    assert!(!listed.contains(MOORING), "{listed}");

    let package = build_without(rack.folder(), "embedded.mobileprovision");
    let printed = ios(&rack, &["install", &format!("--path={package}")]).all();
    assert!(printed.contains("ApplicationVerificationFailed"), "{printed}");
    assert!(!printed.contains("installation successful"), "{printed}");
}

#[test]
fn crash_reports_are_listed_copied_and_removed() {
    let rack = Rack::start();
    let crashes = rack.crashes(0);
    let name = "Mooring-2026-01-02-030405.ips";
    std::fs::create_dir_all(&crashes).unwrap();
    std::fs::write(crashes.join(name), REPORT).unwrap();
    let told = ios(&rack, &["crash", "ls"]).ok();
    assert!(told.contains(name), "{told}");
    std::fs::create_dir(rack.folder().join("copied")).unwrap();
    ios(&rack, &["crash", "cp", "*", "copied"]).ok();
    assert_eq!(std::fs::read_to_string(rack.folder().join("copied").join(name)).unwrap(), REPORT);
    ios(&rack, &["crash", "rm", ".", "*.ips"]).ok();
    assert!(!crashes.join(name).exists());
}

#[test]
fn processes_are_launched_listed_and_killed() {
    let rack = Rack::start();
    ios(&rack, &["install", &format!("--path={}", build(140))]).ok();
    let launched = ios(&rack, &["launch", MOORING]);
    let printed = launched.all();
    launched.ok();
    assert!(printed.contains("pid") || printed.contains("Process launched"), "{printed}");
    let listed = ios(&rack, &["ps", "--apps"]).ok();
    assert!(listed.contains("Mooring"), "{listed}");
    ios(&rack, &["kill", MOORING]).ok();
    let listed = ios(&rack, &["ps", "--apps"]).ok();
    assert!(!listed.contains("Mooring"), "{listed}");
}

#[test]
fn syslog_shows_lines_of_the_phone() {
    let rack = Rack::start();
    let phone = udid(0);
    let installer = Program::named("ideviceinstaller");
    let call = ["syslog", &format!("--udid={phone}")];
    rack.run_until(&Program::go_ios(), &call, "installd", || {
        rack.run(&installer, &["-u", &phone, "-i", &build(140)]).ok();
    });
}

#[test]
fn disk_battery_name_and_date() {
    let rack = Rack::start();
    let space = json(&ios(&rack, &["diskspace"]).ok());
    assert!(space.to_string().contains("128000000000"), "{space}");
    assert_eq!(json(&ios(&rack, &["batterycheck"]).ok())["BatteryCurrentCapacity"], 87);
    let registry = json(&ios(&rack, &["batteryregistry"]).ok());
    assert_eq!((&registry["CycleCount"], &registry["Temperature"]), (&214.into(), &2910.into()));
    let name = json(&ios(&rack, &["devicename"]).ok());
    assert!(name["devicename"].as_str().unwrap().contains("Simulated"), "{name}");
    assert!(json(&ios(&rack, &["date"]).ok())["formatedDate"].is_string());
}

#[test]
fn images_are_listed_and_pictures_taken() {
    let rack = Rack::start();
    let told = ios(&rack, &["image", "list"]);
    assert!(told.all().contains("image signature"), "{}", told.all());
    told.ok();
    let place = rack.folder().join("screen.png");
    ios(&rack, &["screenshot", &format!("--output={}", place.display())]).ok();
    assert_eq!(png_size(&place), (1170, 2532));
}
