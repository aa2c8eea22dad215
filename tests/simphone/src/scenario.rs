//! Scenario files: what the phones of a rack are, how their apps behave, and what goes wrong when. Carrying it out is
//! in [`trigger`](crate::trigger) and [`inflict`](crate::inflict).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::behave::Behaviour;
use crate::identity::{self, IosVersion, MODELS};
use crate::inflict::Fault;
use crate::plan::{Pairedness, PhonePlan, Presence};
use crate::trigger::Trigger;

/// How many phones a scenario may list.
const PHONES_MAX: u32 = 500;

/// The largest scenario file.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What a scenario file says.
///
/// ```yaml
/// phones:
///   - count: 3
///     model: iPhone14,5
///     ios: "16.7.2"
///     begins_with:
///       - { fault: battery, percent: 12, charging: false }
/// apps:
///   dev.holdfast.demo.mooring:
///     launches:
///       - ends: { how: signal, after_ms: 1500, signal: segv }
/// faults:
///   - phone: 0
///     when: { what: launched, times: 2 }
///     inflict: { fault: detach, back_after_ms: 3000 }
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The phones; with none, the command line says how many.
    #[serde(default)]
    pub phones: Vec<PhoneGroup>,
    /// What the launches of each app do, by bundle id, on every phone.
    #[serde(default)]
    pub apps: BTreeMap<String, Behaviour>,
    /// What goes wrong.
    #[serde(default)]
    pub faults: Vec<Planned>,
}

/// Some phones that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhoneGroup {
    /// How many.
    #[serde(default = "one")]
    pub count: u32,
    /// Apple's name of the model; all known models in turn when not given.
    #[serde(default)]
    pub model: Option<String>,
    /// The iOS version; the command line's when not given.
    #[serde(default)]
    pub ios: Option<String>,
    /// Their name; their place in the rack is added when there are several.
    #[serde(default)]
    pub name: Option<String>,
    /// Whether they trust the rack's computer from the start.
    #[serde(default = "yes")]
    pub paired: bool,
    /// Whether they are plugged in from the start.
    #[serde(default = "yes")]
    pub attached: bool,
    /// What is done to them before they are plugged in.
    #[serde(default)]
    pub begins_with: Vec<Fault>,
}

/// A fault and when it comes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Planned {
    /// The position of the phone in the rack, from 0; every phone by its own trigger when not given.
    #[serde(default)]
    pub phone: Option<usize>,
    /// When.
    pub when: Trigger,
    /// What.
    pub inflict: Fault,
}

