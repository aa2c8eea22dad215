//! Whether a waiting job can ever start, as phones, pools and rules are now. Why it does not start at once is elsewhere.

use holdfast_wire::api::Obstacle;
use holdfast_wire::id::JobId;
use holdfast_wire::phone::OsVersion;
use holdfast_wire::requirement::Place as Whereabouts;

use crate::fleet::Phone;
use crate::lanes::Lane;
use crate::scheduler::Scheduler;
use crate::waiting::Slot;

impl Scheduler {
    /// Why nothing that the farm has can ever run a waiting job, in one sentence; none while there is hope: what a later
    /// fallback allows counts, however busy or ill the phones are. Cheap for jobs that fit something.
    pub fn never_starts(&self, id: JobId) -> Option<String> {
        let slot = self.jobs.get(id).filter(|slot| slot.is_waiting)?;
        self.hopeless(slot)
    }

    pub(crate) fn hopeless(&self, slot: &Slot) -> Option<String> {
        let lane = &self.lanes.list[slot.lane];
        if lane.shut.window {
            let (name, opens) = self.window_of(lane.key.class);
            if opens.is_none() {
                return Some(format!("window {name} is shut and never opens again; look at the pools file"));
            }
        }
        let needed = usize::from(lane.key.phones);
        let share = &self.shares.list[slot.owner];
        if let Some(most) = share.rule.running_max.filter(|most| u32::from(lane.key.phones) > *most) {
            let owner = share.owner.as_ref().map_or_else(|| "nobody named".to_owned(), ToString::to_string);
            return Some(format!(
                "it needs {needed} phones at once, and {owner} may hold {most}; \
                 raise it with `holdfast owner quota` or in the pools file"
            ));
        }
        let fitting: usize = self.fitting(lane).map(|kind| kind.members.len()).sum();
        if fitting >= needed {
            return None;
        }
        let some_time =
            self.phones.iter().filter(|phone| self.fits_some_time(slot, lane, phone)).take(needed).count();
        match some_time {
            fit if fit >= needed => None,
            0 => Some(self.summary(slot, 0)),
            1 => Some(format!("it needs {needed} phones at once, and 1 fits")),
            fit => Some(format!("it needs {needed} phones at once, and {fit} fit")),
        }
    }

    /// Whether the phone fits now or with the job's last fallback, which accepts all that the ones before it do.
    fn fits_some_time(&self, slot: &Slot, lane: &Lane, phone: &Phone) -> bool {
        if lane.fits(phone.kind) {
            return true;
        }
        if !matches!(self.never(slot, lane, phone), Obstacle::Requirement { .. }) {
            return false;
        }
        let pool = self.pool(phone.pool).map(|pool| &pool.name);
        let facts = &phone.record.facts;
        let place = Whereabouts { facts, rack: &phone.record.rack, pool };
        let last = self.lanes.wants[lane.key.wants].steps.last();
        let minimum =
            slot.record.spec.build.minimum_os.as_ref().and_then(|text| text.parse::<OsVersion>().ok());
        last.is_none_or(|(_, term)| term.mismatch(&place).is_none())
            && minimum.is_none_or(|minimum| facts.os_version >= minimum)
    }
}
