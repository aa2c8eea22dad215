//! pymobiledevice3's developer commands against a pretend rack: processes, launching, killing, sampling, pictures,
//! and the developer image without which none of them answers.

use crate::judges::{MOORING, Program, Rack, build, png_size, udid};

fn dvt(rack: &Rack, arguments: &[&str]) -> crate::judges::Told {
    let phone = udid(0);
    let (command, rest) = arguments.split_first().unwrap();
    let call = [&["developer", "dvt", command], rest, &["--udid", &phone]].concat();
    rack.run(&Program::pymobiledevice3(), &call)
}

#[test]
fn an_app_is_launched_seen_and_killed() {
    let rack = Rack::start();
    let phone = udid(0);
    rack.run(&Program::named("ideviceinstaller"), &["-u", &phone, "-i", &build(140)]).ok();
    let told = dvt(&rack, &["launch", MOORING]).ok();
    let pid: u32 = told
        .split(|c: char| !c.is_ascii_digit())
        .rfind(|word| !word.is_empty())
        .and_then(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no pid in {told}"));
    let listed = dvt(&rack, &["proclist"]).ok();
    let is_there = |listed: &str| listed.contains("Mooring") && listed.contains(&pid.to_string());
    assert!(is_there(&listed), "{listed}");
    dvt(&rack, &["kill", &pid.to_string()]).ok();
    let listed = dvt(&rack, &["proclist"]).ok();
    assert!(!listed.contains("Mooring"), "{listed}");
}

#[test]
fn an_app_that_is_not_there_cannot_be_launched() {
    let rack = Rack::start();
    let told = dvt(&rack, &["launch", "dev.holdfast.demo.absent"]);
    assert!(!told.status.success(), "{}", told.all());
    assert!(
        !told.all().contains("Failed to start service"),
        "process control itself answers: {}",
        told.all()
    );
    let listed = dvt(&rack, &["proclist"]).ok();
    assert!(listed.contains("SpringBoard") && !listed.contains("absent"), "{listed}");
}

#[test]
fn sysmon_samples_processes() {
    let rack = Rack::start();
    let phone = udid(0);
    rack.run(&Program::named("ideviceinstaller"), &["-u", &phone, "-i", &build(140)]).ok();
    dvt(&rack, &["launch", MOORING]).ok();
    let call = ["developer", "dvt", "sysmon", "process", "single", "--udid", &phone];
    let told = rack.run(&Program::pymobiledevice3(), &call).ok();
    assert!(told.contains("Mooring"), "{told}");
    assert!(told.contains("physFootprint") && told.contains("cpuUsage"), "{told}");
}

#[test]
fn the_screen_is_drawn_by_both_services() {
    let rack = Rack::start();
    let phone = udid(0);
    let client = Program::pymobiledevice3();
    rack.run(&client, &["developer", "screenshot", "--udid", &phone, "old.png"]).ok();
    assert_eq!(png_size(&rack.folder().join("old.png")), (1170, 2532));
}

#[test]
fn developer_services_need_the_developer_image() {
    let rack = Rack::start();
    let phone = udid(0);
    let client = Program::pymobiledevice3();
    let told = rack.run(&client, &["mounter", "list", "--udid", &phone]).ok();
    assert!(told.contains("Developer"), "{told}");
    let told = rack.run(&client, &["mounter", "query-developer-mode-status", "--udid", &phone]).ok();
    assert!(told.contains("true"), "{told}");

    rack.run(&client, &["mounter", "umount-developer", "--udid", &phone]).ok();
    let told = dvt(&rack, &["proclist"]).all();
    assert!(told.contains("mount"), "{told}");

    std::fs::write(rack.folder().join("image.dmg"), vec![7_u8; 300_000]).unwrap();
    std::fs::write(rack.folder().join("image.dmg.signature"), b"signature").unwrap();
    let call = ["mounter", "mount-developer", "--udid", &phone, "image.dmg", "image.dmg.signature"];
    rack.run(&client, &call).ok();
    let told = rack.run(&client, &["mounter", "list", "--udid", &phone]).ok();
    assert!(told.contains("Developer"), "{told}");
    dvt(&rack, &["proclist"]).ok();
}
