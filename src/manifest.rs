//! What a version of a table says of itself: its manifest, read from one file and checked before it is decoded.
//!
//! A manifest ends with 16 bytes (`format/manifest.rs` of lance-table): where its message begins as u64, two version
//! numbers as u16, `LANC`. The message is a length as u32 and that many bytes of protocol buffers; little-endian.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::os::unix::fs::FileExt;
use std::path::{Component, Path};

use lance_table::feature_flags::ensure_can_read_manifest;
use lance_table::format::{Fragment, Manifest, pb};
use prost::Message;

use crate::error::{Error, Result, caught};
use crate::files;

const FOOTER_BYTES: u64 = 16;
const LENGTH_BYTES: u64 = 4;
/// A fragment takes some 150 bytes: these are more files than anybody opens.
const MOST_BYTES: u64 = 256 << 20;
/// What unfolds to more than this many times its size is made to.
const LEAST_FRAGMENT_BYTES: usize = 8;
/// Fields within fields: what walks them does so by recursion.
const MOST_DEPTH: usize = 64;

/// Reads the manifest at `path`.
pub fn read(path: &Path) -> Result<Manifest> {
    decoded(path).map_err(|error| error.context(path.display()))
}

fn decoded(path: &Path) -> Result<Manifest> {
    let file = files::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(Error::corrupt("this is no file"));
    }
    let size = metadata.len();
    let short = || Error::corrupt(format!("this is no manifest: it has {size} bytes"));
    let end = size.checked_sub(FOOTER_BYTES).ok_or_else(short)?;
    let mut footer = [0; FOOTER_BYTES as usize];
    file.read_exact_at(&mut footer, end)?;
    if footer.last_chunk() != Some(b"LANC") {
        return Err(Error::corrupt("this is no manifest: it does not end as one"));
    }
    let start = footer.first_chunk().copied().map_or(0, u64::from_le_bytes);
    let length = end.checked_sub(start).and_then(|length| length.checked_sub(LENGTH_BYTES));
    let length = length.ok_or_else(|| Error::corrupt("the manifest points out of its file"))?;
    if length > MOST_BYTES {
        return Err(Error::not_supported(format!("a manifest of {length} bytes")));
    }
    let mut message = Vec::new();
    let reserved = message.try_reserve_exact((LENGTH_BYTES + length) as usize);
    reserved.map_err(|_| Error::io(format!("there is no memory for {length} bytes")))?;
    message.resize((LENGTH_BYTES + length) as usize, 0);
    file.read_exact_at(&mut message, start)?;
    let (said, message) = message.split_at(LENGTH_BYTES as usize);
    if said.first_chunk().copied().map(u32::from_le_bytes) != u32::try_from(length).ok() {
        return Err(Error::corrupt("the manifest has another length than it says"));
    }
    decode(message)
}

pub(crate) fn decode(message: &[u8]) -> Result<Manifest> {
    check_fragments(message)?;
    let decoded = pb::Manifest::decode(message)
        .map_err(|e| Error::corrupt(format!("the manifest cannot be decoded: {e}")))?;
    check_depth(&decoded)?;
    let manifest = caught(|| {
        let manifest = Manifest::try_from(decoded).map_err(Error::reading)?;
        ensure_can_read_manifest(&manifest).map_err(Error::reading).map(|()| manifest)
    })?;
    manifest.fragments.iter().try_for_each(check_names)?;
    Ok(manifest)
}

/// Fragments are decoded to many times their bytes: there are no more of them than can say anything.
fn check_fragments(message: &[u8]) -> Result<()> {
    const FRAGMENTS: u64 = 2;
    let (count, bytes) = parts(message, FRAGMENTS)?;
    match bytes < count * LEAST_FRAGMENT_BYTES {
        true => Err(Error::corrupt(format!("{count} fragments say nothing"))),
        false => Ok(()),
    }
}

/// How many messages stand in a message under a number, and their bytes.
pub fn parts(mut message: &[u8], number: u64) -> Result<(usize, usize)> {
    let broken = || Error::corrupt("a message is broken");
    let (mut count, mut bytes) = (0, 0);
    while !message.is_empty() {
        let tag = varint(&mut message).ok_or_else(broken)?;
        let skipped = match tag & 7 {
            0 => varint(&mut message).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut message),
            5 => Some(4),
            _ => None,
        };
        let skipped = skipped.and_then(|length| usize::try_from(length).ok()).ok_or_else(broken)?;
        message = message.get(skipped..).ok_or_else(broken)?;
        if tag == (number << 3 | 2) {
            count += 1;
            bytes += skipped;
        }
    }
    Ok((count, bytes))
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 127) << shift;
        if *byte < 128 {
            return Some(number);
        }
    }
    None
}

