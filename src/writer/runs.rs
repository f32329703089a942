//! The runs of a table, and who is at them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use uuid::Uuid;

use crate::error::{Error, Result, Status};
use crate::writer::journal::sync_directory;
use crate::writer::process::{Process, boot, namespace, start};
use crate::writer::run::{ENDED, RUNS, Run, hold, is_local, write_owner};

/// How often a directory is listed to be sure that a name is not in it.
const LOOKS: u32 = 3;

/// How long an owner that cannot be looked up may leave its name unchanged.
const SILENCE: Duration = Duration::from_secs(30);

/// The directory of somebody's run.
#[derive(Clone, Debug)]
pub struct Found {
    pub id: String,
    pub directory: PathBuf,
}

/// Who is at a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// Nothing waits; since when.
    Ended(Duration),
    Alive,
    Dead,
    /// On another host, or in a container: only time tells. The name of the owner's file.
    Unknown(String),
}

/// The runs of a table, those of which nothing waits too.
pub fn runs(table: &Path) -> Result<Vec<Found>> {
    let entries = match std::fs::read_dir(table.join(RUNS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        // Names of runs, and nothing else that somebody put there.
        if let Ok(id) = entry.file_name().into_string()
            && Uuid::try_parse(&id).is_ok()
            && entry.file_type()?.is_dir()
        {
            found.push(Found { id, directory: entry.path() });
        }
    }
    found.sort_by(|one, other| one.id.cmp(&other.id));
    Ok(found)
}

impl Found {
    /// The owner's file, and the newest epoch that there was. A file that is renamed while a large directory is
    /// listed may be missed, so none is none only after several looks.
    fn owners(&self) -> Result<(Option<String>, u64)> {
        let mut found = self.list_owners()?;
        for _ in 0..LOOKS {
            if found.0.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
            found = self.list_owners()?;
        }
        Ok(found)
    }

    fn list_owners(&self) -> Result<(Option<String>, u64)> {
        let (mut owner, mut epoch) = (None, 0);
        for entry in std::fs::read_dir(&self.directory)? {
            let Ok(name) = entry?.file_name().into_string() else { continue };
            let mut parts = name.split('.');
            let kind = parts.next();
            let Some(of) = parts.next().and_then(|part| part.parse().ok()) else { continue };
            if matches!(kind, Some("owner" | "old" | "journal")) {
                epoch = epoch.max(of);
            }
            if kind == Some("owner") {
                owner = Some(name);
            }
        }
        Ok((owner, epoch))
    }

    /// A run is made, and taken over, by a name that is given to its directory a moment later.
    pub fn has_owner(&self) -> Result<bool> {
        Ok(self.owners()?.0.is_some())
    }

    pub fn standing(&self) -> Result<Standing> {
        if let Ok(ended) = std::fs::metadata(self.directory.join(ENDED)) {
            let since = SystemTime::now().duration_since(ended.modified()?);
            return Ok(Standing::Ended(since.unwrap_or_default()));
        }
        // The owner renames its file now and then.
        for _ in 0..100 {
            let Some(name) = self.owners()?.0 else { return Ok(Standing::Dead) };
            let text = match std::fs::read(self.directory.join(&name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                text => text?,
            };
            // Empty after a power failure, or written in this moment.
            let Ok(process) = serde_json::from_slice::<Process>(&text) else {
                return Ok(Standing::Unknown(name));
            };
            if (process.boot, process.namespace) != (boot(), namespace()) {
                return Ok(Standing::Unknown(name));
            }
            return Ok(match start(process.pid) {
                Some(start) if start == process.start => Standing::Alive,
                _ => Standing::Dead,
            });
        }
        Ok(Standing::Alive)
    }

    /// As `standing`, but waits until time has told.
    pub fn verdict(&self) -> Result<Standing> {
        let mut since = Instant::now();
        let mut standing = self.standing()?;
        while matches!(standing, Standing::Unknown(_)) {
            if since.elapsed() >= SILENCE {
                return Ok(Standing::Dead);
            }
            std::thread::sleep(Duration::from_millis(250));
            let now = self.standing()?;
            if now != standing {
                (since, standing) = (Instant::now(), now);
            }
        }
        Ok(standing)
    }

    /// How often the run was taken over: what is found out of its owner holds as long as this does.
    pub fn epoch(&self) -> Result<u64> {
        Ok(self.owners()?.1)
    }

    /// Makes this process the owner, unless another one was since the epoch `judged`. None, if another one was
    /// faster.
    pub fn take_over(&self, table: &Path, judged: u64) -> Result<Option<Run>> {
        match self.take_over_now(table, judged) {
            // Somebody else has ended the run, and removed its directory.
            Err(error) if error.status == Status::RDS_ERR_NOT_FOUND && !self.directory.exists() => {
                Ok(None)
            }
            taken => taken,
        }
    }

    fn take_over_now(&self, table: &Path, judged: u64) -> Result<Option<Run>> {
        let (held, place) = hold(table)?;
        let token = Uuid::new_v4().simple().to_string();
        let own = self.directory.join(format!("new.{token}"));
        write_owner(&own)?;
        let claim = || -> Result<Option<u64>> {
            let (mut owner, epoch) = self.owners()?;
            if epoch != judged || self.directory.join(ENDED).exists() {
                return Ok(None);
            }
            while let Some(name) = owner {
                let old = self.directory.join(format!("old.{epoch}.{token}"));
                match std::fs::rename(self.directory.join(name), old) {
                    // An owner that lives renames it too.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        let now = self.owners()?;
                        if now.1 != epoch {
                            return Ok(None);
                        }
                        owner = now.0;
                    }
                    renamed => {
                        renamed?;
                        break;
                    }
                }
            }
            let claimed =
                std::fs::hard_link(&own, self.directory.join(format!("owner.{}.0", epoch + 1)));
            match claimed {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
                claimed => claimed.map(|()| Some(epoch + 1)).map_err(Error::from),
            }
        };
        let claimed = claim();
        let _ = std::fs::remove_file(&own);
        let Some(epoch) = claimed? else { return Ok(None) };
        sync_directory(&self.directory)?;
        let (id, directory, table) = (self.id.clone(), self.directory.clone(), table.to_path_buf());
        let local = is_local(&held);
        let opened = File::open(&directory)?;
        Ok(Some(Run {
            id,
            table,
            directory,
            epoch,
            renamed: 0,
            local,
            _held: held,
            opened,
            place,
            placed: Instant::now(),
        }))
    }
}
