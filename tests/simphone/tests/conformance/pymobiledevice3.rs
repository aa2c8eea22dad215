//! pymobiledevice3 against a pretend rack: everything that needs no developer image. The developer services are
//! judged by `pymobiledevice3_developer.rs`.

use crate::judges::{MOORING, Program, REPORT, Rack, build, build_without, udid};
use serde_json::Value;

fn json(told: &str) -> Value {
    serde_json::from_str(told).unwrap_or_else(|error| panic!("not JSON ({error}): {told}"))
}

#[test]
fn usbmux_list_and_lockdown_info() {
    let rack = Rack::start();
    let client = Program::pymobiledevice3();
    let listed = json(&rack.run(&client, &["usbmux", "list"]).ok());
    let mut udids: Vec<&str> =
        listed.as_array().unwrap().iter().filter_map(|phone| phone["UniqueDeviceID"].as_str()).collect();
    udids.sort_unstable();
    let mut expected = [udid(0), udid(1)];
    expected.sort_unstable();
    assert_eq!(udids, expected);
    assert!(listed.as_array().unwrap().iter().all(|phone| phone["ConnectionType"] == "USB"));

    let info = json(&rack.run(&client, &["lockdown", "info", "--udid", &udid(1)]).ok());
    for (key, expected) in
        [("ProductType", "iPhone13,2"), ("ProductVersion", "16.7.2"), ("UniqueDeviceID", &udid(1))]
    {
        assert_eq!(info[key], expected, "{key}");
    }
    assert!(info["DeviceName"].as_str().unwrap().contains("Simulated"), "{}", info["DeviceName"]);
}

#[test]
fn apps_are_installed_listed_queried_and_refused() {
    let rack = Rack::start();
    let client = Program::pymobiledevice3();
    let phone = udid(0);
    let told = rack.run(&client, &["apps", "install", "--udid", &phone, &build(140)]);
    let printed = told.all();
    told.ok();
    assert!(!printed.contains("ERROR"), "{printed}");
    let listed = json(&rack.run(&client, &["apps", "list", "--udid", &phone]).ok());
    assert_eq!(listed[MOORING]["CFBundleVersion"], "140");
    assert_eq!(listed[MOORING]["ApplicationType"], "User");
    assert_eq!(listed["com.apple.Preferences"]["ApplicationType"], "System");
    let queried = json(&rack.run(&client, &["apps", "query", "--udid", &phone, MOORING]).ok());
    assert!(queried[MOORING]["Path"].as_str().unwrap().ends_with("/Mooring.app"), "{queried}");

    rack.run(&client, &["apps", "uninstall", "--udid", &phone, MOORING]).ok();
    let package = build_without(rack.folder(), "embedded.mobileprovision");
    let printed = rack.run(&client, &["apps", "install", "--udid", &phone, &package]).all();
    assert!(printed.contains("0xe8008015"), "{printed}");
    let listed = json(&rack.run(&client, &["apps", "list", "--udid", &phone]).ok());
    assert_eq!(listed[MOORING], Value::Null);
}

#[test]
fn afc_pushes_lists_pulls_and_removes() {
    let rack = Rack::start();
    let client = Program::pymobiledevice3();
    let phone = udid(0);
    // Longer than one chunk of any client, and not the same everywhere.
    let bytes: Vec<u8> = (0_u32..1_500_000).flat_map(u32::to_le_bytes).collect();
    std::fs::write(rack.folder().join("sent.bin"), &bytes).unwrap();
    rack.run(&client, &["afc", "push", "--udid", &phone, "sent.bin", "/Downloads/sent.bin"]).ok();
    let listed = rack.run(&client, &["afc", "ls", "--udid", &phone, "/Downloads"]).ok();
    assert!(listed.contains("sent.bin"), "{listed}");
    rack.run(&client, &["afc", "pull", "--udid", &phone, "/Downloads/sent.bin", "back.bin"]).ok();
    assert!(std::fs::read(rack.folder().join("back.bin")).unwrap() == bytes, "every byte comes back");
    rack.run(&client, &["afc", "rm", "--udid", &phone, "/Downloads/sent.bin"]).ok();
    let listed = rack.run(&client, &["afc", "ls", "--udid", &phone, "/Downloads"]).ok();
    assert!(!listed.contains("sent.bin"), "{listed}");
}

