//! Rows from mapped files against the same rows from Lance, whatever wrote the table.

use std::path::Path;

use arrow::array::{Array, FixedSizeListArray, Float32Array, RecordBatchIterator};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema};
use lance::Dataset;
use lance::dataset::{ColumnAlteration, NewColumnTransform, WriteMode, WriteParams};
use lance_file::version::LanceFileVersion;

use super::*;
use crate::error::Status;
use crate::ids::Ids;
use crate::tensor::{DType, TensorSpec, schema as schema_of_columns};
use crate::writer::{CommitScope, Durability, Mode, TensorView, Writer, WriterOptions};

fn all() -> Columns {
    Columns { id: true, tensors: vec![0] }
}

fn data() -> Columns {
    Columns::tensor(0)
}

fn ids() -> Columns {
    Columns { id: true, tensors: Vec::new() }
}

fn schema_of(spec: &TensorSpec) -> Schema {
    schema_of_columns([("data", spec)].into_iter())
}

fn open(path: &Path, access: Access) -> Reader {
    let location = Location::parse(path.to_str().unwrap()).unwrap();
    Reader::open(location, &ReaderOptions { access, ..Default::default() }).unwrap()
}

/// Bytes that look random, and are valid values of every dtype but bool.
fn noise(length: usize) -> Vec<u8> {
    let next = |state: &u64| Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
    let states = std::iter::successors(Some(7_u64), next);
    states.map(|state| (state >> 40) as u8).take(length).collect()
}

/// Appends `rows` rows and commits them: one more fragment.
fn append(path: &Path, dtype: DType, shape: &[i64], rows: usize, mode: Mode) {
    let spec = TensorSpec::new(dtype, shape).unwrap();
    let mut values = noise(rows * spec.row_bytes());
    if dtype == DType::RDS_DTYPE_BOOL {
        values.iter_mut().for_each(|byte| *byte &= 1);
    }
    let shape: Vec<i64> = [rows as i64].iter().chain(shape).copied().collect();
    let layout = TensorView::layout(dtype, &shape, None).unwrap();
    let tensors = TensorView::new(dtype, &shape, layout, &values, false).unwrap();
    let durability = Durability::Commit;
    let location = Location::parse(path.to_str().unwrap()).unwrap();
    let options = WriterOptions { mode, durability, ..WriterOptions::default() };
    let writer = Writer::open(location, options).unwrap();
    let ids: Vec<u64> = (0..rows as u64).collect();
    writer.write_tensors(&Ids::Uint64(&ids), &[("data", tensors)]).unwrap();
    writer.commit(CommitScope::Run, &mut |_, _| true).unwrap();
    writer.close().unwrap();
}

fn whole(reader: &Reader, columns: &Columns, batch_rows: usize) -> RecordBatch {
    let options = StreamOptions {
        columns: columns.clone(),
        first_row: 0,
        row_count: None,
        batch_rows,
        fixed_shape_tensor: false,
    };
    let batches: Vec<_> = reader.stream(&options).unwrap().map(|batch| batch.unwrap()).collect();
    assert!(batches.iter().all(|batch| batch.num_rows() <= batch_rows));
    concat_batches(&reader.schema(&columns, false).unwrap(), &batches).unwrap()
}

