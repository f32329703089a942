//! Tables whose manifest says something else than their files, and files that change under an open reader.

use std::path::{Path, PathBuf};

use lance_table::format::pb;
use prost::Message;

use super::*;
use crate::error::Status;
use crate::ids::Ids;
use crate::tensor::DType;
use crate::writer::{Mode, TensorView, Writer, WriterOptions};

/// A table of two files with ten rows each, whose values are the number of the row.
fn table() -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("t.lance");
    for (first, mode) in [(0, Mode::Create), (10, Mode::Append)] {
        let options = WriterOptions { mode, ..Default::default() };
        let writer = Writer::open(location(&path), options).unwrap();
        let ids: Vec<i64> = (first..first + 10).collect();
        let bytes: Vec<u8> = ids.iter().flat_map(|id| (*id as f32).to_ne_bytes()).collect();
        let layout = TensorView::layout(DType::RDS_DTYPE_FLOAT32, &[10], None).unwrap();
        let dtype = DType::RDS_DTYPE_FLOAT32;
        let view = TensorView::new(dtype, &[10], layout, &bytes, false).unwrap();
        writer.write_tensors(&Ids::Int64(&ids), &[("data", view)]).unwrap();
        writer.close().unwrap();
    }
    (place, path)
}

fn location(path: &Path) -> Location {
    Location::parse(path.to_str().unwrap()).unwrap()
}

fn open(path: &Path, access: Access) -> Result<Reader> {
    Reader::open(location(path), &ReaderOptions { access, ..Default::default() })
}

fn status(path: &Path) -> Status {
    open(path, Access::Auto).err().map_or(Status::RDS_OK, |error| error.status)
}

/// Changes what the newest manifest says; as the next version, if that is asked for.
fn change(path: &Path, next: bool, change: impl Fn(&mut pb::Manifest)) {
    let newest = location(path).newest_version().unwrap().unwrap();
    let name = |version: u64| path.join(format!("_versions/{:020}.manifest", u64::MAX - version));
    let bytes = std::fs::read(name(newest)).unwrap();
    let end = bytes.len() - 16;
    let start = u64::from_le_bytes(bytes[end..end + 8].try_into().unwrap()) as usize;
    let mut manifest = pb::Manifest::decode(&bytes[start + 4..end]).unwrap();
    change(&mut manifest);
    let version = newest + u64::from(next);
    manifest.version = version;
    let message = manifest.encode_to_vec();
    let mut changed = bytes[..start].to_vec();
    changed.extend((message.len() as u32).to_le_bytes());
    changed.extend(message);
    changed.extend(&bytes[end..]);
    std::fs::write(name(version), changed).unwrap();
}

fn each_file(manifest: &mut pb::Manifest, change: impl Fn(&mut pb::DataFile)) {
    manifest.fragments.iter_mut().flat_map(|fragment| &mut fragment.files).for_each(change);
}

fn values(reader: &Reader, rows: &[u64]) -> Vec<f32> {
    let mut bytes = vec![0; 4 * rows.len()];
    reader.read(reader.column(0).unwrap(), rows, &mut bytes).unwrap();
    bytes.chunks_exact(4).map(|b| f32::from_ne_bytes(b.try_into().unwrap())).collect()
}

#[test]
fn a_manifest_that_contradicts_its_files_is_refused() {
    type Change = fn(&mut pb::Manifest);
    let corrupt: [(&str, Change); 7] = [
        ("rows", |m| m.fragments.iter_mut().for_each(|f| f.physical_rows = 5)),
        ("size", |m| each_file(m, |file| file.file_size_bytes -= 1)),
        ("version", |m| each_file(m, |file| file.file_minor_version ^= 3)),
        ("a column twice", |m| {
            let second = m.fragments[1].files.clone();
            m.fragments[0].files.extend(second);
        }),
        ("rows without a file", |m| m.fragments[0].files.clear()),
        ("a column that is not there", |m| each_file(m, |file| file.column_indices = vec![0, 7])),
        ("a place out of the table", |m| each_file(m, |file| file.path.insert_str(0, "../data/"))),
    ];
    for (name, changed) in corrupt {
        let (_place, path) = table();
        change(&path, false, changed);
        assert_eq!(status(&path), Status::RDS_ERR_CORRUPT, "{name}");
    }
    let (_place, path) = table();
    change(&path, false, |m| {
        each_file(m, |file| {
            (file.file_major_version, file.file_minor_version) = (0, 2);
        })
    });
    assert_eq!(status(&path), Status::RDS_ERR_NOT_SUPPORTED, "the first format");
}

