//! Where secrets lie, and how they stay secret: the rules name a place, the value is read when it is used, and neither
//! logs nor errors can show it.

use std::fmt;
use std::path::{Path, PathBuf};

/// The largest secret, bytes: a wrong file is noticed.
const SECRET_BYTES_MAX: u64 = 4_096;

/// Where a secret lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretPlace {
    /// In an environment variable of the daemon.
    Env(String),
    /// In a file.
    File(PathBuf),
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

/// A value that is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// From its value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Why a secret cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set.
    #[error("{0} is not set; set it where the daemon is started")]
    Unset(SecretPlace),
    /// The place holds nothing.
    #[error("{0} is empty; put the secret there")]
    Empty(SecretPlace),
    /// The file cannot be read.
    #[error("{place} cannot be read; create it, readable for the daemon alone")]
    Read {
        /// The file.
        place: SecretPlace,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Others can read the file.
    #[error("{0} can be read by everybody; take that right away (chmod o-r)")]
    Open(SecretPlace),
    /// The file is far too large.
    #[error("{0} is too large for a secret; name the right file")]
    Large(SecretPlace),
}

impl SecretPlace {
    /// The value that lies there now: so that a changed secret needs no new start.
    ///
    /// # Errors
    /// A [`SecretError`] that names the place and not the value.
    pub fn read(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<Secret, SecretError> {
        let value = match self {
            Self::Env(name) => environment(name).ok_or_else(|| SecretError::Unset(self.clone()))?,
            Self::File(path) => self.read_file(path)?,
        };
        let value = value.trim_end_matches(['\r', '\n']);
        if value.is_empty() { Err(SecretError::Empty(self.clone())) } else { Ok(Secret::new(value)) }
    }

    fn read_file(&self, path: &Path) -> Result<String, SecretError> {
        let read = |cause| SecretError::Read { place: self.clone(), cause };
        let about = std::fs::metadata(path).map_err(read)?;
        if about.len() > SECRET_BYTES_MAX {
            return Err(SecretError::Large(self.clone()));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            if about.permissions().mode() & 0o004 != 0 {
                return Err(SecretError::Open(self.clone()));
            }
        }
        std::fs::read_to_string(path).map_err(read)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_shows_itself_nowhere() {
        let secret = Secret::new("canary-7");
        assert!(!format!("{secret:?}").contains("canary"));
    }

    #[test]
    fn a_file_that_everybody_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "canary-8\n").unwrap();
        let place = SecretPlace::File(file.clone());
        let mode = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        assert!(matches!(place.read(&|_| None), Err(SecretError::Open(_))));
        mode(0o640);
        assert_eq!(place.read(&|_| None).unwrap().expose(), "canary-8");
        std::fs::write(&file, "\n").unwrap();
        assert!(matches!(place.read(&|_| None), Err(SecretError::Empty(_))));
    }

    #[test]
    fn an_environment_is_asked_by_name() {
        let place = SecretPlace::Env("ROBOT".to_owned());
        let found = place.read(&|name| (name == "ROBOT").then(|| "x".to_owned())).unwrap();
        assert_eq!(found.expose(), "x");
        assert!(place.read(&|_| None).unwrap_err().to_string().contains("ROBOT is not set"));
    }
}
