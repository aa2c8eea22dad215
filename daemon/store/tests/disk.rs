//! What the engine on disk does with locks, damage, other formats, dumps and its own size.
//! Kills and power cuts are in the powercut crate.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use holdfast_store::sled::{export, import};
use holdfast_store::{Key, MemoryStore, Op, Revision, SledStore, Store, StoreError};

fn key(name: &str) -> Key {
    Key::new(name).unwrap()
}

async fn filled(folder: &Path) -> SledStore {
    let store = SledStore::open(folder).await.unwrap();
    for name in ["job/1", "job/2", "phone/a"] {
        store.commit(vec![], vec![Op::put(key(name), format!("value of {name}"))]).await.unwrap();
    }
    store
}

/// Changes the bytes of the database behind the store's back, through sled itself.
fn tamper(folder: &Path, change: impl FnOnce(&sled::Db)) {
    // Threads of the database closed just before may hold its file a moment longer.
    let deadline = Instant::now() + Duration::from_secs(10);
    let db = loop {
        match sled::open(folder.join("sled")) {
            Ok(db) => break db,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::yield_now();
    };
    change(&db);
    db.flush().unwrap();
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
    let error = SledStore::open(home.path()).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Locked { holder, .. } if *holder == std::process::id().to_string()),
        "{error}"
    );
    store.close().await.unwrap();
    assert!(matches!(store.get(&key("job/1")).await, Err(StoreError::Stopped { .. })));
    SledStore::open(home.path()).await.unwrap();
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
                    SledStore::open(home.path()).await?.close().await?;
                }
                Ok(())
            });
        done.store(true, Ordering::Relaxed);
        opened.unwrap();
    });
}

#[tokio::test]
async fn damage_is_named_and_copied_aside_but_not_without_end() {
    type Change = fn(&sled::Db);
    let cases: [(&str, Change, &str); 6] = [
        ("value changed", |db| tweak(db, b"job/2"), "`job/2` is damaged"),
        ("record lost", |db| drop(db.remove(record(b"job/2")).unwrap()), "3 entries of"),
        ("record cut", |db| drop(db.insert(record(b"job/2"), &b"x"[..]).unwrap()), "`job/2` is cut short"),
        ("state lost", |db| drop(db.remove("state").unwrap()), "the state record is missing"),
        (
            "state damaged",
            |db| drop(db.insert("state", &b"holdfast"[..]).unwrap()),
            "state record is damaged",
        ),
        ("strange key", |db| drop(db.insert("xyz", &b"1"[..]).unwrap()), "`xyz` is not a record"),
    ];
    for (name, change, words) in cases {
        let home = tempfile::tempdir().unwrap();
        filled(home.path()).await.close().await.unwrap();
        tamper(home.path(), change);
        for attempt in 1..6 {
            let error = SledStore::open(home.path()).await.unwrap_err();
            let StoreError::Damaged { copy: Some(copy), .. } = &error else { panic!("{name}: {error}") };
            let text = error.to_string();
            assert!(text.contains(words) && text.contains("holdfast store import"), "{name}: {text}");
            assert!(text.contains(&copy.display().to_string()) && copy.join("db").exists(), "{name}: {text}");
            assert_eq!(copies(home.path()).len(), attempt.min(3), "{name}");
        }
    }
}

fn record(name: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b'e', u8::try_from(name.len()).unwrap()];
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(&[0, 0]);
    bytes
}

fn tweak(db: &sled::Db, name: &[u8]) {
    let mut bytes = db.get(record(name)).unwrap().unwrap().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    db.insert(record(name), bytes).unwrap();
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let home = tempfile::tempdir().unwrap();
    filled(home.path()).await.close().await.unwrap();
    tamper(home.path(), |db| {
        let mut state = db.get("state").unwrap().unwrap().to_vec();
        state[11] = 2;
        db.insert("state", state).unwrap();
    });
    let error = SledStore::open(home.path()).await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 2, supported: 1, .. }), "{error}");
    assert!(copies(home.path()).is_empty());
}

