//! The file of who is told what about crashes → [`Rules`]. What it says and means is `daemon/notify`'s; here its mistakes
//! get their place.

use std::path::Path;

use holdfast_notify::{Raw, Rules};

use super::yaml::{Mistake, Source};

/// Reads and checks the file.
///
/// # Errors
/// Every mistake that can be told at once.
pub fn read(file: &Path) -> Result<Rules, Vec<Mistake>> {
    let source = Source::read(file).map_err(|mistake| vec![mistake])?;
    parse(&source)
}

/// Checks a text.
///
/// # Errors
/// Every mistake that can be told at once.
pub fn parse(source: &Source) -> Result<Rules, Vec<Mistake>> {
    let raw: Raw = source.parse()?;
    raw.check().map_err(|found| {
        found.into_iter().map(|mistake| source.mistake(&mistake.path, mistake.what)).collect()
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use super::*;

    #[test]
    fn the_sample_of_the_repository_is_good() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/notify.yaml");
        let rules = read(&file).unwrap();
        assert!(rules.urgent.is_some() && rules.tickets.is_some() && rules.digest.is_some());
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let text = "receivers:\n  - name: chat\n    kind: slack\n    url: {env: U}\n    host: x\nurgent:\n  to: [room]\n";
        let told: Vec<String> =
            parse(&Source::of("n.yaml", text)).unwrap_err().iter().map(ToString::to_string).collect();
        let expected = [
            "n.yaml:5:11: receivers[0].host: a receiver of this kind knows url only; take it out",
            "n.yaml:7:8: urgent.to[0]: there is no receiver room; mend its spelling or add it",
        ];
        assert_eq!(told, expected);
        let told = parse(&Source::of("n.yaml", "receivers:\n  - {name: a, kind: pigeon}\n")).unwrap_err();
        assert!(
            told[0].to_string().starts_with("n.yaml:2:21: receivers[0].kind: unknown variant `pigeon`"),
            "{told:?}"
        );
    }
}
