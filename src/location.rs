//! Where a table lies: `<result_dir>/lance_db/results.lance`, or a path that itself ends in
//! `.lance`.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use lance_table::io::commit::ManifestNamingScheme;
use url::Url;

use crate::error::{Error, Result, Status};

/// The directory of the table within a result directory.
const TABLE: &str = "lance_db/results.lance";

/// The directory of the data files within a table.
pub const DATA: &str = "data";
/// That of runs of librds. Clean-ups of other tools walk only Lance's own directories.
pub const RUNS: &str = "_rds";

/// The run that a data file of librds is of, by its name.
pub fn run_of(file: &str) -> Option<&str> {
    file.strip_prefix("rds-")?.split('-').next()
}

/// The directory of the manifests within a table.
/// Table configuration: what runs said of themselves, by their own keys.
pub const METADATA: &str = "rds.metadata.";
pub const VERSIONS: &str = "_versions";

/// The manifests of a table by version.
pub fn manifests(table: &Path) -> Result<BTreeMap<u64, PathBuf>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(table.join(VERSIONS))? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let scheme = ManifestNamingScheme::detect_scheme(name);
        if let Some(version) = scheme.and_then(|scheme| scheme.parse_version(name)) {
            found.insert(version, path);
        }
    }
    Ok(found)
}

/// A table on a local disk, by its absolute path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    path: PathBuf,
}

impl Location {
    /// `text` is a path or a `file://` URI of a result directory or of a table.
    pub fn parse(text: &str) -> Result<Self> {
        if text.is_empty() {
            return Err(Error::invalid_argument("path is empty"));
        }
        let given = match text.split_once("://") {
            None => PathBuf::from(text),
            Some(("file", _)) => {
                Url::parse(text).ok().and_then(|url| url.to_file_path().ok()).ok_or_else(|| {
                    Error::invalid_argument(format!("path {text:?} is no valid file URI"))
                })?
            }
            Some((scheme, _)) => {
                return Err(Error::not_supported(format!(
                    "path {text:?}: the scheme \"{scheme}\" is not part of this build; use a local path"
                )));
            }
        };
        // Absolute, so that a later change of the working directory does not move the table.
        let absolute = without_parents(&std::path::absolute(&given)?)?;
        if absolute.as_os_str().as_encoded_bytes().iter().any(u8::is_ascii_control) {
            return Err(Error::invalid_argument(format!(
                "path {absolute:?} has a control character, which a path of Lance cannot have"
            )));
        }
        let path = match absolute.extension() {
            Some(extension) if extension == "lance" => absolute,
            _ => absolute.join(TABLE),
        };
        Ok(Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether there is something at the path. What is there but no directory, or cannot be looked at,
    /// is an error: Lance would take seconds to find out.
    pub fn exists(&self) -> Result<bool> {
        match std::fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_dir() => Ok(true),
            Ok(_) => Err(Error::io(format!("{self} is a file; a table is a directory"))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::from(error).context(self)),
        }
    }

    /// The newest version that is there.
    pub fn newest_version(&self) -> Result<Option<u64>> {
        match manifests(&self.path) {
            Ok(found) => Ok(found.last_key_value().map(|(version, _)| *version)),
            Err(error) if error.status == Status::RDS_ERR_NOT_FOUND => Ok(None),
            Err(error) => Err(error.context(self)),
        }
    }

    /// The table as a `file://` URI: unlike a bare path it means the same to Lance whatever
    /// characters it has.
    pub fn uri(&self) -> Result<String> {
        Url::from_file_path(&self.path)
            .map(String::from)
            .map_err(|()| Error::invalid_argument(format!("path {:?} is not absolute", self.path)))
    }
}

/// The same place without `..`, which the kernel resolves after the symbolic link before it, and a URI
/// by its text.
fn without_parents(path: &Path) -> Result<PathBuf> {
    let is_parent = |part: &Component| matches!(part, Component::ParentDir);
    let parts: Vec<Component> = path.components().collect();
    let Some(last) = parts.iter().rposition(is_parent) else {
        return Ok(path.to_path_buf());
    };
    let (head, tail) = parts.split_at(last + 1);
    let head: PathBuf = head.iter().collect();
    let resolved = head.canonicalize().map_err(|e| Error::from(e).context(head.display()))?;
    Ok(resolved.join(tail.iter().collect::<PathBuf>()))
}

impl std::fmt::Display for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.path.display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_directory_holds_its_table_in_lance_db() {
        let location = Location::parse("/runs/one").unwrap();
        assert_eq!(location.path(), Path::new("/runs/one/lance_db/results.lance"));
        assert_eq!(location.to_string(), "/runs/one/lance_db/results.lance");
    }

    #[test]
    fn a_path_ending_in_lance_is_the_table() {
        assert_eq!(Location::parse("/t/x.lance").unwrap().path(), Path::new("/t/x.lance"));
        assert_eq!(Location::parse("/t/x.lance/").unwrap().path(), Path::new("/t/x.lance/"));
    }

    #[test]
    fn a_relative_path_is_made_absolute() {
        let expected = std::env::current_dir().unwrap().join("runs/lance_db/results.lance");
        assert_eq!(Location::parse("runs").unwrap().path(), expected);
    }

    #[test]
    fn a_parent_after_a_symbolic_link_is_the_parent_of_what_it_points_to() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(top.join("far/away")).unwrap();
        std::os::unix::fs::symlink(top.join("far/away"), top.join("link")).unwrap();
        let text = top.join("link/../run.lance");
        let location = Location::parse(text.to_str().unwrap()).unwrap();
        assert_eq!(location.path(), top.join("far/run.lance"));
        let gone = Location::parse(top.join("gone/../run").to_str().unwrap()).unwrap_err();
        assert_eq!(gone.status, Status::RDS_ERR_NOT_FOUND);
    }

    #[test]
    fn a_file_uri_is_decoded_and_encoded() {
        let location = Location::parse("file:///runs/a%20b").unwrap();
        assert_eq!(location.path(), Path::new("/runs/a b/lance_db/results.lance"));
        assert_eq!(location.uri().unwrap(), "file:///runs/a%20b/lance_db/results.lance");
    }

    #[test]
    fn a_file_in_the_place_of_a_directory_is_an_error_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let below = Location::parse(file.to_str().unwrap()).unwrap();
        assert_eq!(below.exists().unwrap_err().status, Status::RDS_ERR_IO);
        let table = dir.path().join("t.lance");
        std::fs::write(&table, "x").unwrap();
        let error = Location::parse(table.to_str().unwrap()).unwrap().exists().unwrap_err();
        assert!(error.message.contains("is a file"), "{error}");
        assert!(!Location::parse(dir.path().to_str().unwrap()).unwrap().exists().unwrap());
    }

    #[test]
    fn control_characters_are_refused_and_others_are_not() {
        for text in ["/a\nb", "/tab\t/x.lance", "/\x7f", "\x01", "file:///a%0ab"] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error.status, Status::RDS_ERR_INVALID_ARGUMENT, "{text:?}");
            assert!(error.message.contains("control character"), "{error}");
        }
        assert!(Location::parse("/\u{85} %0a β?#").is_ok());
    }

    #[test]
    fn other_schemes_are_refused_by_name() {
        let error = Location::parse("s3://bucket/run").unwrap_err();
        assert_eq!(error.status, Status::RDS_ERR_NOT_SUPPORTED);
        assert!(error.message.contains("\"s3\""), "{error}");
        assert_eq!(Location::parse("").unwrap_err().status, Status::RDS_ERR_INVALID_ARGUMENT);
    }
}