#[test]
fn crash_reports_are_flushed_listed_pulled_and_cleared() {
    let rack = Rack::start();
    let client = Program::pymobiledevice3();
    let phone = udid(0);
    let crashes = rack.crashes(0);
    std::fs::create_dir_all(crashes.join("Retired")).unwrap();
    let names = ["Mooring-2026-01-02-030405.ips", "Retired/Mooring-2026-01-01-000000.ips"];
    for name in names {
        std::fs::write(crashes.join(name), REPORT).unwrap();
    }
    rack.run(&client, &["crash", "flush", "--udid", &phone]).ok();
    let listed = rack.run(&client, &["crash", "ls", "--udid", &phone]).ok();
    assert!(listed.contains(names[0]), "{listed}");
    rack.run(&client, &["crash", "pull", "--udid", &phone, "pulled"]).ok();
    for name in names {
        let pulled = std::fs::read_to_string(rack.folder().join("pulled").join(name)).unwrap();
        assert_eq!(pulled, REPORT, "{name}");
    }
    rack.run(&client, &["crash", "clear", "--udid", &phone]).ok();
    assert!(names.iter().all(|name| !crashes.join(name).exists()), "cleared");
}

#[test]
fn diagnostics_tell_battery_and_gestalt() {
    let rack = Rack::start();
    let client = Program::pymobiledevice3();
    let phone = udid(0);
    let battery = json(&rack.run(&client, &["diagnostics", "battery", "single", "--udid", &phone]).ok());
    for (key, expected) in [("CurrentCapacity", 87), ("CycleCount", 214), ("Temperature", 2910)] {
        assert_eq!(battery[key], expected, "{key}");
    }
    assert_eq!(battery["IsCharging"], true);
    let told = rack.run(&client, &["diagnostics", "mg", "--udid", &phone, "ProductType"]).ok();
    assert_eq!(json(&told)["ProductType"], "iPhone14,5");
}

#[test]
fn syslog_shows_lines_of_the_phone() {
    let rack = Rack::start();
    let phone = udid(0);
    let client = Program::pymobiledevice3();
    let installer = Program::named("ideviceinstaller");
    for command in ["live", "live-old"] {
        let line = rack.run_until(&client, &["syslog", command, "--udid", &phone], "installd", || {
            rack.run(&installer, &["-u", &phone, "-i", &build(140)]).ok();
        });
        assert!(line.contains("installd"), "{command}: {line}");
    }
}

#[test]
fn notifications_are_observed_when_another_client_posts_them() {
    let rack = Rack::start();
    let phone = udid(0);
    let client = Program::pymobiledevice3();
    let name = "dev.holdfast.test.flag";
    rack.run_until(
        &client,
        &["notification", "observe", "--udid", &phone, name],
        "RelayNotification",
        || {
            rack.run(&client, &["notification", "post", "--udid", &phone, name]).ok();
        },
    );
    let installed = "com.apple.mobile.application_installed";
    rack.run_until(&client, &["notification", "observe", "--udid", &phone, installed], installed, || {
        rack.run(&Program::named("ideviceinstaller"), &["-u", &phone, "-i", &build(140)]).ok();
    });
}

#[test]
fn springboard_tells_orientation_and_draws_icons() {
    let rack = Rack::start();
    let phone = udid(0);
    let client = Program::pymobiledevice3();
    let told = rack.run(&client, &["springboard", "orientation", "--udid", &phone]).ok();
    assert!(told.to_uppercase().contains("PORTRAIT") || told.trim() == "1", "{told}");
    rack.run(&client, &["springboard", "icon", "--udid", &phone, "com.apple.Preferences", "icon.png"]).ok();
    assert_eq!(crate::judges::png_size(&rack.folder().join("icon.png")), (120, 120));
    let told = rack.run(&client, &["springboard", "state", "get", "--udid", &phone]).ok();
    assert!(told.contains("com.apple.Preferences"), "{told}");
}

#[test]
fn provisioning_profiles_are_installed_listed_and_removed() {
    let rack = Rack::start();
    let phone = udid(0);
    let client = Program::pymobiledevice3();
    let uuid = "11111111-2222-4333-8444-555555555555";
    let profile = format!(
        "signed<?xml version=\"1.0\"?><plist version=\"1.0\"><dict><key>UUID</key><string>{uuid}</string>\
         <key>Name</key><string>Simulated</string></dict></plist>signature"
    );
    std::fs::write(rack.folder().join("a.mobileprovision"), profile).unwrap();
    rack.run(&client, &["provision", "install", "--udid", &phone, "a.mobileprovision"]).ok();
    let told = rack.run(&client, &["provision", "list", "--udid", &phone]).ok();
    assert!(told.contains(uuid), "{told}");
    rack.run(&client, &["provision", "remove", "--udid", &phone, uuid]).ok();
    let told = rack.run(&client, &["provision", "list", "--udid", &phone]).ok();
    assert!(!told.contains(uuid), "{told}");
}
