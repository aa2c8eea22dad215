//! What every engine must do, held against a plain map: random histories of commits, scans, watches
//! and, where there is a disk, reopening. What engines survive is in the powercut crate.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::collections::BTreeMap;
use std::sync::Arc;

use holdfast_store::{
    Change, Condition, Entry, Event, Guard, Key, MemoryStore, Op, Page, Revision, SledStore, Store,
    StoreError,
};
use proptest::prelude::*;
use tokio::runtime::Runtime;

/// An engine under test: how to make one, and what reopening means for it.
trait Engine {
    type Store: Store;
    type Home;
    fn home() -> Self::Home;
    async fn open(home: &Self::Home) -> Self::Store;
    async fn reopen(store: Self::Store, home: &Self::Home) -> Self::Store;
}

struct Memory;

impl Engine for Memory {
    type Store = MemoryStore;
    type Home = ();
    fn home() {}
    async fn open((): &()) -> MemoryStore {
        MemoryStore::new()
    }
    async fn reopen(store: MemoryStore, (): &()) -> MemoryStore {
        store
    }
}

struct Sled;

impl Engine for Sled {
    type Store = SledStore;
    type Home = tempfile::TempDir;
    fn home() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }
    async fn open(home: &tempfile::TempDir) -> SledStore {
        SledStore::open(home.path()).await.unwrap()
    }
    async fn reopen(store: SledStore, home: &tempfile::TempDir) -> SledStore {
        store.close().await.unwrap();
        Self::open(home).await
    }
}

/// A second engine for the model tests that compacts wherever the other ones reopen.
struct Compacted;

impl Engine for Compacted {
    type Store = SledStore;
    type Home = tempfile::TempDir;
    fn home() -> tempfile::TempDir {
        Sled::home()
    }
    async fn open(home: &tempfile::TempDir) -> SledStore {
        Sled::open(home).await
    }
    async fn reopen(store: SledStore, _: &tempfile::TempDir) -> SledStore {
        store.compact().await.unwrap();
        store
    }
}

/// The plain map that says what is right.
#[derive(Default)]
struct Model {
    revision: u64,
    map: BTreeMap<Vec<u8>, (Vec<u8>, u64)>,
    history: Vec<Change>,
}

impl Model {
    /// The revision afterwards, or the guard that does not hold.
    fn commit(&mut self, guards: &[Guard], ops: &[Op]) -> Result<u64, usize> {
        for (index, guard) in guards.iter().enumerate() {
            let found = self.map.get(guard.key.as_bytes()).map(|(_, version)| *version);
            let holds = match guard.condition {
                Condition::Absent => found.is_none(),
                Condition::Present => found.is_some(),
                Condition::Version(Revision(version)) => found == Some(version),
            };
            if !holds {
                return Err(index);
            }
        }
        if ops.is_empty() {
            return Ok(self.revision);
        }
        self.revision += 1;
        let mut events = Vec::new();
        for op in ops {
            match op {
                Op::Put { key, value } => {
                    self.map.insert(key.to_vec(), (value.clone(), self.revision));
                    events.push(Event::Put { key: key.clone(), value: value.clone().into() });
                }
                Op::Delete { key } => {
                    if self.map.remove(key.as_bytes()).is_some() {
                        events.push(Event::Delete { key: key.clone() });
                    }
                }
            }
        }
        self.history.push(Change { revision: Revision(self.revision), events });
        Ok(self.revision)
    }

    fn scan(&self, prefix: &[u8], after: Option<&Key>, limit: usize) -> Page {
        let entries = self.map.iter().filter(|(key, _)| {
            key.starts_with(prefix) && after.is_none_or(|after| key.as_slice() > after.as_bytes())
        });
        let entries = entries.take(limit).map(|(key, (value, version))| Entry {
            key: Key::new(key.clone()).unwrap(),
            value: value.clone().into(),
            version: Revision(*version),
        });
        Page { entries: entries.collect(), revision: Revision(self.revision) }
    }

