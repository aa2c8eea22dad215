//! What the engine on disk does with locks, damage, other formats, dumps and its own size.
//! Kills and power cuts are in the powercut crate.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_store::disk::{export, import};
use holdfast_store::{DiskStore, Key, MemoryStore, Op, Revision, Store, StoreError};

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

async fn filled(folder: &Path) -> DiskStore {
    let store = DiskStore::open(folder).await.unwrap();
    for name in ["job/1", "job/2", "phone/a"] {
        store.commit(vec![], vec![Op::put(key(name), format!("value of {name}"))]).await.unwrap();
    }
    store
}

/// Changes the bytes of the journal behind the store's back.
fn tamper(folder: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let path = folder.join("journal/journal");
    let mut bytes = fs::read(&path).unwrap();
    change(&mut bytes);
    fs::write(&path, bytes).unwrap();
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|window| window == what).unwrap()
}

fn copies(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut copies: Vec<PathBuf> =
        entries.filter(|path| path.to_string_lossy().contains(".damaged")).collect();
    copies.sort();
    copies
}

#[tokio::test]
async fn a_second_opener_is_told_who_holds_the_folder() {
    let home = tempfile::tempdir().unwrap();
    let store = filled(home.path()).await;
    let error = DiskStore::open(home.path()).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Locked { holder, .. } if *holder == std::process::id().to_string()),
        "{error}"
    );
    store.close().await.unwrap();
    assert!(matches!(store.get(&key("job/1")).await, Err(StoreError::Stopped { .. })));
    DiskStore::open(home.path()).await.unwrap();
}

#[test]
fn a_closed_store_lets_go_although_children_are_being_started() {
    let home = tempfile::tempdir().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                std::process::Command::new("true").status().unwrap();
            }
        });
        let opened: Result<(), StoreError> =
            tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
                for _ in 0..200 {
                    DiskStore::open(home.path()).await?.close().await?;
                }
                Ok(())
            });
        done.store(true, Ordering::Relaxed);
        opened.unwrap();
    });
}

#[tokio::test]
async fn damage_is_named_and_copied_aside_but_not_without_end() {
    type Change = fn(&mut Vec<u8>);
    let cases: [(&str, Change, &str); 6] = [
        (
            "value changed",
            |bytes| {
                let at = find(bytes, b"value of job/2");
                bytes[at] ^= 1;
            },
            "damaged at byte",
        ),
        (
            "group lost",
            |bytes| {
                let at = find(bytes, b"value of job/2");
                bytes.drain(at..at + 10);
            },
            "damaged at byte",
        ),
        (
            "zeros inside",
            |bytes| {
                let at = find(bytes, b"value of job/1");
                bytes[at..at + 60].fill(0);
            },
            "damaged at byte",
        ),
        ("cut to its head", |bytes| bytes.truncate(12), "damaged at byte 12"),
        ("head damaged", |bytes| bytes[0] ^= 1, "head of its journal is damaged"),
        ("empty", Vec::clear, "head of its journal is damaged"),
    ];
    for (name, change, words) in cases {
        let home = tempfile::tempdir().unwrap();
        filled(home.path()).await.close().await.unwrap();
        tamper(home.path(), change);
        for attempt in 1..6 {
            let error = DiskStore::open(home.path()).await.unwrap_err();
            let StoreError::Damaged { copy: Some(copy), .. } = &error else { panic!("{name}: {error}") };
            let text = error.to_string();
            assert!(text.contains(words) && text.contains("holdfast store import"), "{name}: {text}");
            assert!(text.contains(&copy.display().to_string()), "{name}: {text}");
            assert!(copy.join("journal").exists(), "{name}: {text}");
            assert_eq!(copies(home.path()).len(), attempt.min(3), "{name}");
        }
    }
}

