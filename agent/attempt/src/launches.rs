//! What the launches of the cases showed, and the sentence that sums them up.

use holdfast_wire::case::{Case, CaseRun};
use holdfast_wire::outcome::{CaseResult, LaunchEnd, LaunchResult};

/// A launch that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launching {
    /// Its process, once the phone has named it.
    pub pid: Option<u32>,
    /// From the request until the phone named the process, milliseconds.
    pub launch_ms: u64,
    /// How long it was alive, milliseconds.
    pub alive_ms: u64,
}

impl Launching {
    /// The result, once its end is known.
    pub fn ended(self, number: u32, end: LaunchEnd) -> LaunchResult {
        LaunchResult { number, pid: self.pid, launch_ms: self.launch_ms, alive_ms: self.alive_ms, end }
    }
}

/// Launches that a case asks for.
pub fn launches_of(case: &Case) -> u32 {
    match &case.run {
        CaseRun::Launch { launches, .. } => *launches,
    }
}

/// The result of a case; one whose launches are not all done has failed.
pub fn case_result(case: &Case, launches: Vec<LaunchResult>) -> CaseResult {
    let (done, all) = (launches.len(), launches_of(case));
    let unfinished = || (done < all as usize).then(|| format!("only {done} of {all} launches were run"));
    CaseResult { case: case.name.clone(), failure: failure(&launches).or_else(unfinished), launches }
}

/// Why the launches make a failure, for people; none when all stayed.
fn failure(launches: &[LaunchResult]) -> Option<String> {
    let numbers = |wanted: fn(&LaunchEnd) -> bool| {
        launches.iter().filter(|launch| wanted(&launch.end)).map(|launch| launch.number).collect::<Vec<u32>>()
    };
    let kinds = [
        ("crashed", numbers(|end| matches!(end, LaunchEnd::Crashed { .. }))),
        ("hung", numbers(|end| *end == LaunchEnd::Hung)),
        ("ended by themselves without a report", numbers(|end| *end == LaunchEnd::Exited)),
    ];
    let parts: Vec<String> = kinds
        .into_iter()
        .filter(|(_, numbers)| !numbers.is_empty())
        .map(|(what, numbers)| {
            let first = numbers.first().copied().unwrap_or_default();
            format!("{} of {} launches {what} (first: launch {first})", numbers.len(), launches.len())
        })
        .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

#[cfg(test)]
mod tests {
    use holdfast_wire::id::CrashId;

    use super::*;

    #[test]
    fn a_failure_counts_each_way_to_end() {
        let ends = [
            LaunchEnd::Stayed,
            LaunchEnd::Crashed { crash: CrashId::new([1; 32]) },
            LaunchEnd::Hung,
            LaunchEnd::Crashed { crash: CrashId::new([2; 32]) },
        ];
        let launches: Vec<LaunchResult> = (1..)
            .zip(ends)
            .map(|(number, end)| {
                Launching { pid: Some(number), launch_ms: 1, alive_ms: 1 }.ended(number, end)
            })
            .collect();
        assert_eq!(
            failure(&launches).as_deref(),
            Some("2 of 4 launches crashed (first: launch 2); 1 of 4 launches hung (first: launch 3)")
        );
        assert_eq!(failure(launches.get(..1).unwrap_or_default()), None);
    }
}
