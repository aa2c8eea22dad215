//! What each phone has to obey, per rack, by version: agents ask for what changed since the version they know.
//! Who decides it is the brain; here it is only kept and handed out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_wire::id::{LeaseNumber, RackId, Udid};
use holdfast_wire::sync::{Order, PROTOCOL_WITH_YIELD, PhoneOrder, Version, Work, YieldWhen};
use tokio::sync::watch;

/// The orders of every rack. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    racks: BTreeMap<RackId, watch::Sender<RackOrders>>,
    /// The rack that was last told of a phone.
    told: BTreeMap<Udid, RackId>,
}

/// The orders of one rack.
#[derive(Debug, Clone, Default)]
pub struct RackOrders {
    version: Version,
    phones: BTreeMap<Udid, Obeyed>,
}

/// What one phone obeys.
#[derive(Debug, Clone)]
struct Obeyed {
    /// When it was ordered.
    version: Version,
    order: PhoneOrder,
    /// The last run order: an agent that does not know of yielding is told that one while the case goes on.
    run: Option<(LeaseNumber, Box<Work>)>,
}

impl RackOrders {
    /// The version of all of them.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Those that changed after `seen`, all of them after version 0, in the words of the agent's protocol.
    pub fn since(&self, seen: Version, protocol: u32) -> Vec<PhoneOrder> {
        let newer = self.phones.values().filter(|obeyed| obeyed.version > seen);
        newer
            .map(|obeyed| if protocol < PROTOCOL_WITH_YIELD { obeyed.plain() } else { obeyed.order.clone() })
            .collect()
    }
}

impl Obeyed {
    /// The order for an agent that knows neither yields nor staged attempts: it goes on to the end of its work, or
    /// loses it, and the next attempt is ordered when it has said that this one is over.
    fn plain(&self) -> PhoneOrder {
        let order = match &self.order.order {
            Order::Yield { lease, when, .. } => match (when, &self.run) {
                (YieldWhen::CaseDone, Some((given, work))) if given == lease => {
                    Order::Run { lease: *lease, work: work.clone() }
                }
                (YieldWhen::CaseDone | YieldWhen::AtOnce, _) => Order::Rest { through: *lease },
            },
            order @ (Order::Rest { .. } | Order::Run { .. }) => order.clone(),
        };
        PhoneOrder { phone: self.order.phone.clone(), order, next: None, withdrawn: None }
    }
}

impl Orders {
    /// Replaces the order of a phone. Those who wait for its rack's news are woken. A rack that the phone has left
    /// is no longer told of it, or a phone that comes back could be given an order that is long over.
    pub fn set(&self, rack: &RackId, order: PhoneOrder) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if inner.told.get(&order.phone) != Some(rack) {
            let left = inner.told.insert(order.phone.clone(), rack.clone());
            if let Some(left) = left.and_then(|left| inner.racks.get(&left)) {
                left.send_if_modified(|orders| {
                    orders.phones.remove(&order.phone);
                    false
                });
            }
        }
        inner.racks.entry(rack.clone()).or_default().send_modify(|orders| {
            orders.version = Version(orders.version.0 + 1);
            let before = orders.phones.remove(&order.phone).and_then(|obeyed| obeyed.run);
            let run = match &order.order {
                Order::Run { lease, work } => Some((*lease, work.clone())),
                Order::Yield { .. } => before,
                Order::Rest { .. } => None,
            };
            let phone = order.phone.clone();
            orders.phones.insert(phone, Obeyed { version: orders.version, order, run });
        });
    }

    /// Follows the orders of a rack.
    pub fn follow(&self, rack: &RackId) -> watch::Receiver<RackOrders> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.racks.entry(rack.clone()).or_default().subscribe()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use holdfast_wire::id::{AttemptId, JobId};
    use holdfast_wire::sync::{PROTOCOL, Staged};

    use super::*;

    fn rest(phone: &str, through: u64) -> PhoneOrder {
        let order = Order::Rest { through: LeaseNumber(through) };
        PhoneOrder { phone: phone.parse().unwrap(), order, next: None, withdrawn: None }
    }

    fn work() -> Box<Work> {
        let build = serde_json::json!({
            "hash": "00".repeat(32), "size_bytes": 1, "bundle_id": "a", "executable": "A", "version": "1",
            "build_number": "1", "uuids": [], "minimum_os": null,
        });
        let attempt = AttemptId { job: JobId(7), number: 1 };
        let work = serde_json::json!({
            "attempt": attempt, "class": "idle", "build": build, "cases": [], "limit_ms": 1_000,
        });
        Box::new(serde_json::from_value(work).unwrap())
    }

    #[test]
    fn only_what_changed_since_a_version_is_said_again() {
        let (orders, rack) = (Orders::default(), "r1".parse().unwrap());
        orders.set(&rack, rest("A", 1));
        orders.set(&rack, rest("B", 2));
        orders.set(&rack, rest("A", 3));
        let seen = |version| {
            let orders = orders.follow(&rack).borrow().since(Version(version), PROTOCOL);
            orders.iter().map(|order| order.phone.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(orders.follow(&rack).borrow().version(), Version(3));
        assert_eq!(seen(0), ["A", "B"]);
        assert_eq!(seen(2), ["A"]);
        assert!(seen(3).is_empty());
    }

    #[test]
    fn a_rack_is_not_told_of_a_phone_that_has_left_it() {
        let orders = Orders::default();
        let (old, new) = ("r1".parse().unwrap(), "r2".parse().unwrap());
        orders.set(&old, rest("A", 1));
        orders.set(&new, rest("A", 2));
        let told = |rack| orders.follow(rack).borrow().since(Version(0), PROTOCOL).len();
        assert_eq!((told(&old), told(&new)), (0, 1));
    }

    #[test]
    fn an_agent_that_knows_no_yield_is_told_to_go_on_or_to_rest() {
        let (orders, rack) = (Orders::default(), "r1".parse().unwrap());
        let phone: Udid = "A".parse().unwrap();
        let lease = LeaseNumber(4);
        let run = Order::Run { lease, work: work() };
        let staged = Some(Staged { lease: LeaseNumber(5), work: work() });
        let yields = |when| Order::Yield { lease, attempt: work().attempt, when };
        let table = [
            (run.clone(), run.clone()),
            (yields(YieldWhen::CaseDone), run.clone()),
            (yields(YieldWhen::AtOnce), Order::Rest { through: lease }),
        ];
        for (order, plain) in table {
            let new = PhoneOrder {
                phone: phone.clone(),
                order,
                next: staged.clone(),
                withdrawn: Some(LeaseNumber(4)),
            };
            orders.set(&rack, new.clone());
            let told = |protocol| orders.follow(&rack).borrow().since(Version(0), protocol);
            assert_eq!(told(PROTOCOL_WITH_YIELD), [new]);
            assert_eq!(
                told(1),
                [PhoneOrder { phone: phone.clone(), order: plain, next: None, withdrawn: None }]
            );
        }
    }
}