#[tokio::test]
async fn a_group_that_is_half_on_the_disk_never_happened_and_is_no_damage() {
    let home = tempfile::tempdir().unwrap();
    let mut length = 0;
    filled(home.path()).await.close().await.unwrap();
    tamper(home.path(), |bytes| length = bytes.len());
    let last = 130;
    for kept in [length - 1, length - 20, length - last + 60] {
        let copy = tempfile::tempdir().unwrap();
        fs::create_dir(copy.path().join("journal")).unwrap();
        fs::copy(home.path().join("journal/journal"), copy.path().join("journal/journal")).unwrap();
        tamper(copy.path(), |bytes| bytes[kept..].fill(0));
        let store = DiskStore::open(copy.path()).await.unwrap();
        assert_eq!(store.revision().await.unwrap(), Revision(2), "{kept} of {length}");
        store.commit(vec![], vec![Op::put(key("phone/b"), "again")]).await.unwrap();
        store.close().await.unwrap();
        let store = DiskStore::open(copy.path()).await.unwrap();
        assert_eq!(store.stats().await.unwrap().entries, 3);
        assert!(store.get(&key("phone/b")).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let home = tempfile::tempdir().unwrap();
    filled(home.path()).await.close().await.unwrap();
    tamper(home.path(), |bytes| bytes[11] = 2);
    let error = DiskStore::open(home.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 2, supported: 1, .. }), "{error}");
    assert!(copies(home.path()).is_empty());
}

#[tokio::test]
async fn rubbish_in_the_file_is_an_error_and_never_a_panic() {
    let home = tempfile::tempdir().unwrap();
    filled(home.path()).await.close().await.unwrap();
    tamper(home.path(), |bytes| bytes.fill(0xa5));
    let error = DiskStore::open(home.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert_eq!(copies(home.path()).len(), 1);
}

#[tokio::test]
async fn a_dump_brings_back_everything_versions_included() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = filled(home.path()).await;
    store.commit(vec![], vec![Op::put(key("phone/b"), vec![0xff; 32 * 1024])]).await.unwrap();
    let mut dump = Vec::new();
    let written = export(&store, &mut dump).unwrap();
    assert_eq!(import(other.path(), dump.as_slice()).unwrap(), written);
    let expected = store.scan_prefix(b"", None, usize::MAX).await.unwrap();
    let imported = DiskStore::open(other.path()).await.unwrap();
    assert_eq!(imported.scan_prefix(b"", None, usize::MAX).await.unwrap(), expected);
    let memory = MemoryStore::from_dump(dump.as_slice()).unwrap();
    assert_eq!(memory.scan_prefix(b"", None, usize::MAX).await.unwrap(), expected);
    imported.close().await.unwrap();

    let error = import(other.path(), dump.as_slice()).unwrap_err();
    assert!(matches!(error, StoreError::NotEmpty { entries: 4, .. }), "{error}");
    let fresh = tempfile::tempdir().unwrap();
    assert!(import(fresh.path(), &dump[..dump.len() - 1]).is_err());
    assert!(fs::read_dir(fresh.path()).unwrap().next().is_none(), "a refused dump leaves nothing behind");
    DiskStore::open(fresh.path()).await.unwrap().close().await.unwrap();
    assert_eq!(import(fresh.path(), dump.as_slice()).unwrap(), written, "an empty store is replaced");
}

#[tokio::test]
async fn an_interrupted_compaction_is_settled_on_open() {
    let home = tempfile::tempdir().unwrap();
    filled(home.path()).await.close().await.unwrap();
    fs::rename(home.path().join("journal"), home.path().join("journal.old")).unwrap();
    fs::create_dir(home.path().join("journal.creating")).unwrap();
    let store = DiskStore::open(home.path()).await.unwrap();
    assert_eq!(store.revision().await.unwrap(), Revision(3));
    assert!(!home.path().join("journal.creating").exists() && !home.path().join("journal.old").exists());
}

#[tokio::test]
async fn large_values_stay_whole_and_space_is_given_back() {
    let home = tempfile::tempdir().unwrap();
    let store = DiskStore::open(home.path()).await.unwrap();
    for round in 0..12_u8 {
        for group in 0..3_u8 {
            let puts = (0..24).map(|i| Op::put(key(&format!("job/{group}/{i:02}")), vec![round; 32 * 1024]));
            store.commit(vec![], puts.collect()).await.unwrap();
        }
    }
    let before = store.stats().await.unwrap();
    let after = store.compact().await.unwrap();
    assert!(after < before.file_bytes, "{before:?}, {after} after");
    assert_eq!((before.entries, store.revision().await.unwrap()), (72, Revision(36)));
    store.commit(vec![], vec![Op::delete(key("job/0/00"))]).await.unwrap();
    store.close().await.unwrap();
    let store = DiskStore::open(home.path()).await.unwrap();
    assert_eq!(store.stats().await.unwrap().entries, 71);
}
