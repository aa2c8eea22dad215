//! The waiting jobs of one lane, in parts: those of each owner that has limits by themselves, all others together. A
//! part is passed over as a whole when its owner may not begin another job.

use std::collections::BTreeSet;

use crate::place::Place;
use crate::shares::OwnerId;

/// Every part that has jobs, by owner.
#[derive(Debug, Default)]
pub(crate) struct Parts(Vec<Part>);

/// Jobs of one lane that may begin, or may not, together.
#[derive(Debug)]
pub(crate) struct Part {
    /// The owner that has limits.
    pub(crate) owner: Option<OwnerId>,
    /// The first job: looked at whenever a phone comes free, and so kept beside the others' first ones.
    pub(crate) first: Place,
    /// Its jobs in the order of service, never none.
    pub(crate) jobs: BTreeSet<Place>,
}

impl Parts {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Part> {
        self.0.iter()
    }

    /// The jobs of one part in the order of service.
    pub(crate) fn of(&self, owner: Option<OwnerId>) -> Option<&BTreeSet<Place>> {
        self.find(owner).ok().map(|at| &self.0[at].jobs)
    }

    /// Every job, part by part.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = Place> {
        self.0.iter().flat_map(|part| part.jobs.iter().copied())
    }

    pub(crate) fn insert(&mut self, owner: Option<OwnerId>, place: Place) {
        match self.find(owner) {
            Ok(at) => {
                let part = &mut self.0[at];
                part.first = part.first.min(place);
                part.jobs.insert(place);
            }
            Err(at) => self.0.insert(at, Part { owner, first: place, jobs: BTreeSet::from([place]) }),
        }
    }

    pub(crate) fn remove(&mut self, owner: Option<OwnerId>, place: Place) {
        let Ok(at) = self.find(owner) else { return };
        let part = &mut self.0[at];
        part.jobs.remove(&place);
        match part.jobs.first() {
            Some(first) => part.first = *first,
            None => {
                self.0.remove(at);
            }
        }
    }

    fn find(&self, owner: Option<OwnerId>) -> Result<usize, usize> {
        self.0.binary_search_by_key(&owner, |part| part.owner)
    }
}

#[cfg(test)]
mod tests {
    use holdfast_wire::id::JobId;

    use super::*;

    #[test]
    fn each_part_knows_its_first_and_is_gone_with_its_last() {
        let mut parts = Parts::default();
        let place = |job| Place::new(101, 0, None, 0, JobId(job));
        for (owner, job) in [(Some(7), 5), (None, 4), (Some(7), 2), (Some(3), 9)] {
            parts.insert(owner, place(job));
        }
        let firsts = |parts: &Parts| -> Vec<(Option<OwnerId>, u64)> {
            parts.iter().map(|part| (part.owner, part.first.job().0)).collect()
        };
        assert_eq!(firsts(&parts), [(None, 4), (Some(3), 9), (Some(7), 2)]);
        parts.remove(Some(7), place(2));
        parts.remove(None, place(4));
        parts.remove(None, place(1));
        assert_eq!(firsts(&parts), [(Some(3), 9), (Some(7), 5)]);
        assert_eq!(parts.jobs().map(|place| place.job().0).collect::<Vec<_>>(), [9, 5]);
        assert!(parts.of(None).is_none() && parts.of(Some(3)).is_some());
    }
}
