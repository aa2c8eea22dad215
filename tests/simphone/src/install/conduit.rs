//! `com.apple.streaming_zip_conduit`: one property list, then the files of a package as stored archive entries, then
//! the answer of the installation. The order of bytes is that of go-ios and of appium-ios-remotexpc, whose uploads
//! real phones take.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plist::{Dictionary, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::package::text;
use super::proxy::{Staged, broken, progress, start_install};
use super::refusal::Refusal;
use super::unpack::{Unpacked, place};
use crate::framing;
use crate::phone::Phone;
use crate::service::{BoxStream, ServiceError};

/// The signature of an entry with its file behind it.
const LOCAL_ENTRY: u32 = 0x0403_4b50;
/// The signature that begins the list of entries: no more files come.
const CENTRAL_DIRECTORY: u32 = 0x0201_4b50;
/// Files travel in pieces of this size from the connection to the disk.
const PIECE_BYTES: usize = 256 * 1024;
/// Longer names cannot be paths of iOS.
const NAME_BYTES_MAX: u16 = 1024;

/// One entry's header.
struct Entry {
    name: String,
    bytes: u64,
}

/// Serves one connection.
pub(super) async fn serve(mut stream: BoxStream, phone: Arc<Phone>) -> Result<(), ServiceError> {
    let Some(Value::Dictionary(start)) = framing::read(&mut stream).await? else {
        return Err(ServiceError::protocol("streaming_zip_conduit expects a dictionary first"));
    };
    tokio::time::sleep(phone.faults.latency()).await;
    let folder = match staging(&phone, &start) {
        Ok(folder) => folder,
        Err(refusal) => return refuse(&mut stream, &refusal).await,
    };
    let mut received = Unpacked::default();
    let done = receive(&mut stream, &phone, &folder, &mut received).await;
    // The installation takes its own copy of the bytes, and the folder goes when it is over.
    let answered = match done {
        Ok(Ok(())) if start.get("InstallTransferredDirectory").is_some_and(is_true) => {
            install(&mut stream, &phone, &folder).await
        }
        Ok(Ok(())) => data_complete(&mut stream).await,
        Ok(Err(refusal)) => refuse(&mut stream, &refusal).await,
        Err(error) => Err(error),
    };
    phone.disk.release(received.bytes);
    if let Err(error) = tokio::fs::remove_dir_all(&folder).await
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, folder = %folder.display(), "cannot remove a transferred package");
    }
    answered
}

/// The new folder of the media folder that the client named.
fn staging(phone: &Phone, start: &Dictionary) -> Result<PathBuf, Refusal> {
    let named = text(start, "MediaSubdir").unwrap_or_else(|| "PublicStaging/conduit".to_owned());
    let mut folder = place(&phone.disk.media(), named.trim_start_matches('/'))?;
    // An `.app` as the folder's name would be taken for the bundle itself; the package lies one level deeper.
    if folder.extension().is_some_and(|extension| extension == "app") {
        folder.set_extension("package");
    }
    std::fs::create_dir_all(&folder).map_err(|error| Refusal::internal("making the folder", &error))?;
    Ok(folder)
}