/// Every way of reading gives what Lance gives; returns how many rows are mapped.
fn assert_reads_as_lance(path: &Path) -> u64 {
    let (reader, lance) = (open(path, Access::Auto), open(path, Access::Lance));
    assert_eq!((lance.column(0).unwrap().spans.mapped_rows(), reader.rows()), (0, lance.rows()));
    let (rows, row_bytes) = (reader.rows(), reader.column(0).unwrap().row_bytes);
    // Backwards, and the first one twice.
    let wanted: Vec<u64> = (0..rows).rev().chain([0]).collect();
    let read = |reader: &Reader| {
        let mut out = vec![0xaa; wanted.len() * row_bytes];
        reader.read(reader.column(0).unwrap(), &wanted, &mut out).unwrap();
        let mut one_by_one = vec![0xaa; wanted.len() * row_bytes];
        for (row, out) in wanted.iter().zip(one_by_one.chunks_exact_mut(row_bytes)) {
            reader.read(reader.column(0).unwrap(), &[*row], out).unwrap();
        }
        assert_eq!(out, one_by_one);
        let mut range = vec![0xaa; (rows - 1) as usize * row_bytes];
        reader.read_range(reader.column(0).unwrap(), 1, rows - 1, &mut range).unwrap();
        let (tensor, _) = reader.tensor(reader.column(0).unwrap(), 1, rows - 1).unwrap();
        assert_eq!(tensor.as_slice(), range);
        (out, range)
    };
    assert_eq!(read(&reader), read(&lance));
    for columns in [all(), data(), ids()] {
        let expected = whole(&lance, &columns, 7);
        assert_eq!(expected, lance.take(&(0..rows).collect::<Vec<_>>(), &columns).unwrap());
        assert_eq!(whole(&reader, &columns, 7), expected);
        assert_eq!(whole(&reader, &columns, 1 << 20), expected);
        assert_eq!(reader.take(&wanted, &columns).unwrap(), lance.take(&wanted, &columns).unwrap());
    }
    for row in [0, rows / 2, rows - 1] {
        assert_eq!(&reader.row(0, row).unwrap(), &lance.row(0, row).unwrap());
        assert_eq!(reader.id(row).unwrap(), lance.id(row).unwrap());
    }
    // The spans and the gaps between them cover the table.
    let (mut next, mut mapped) = (0, 0);
    while next < rows {
        let (span, bytes) = reader.span(reader.column(0).unwrap(), next).unwrap();
        assert_eq!(span.start, next);
        if let Some(bytes) = bytes {
            let mut expected = vec![0; bytes.len()];
            lance
                .read_range(
                    lance.column(0).unwrap(),
                    span.start,
                    span.end - span.start,
                    &mut expected,
                )
                .unwrap();
            assert_eq!(bytes, expected);
        }
        mapped += bytes.map_or(0, |_| span.end - span.start);
        next = span.end;
    }
    if reader.column(0).unwrap().spec.dtype != DType::RDS_DTYPE_BOOL {
        assert_eq!(mapped, reader.column(0).unwrap().spans.mapped_rows());
    }
    reader.column(0).unwrap().spans.mapped_rows()
}

#[test]
fn every_dtype_is_mapped_and_reads_as_lance_reads_it() {
    for dtype in DType::all() {
        for shape in [vec![], vec![1], vec![3], vec![2, 4], vec![70]] {
            let dir = tempfile::tempdir().unwrap();
            append(dir.path(), dtype, &shape, 20, Mode::Create);
            append(dir.path(), dtype, &shape, 11, Mode::Append);
            let mapped = assert_reads_as_lance(dir.path());
            let whole_bytes = dtype != DType::RDS_DTYPE_BOOL || shape == [2, 4];
            assert_eq!(mapped, if whole_bytes { 31 } else { 0 }, "{} {shape:?}", dtype.name());
        }
    }
}

#[test]
fn constant_rows_are_mapped() {
    let dir = tempfile::tempdir().unwrap();
    let spec = TensorSpec::new(DType::RDS_DTYPE_FLOAT32, &[2]).unwrap();
    foreign(dir.path(), &schema_of(&spec), |_| 0.5, WriteParams::default());
    assert_eq!(assert_reads_as_lance(dir.path()), ROWS as u64);
}

const ROWS: usize = 60;