    fn changes(&self, prefix: &[u8], from: u64) -> Vec<Change> {
        let changes = self.history.iter().filter(|change| change.revision.0 >= from).map(|change| Change {
            revision: change.revision,
            events: change.events.iter().filter(|event| event.key().starts_with(prefix)).cloned().collect(),
        });
        changes.filter(|change| !change.events.is_empty()).collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Commit { guards: Vec<(usize, u8)>, ops: Vec<(usize, Option<usize>)> },
    Scan { prefix: usize, after: Option<usize>, limit: usize },
    Watch { prefix: usize, back: u64 },
    Reopen,
}

const PREFIXES: [&[u8]; 5] = [b"", b"job/", b"job/\0", b"phone/", b"phone/\xff"];
const SIZES: [usize; 7] = [0, 1, 300, 4067, 4069, 9000, holdfast_store::VALUE_BYTES_MAX];

/// Keys that are prefixes of one another, hold zeros and end in 0xff.
fn key(index: usize) -> Key {
    let bytes = match index % 12 {
        0 => b"job/".to_vec(),
        1 => b"job/\0".to_vec(),
        2 => b"job/\0\0".to_vec(),
        3 => b"job/\x01".to_vec(),
        4 => b"job".to_vec(),
        5 => b"phone/\xff".to_vec(),
        6 => b"phone/\xff\xff".to_vec(),
        7 => b"phone/a".to_vec(),
        8 => vec![0xff; holdfast_store::KEY_BYTES_MAX],
        9 => vec![0],
        10 => b"k".to_vec(),
        _ => format!("job/{index}").into_bytes(),
    };
    Key::new(bytes).unwrap()
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let guards = prop::collection::vec((0..12_usize, 0..4_u8), 0..3);
    let op = (0..24_usize, prop::option::weighted(0.7, 0..SIZES.len()));
    let ops = prop::collection::vec(op, 0..6);
    let step = prop_oneof![
        8 => (guards, ops).prop_map(|(guards, ops)| Step::Commit { guards, ops }),
        3 => (0..PREFIXES.len(), prop::option::of(0..12_usize), 0..6_usize)
            .prop_map(|(prefix, after, limit)| Step::Scan { prefix, after, limit }),
        1 => (0..PREFIXES.len(), 0..8_u64).prop_map(|(prefix, back)| Step::Watch { prefix, back }),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

/// Runs a history on an engine and on the model; any difference fails.
async fn run<E: Engine>(steps: Vec<Step>) {
    let home = E::home();
    let mut store = E::open(&home).await;
    let mut model = Model::default();
    // Changes before the last reopening are no longer remembered by an engine on disk.
    let mut remembered_from = 1;
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Commit { guards, ops } => commit(&store, &mut model, number, guards, ops).await,
            Step::Scan { prefix, after, limit } => {
                let after = after.map(key);
                let found = store.scan_prefix(PREFIXES[prefix], after.as_ref(), limit).await.unwrap();
                assert_eq!(found, model.scan(PREFIXES[prefix], after.as_ref(), limit));
                let last = model.scan(PREFIXES[prefix], None, usize::MAX).entries.pop();
                assert_eq!(store.last(PREFIXES[prefix]).await.unwrap(), last);
            }
            Step::Watch { prefix, back } => {
                let from = (model.revision + 1).saturating_sub(back).max(remembered_from);
                let mut watch = store.watch_prefix(PREFIXES[prefix], Revision(from)).await.unwrap();
                for expected in model.changes(PREFIXES[prefix], from) {
                    assert_eq!(watch.next().await.unwrap(), expected);
                }
            }
            Step::Reopen => {
                store = E::reopen(store, &home).await;
                remembered_from = model.revision + 1;
            }
        }
        assert_eq!(store.revision().await.unwrap(), Revision(model.revision));
    }
    store = E::reopen(store, &home).await;
    let all = store.scan_prefix(b"", None, usize::MAX).await.unwrap();
    assert_eq!(all, model.scan(b"", None, usize::MAX));
    for entry in all.entries {
        assert_eq!(store.get(&entry.key).await.unwrap(), Some(entry));
    }
}

async fn commit(
    store: &impl Store,
    model: &mut Model,
    number: usize,
    guards: Vec<(usize, u8)>,
    ops: Vec<(usize, Option<usize>)>,
) {
    let guards: Vec<Guard> = guards
        .into_iter()
        .map(|(index, kind)| {
            let key = key(index);
            let version = model.map.get(key.as_bytes()).map_or(0, |(_, version)| *version);
            let condition = match kind {
                0 => Condition::Absent,
                1 => Condition::Present,
                2 => Condition::Version(Revision(version)),
                _ => Condition::Version(Revision(version + 1)),
            };
            Guard { key, condition }
        })
        .collect();
    let ops: BTreeMap<Key, Op> = ops
        .into_iter()
        .map(|(index, size)| {
            let key = key(index);
            let op = match size {
                Some(size) => Op::put(key.clone(), vec![u8::try_from(number % 256).unwrap(); SIZES[size]]),
                None => Op::delete(key.clone()),
            };
            (key, op)
        })
        .collect();
    let ops: Vec<Op> = ops.into_values().collect();
    match (store.commit(guards.clone(), ops.clone()).await, model.commit(&guards, &ops)) {
        (Ok(revision), Ok(expected)) => assert_eq!(revision, Revision(expected)),
        (Err(StoreError::Conflict { key, expected, .. }), Err(index)) => {
            assert_eq!((key, expected), (guards[index].key.to_string(), guards[index].condition));
        }
        (found, expected) => panic!("{found:?} instead of {expected:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn memory_is_the_model(steps in steps()) {
        Runtime::new().unwrap().block_on(run::<Memory>(steps));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn sled_is_the_model(steps in steps()) {
        Runtime::new().unwrap().block_on(run::<Sled>(steps));
    }

    #[test]
    fn sled_is_the_model_when_compacted(steps in steps()) {
        Runtime::new().unwrap().block_on(run::<Compacted>(steps));
    }
}

/// Sizes beyond the limits are refused alike, and nothing changes.
async fn refuses_what_is_too_large<E: Engine>() {
    let home = E::home();
    let store = E::open(&home).await;
    let too_many = holdfast_store::TRANSACTION_BYTES_MAX / holdfast_store::VALUE_BYTES_MAX;
    let put = |index: usize, bytes: usize| Op::put(Key::new(format!("k{index}")).unwrap(), vec![0; bytes]);
    for (name, ops, words) in [
        ("value", vec![put(7, holdfast_store::VALUE_BYTES_MAX + 1)], "`k7`"),
        ("twice", vec![put(1, 0), Op::delete(Key::new("k1").unwrap())], "`k1` twice"),
        ("ops", (0..=holdfast_store::OPS_MAX).map(|index| put(index, 0)).collect(), "split the transaction"),
        (
            "bytes",
            (0..=too_many).map(|index| put(index, holdfast_store::VALUE_BYTES_MAX)).collect(),
            "split the transaction",
        ),
    ] {
        let error = store.commit(vec![], ops).await.unwrap_err().to_string();
        assert!(error.contains(words), "{name}: {error}");
    }
    assert_eq!(store.revision().await.unwrap(), Revision::ZERO);
}

/// Of many who guard by the same version, one wins each round, and no increment is lost.
async fn counts_without_loss<E: Engine>() {
    const WRITERS: u64 = 8;
    const EACH: u64 = 25;
    let home = E::home();
    let store = Arc::new(E::open(&home).await);
    let counter = Key::new("counter").unwrap();
    store.commit(vec![Guard::absent(counter.clone())], vec![Op::put(counter.clone(), "0")]).await.unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let (store, counter) = (Arc::clone(&store), counter.clone());
            tokio::spawn(async move {
                for _ in 0..EACH {
                    loop {
                        let entry = store.get(&counter).await.unwrap().unwrap();
                        let count: u64 = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
                        let guards = vec![Guard::version(counter.clone(), entry.version)];
                        let ops = vec![Op::put(counter.clone(), (count + 1).to_string())];
                        match store.commit(guards, ops).await {
                            Ok(_) => break,
                            Err(StoreError::Conflict { .. }) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let entry = store.get(&counter).await.unwrap().unwrap();
    assert_eq!(*entry.value, *(WRITERS * EACH).to_string().as_bytes());
    assert_eq!(store.revision().await.unwrap(), Revision(WRITERS * EACH + 1));
}

/// A watcher that waits is woken by a commit, and sees only its prefix.
async fn wakes_a_watcher<E: Engine>() {
    let home = E::home();
    let store = Arc::new(E::open(&home).await);
    let mut watch = store.watch_prefix(b"job/", Revision(1)).await.unwrap();
    let waiting = tokio::spawn(async move { watch.next().await });
    for name in ["phone/a", "job/a"] {
        store.commit(vec![], vec![Op::put(Key::new(name).unwrap(), "x")]).await.unwrap();
    }
    let change = waiting.await.unwrap().unwrap();
    assert_eq!(change.revision, Revision(2));
    assert_eq!(change.events, [Event::Put { key: Key::new("job/a").unwrap(), value: b"x"[..].into() }]);
}

macro_rules! for_each_engine {
    ($($name:ident),*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name::<super::Memory>().await; })*
        }
        mod sled {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name::<super::Sled>().await; })*
        }
    };
}

for_each_engine!(refuses_what_is_too_large, counts_without_loss, wakes_a_watcher);
