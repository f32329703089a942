//! Who makes a table: a run in mode CREATE claims the place, because its rows may be durable before there is a
//! version that others would see.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::location::Location;
use crate::writer::handler::no_links;
use crate::writer::recover::waiting;
use crate::writer::run::{RUNS, Run};
use crate::writer::runs::{Found, Standing};

fn path(table: &Path) -> PathBuf {
    table.join(RUNS).join("create")
}

/// Refuses to make a table where rows of another run wait.
pub fn refuse_waiting(location: &Location) -> Result<()> {
    for waiting in waiting(location.path())? {
        let rows = waiting.replayed.waiting();
        if waiting.standing == Standing::Dead && rows == 0 {
            continue;
        }
        return Err(Error::already_exists(match waiting.standing {
            Standing::Dead => format!(
                "{rows} rows of an interrupted run wait at {location}; append to it or call rds_recover() to \
                 make them visible, overwrite it to drop them, or choose another path"
            ),
            _ => format!(
                "a run that goes on makes the table at {location}; append to it once it is there, or choose \
                 another path"
            ),
        }));
    }
    Ok(())
}

pub fn take(location: &Location, run: &Run) -> Result<()> {
    let path = path(location.path());
    // It has its content before it has its name.
    let own = run.directory.join("claim");
    std::fs::write(&own, &run.id)?;
    loop {
        match std::fs::hard_link(&own, &path) {
            Ok(()) => return Ok(std::fs::remove_file(&own)?),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if no_links(&error) => {
                use rustix::fs::{CWD, RenameFlags, renameat_with};
                match renameat_with(CWD, &own, CWD, &path, RenameFlags::NOREPLACE) {
                    Err(rustix::io::Errno::EXIST) => {}
                    renamed => return Ok(renamed.map_err(std::io::Error::from)?),
                }
            }
            Err(error) => return Err(error.into()),
        }
        let id = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            id => id?,
        };
        let directory = location.path().join(RUNS).join(&id);
        let lives = directory.is_dir()
            && !matches!(Found { id, directory }.verdict()?, Standing::Dead | Standing::Ended(_));
        if lives {
            return Err(Error::already_exists(format!(
                "another run makes the table at {location}"
            )));
        }
        refuse_waiting(location)?;
        let _ = std::fs::remove_file(&path);
    }
}

/// The table is made, or will not be.
pub fn give_up(table: &Path, run: &str) {
    let path = path(table);
    if std::fs::read_to_string(&path).is_ok_and(|id| id == run) {
        let _ = std::fs::remove_file(path);
    }
}