/// A scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("cannot read the scenario {}", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text is wrong.
    #[error("{}:{place} {what}", .path.display())]
    Wrong {
        /// Which file.
        path: PathBuf,
        /// Line and column when they are known, each ended by a colon, and the path of the value.
        place: String,
        /// What is wrong and what would be right.
        what: String,
    },
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// [`ScenarioError`], with file, line, column and path of what is wrong.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let failed = |source| ScenarioError::Read { path: path.to_owned(), source };
        let bytes = std::fs::metadata(path).map_err(failed)?.len();
        if bytes > FILE_BYTES_MAX {
            let what = format!("the file has {bytes} bytes; {FILE_BYTES_MAX} are allowed");
            return Err(ScenarioError::Wrong { path: path.to_owned(), place: String::new(), what });
        }
        Self::parse(&std::fs::read_to_string(path).map_err(failed)?, path)
    }

    /// Reads the text of a scenario; `path` is for messages.
    ///
    /// # Errors
    /// [`ScenarioError::Wrong`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ScenarioError> {
        let read: Result<Self, _> =
            serde_path_to_error::deserialize(serde_yaml::Deserializer::from_str(text));
        let scenario = read.map_err(|error| {
            let at = error.path().to_string();
            let inner = error.into_inner();
            let lines = inner
                .location()
                .map_or_else(String::new, |place| format!("{}:{}:", place.line(), place.column()));
            // The parser repeats both places in its own words, sometimes only the beginning of the path.
            let whole = inner.to_string();
            let message = match whole.split_once(": ") {
                Some((repeated, rest)) if at.starts_with(repeated) => rest,
                _ => &whole,
            };
            let what = message.split(" at line ").next().unwrap_or(message).to_owned();
            ScenarioError::Wrong { path: path.to_owned(), place: format!("{lines} at `{at}`:"), what }
        })?;
        scenario.check().map_err(|(at, what)| ScenarioError::Wrong {
            path: path.to_owned(),
            place: format!(" at `{at}`:"),
            what,
        })?;
        Ok(scenario)
    }

    /// The phones it lists, or `None` when it lists none.
    #[must_use]
    pub fn plans(&self, ios: IosVersion) -> Option<Vec<PhonePlan>> {
        let mut models = MODELS.iter().cycle();
        let mut plans = Vec::new();
        for group in &self.phones {
            for _ in 0..group.count {
                let named = group.model.as_deref().and_then(identity::model);
                let model = named.or_else(|| models.next())?;
                let ios = group.ios.as_deref().and_then(|text| text.parse().ok()).unwrap_or(ios);
                let several = group.count > 1;
                let name = group
                    .name
                    .as_ref()
                    .map(|name| if several { format!("{name} {}", plans.len() + 1) } else { name.clone() });
                plans.push(PhonePlan {
                    model,
                    ios,
                    name,
                    pairedness: if group.paired { Pairedness::Paired } else { Pairedness::Unpaired },
                    presence: if group.attached { Presence::Attached } else { Presence::Away },
                    begins_with: group.begins_with.clone(),
                });
            }
        }
        (!plans.is_empty()).then_some(plans)
    }

    /// What the types cannot tell: the path and the mistake.
    fn check(&self) -> Result<(), (String, String)> {
        let mut total = 0_u32;
        for (at, group) in self.phones.iter().enumerate() {
            total = total.saturating_add(group.count);
            if let Some(model) = &group.model
                && identity::model(model).is_none()
            {
                let known: Vec<&str> = MODELS.iter().map(|model| model.product_type).collect();
                let what = format!("`{model}` is not a known model; known are {}", known.join(", "));
                return Err((format!("phones[{at}].model"), what));
            }
            if let Some(Err(error)) = group.ios.as_deref().map(str::parse::<IosVersion>) {
                return Err((format!("phones[{at}].ios"), error.to_string()));
            }
        }
        if total > PHONES_MAX {
            return Err((
                "phones".to_owned(),
                format!("{total} phones are listed; {PHONES_MAX} are allowed"),
            ));
        }
        Ok(())
    }
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Scenario, String> {
        Scenario::parse(text, Path::new("rack.yaml")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_example_of_the_documentation_is_understood() {
        let scenario = parse(
            r#"
phones:
  - count: 3
    model: iPhone14,5
    ios: "16.7.2"
    begins_with:
      - { fault: battery, percent: 12, charging: false }
  - name: Guest
    paired: false
apps:
  dev.holdfast.demo.mooring:
    launches:
      - ends: { how: signal, after_ms: 1500, signal: segv }
faults:
  - phone: 0
    when: { what: launched, times: 2 }
    inflict: { fault: detach, back_after_ms: 3000 }
"#,
        )
        .unwrap();
        let plans = scenario.plans("17.0".parse().unwrap()).unwrap();
        assert_eq!(plans.len(), 4);
        assert_eq!(plans[2].ios.to_string(), "16.7.2");
        assert_eq!(plans[2].begins_with, [Fault::Battery { percent: 12, charging: Some(false) }]);
        assert_eq!(plans[3].ios.to_string(), "17.0", "the command line's version where none is given");
        assert_eq!(plans[3].name.as_deref(), Some("Guest"));
        assert_eq!(plans[3].pairedness, Pairedness::Unpaired);
        assert_eq!(scenario.faults[0].inflict, Fault::Detach { back_after_ms: Some(3000) });
        assert!(scenario.apps.contains_key("dev.holdfast.demo.mooring"));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, told) in [
            ("phones:\n  - cuont: 3\n", ["rack.yaml:2:5:", "at `phones[0].cuont`: unknown", "field `cuont`"]),
            ("phones:\n  - count: many\n", ["rack.yaml:2:12:", "`phones[0].count`", "expected u32"]),
            ("phones:\n  - model: iPhone3,1\n", ["rack.yaml:", "`phones[0].model`", "iPhone14,5"]),
            ("phones:\n  - ios: new\n", ["rack.yaml:", "`phones[0].ios`", "write it like"]),
            (
                "faults:\n  - when: { what: start, after_ms: 1 }\n    inflict: { fault: detahc }\n",
                ["rack.yaml:3:23:", "`faults[0].inflict.fault`", "unknown variant `detahc`"],
            ),
            ("phones:\n  - count: 501\n", ["rack.yaml:", "`phones`", "500"]),
            ("phones: [", ["rack.yaml:2:1:", "at `", "did not find expected"]),
        ] {
            let error = parse(text).unwrap_err();
            for part in told {
                assert!(error.contains(part), "`{error}` does not tell `{part}`");
            }
        }
    }
}
