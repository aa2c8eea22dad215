//! The crash folder of a phone: listing, copying, deleting. What a report says is the daemon's to read.

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

/// Most files listed at once: a phone on which reports were never collected has some thousands. The others are listed
/// when these are gone.
const FILES_MAX: usize = 5_000;

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
            if files.len() >= FILES_MAX {
                tracing::warn!(files = FILES_MAX, "the phone has more crash files than are listed at once");
                files.sort();
                return Ok(files);
            }
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
    }
    files.sort();
    Ok(files)
}

/// Deletes a file. One that is gone already is fine, and so is another of its name, which stays: nobody has a copy of
/// that one.
pub(crate) async fn delete(afc: &mut Afc, file: &CrashFile) -> Result<(), UsbError> {
    let path = format!("/{}", file.path);
    match afc.info(&path).await {
        Ok(info) if (info.size_bytes, info.modified_ns) == (file.size_bytes, file.modified_ns) => {
            afc.remove(&path).await
        }
        Ok(_another) => Ok(()),
        Err(UsbError::Afc { status: afc_status::NOT_FOUND, .. }) => Ok(()),
        Err(error) => Err(error),
    }
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
        // Its bytes are synced; whoever keeps it gives it a lasting name.
        Ok(()) => tokio::fs::rename(&part, target).await.map_err(|source| disk("keep", target, source)),
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

fn disk(action: &str, path: &Path, source: io::Error) -> UsbError {
    UsbError::Disk { action: format!("{action} {}", path.display()), source }
}
