//! Why a phone refuses to install or remove an app, in the words that iOS uses. Which check leads to which refusal
//! is told by [`package`](super::package).

use plist::Dictionary;

/// A refusal as `installation_proxy` and `streaming_zip_conduit` tell it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}: {description}")]
pub(crate) struct Refusal {
    /// `Error`: one word, such as `ApplicationVerificationFailed`.
    pub(crate) error: String,
    /// `ErrorDescription`: a sentence.
    pub(crate) description: String,
    /// `ErrorDetail`: a number of MobileDevice or of the system, 0 when there is none.
    pub(crate) detail: i64,
}

impl Refusal {
    /// A refusal without a number.
    pub(crate) fn new(error: &str, description: impl Into<String>) -> Self {
        Self { error: error.to_owned(), description: description.into(), detail: 0 }
    }

    /// The code signature or the provisioning profile is not good enough. `code` is one of MobileDevice's numbers;
    /// iOS shows it in the description, and as a signed 32-bit number in `ErrorDetail`.
    pub(crate) fn signature(bundle: &str, code: u32, why: &str) -> Self {
        Self {
            error: "ApplicationVerificationFailed".to_owned(),
            description: format!(
                "Failed to verify code signature of /var/installd/Library/Caches/com.apple.mobile.installd.staging/\
                 temp.Simulated/extracted/Payload/{bundle} : {code:#x} ({why})"
            ),
            detail: i64::from(code.cast_signed()),
        }
    }

    /// The phone cannot unpack the package.
    pub(crate) fn extraction(why: impl Into<String>) -> Self {
        Self::new("PackageExtractionFailed", format!("Failed to extract the package: {}", why.into()))
    }

    /// The phone cannot find its way in the package.
    pub(crate) fn inspection(why: impl Into<String>) -> Self {
        Self::new("PackageInspectionFailed", why)
    }

    /// Something went wrong on the host that no client can mend.
    pub(crate) fn internal(doing: &str, error: &std::io::Error) -> Self {
        Self::new("APIInternalError", format!("Failed while {doing}: {error}"))
    }

    /// What the fault `refuse install` was told: an error's name (`DeviceOSVersionTooLow`), a name and a sentence
    /// (`InstallProhibited: not today`), or a sentence alone.
    pub(crate) fn from_fault(told: &str, bundle: &str) -> Self {
        let is_name = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric());
        match told.split_once(':') {
            _ if told == "ApplicationVerificationFailed" => no_profile(bundle),
            Some((name, why)) if is_name(name) => Self::new(name, why.trim()),
            _ if is_name(told) => Self::new(told, "Refused by a simulated fault."),
            _ => Self { description: told.to_owned(), ..no_profile(bundle) },
        }
    }

    /// The keys of the reply.
    pub(crate) fn reply(&self) -> Dictionary {
        let mut reply = Dictionary::new();
        reply.insert("Error".to_owned(), self.error.clone().into());
        reply.insert("ErrorDescription".to_owned(), self.description.clone().into());
        reply.insert("ErrorDetail".to_owned(), self.detail.into());
        reply
    }
}

/// The refusal that developers meet most: no profile of the app allows this phone.
pub(crate) fn no_profile(bundle: &str) -> Refusal {
    Refusal::signature(bundle, 0xe800_8015, "A valid provisioning profile for this executable was not found.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_in_three_ways() {
        for (told, error, part) in [
            ("ApplicationVerificationFailed", "ApplicationVerificationFailed", "0xe8008015"),
            ("InstallProhibited: not today", "InstallProhibited", "not today"),
            ("DeviceOSVersionTooLow", "DeviceOSVersionTooLow", "simulated"),
            ("the moon is wrong", "ApplicationVerificationFailed", "the moon is wrong"),
        ] {
            let refusal = Refusal::from_fault(told, "Mooring.app");
            assert_eq!(refusal.error, error, "{told}");
            assert!(refusal.description.contains(part), "{told}: {}", refusal.description);
        }
        // The number that iOS shows beside 0xe8008015 in its own replies.
        assert_eq!(no_profile("Mooring.app").detail, -402_620_395);
    }
}