/// A table as stock Lance writes one of `schema`, in fragments of 20 rows.
fn foreign(dir: &Path, schema: &Schema, value: impl Fn(usize) -> f32, params: WriteParams) {
    let DataType::FixedSizeList(item, width) = schema.field(1).data_type().clone() else {
        panic!()
    };
    let values: Vec<f32> = (0..ROWS * width as usize).map(value).collect();
    let data = FixedSizeListArray::new(item, width, Arc::new(Float32Array::from(values)), None);
    let ids = StringArray::from_iter_values((0..ROWS).map(|i| format!("id-{i}")));
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(data)];
    let batch = RecordBatch::try_new(Arc::new(schema.clone()), columns).unwrap();
    let path = table(dir);
    let params = WriteParams { max_rows_per_file: 20, mode: WriteMode::Create, ..params };
    let source = RecordBatchIterator::new([Ok(batch)], Arc::new(schema.clone()));
    lance(async { Dataset::write(source, &path, Some(params)).await });
}

fn table(dir: &Path) -> String {
    dir.join("lance_db/results.lance").to_str().unwrap().to_string()
}

fn lance<T: Send>(work: impl Future<Output = lance::Result<T>> + Send) -> T {
    crate::runtime::block_on(work).unwrap().unwrap()
}

/// The schema of others: no word of encodings.
fn plain_schema(width: i64) -> Schema {
    let spec = TensorSpec::new(DType::RDS_DTYPE_FLOAT32, &[width]).unwrap();
    let schema = schema_of(&spec);
    let fields = schema
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), field.data_type().clone(), true));
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone())
}

fn foreign_default(width: i64, params: WriteParams) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    foreign(dir.path(), &plain_schema(width), |i| i as f32, params);
    dir
}

#[test]
fn tables_of_every_file_version_read_as_lance_reads_them() {
    use LanceFileVersion::*;
    for (version, narrow, wide) in [(V2_0, 60, 60), (V2_1, 0, 60), (V2_2, 0, 60), (V2_3, 0, 0)] {
        for (width, mapped) in [(2, narrow), (512, wide)] {
            let params = WriteParams { data_storage_version: Some(version), ..Default::default() };
            let dir = foreign_default(width, params);
            assert_eq!(assert_reads_as_lance(dir.path()), mapped, "{version:?}, {width} wide");
        }
    }
}

#[test]
fn a_fragment_with_deleted_rows_is_left_to_lance() {
    let dir = foreign_default(512, WriteParams::default());
    lance(async {
        let mut dataset = Dataset::open(&table(dir.path())).await?;
        dataset.delete("object_id in ('id-0', 'id-25', 'id-26')").await
    });
    // Of three fragments the last one is as it was, three rows further to the front.
    assert_eq!(assert_reads_as_lance(dir.path()), 20);
    assert_eq!(open(dir.path(), Access::Auto).rows(), 57);
}

#[test]
fn a_fragment_may_have_data_in_another_file_and_under_another_name() {
    let dir = foreign_default(512, WriteParams::default());
    let rename = |from: &str, to: &str| ColumnAlteration::new(from.into()).rename(to.into());
    lance(async {
        let mut dataset = Dataset::open(&table(dir.path())).await?;
        let add = |name: &str, value: &str| {
            NewColumnTransform::SqlExpressions(vec![(name.into(), value.into())])
        };
        // More columns in more files: the pages of `data` are where they were.
        dataset.add_columns(add("more", "1"), None, None).await
    });
    assert_eq!(assert_reads_as_lance(dir.path()), 60);
    lance(async {
        let mut dataset = Dataset::open(&table(dir.path())).await?;
        let copy = vec![("copy".into(), "data".into())];
        dataset.add_columns(NewColumnTransform::SqlExpressions(copy), None, None).await?;
        dataset.drop_columns(&["data"]).await?;
        dataset.alter_columns(&[rename("copy", "data")]).await
    });
    assert_eq!(assert_reads_as_lance(dir.path()), 60);
}

