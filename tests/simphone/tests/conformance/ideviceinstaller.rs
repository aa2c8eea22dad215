//! ideviceinstaller against a pretend rack: list, install, upgrade, refusals, uninstall. It also waits for the
//! notifications of the phone.

use crate::judges::{MOORING, Program, Rack, build, build_without, udid};

fn listed(rack: &Rack, arguments: &[&str]) -> String {
    let phone = udid(0);
    rack.run(&Program::named("ideviceinstaller"), &[&["-u", &phone, "-l"], arguments].concat()).ok()
}

#[test]
fn an_app_is_installed_upgraded_and_uninstalled() {
    let rack = Rack::start();
    let program = Program::named("ideviceinstaller");
    let phone = udid(0);
    assert!(!listed(&rack, &[]).contains(MOORING));

    let told = rack.run(&program, &["-u", &phone, "-i", &build(140)]).ok();
    for part in ["CreatingStagingDirectory (5%)", "VerifyingApplication (40%)", "Install: Complete"] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    let line = format!("{MOORING}, \"140\", \"Mooring\"");
    assert!(listed(&rack, &[]).contains(&line), "{}", listed(&rack, &[]));

    let told = rack.run(&program, &["-u", &phone, "-g", &build(141)]).ok();
    assert!(told.contains("Upgrade: Complete"), "{told}");
    let line = format!("{MOORING}, \"141\", \"Mooring\"");
    assert!(listed(&rack, &[]).contains(&line), "{}", listed(&rack, &[]));

    let told = rack.run(&program, &["-u", &phone, "-U", MOORING]).ok();
    assert!(told.contains("Uninstall: Complete"), "{told}");
    assert!(!listed(&rack, &[]).contains(MOORING));
}

#[test]
fn system_apps_are_listed_apart() {
    let rack = Rack::start();
    let system = listed(&rack, &["-o", "list_system"]);
    assert!(
        system.contains("com.apple.Preferences") && system.contains("com.apple.mobilesafari"),
        "{system}"
    );
    assert!(!listed(&rack, &[]).contains("com.apple."), "user apps only");
}

#[test]
fn a_refusal_is_told_in_the_words_of_ios() {
    let rack = Rack::start();
    let package = build_without(rack.folder(), "embedded.mobileprovision");
    let told = rack.run(&Program::named("ideviceinstaller"), &["-u", &udid(0), "-i", &package]);
    let printed = told.all();
    assert!(printed.contains("ApplicationVerificationFailed"), "{printed}");
    assert!(printed.contains("0xe8008015"), "{printed}");
    assert!(!told.status.success(), "a refusal is a failure");
    assert!(!listed(&rack, &[]).contains(MOORING));
}