#[test]
fn a_refresh_refuses_what_opening_refuses() {
    let (_place, path) = table();
    let reader = open(&path, Access::Auto).unwrap();
    change(&path, true, |m| m.fragments.iter_mut().for_each(|f| f.physical_rows = 5));
    assert_eq!(reader.refreshed().err().unwrap().status, Status::RDS_ERR_CORRUPT);
    assert_eq!(values(&reader, &[15]), [15.0]);
}

#[test]
fn an_open_reader_is_what_it_was_whatever_becomes_of_names() {
    for access in [Access::Auto, Access::Lance] {
        let (_place, path) = table();
        let reader = open(&path, access).unwrap();
        std::fs::remove_dir_all(&path).unwrap();
        assert_eq!(values(&reader, &[0, 19, 7]), [0.0, 19.0, 7.0]);
        assert_eq!(reader.id(12).unwrap(), "12");
        let all = StreamOptions {
            columns: Columns { id: true, tensors: vec![0] },
            first_row: 0,
            row_count: None,
            batch_rows: 3,
            fixed_shape_tensor: false,
        };
        let rows: usize = reader.stream(&all).unwrap().map(|batch| batch.unwrap().num_rows()).sum();
        assert_eq!(rows, 20);
        // Another table in the place of the first one.
        let (_other, there) = table();
        std::fs::rename(&there, &path).unwrap();
        assert_eq!(values(&reader, &[3]), [3.0]);
    }
}

#[test]
fn a_file_that_a_clean_up_took_is_found_where_its_run_has_it() {
    let (_place, path) = table();
    std::fs::remove_dir_all(path.join("data")).unwrap();
    assert_eq!(values(&open(&path, Access::Auto).unwrap(), &[3, 13]), [3.0, 13.0]);
    std::fs::remove_dir_all(path.join("_rds")).unwrap();
    assert_eq!(status(&path), Status::RDS_ERR_NOT_FOUND);
}

#[test]
fn a_damaged_newest_manifest_is_named_and_so_is_what_still_opens() {
    let (_place, path) = table();
    let name = format!("{:020}.manifest", u64::MAX - 2);
    let manifest = path.join("_versions").join(&name);
    let good = std::fs::read(&manifest).unwrap();
    for bytes in [&[] as &[u8], &good[..good.len() / 2], &vec![0; good.len()], &good[..4]] {
        std::fs::write(&manifest, bytes).unwrap();
        let error = open(&path, Access::Auto).err().unwrap();
        assert_eq!(error.status, Status::RDS_ERR_CORRUPT);
        assert!(error.message.contains(&name), "{error}");
        assert!(error.message.contains("version 1 can be opened"), "{error}");
    }
    let first = ReaderOptions { version: Some(1), ..Default::default() };
    assert_eq!(Reader::open(location(&path), &first).unwrap().rows(), 10);
}

#[test]
fn files_beyond_the_budget_of_descriptors_are_read_by_their_names() {
    let (_place, path) = table();
    let reader = open(&path, Access::Lance).unwrap();
    let held: Vec<_> = (0..2000).map(|_| open(&path, Access::Lance).unwrap()).collect();
    assert!(std::fs::read_dir("/proc/self/fd").unwrap().count() < 1500);
    for reader in held.iter().step_by(400).chain([&reader]) {
        assert_eq!(values(reader, &[4, 14]), [4.0, 14.0]);
    }
}