#[tokio::test]
async fn rubbish_in_the_files_is_an_error_and_never_a_panic() {
    for file in ["db", "conf"] {
        let home = tempfile::tempdir().unwrap();
        filled(home.path()).await.close().await.unwrap();
        let path = home.path().join("sled").join(file);
        let bytes = fs::read(&path).unwrap().len();
        fs::write(&path, vec![0xa5; bytes]).unwrap();
        let error = SledStore::open(home.path()).await.unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{file}: {error:?}");
        assert_eq!(copies(home.path()).len(), 1, "{file}");
    }
}

#[tokio::test]
async fn an_unfinished_snapshot_is_removed_before_sled_sees_it() {
    let home = tempfile::tempdir().unwrap();
    filled(home.path()).await.close().await.unwrap();
    fs::write(home.path().join("sled/snap.FFFFFFFFFFFFFFFF.generating"), b"half").unwrap();
    let store = SledStore::open(home.path()).await.unwrap();
    assert_eq!(store.revision().await.unwrap(), Revision(3));
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
    let imported = SledStore::open(other.path()).await.unwrap();
    assert_eq!(imported.scan_prefix(b"", None, usize::MAX).await.unwrap(), expected);
    let memory = MemoryStore::from_dump(dump.as_slice()).unwrap();
    assert_eq!(memory.scan_prefix(b"", None, usize::MAX).await.unwrap(), expected);
    imported.close().await.unwrap();

    let error = import(other.path(), dump.as_slice()).unwrap_err();
    assert!(matches!(error, StoreError::NotEmpty { entries: 4, .. }), "{error}");
    let fresh = tempfile::tempdir().unwrap();
    assert!(import(fresh.path(), &dump[..dump.len() - 1]).is_err());
    assert!(fs::read_dir(fresh.path()).unwrap().next().is_none(), "a refused dump leaves nothing behind");
    SledStore::open(fresh.path()).await.unwrap().close().await.unwrap();
    assert_eq!(import(fresh.path(), dump.as_slice()).unwrap(), written, "an empty store is replaced");
}

#[tokio::test]
async fn an_interrupted_compaction_is_settled_on_open() {
    let home = tempfile::tempdir().unwrap();
    filled(home.path()).await.close().await.unwrap();
    fs::rename(home.path().join("sled"), home.path().join("sled.old")).unwrap();
    fs::create_dir(home.path().join("sled.creating")).unwrap();
    let store = SledStore::open(home.path()).await.unwrap();
    assert_eq!(store.revision().await.unwrap(), Revision(3));
    assert!(!home.path().join("sled.creating").exists() && !home.path().join("sled.old").exists());
}

#[tokio::test]
async fn large_values_side_by_side_never_become_blobs_and_space_is_given_back() {
    let home = tempfile::tempdir().unwrap();
    let store = SledStore::open(home.path()).await.unwrap();
    for round in 0..12_u8 {
        for group in 0..3_u8 {
            let puts = (0..24).map(|i| Op::put(key(&format!("job/{group}/{i:02}")), vec![round; 32 * 1024]));
            store.commit(vec![], puts.collect()).await.unwrap();
        }
    }
    assert_eq!(fs::read_dir(home.path().join("sled/blobs")).unwrap().count(), 0, "sled never syncs a blob");
    let before = store.stats().await.unwrap();
    let after = store.compact().await.unwrap();
    assert!(after < before.file_bytes, "{before:?}, {after} after");
    assert_eq!((before.entries, store.revision().await.unwrap()), (72, Revision(36)));
    store.commit(vec![], vec![Op::delete(key("job/0/00"))]).await.unwrap();
    store.close().await.unwrap();
    let store = SledStore::open(home.path()).await.unwrap();
    assert_eq!(store.stats().await.unwrap().entries, 71);
}
