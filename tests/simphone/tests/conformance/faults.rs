//! What clients say when something is wrong with a pretend phone, by scenario: the app dies and its report is read by
//! somebody else's parser, the owner has not answered the trust dialog, the phone is locked, full, or refuses.

use crate::judges::{MOORING, Program, Rack, build, udid};

/// One phone under this scenario.
fn rack(scenario: &str) -> Rack {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("scenario.yaml");
    std::fs::write(&place, scenario).unwrap();
    Rack::start_with(&["--phones", "1", "--scenario", place.to_str().unwrap()])
}

#[test]
fn an_app_that_dies_leaves_a_report_that_others_can_read() {
    let rack = rack(
        "apps:\n  dev.holdfast.demo.mooring:\n    launches:\n      \
         - ends: { how: signal, after_ms: 100, signal: segv }\n",
    );
    let phone = udid(0);
    let client = Program::pymobiledevice3();
    rack.run(&Program::named("ideviceinstaller"), &["-u", &phone, "-i", &build(141)]).ok();
    rack.run(&client, &["developer", "dvt", "launch", "--udid", &phone, MOORING]).ok();
    let reporter = Program::named("idevicecrashreport");
    let target = rack.folder().join("reports");
    std::fs::create_dir(&target).unwrap();
    let call = ["-u", &phone, "-k", target.to_str().unwrap()];
    let began = std::time::Instant::now();
    let name = loop {
        rack.run(&reporter, &call).ok();
        let names = std::fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name());
        let mut reports = names.map(|name| name.into_string().unwrap()).filter(|name| name.ends_with(".ips"));
        if let Some(name) = reports.find(|name| name.starts_with("Mooring-")) {
            break name;
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "no report of the death");
    };
    let parsed = rack.run(&client, &["crash", "parse", "--udid", &phone, &format!("/{name}")]).ok();
    for part in ["EXC_BAD_ACCESS", "KERN_INVALID_ADDRESS", "/Mooring.app/Mooring]", "Frames:"] {
        assert!(parsed.contains(part), "{part} is missing in {parsed}");
    }
}

#[test]
fn a_phone_whose_owner_has_not_answered_or_said_no_cannot_be_paired() {
    for (answer, told) in [("pending", "trust dialog"), ("denied", "denied")] {
        let rack = rack(&format!(
            "phones:\n  - paired: false\n    begins_with:\n      - {{ fault: trust, answer: {answer} }}\n"
        ));
        let pairing = rack.run(&Program::named("idevicepair"), &["-u", &udid(0), "pair"]);
        assert!(!pairing.status.success(), "{answer}: {}", pairing.all());
        assert!(pairing.all().contains(told), "{answer}: {}", pairing.all());
        // It is on the bus all the same.
        assert!(rack.run(&Program::named("idevice_id"), &["-l"]).ok().contains(&udid(0)));
    }
}

#[test]
fn a_full_phone_and_one_that_refuses_install_nothing() {
    for (fault, told) in [
        ("{ fault: storage_full, on: true }", ""),
        ("{ fault: refuse_install, reason: ApplicationVerificationFailed }", "0xe8008015"),
        ("{ fault: refuse_install, reason: 'InstallProhibited: not today' }", "not today"),
    ] {
        let rack = rack(&format!("phones:\n  - begins_with:\n      - {fault}\n"));
        let program = Program::named("ideviceinstaller");
        let install = rack.run(&program, &["-u", &udid(0), "-i", &build(140)]);
        assert!(!install.all().contains("Install: Complete"), "{fault}: {}", install.all());
        assert!(install.all().contains(told), "{fault}: {}", install.all());
        let listed = rack.run(&program, &["-u", &udid(0), "-l"]).ok();
        assert!(!listed.contains(MOORING), "{fault}: {listed}");
    }
}

#[test]
fn a_low_battery_is_told_as_it_is() {
    let rack = rack("phones:\n  - begins_with:\n      - { fault: battery, percent: 12, charging: false }\n");
    let phone = udid(0);
    let info = Program::named("ideviceinfo");
    let battery = ["-u", &phone, "-q", "com.apple.mobile.battery", "-k", "BatteryCurrentCapacity"];
    assert_eq!(rack.run(&info, &battery).ok().trim(), "12");
}

#[test]
fn developer_services_need_developer_mode_and_the_image() {
    for fault in ["{ fault: developer_mode, on: false }", "{ fault: developer_image, mounted: false }"] {
        let rack = rack(&format!("phones:\n  - begins_with:\n      - {fault}\n"));
        let told = rack.run(&Program::named("idevicescreenshot"), &["-u", &udid(0), "screen.png"]);
        assert!(told.all().contains("Could not start screenshotr service"), "{fault}: {}", told.all());
    }
}