/// Fields name the one that they are in, which comes before them.
pub fn check_field_depth(fields: impl Iterator<Item = (i32, i32)>) -> Result<()> {
    let mut depths: HashMap<i32, usize> = HashMap::new();
    for (id, parent) in fields {
        let depth = depths.get(&parent).map_or(0, |depth| depth + 1);
        if depth > MOST_DEPTH {
            return Err(Error::not_supported(format!(
                "columns nested more than {MOST_DEPTH} deep"
            )));
        }
        depths.entry(id).and_modify(|known| *known = depth.max(*known)).or_insert(depth);
    }
    Ok(())
}

fn check_depth(manifest: &pb::Manifest) -> Result<()> {
    check_field_depth(manifest.fields.iter().map(|field| (field.id, field.parent_id)))
}

/// A file of a table lies in its directory of data files.
fn check_names(fragment: &Fragment) -> Result<()> {
    let within = |name: &str| {
        let path = Path::new(name);
        let mut parts = path.components();
        !name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
    };
    match fragment.files.iter().find(|file| !within(&file.path)) {
        Some(file) => {
            Err(Error::corrupt(format!("the data file {:?} lies out of the table", file.path)))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;

    fn written(message: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut bytes = b"before".to_vec();
        bytes.extend((message.len() as u32).to_le_bytes());
        bytes.extend(message);
        bytes.extend(6_u64.to_le_bytes());
        bytes.extend([0, 0, 2, 0]);
        bytes.extend(b"LANC");
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    fn field(id: i32, parent_id: i32) -> lance_file::format::pb::Field {
        let (name, logical_type) = (format!("f{id}"), "struct".to_string());
        lance_file::format::pb::Field { id, parent_id, name, logical_type, ..Default::default() }
    }

    #[test]
    fn a_manifest_tells_its_version_and_what_is_no_manifest_is_corrupt() {
        let good = pb::Manifest { version: 7, ..Default::default() }.encode_to_vec();
        let file = written(&good);
        assert_eq!(read(file.path()).unwrap().version, 7);
        let bytes = std::fs::read(file.path()).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(file.path(), &bytes[..length]).unwrap();
            let error = read(file.path()).unwrap_err();
            assert_eq!(error.status, Status::RDS_ERR_CORRUPT, "{length}");
            assert!(error.message.contains(file.path().to_str().unwrap()));
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x55;
            std::fs::write(file.path(), damaged).unwrap();
            let _ = read(file.path());
        }
    }

    #[test]
    fn what_is_no_file_is_refused_and_not_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let pipe = place.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        for path in [&pipe, place.path()] {
            assert_eq!(read(path).unwrap_err().status, Status::RDS_ERR_CORRUPT);
        }
    }

    #[test]
    fn what_unfolds_without_end_is_refused() {
        let nested = (0..30_000).map(|id| field(id, id - 1)).collect();
        let deep = pb::Manifest { fields: nested, ..Default::default() };
        let status = read(written(&deep.encode_to_vec()).path()).unwrap_err().status;
        assert_eq!(status, Status::RDS_ERR_NOT_SUPPORTED);
        let empty: Vec<u8> = [0x12, 0].repeat(1 << 20);
        let status = read(written(&empty).path()).unwrap_err().status;
        assert_eq!(status, Status::RDS_ERR_CORRUPT);
    }

    #[test]
    fn files_lie_in_the_table() {
        for (name, good) in
            [("a.lance", true), ("a/b.lance", true), ("../a", false), ("/a", false), ("", false)]
        {
            let file =
                pb::DataFile { path: name.into(), file_major_version: 2, ..Default::default() };
            let fragment =
                pb::DataFragment { files: vec![file], physical_rows: 1, ..Default::default() };
            let manifest = pb::Manifest { fragments: vec![fragment], ..Default::default() };
            let result = read(written(&manifest.encode_to_vec()).path());
            assert_eq!(result.is_ok(), good, "{name}: {:?}", result.err());
        }
    }
}
