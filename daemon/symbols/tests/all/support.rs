//! Our own builds with their symbols, and reports about them.

use std::fs;
use std::path::{Path, PathBuf};

use holdfast_crash::Report;

/// UUIDs of `tests/builds`, as `llvm-dwarfdump --uuid` tells them, and of our own `fixtures`.
pub(crate) const MOORING_140: &str = "4c4c4454-5555-3144-a11c-1c0758a9fdce";
pub(crate) const MOORING_141: &str = "4c4c4408-5555-3144-a1ff-140fc6c6ab6f";
pub(crate) const KEDGE: &str = "4c4c44c2-5555-3144-a16a-1276878e94fa";

/// A file of `tests/builds`.
pub(crate) fn build(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/builds").join(name)
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// The one Mach-O file in a zip of a dSYM.
pub(crate) fn dwarf(zip: &Path) -> Vec<u8> {
    let mut archive = zip::ZipArchive::new(fs::File::open(zip).unwrap()).unwrap();
    let mut names = archive.file_names().map(|name| name.unwrap().into_owned());
    let name = names.find(|name| name.contains("DWARF/") && !name.ends_with('/')).unwrap();
    drop(names);
    let mut bytes = Vec::new();
    std::io::copy(&mut archive.by_name(&name).unwrap(), &mut bytes).unwrap();
    bytes
}

/// A zip of these entries.
pub(crate) fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        writer.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut writer, bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// A crash of an app whose crashed thread has these offsets in the app's image, innermost first.
pub(crate) fn report(app: &str, uuid: &str, arch: &str, offsets: &[u64]) -> Report {
    let frames: Vec<String> =
        offsets.iter().map(|offset| format!(r#"{{"imageIndex":0,"imageOffset":{offset}}}"#)).collect();
    let path = format!("/var/containers/Bundle/Application/A/{app}.app/{app}");
    let text = format!(
        r#"{{"bug_type":"309","app_name":"{app}","timestamp":"2026-03-02 09:15:31.00 +0800"}}
{{"procName":"{app}","procPath":"{path}","faultingThread":0,
"exception":{{"type":"EXC_BAD_ACCESS","signal":"SIGSEGV"}},"usedImages":[{{"source":"P","arch":"{arch}",
"base":4294967296,"size":65536,"uuid":"{uuid}","path":"{path}","name":"{app}"}}],
"threads":[{{"triggered":true,"frames":[{}]}}]}}"#,
        frames.join(",")
    );
    let report = holdfast_crash::read(text.as_bytes());
    assert_eq!(report.malformed, []);
    report
}

/// `function file:line` of every frame of the crashed thread, ` inlined` after those that are.
pub(crate) fn told(report: &Report) -> Vec<String> {
    let words = |frame: &holdfast_crash::Frame| {
        let inlined = if frame.inlined { " inlined" } else { "" };
        match (&frame.symbol, &frame.file, frame.line) {
            (Some(symbol), Some(file), Some(line)) => format!("{symbol} {file}:{line}{inlined}"),
            (Some(symbol), _, _) => symbol.clone(),
            _ => "?".to_owned(),
        }
    };
    report.crashed().unwrap().frames.iter().map(words).collect()
}
