//! The crash folder of a phone: listing, copying, deleting. What a report says is the daemon's to read.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use holdfast_wire::crash::CrashFile;
use idevice::ReadWrite;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::afc::{Afc, Kind, Mode};
use crate::error::{UsbError, afc_status};
use crate::guard::heard;

/// The service that moves finished reports into the crash folder.
pub(crate) const MOVER: &str = "com.apple.crashreportmover";
/// The service that shows the crash folder by AFC.
pub(crate) const FOLDER: &str = "com.apple.crashreportcopymobile";

/// What the mover says when it has finished. Some versions send a zero byte after it.
const MOVED: &[u8; 4] = b"ping";

/// How deep folders are looked into: `Retired/…` is one deep, the deepest of iOS' own three.
const DEPTH_MAX: usize = 5;

/// Most files listed: a phone on which reports were never collected has some thousands.
const FILES_MAX: usize = 20_000;

/// Waits until the phone has moved its finished reports.
pub(crate) async fn flush(stream: &mut Box<dyn ReadWrite>) -> Result<(), UsbError> {
    let mut said = [0; MOVED.len()];
    stream.read_exact(&mut said).await.map_err(UsbError::stream)?;
    if &said == MOVED {
        Ok(())
    } else {
        Err(UsbError::protocol(format!("the mover of crash reports said {said:02x?}")))
    }
}

/// Every finished file of the crash folder and its sub-folders, sorted by path.
pub(crate) async fn list(afc: &mut Afc) -> Result<Vec<CrashFile>, UsbError> {
    let mut files = Vec::new();
    let mut folders = vec![(String::new(), 0_usize)];
    while let Some((folder, depth)) = folders.pop() {
        let names = match afc.names(&format!("/{folder}")).await {
            // Somebody removed it since its parent was listed.
            Err(UsbError::Afc { status: afc_status::NOT_FOUND, .. }) if depth > 0 => continue,
            names => names?,
        };
        // A file under a dot-name is still being written.
        for name in names.into_iter().filter(|name| !name.starts_with('.') && !name.contains('/')) {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let info = match afc.info(&format!("/{path}")).await {
                Err(UsbError::Afc { status: afc_status::NOT_FOUND | afc_status::PERMISSION, .. }) => continue,
                info => info?,
            };
            match info.kind {
                Kind::File => {
                    files.push(CrashFile { path, size_bytes: info.size_bytes, modified_ns: info.modified_ns })
                }
                Kind::Folder if depth < DEPTH_MAX => folders.push((path, depth + 1)),
                Kind::Folder => tracing::warn!(path, "a crash folder is too deep and is left out"),
                Kind::Other => {}
            }
        }
        if files.len() > FILES_MAX {
            return Err(UsbError::protocol(format!("more than {FILES_MAX} crash files")));
        }
    }
    files.sort();
    Ok(files)
}

/// Copies a file to the rack: to a name beside `target` first, so that `target` is never half.
pub(crate) async fn pull(
    afc: &mut Afc,
    file: &CrashFile,
    target: &Path,
    silence: Duration,
) -> Result<(), UsbError> {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = target.with_file_name(name);
    let outcome = pull_to(afc, file, &part, silence).await;
    let outcome = match outcome {
        Ok(()) => keep(&part, target).await.map_err(|source| disk("keep", target, source)),
        failed => failed,
    };
    if outcome.is_err()
        && let Err(error) = tokio::fs::remove_file(&part).await
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %part.display(), %error, "cannot remove a half-copied crash file");
    }
    outcome
}

async fn pull_to(afc: &mut Afc, file: &CrashFile, part: &Path, silence: Duration) -> Result<(), UsbError> {
    let remote = format!("/{}", file.path);
    let mut local = File::create(part).await.map_err(|source| disk("create", part, source))?;
    let number = heard(silence, afc.open(&remote, Mode::Read)).await?;
    let mut copied = 0_u64;
    loop {
        let bytes = heard(silence, afc.read(number)).await?;
        if bytes.is_empty() {
            break;
        }
        copied += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if copied > file.size_bytes {
            break;
        }
        local.write_all(&bytes).await.map_err(|source| disk("write", part, source))?;
    }
    heard(silence, afc.close(number)).await?;
    if copied != file.size_bytes {
        let told = file.size_bytes;
        return Err(UsbError::protocol(format!(
            "{} was listed with {told} bytes and has {copied}",
            file.path
        )));
    }
    local.sync_all().await.map_err(|source| disk("sync", part, source))
}

/// Gives the copy its name, durably.
async fn keep(part: &Path, target: &Path) -> io::Result<()> {
    tokio::fs::rename(part, target).await?;
    match target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder).await?.sync_all().await,
        None => Ok(()),
    }
}

fn disk(action: &str, path: &Path, source: io::Error) -> UsbError {
    UsbError::Disk { action: format!("{action} {}", path.display()), source }
}

/// How many files wait, by the process that their names tell.
pub(crate) fn waiting(files: &[CrashFile]) -> BTreeMap<String, u32> {
    let mut waiting = BTreeMap::new();
    for process in files.iter().filter_map(|file| process(&file.path)) {
        *waiting.entry(process.to_owned()).or_insert(0) += 1;
    }
    waiting
}

/// The process of `Retired/Mooring-2026-11-21-033046.ips`; none of a file that is no report.
fn process(path: &str) -> Option<&str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let stem = name.strip_suffix(".synced").unwrap_or(name).strip_suffix(".ips")?;
    let dated = |at: &usize| {
        let mut rest = stem[at + 1..].bytes();
        let mut digits = |count| rest.by_ref().take(count).filter(u8::is_ascii_digit).count() == count;
        digits(4) && stem.as_bytes().get(at + 5) == Some(&b'-')
    };
    let end = stem.match_indices('-').map(|(at, _)| at).find(dated)?;
    // `Mooring.cpu_resource-2026-…` is about Mooring as well, and `ExcUserFault_Mooring-…` too.
    let name = stem[..end].split('.').next()?;
    Some(name.strip_prefix("ExcUserFault_").unwrap_or(name)).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_read_from_the_name() {
        let cases = [
            ("Mooring-2026-11-21-033046.ips", Some("Mooring")),
            ("Retired/Mooring-2026-11-21-033046.000.ips", Some("Mooring")),
            ("Mooring-2026-11-21-033046.ips.synced", Some("Mooring")),
            ("Two-Part Name-2026-11-21-033046.ips", Some("Two-Part Name")),
            ("Mooring.cpu_resource-2026-11-21-033046.ips", Some("Mooring")),
            ("ExcUserFault_Mooring-2026-11-21-033046.ips", Some("Mooring")),
            ("JetsamEvent-2026-11-21-033046.ips", Some("JetsamEvent")),
            ("Mooring-20.ips", None),
            ("log-aggregated.txt", None),
            ("-2026-11-21.ips", None),
        ];
        for (path, expected) in cases {
            assert_eq!(process(path), expected, "{path}");
        }
    }
}
