//! libimobiledevice's own tools against a pretend rack: what they print is the verdict. Installing is judged by
//! `ideviceinstaller.rs`.

use crate::judges::{Program, REPORT, Rack, png_size, udid};

#[test]
fn idevice_id_lists_the_rack() {
    let rack = Rack::start();
    let listed = rack.run(&Program::named("idevice_id"), &["-l"]).ok();
    let mut listed: Vec<&str> = listed.lines().collect();
    let mut expected = [udid(0), udid(1)];
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
}

#[test]
fn ideviceinfo_reads_values_and_domains() {
    let rack = Rack::start();
    let info = Program::named("ideviceinfo");
    let phone = udid(0);
    for (arguments, expected) in [
        (vec!["-k", "ProductVersion"], "16.7.2"),
        (vec!["-k", "ProductType"], "iPhone14,5"),
        (vec!["-k", "UniqueDeviceID"], phone.as_str()),
        (vec!["-k", "DeviceName"], "Simulated iPhone 13"),
        (vec!["-q", "com.apple.mobile.battery", "-k", "BatteryCurrentCapacity"], "87"),
        (vec!["-q", "com.apple.disk_usage", "-k", "TotalDataCapacity"], ""),
        (vec!["-s", "-k", "ProductVersion"], "16.7.2"),
    ] {
        let told = rack.run(&info, &[&["-u", &phone], arguments.as_slice()].concat()).ok();
        assert!(told.starts_with(expected) && !told.trim().is_empty(), "{arguments:?}: {told}");
    }
    let all = rack.run(&info, &["-u", &phone]).ok();
    for key in
        ["ActivationState", "BuildVersion", "HardwareModel", "SerialNumber", "UniqueChipID", "WiFiAddress"]
    {
        assert!(all.lines().any(|line| line.starts_with(&format!("{key}: "))), "{key} is missing in\n{all}");
    }
}

#[test]
fn idevicepair_pairs_validates_and_unpairs() {
    let rack = Rack::start();
    let pair = Program::named("idevicepair");
    let phone = udid(0);
    for (command, expected) in [
        ("pair", "SUCCESS: Paired with device"),
        ("validate", "SUCCESS: Validated pairing with device"),
        ("unpair", "SUCCESS: Unpaired with device"),
        ("pair", "SUCCESS: Paired with device"),
    ] {
        let told = rack.run(&pair, &["-u", &phone, command]);
        assert!(told.all().contains(expected), "{command}: {}", told.all());
        assert!(told.ok().contains(&phone), "{command}");
    }
    let buid = rack.run(&pair, &["systembuid"]).ok();
    assert_eq!(buid.trim().len(), 36, "{buid}");
}

#[test]
fn idevicecrashreport_copies_and_takes_reports() {
    let rack = Rack::start();
    let crashes = rack.crashes(0);
    std::fs::create_dir_all(crashes.join("Retired")).unwrap();
    for name in ["Mooring-2026-01-02-030405.ips", "Retired/Mooring-2026-01-01-000000.ips"] {
        std::fs::write(crashes.join(name), REPORT).unwrap();
    }
    let program = Program::named("idevicecrashreport");
    let phone = udid(0);
    let place = "Mooring-2026-01-02-030405.ips";
    for (name, flags, stays) in
        [("kept", vec!["-k"], true), ("extracted", vec!["-e", "-k"], true), ("taken", vec![], false)]
    {
        let target = rack.folder().join(name);
        std::fs::create_dir(&target).unwrap();
        let told = rack
            .run(&program, &[&["-u", &phone], flags.as_slice(), &[target.to_str().unwrap()]].concat())
            .ok();
        assert!(told.contains(place), "{name}: {told}");
        assert_eq!(std::fs::read_to_string(target.join(place)).unwrap(), REPORT, "{name}");
        assert_eq!(crashes.join(place).exists(), stays, "{name}");
    }
}

#[test]
fn idevicediagnostics_reads_battery_registry_and_gestalt() {
    let rack = Rack::start();
    let program = Program::named("idevicediagnostics");
    let phone = udid(0);
    for (arguments, expected) in [
        (vec!["diagnostics", "GasGauge"], vec!["<key>CycleCount</key>", "<integer>214</integer>"]),
        (vec!["diagnostics", "All"], vec!["<key>GasGauge</key>", "<key>WiFi</key>"]),
        (
            vec!["ioregentry", "AppleSmartBattery"],
            vec!["<key>CurrentCapacity</key>", "<integer>87</integer>", "<key>Temperature</key>"],
        ),
        (vec!["ioreg", "IODeviceTree"], vec!["<key>IORegistryEntryName</key>"]),
        (vec!["mobilegestalt", "ProductType"], vec!["<key>ProductType</key>", "<string>iPhone14,5</string>"]),
    ] {
        let told = rack.run(&program, &[&["-u", &phone], arguments.as_slice()].concat()).ok();
        for part in expected {
            assert!(told.contains(part), "{arguments:?} without {part}: {told}");
        }
    }
}