/// Takes files until the central directory begins. The inner error is for the client.
async fn receive(
    stream: &mut BoxStream,
    phone: &Phone,
    folder: &Path,
    received: &mut Unpacked,
) -> Result<Result<(), Refusal>, ServiceError> {
    loop {
        let entry = match next_entry(stream).await? {
            Ok(Some(entry)) => entry,
            Ok(None) => return Ok(Ok(())),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let place = match place(folder, &entry.name) {
            Ok(place) => place,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let io = ServiceError::io("storing a transferred file");
        if entry.name.ends_with('/') {
            tokio::fs::create_dir_all(&place).await.map_err(io)?;
            continue;
        }
        if let Err(refusal) = received.take(&phone.disk, entry.bytes) {
            return Ok(Err(refusal));
        }
        store(stream, &place, entry.bytes).await.map_err(io)?;
    }
}

/// Reads the next entry's header; `None` at the end of the files.
async fn next_entry(stream: &mut BoxStream) -> Result<Result<Option<Entry>, Refusal>, ServiceError> {
    let io = || ServiceError::io("reading an entry of the transfer");
    match stream.read_u32_le().await.map_err(io())? {
        CENTRAL_DIRECTORY => return Ok(Ok(None)),
        LOCAL_ENTRY => {}
        other => {
            return Ok(Err(Refusal::extraction(format!("{other:#010x} does not begin an entry"))));
        }
    }
    // Version, flags, method, time, date, checksum, both sizes, and the lengths of name and extra field.
    let mut header = [0_u8; 26];
    stream.read_exact(&mut header).await.map_err(io())?;
    let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let long = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (method, packed, bytes) = (short(4), long(14), long(18));
    let (name_bytes, extra_bytes) = (short(22), short(24));
    if method != 0 || packed != bytes {
        return Ok(Err(Refusal::extraction("only stored entries are taken, not compressed ones")));
    }
    if name_bytes > NAME_BYTES_MAX {
        return Ok(Err(Refusal::extraction("an entry's name is too long")));
    }
    let mut name = vec![0_u8; name_bytes.into()];
    stream.read_exact(&mut name).await.map_err(io())?;
    let mut extra = vec![0_u8; extra_bytes.into()];
    stream.read_exact(&mut extra).await.map_err(io())?;
    let name = String::from_utf8_lossy(&name).into_owned();
    Ok(Ok(Some(Entry { name, bytes: bytes.into() })))
}

async fn store(stream: &mut BoxStream, place: &Path, bytes: u64) -> std::io::Result<()> {
    if let Some(folder) = place.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let mut file = tokio::fs::File::create(place).await?;
    let mut piece = vec![0_u8; PIECE_BYTES];
    let mut left = bytes;
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let got = stream.read(&mut piece[..want]).await?;
        if got == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        file.write_all(&piece[..got]).await?;
        left -= got as u64;
    }
    file.flush().await
}

async fn install(stream: &mut BoxStream, phone: &Arc<Phone>, folder: &Path) -> Result<(), ServiceError> {
    let (mut steps, work) = start_install(phone, folder.to_owned(), Staged::Leave);
    while let Some(step) = steps.recv().await {
        tell(stream, progress(step)).await?;
    }
    match work.await.map_err(broken)? {
        Ok(_) => {
            let mut last = Dictionary::new();
            last.insert("Status".to_owned(), "Complete".into());
            last.insert("PercentComplete".to_owned(), 100_u64.into());
            tell(stream, last).await?;
            data_complete(stream).await
        }
        Err(refusal) => refuse(stream, &refusal).await,
    }
}

async fn tell(stream: &mut BoxStream, progress: Dictionary) -> Result<(), ServiceError> {
    let mut reply = Dictionary::new();
    reply.insert("InstallProgressDict".to_owned(), Value::Dictionary(progress));
    framing::write_xml(stream, &reply).await
}

async fn refuse(stream: &mut BoxStream, refusal: &Refusal) -> Result<(), ServiceError> {
    tell(stream, refusal.reply()).await
}

async fn data_complete(stream: &mut BoxStream) -> Result<(), ServiceError> {
    let mut reply = Dictionary::new();
    reply.insert("Status".to_owned(), "DataComplete".into());
    framing::write_xml(stream, &reply).await
}

fn is_true(value: &Value) -> bool {
    value.as_boolean() == Some(true) || value.as_unsigned_integer() == Some(1)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;
    use crate::identity::{Identity, IosVersion, MODELS};

    /// A stored entry as go-ios sends it, with this method and name.
    fn entry(method: u16, name: &str, bytes: &[u8]) -> Vec<u8> {
        let size = u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let mut entry = LOCAL_ENTRY.to_le_bytes().to_vec();
        entry.extend_from_slice(&[20, 0, 0, 0]);
        entry.extend_from_slice(&method.to_le_bytes());
        entry.extend_from_slice(&[0; 8]);
        entry.extend_from_slice(&[size, size].concat());
        entry.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
        entry.extend_from_slice(&[0, 0]);
        entry.extend_from_slice(name.as_bytes());
        entry.extend_from_slice(bytes);
        entry
    }

    /// Sends a package and gives back the last reply of the phone.
    async fn send(phone: &Arc<Phone>, entries: &[Vec<u8>]) -> Option<Dictionary> {
        let (mut client, stream) = tokio::io::duplex(1 << 20);
        let serving = tokio::spawn(serve(Box::new(stream), Arc::clone(phone)));
        let mut start = Dictionary::new();
        start.insert("MediaSubdir".to_owned(), "PublicStaging/Mooring.app".into());
        start.insert("InstallTransferredDirectory".to_owned(), 1_u64.into());
        framing::write_xml(&mut client, &start).await.unwrap();
        client.write_all(&entries.concat()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut last = None;
        while let Some(reply) = framing::read(&mut client).await.unwrap() {
            last = reply.into_dictionary();
        }
        // How the connection ended shows in what was told.
        let _ended = serving.await.unwrap();
        last
    }

    #[tokio::test]
    async fn packages_that_lie_are_refused_and_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let ios = IosVersion { major: 16, minor: 7, patch: 2 };
        let identity = Identity::at_position(0, &MODELS[0], ios);
        let phone = Arc::new(Phone::new(identity, folder.path().join("phone")).unwrap().0);
        let free = phone.disk.free_bytes();
        let end = CENTRAL_DIRECTORY.to_le_bytes().to_vec();
        let plain = entry(0, "Payload/x", b"x");
        let mut longer = entry(0, "Payload/x", b"x");
        longer[18..26].copy_from_slice(&[0xff; 8]);
        for (why, entries, told) in [
            ("outside", vec![entry(0, "../../outside", b"x"), end.clone()], Some("leaves the package")),
            ("absolute", vec![entry(0, "/outside", b"x"), end.clone()], Some("leaves the package")),
            ("compressed", vec![entry(8, "Payload/x", b"x"), end.clone()], Some("only stored")),
            ("no entry", vec![plain.clone(), b"nonsense".to_vec()], Some("does not begin an entry")),
            ("no app", vec![plain.clone(), end.clone()], Some("Payload/*.app")),
            ("cut", vec![plain.clone(), LOCAL_ENTRY.to_le_bytes().to_vec()], None),
            ("too short", vec![longer], None),
        ] {
            let reply = send(&phone, &entries).await;
            let progress = reply.as_ref().and_then(|reply| reply.get("InstallProgressDict"));
            let description = progress
                .and_then(Value::as_dictionary)
                .and_then(|progress| text(progress, "ErrorDescription"));
            assert_eq!(description.is_some(), told.is_some(), "{why}: {reply:?}");
            assert!(description.unwrap_or_default().contains(told.unwrap_or_default()), "{why}: {reply:?}");
            assert_eq!(phone.disk.free_bytes(), free, "{why} gives back every byte");
        }
        assert!(!folder.path().join("outside").exists());
        assert_eq!(std::fs::read_dir(phone.disk.media().join("PublicStaging")).unwrap().count(), 0);
    }
}