#[test]
fn a_column_that_some_fragments_lack_is_null_there() {
    let dir = foreign_default(512, WriteParams::default());
    lance(async {
        let mut dataset = Dataset::open(&table(dir.path())).await?;
        let none = Arc::new(Schema::new(vec![Field::new("late", DataType::Int32, true)]));
        dataset.add_columns(NewColumnTransform::AllNulls(none), None, None).await?;
        dataset.drop_columns(&["data"]).await?;
        let data = Arc::new(Schema::new(vec![plain_schema(512).field(1).clone()]));
        dataset.add_columns(NewColumnTransform::AllNulls(data), None, None).await
    });
    let reader = open(dir.path(), Access::Auto);
    assert_eq!(reader.column(0).unwrap().spans.mapped_rows(), 0);
    assert!(reader.row(0, 3).unwrap().is_null(0));
    let error = reader.read(reader.column(0).unwrap(), &[3], &mut [0; 2048]).unwrap_err();
    assert_eq!(error.status, Status::RDS_ERR_NOT_SUPPORTED);
    assert!(error.message.contains("row 3"), "{error}");
}

#[test]
fn stable_row_ids_do_not_move_rows() {
    let params = WriteParams { enable_stable_row_ids: true, ..Default::default() };
    let dir = foreign_default(512, params);
    assert_eq!(assert_reads_as_lance(dir.path()), 60);
    lance(async {
        let mut dataset = Dataset::open(&table(dir.path())).await?;
        dataset.delete("object_id = 'id-3'").await?;
        let options = lance::dataset::optimize::CompactionOptions::default();
        lance::dataset::optimize::compact_files(&mut dataset, options, None).await
    });
    assert_eq!(assert_reads_as_lance(dir.path()), 59);
}

#[test]
fn compaction_keeps_narrow_rows_mapped() {
    let dir = tempfile::tempdir().unwrap();
    for (rows, mode) in [(30, Mode::Create), (20, Mode::Append), (10, Mode::Append)] {
        append(dir.path(), DType::RDS_DTYPE_FLOAT32, &[2], rows, mode);
    }
    lance(async {
        let mut dataset = Dataset::open(&table(dir.path())).await?;
        let options = lance::dataset::optimize::CompactionOptions::default();
        let metrics = lance::dataset::optimize::compact_files(&mut dataset, options, None).await?;
        assert_eq!(metrics.fragments_added, 1);
        Ok(())
    });
    assert_eq!(assert_reads_as_lance(dir.path()), 60);
}

#[test]
fn access_mapped_refuses_what_is_not() {
    let dir = foreign_default(2, WriteParams::default());
    let location = Location::parse(dir.path().to_str().unwrap()).unwrap();
    let options = ReaderOptions { access: Access::Mapped, ..Default::default() };
    let error = Reader::open(location, &options).err().unwrap();
    assert_eq!(error.status, Status::RDS_ERR_NOT_SUPPORTED);
    assert!(error.message.contains("0 of 60 rows"), "{error}");
    let dir = foreign_default(512, WriteParams::default());
    assert_eq!(open(dir.path(), Access::Mapped).column(0).unwrap().spans.mapped_rows(), 60);
}

#[test]
fn a_large_gather_of_mapped_and_other_rows_puts_each_in_its_place() {
    let dir = foreign_default(512, WriteParams::default());
    lance(async {
        let mut dataset = Dataset::open(&table(dir.path())).await?;
        dataset.delete("object_id in ('id-20')").await
    });
    let reader = open(dir.path(), Access::Auto);
    assert_eq!((reader.rows(), reader.column(0).unwrap().spans.mapped_rows()), (59, 40));
    // More than one thread copies.
    let rows: Vec<u64> =
        (0..2 * gather::BYTES_PER_THREAD as u64 / 2048).map(|i| i * 17 % 59).collect();
    let mut out = vec![0xaa; rows.len() * 2048];
    reader.read(reader.column(0).unwrap(), &rows, &mut out).unwrap();
    for (row, tensor) in rows.iter().zip(out.chunks_exact(2048)) {
        let written = if *row < 20 { *row } else { *row + 1 };
        let first = (written * 512) as f32;
        assert_eq!(tensor[..4], first.to_ne_bytes(), "row {row}");
        assert_eq!(tensor[2044..], (first + 511.0).to_ne_bytes(), "row {row}");
    }
}

