//! Which process is which, also after it has ended.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What tells a process from every other one.
#[derive(Serialize, Deserialize, PartialEq, Debug)]
pub struct Process {
    pub boot: String,
    pub namespace: String,
    pub pid: u32,
    pub start: u64,
}

impl Process {
    pub fn this() -> Self {
        let pid = std::process::id();
        Self { boot: boot(), namespace: namespace(), pid, start: start(pid).unwrap_or(0) }
    }
}

pub fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    // Without one nobody is the same host as anybody.
    id.map_or_else(|_| Uuid::new_v4().to_string(), |id| id.trim().to_string())
}

pub fn namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid");
    link.map_or_else(|_| String::new(), |link| link.display().to_string())
}

/// When a process was started, in ticks since boot; none if there is none, or it has ended.
pub fn start(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may have anything in it.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}