#[test]
fn idevicediagnostics_restarts_a_phone_into_a_new_boot() {
    let rack = Rack::start();
    let phone = udid(0);
    rack.run(&Program::named("idevicediagnostics"), &["-u", &phone, "restart"]).ok();
    // The second phone stays on the bus all the time; the first leaves it and comes back.
    let list = Program::named("idevice_id");
    let began = std::time::Instant::now();
    let mut left = false;
    let back = loop {
        let listed = rack.run(&list, &["-l"]).ok();
        assert!(listed.contains(&udid(1)), "{listed}");
        left |= !listed.contains(&phone);
        if left && listed.contains(&phone) {
            break true;
        }
        if began.elapsed() > std::time::Duration::from_secs(60) {
            break false;
        }
    };
    assert!(back, "the phone left: {left}, and came back: false");
    rack.run(&Program::named("ideviceinfo"), &["-u", &phone, "-k", "ProductVersion"]).ok();
}

#[test]
fn idevicesyslog_shows_lines_of_the_phone() {
    let rack = Rack::start();
    let phone = udid(0);
    let (installer, build) = (Program::named("ideviceinstaller"), crate::judges::build(140));
    let line = rack.run_until(&Program::named("idevicesyslog"), &["-u", &phone], "<Notice>", || {
        rack.run(&installer, &["-u", &phone, "-i", &build]).ok();
    });
    assert!(line.contains("]"), "a line names process and pid: {line}");
}

#[test]
fn idevicescreenshot_saves_a_picture_of_the_screen() {
    let rack = Rack::start();
    let place = rack.folder().join("screen.png");
    let told =
        rack.run(&Program::named("idevicescreenshot"), &["-u", &udid(0), place.to_str().unwrap()]).ok();
    assert!(told.contains("Screenshot saved"), "{told}");
    assert_eq!(png_size(&place), (1170, 2532));
}

#[test]
fn small_tools_agree_on_name_date_and_image() {
    let rack = Rack::start();
    let phone = udid(0);
    let name = rack.run(&Program::named("idevicename"), &["-u", &phone]).ok();
    assert!(name.starts_with("Simulated iPhone 13"), "{name}");
    let date = rack.run(&Program::named("idevicedate"), &["-u", &phone]).ok();
    assert!(date.contains("20") && date.contains(':'), "{date}");
    let image = rack.run(&Program::named("ideviceimagemounter"), &["-u", &phone, "-l"]).ok();
    assert!(image.contains("ImageSignature[1]:"), "{image}");
}

#[test]
fn idevicenotificationproxy_sees_what_another_client_posts() {
    let rack = Rack::start();
    let phone = udid(0);
    let program = Program::named("idevicenotificationproxy");
    let name = "dev.holdfast.test.flag";
    // The tool keeps its lines to itself when it prints to a pipe, unless it is told otherwise.
    let call = ["-oL", "idevicenotificationproxy", "-u", &phone, "observe", name];
    rack.run_until(&Program::named("stdbuf"), &call, &format!("> {name}"), || {
        rack.run(&program, &["-u", &phone, "post", name]).ok();
    });
}

#[test]
fn an_ios_17_phone_keeps_developer_services_out_of_lockdown() {
    let rack = Rack::start_with(&["--phones", "1", "--ios", "17.4.1"]);
    let phone = udid(0);
    let version = rack.run(&Program::named("ideviceinfo"), &["-u", &phone, "-k", "ProductVersion"]).ok();
    assert_eq!(version.trim(), "17.4.1");
    let told = rack.run(&Program::named("idevicescreenshot"), &["-u", &phone, "screen.png"]);
    assert!(told.all().contains("Could not start screenshotr service"), "{}", told.all());
    let told =
        rack.run(&Program::named("idevicediagnostics"), &["-u", &phone, "mobilegestalt", "ProductType"]);
    assert!(!told.all().contains("iPhone14,5"), "MobileGestalt is closed since 17.4: {}", told.all());
    // What stayed in lockdown still answers.
    let battery =
        rack.run(&Program::named("idevicediagnostics"), &["-u", &phone, "diagnostics", "GasGauge"]).ok();
    assert!(battery.contains("CycleCount"), "{battery}");
}