#[test]
fn refreshing_keeps_the_maps_of_files_that_did_not_change() {
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), DType::RDS_DTYPE_FLOAT32, &[3], 30, Mode::Create);
    let reader = open(dir.path(), Access::Auto);
    assert!(reader.refreshed().unwrap().is_none());
    append(dir.path(), DType::RDS_DTYPE_FLOAT32, &[3], 5, Mode::Append);
    let newer = reader.refreshed().unwrap().unwrap();
    assert_eq!(
        (reader.rows(), newer.rows(), newer.column(0).unwrap().spans.mapped_rows()),
        (30, 35, 35)
    );
    let start =
        |reader: &Reader| reader.span(reader.column(0).unwrap(), 7).unwrap().1.unwrap().as_ptr();
    assert_eq!(start(&reader), start(&newer));
    append(dir.path(), DType::RDS_DTYPE_FLOAT32, &[4], 5, Mode::Overwrite);
    let error = newer.refreshed().err().unwrap();
    assert_eq!(error.status, Status::RDS_ERR_SCHEMA_MISMATCH);
    assert!(error.message.contains("float32 [4]"), "{error}");
}

#[test]
fn a_table_made_anew_with_the_same_version_is_another_one() {
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), DType::RDS_DTYPE_FLOAT32, &[3], 30, Mode::Create);
    let reader = open(dir.path(), Access::Auto);
    std::fs::remove_dir_all(table(dir.path())).unwrap();
    assert_eq!(reader.refreshed().err().unwrap().status, Status::RDS_ERR_NOT_FOUND);
    append(dir.path(), DType::RDS_DTYPE_FLOAT32, &[3], 8, Mode::Create);
    let newer = reader.refreshed().unwrap().unwrap();
    assert_eq!((newer.version(), newer.rows()), (reader.version(), 8));
    // The old files are gone, and mapped still.
    let mut out = [0; 12];
    reader.read(reader.column(0).unwrap(), &[29], &mut out).unwrap();
    assert_eq!(out, noise(30 * 12)[29 * 12..]);
}

#[test]
fn the_first_of_many_equal_ids_is_found_by_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    let options = WriterOptions {
        mode: Mode::Create,
        durability: Durability::Commit,
        ..WriterOptions::default()
    };
    let writer = Writer::open(Location::parse(path).unwrap(), options).unwrap();
    // Each of 50,000 ids six times, far apart.
    let ids: Vec<u64> = (0..300_000).map(|i| i % 50_000).collect();
    let shape = [ids.len() as i64];
    let dtype = DType::RDS_DTYPE_UINT8;
    let values = vec![1; ids.len()];
    let layout = TensorView::layout(dtype, &shape, None).unwrap();
    let tensors = TensorView::new(dtype, &shape, layout, &values, false).unwrap();
    writer.write_tensors(&Ids::Uint64(&ids), &[("data", tensors)]).unwrap();
    writer.commit(CommitScope::Run, &mut |_, _| true).unwrap();
    writer.close().unwrap();
    let reader = open(dir.path(), Access::Auto);
    let wanted = StringArray::from_iter_values((0..50_001).map(|i| i.to_string()));
    let mut asked = 0;
    let check = |i: usize, row, count| {
        asked += 1;
        let expected = if i < 50_000 { (Some(i as u64), 6) } else { (None, 0) };
        assert_eq!((row, count), expected, "id {i}");
    };
    reader.find(&wanted, check).unwrap();
    assert_eq!(asked, 50_001);
}
