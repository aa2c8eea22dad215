//! Which file of the host a client's path means, and that it lies inside of the folder that the service shows.

use std::io;
use std::path::{Path, PathBuf};

use super::packet::Status;

/// The deepest path that is looked at. Nothing real comes near it.
const DEPTH_MAX: usize = 128;

/// A folder that a client cannot leave: not by `..`, not by an absolute path, not through a symbolic link.
#[derive(Debug, Clone)]
pub struct Jail {
    root: PathBuf,
    only: Option<&'static str>,
}

impl Jail {
    /// The folder and everything below it. It is made when it is not there.
    ///
    /// # Errors
    /// When it cannot be made or found.
    pub fn new(root: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(root)?;
        Ok(Self { root: root.canonicalize()?, only: None })
    }

    /// The same, but with nothing to be seen or touched outside of one folder directly below.
    #[must_use]
    pub fn only(self, folder: &'static str) -> Self {
        Self { only: Some(folder), ..self }
    }

    /// The folder that is alone to be seen at the top, when there is such a rule.
    #[must_use]
    pub fn only_folder(&self) -> Option<&'static str> {
        self.only
    }

    /// The host's path of what a client's path means, symbolic links followed. It need not exist.
    ///
    /// # Errors
    /// [`Status::PermissionDenied`] outside of the folder, [`Status::ObjectNotFound`] below a file or behind a link
    /// that leads nowhere.
    pub fn target(&self, path: &str) -> Result<PathBuf, Status> {
        self.follow(&self.parts(path)?)
    }

    /// The same, but a symbolic link at the end is meant itself. The top folder is no such entry.
    ///
    /// # Errors
    /// As [`Self::target`].
    pub fn entry(&self, path: &str) -> Result<PathBuf, Status> {
        let parts = self.parts(path)?;
        let (name, folders) = parts.split_last().ok_or(Status::PermissionDenied)?;
        Ok(self.follow(folders)?.join(name))
    }

    /// A path inside as the client would write it, without a slash in front.
    #[must_use]
    pub fn shown<'a>(&self, inside: &'a Path) -> Option<&'a str> {
        inside.strip_prefix(&self.root).ok()?.to_str()
    }

    /// Whether this is the folder itself.
    #[must_use]
    pub fn is_top(&self, inside: &Path) -> bool {
        inside == self.root
    }

    fn parts<'a>(&self, path: &'a str) -> Result<Vec<&'a str>, Status> {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        if parts.contains(&"..") {
            return Err(Status::PermissionDenied);
        }
        if parts.len() > DEPTH_MAX || path.contains('\0') {
            return Err(Status::InvalidArgument);
        }
        match (self.only, parts.first()) {
            (Some(only), Some(first)) if *first != only => Err(Status::PermissionDenied),
            _ => Ok(parts),
        }
    }

    fn follow(&self, parts: &[&str]) -> Result<PathBuf, Status> {
        // The longest part of the path that exists tells where it really is; the rest cannot hold links.
        let mut existing = parts.len();
        loop {
            let path: PathBuf = self.root.join(parts[..existing].iter().collect::<PathBuf>());
            match path.symlink_metadata() {
                Ok(_) => {
                    let real = path.canonicalize().map_err(|_| Status::ObjectNotFound)?;
                    if !real.starts_with(&self.root) {
                        return Err(Status::PermissionDenied);
                    }
                    if existing < parts.len() && !real.is_dir() {
                        return Err(Status::ObjectNotFound);
                    }
                    return Ok(parts[existing..].iter().fold(real, |path, part| path.join(part)));
                }
                // The top itself is gone: somebody removes the phone's files.
                Err(_) if existing == 0 => return Err(Status::IoError),
                Err(_) => existing -= 1,
            }
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may fail loudly")]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_outside_can_be_named() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        std::fs::write(&outside, "secret").unwrap();
        let jail = Jail::new(&folder.path().join("jail")).unwrap();
        let root = folder.path().join("jail").canonicalize().unwrap();
        std::fs::create_dir(root.join("in")).unwrap();
        std::fs::write(root.join("in/file"), "x").unwrap();
        symlink(&outside, root.join("to_file")).unwrap();
        symlink(folder.path(), root.join("to_folder")).unwrap();
        symlink("in", root.join("to_in")).unwrap();
        symlink("../new", root.join("to_nowhere")).unwrap();

        let denied = Err(Status::PermissionDenied);
        let lost = Err(Status::ObjectNotFound);
        for (path, expected) in [
            ("/in/file", Ok(root.join("in/file"))),
            ("in//./file", Ok(root.join("in/file"))),
            ("/in/new/er", Ok(root.join("in/new/er"))),
            ("to_in/file", Ok(root.join("in/file"))),
            ("", Ok(root.clone())),
            ("/", Ok(root.clone())),
            ("..", denied.clone()),
            ("/in/../../outside", denied.clone()),
            ("/to_file", denied.clone()),
            ("/to_folder/outside", denied.clone()),
            ("/to_folder/new", denied.clone()),
            ("/to_nowhere", lost.clone()),
            ("/in/file/below", lost.clone()),
        ] {
            assert_eq!(jail.target(path), expected, "{path}");
        }
        assert_eq!(jail.entry("/to_file"), Ok(root.join("to_file")), "a link itself may be removed");
        assert_eq!(jail.entry("/to_folder/outside"), denied);
        assert_eq!(jail.entry("/"), denied, "the top cannot be removed");
    }

    #[test]
    fn a_jail_of_documents_shows_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let jail = Jail::new(folder.path()).unwrap().only("Documents");
        assert!(jail.target("/Documents/a").is_ok());
        assert_eq!(jail.target("/Library"), Err(Status::PermissionDenied));
    }

    proptest! {
        #[test]
        fn any_path_stays_inside(path in "[a-z./]{0,30}") {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().canonicalize().unwrap();
            let jail = Jail::new(&root.join("jail")).unwrap();
            symlink("..", root.join("jail/a")).unwrap();
            if let Ok(inside) = jail.target(&path) {
                prop_assert!(inside.starts_with(root.join("jail")), "{}", inside.display());
            }
        }
    }
}
