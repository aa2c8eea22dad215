//! What each phone has to obey, per rack, by version: agents ask for what changed since the version they know.
//! Who decides it is the brain; here it is only kept and handed out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_wire::id::{RackId, Udid};
use holdfast_wire::sync::{Order, PhoneOrder, Version};
use tokio::sync::watch;

/// The orders of every rack. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    racks: Arc<Mutex<BTreeMap<RackId, watch::Sender<RackOrders>>>>,
}

/// The orders of one rack.
#[derive(Debug, Clone, Default)]
pub struct RackOrders {
    version: Version,
    phones: BTreeMap<Udid, (Version, Order)>,
}

impl RackOrders {
    /// The version of all of them.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Those that changed after `seen`; all of them after version 0.
    pub fn since(&self, seen: Version) -> Vec<PhoneOrder> {
        let newer = self.phones.iter().filter(|(_, (version, _))| *version > seen);
        newer.map(|(phone, (_, order))| PhoneOrder { phone: phone.clone(), order: order.clone() }).collect()
    }
}

impl Orders {
    /// Replaces the order of a phone. Those who wait for its rack's news are woken. A rack that the phone has left
    /// is no longer told of it, or a phone that comes back could be given an order that is long over.
    pub fn set(&self, rack: &RackId, phone: Udid, order: Order) {
        let mut racks = self.racks.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, left) in racks.iter().filter(|(other, _)| *other != rack) {
            left.send_if_modified(|orders| {
                orders.phones.remove(&phone);
                false
            });
        }
        racks.entry(rack.clone()).or_default().send_modify(|orders| {
            orders.version = Version(orders.version.0 + 1);
            orders.phones.insert(phone, (orders.version, order));
        });
    }

    /// Follows the orders of a rack.
    pub fn follow(&self, rack: &RackId) -> watch::Receiver<RackOrders> {
        let mut racks = self.racks.lock().unwrap_or_else(PoisonError::into_inner);
        racks.entry(rack.clone()).or_default().subscribe()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use holdfast_wire::id::LeaseNumber;

    use super::*;

    #[test]
    fn only_what_changed_since_a_version_is_said_again() {
        let (orders, rack) = (Orders::default(), "r1".parse().unwrap());
        let rest = |through| Order::Rest { through: LeaseNumber(through) };
        orders.set(&rack, "A".parse().unwrap(), rest(1));
        orders.set(&rack, "B".parse().unwrap(), rest(2));
        orders.set(&rack, "A".parse().unwrap(), rest(3));
        let seen = |version| {
            let orders = orders.follow(&rack).borrow().since(Version(version));
            orders.iter().map(|order| order.phone.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(orders.follow(&rack).borrow().version(), Version(3));
        assert_eq!(seen(0), ["A", "B"]);
        assert_eq!(seen(2), ["A"]);
        assert!(seen(3).is_empty());
    }

    #[test]
    fn a_rack_is_not_told_of_a_phone_that_has_left_it() {
        let (orders, phone) = (Orders::default(), "A".parse::<Udid>().unwrap());
        let (old, new) = ("r1".parse().unwrap(), "r2".parse().unwrap());
        orders.set(&old, phone.clone(), Order::Rest { through: LeaseNumber(1) });
        orders.set(&new, phone, Order::Rest { through: LeaseNumber(2) });
        let told = |rack| orders.follow(rack).borrow().since(Version(0)).len();
        assert_eq!((told(&old), told(&new)), (0, 1));
    }
}
