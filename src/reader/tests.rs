use std::path::Path;

use arrow::array::{Array, AsArray, FixedSizeListArray, Float32Array, RecordBatchIterator};
use arrow::datatypes::{DataType, Field, Float32Type, Schema};
use lance::dataset::{Dataset, WriteMode, WriteParams};

use super::*;
use crate::error::Status;
use crate::tensor::{DATA_COLUMN, ID_COLUMN};

fn all() -> Columns {
    Columns { id: true, tensors: vec![0] }
}

fn data() -> Columns {
    Columns::tensor(0)
}

fn ids() -> Columns {
    Columns { id: true, tensors: Vec::new() }
}

/// A table as others write it: `rows` rows of `[i, i + 0.5]`, in fragments of 10, by stock Lance.
fn foreign_table(dir: &Path, rows: usize, metadata: &[(&str, &str)]) -> String {
    let item = Arc::new(Field::new("item", DataType::Float32, true));
    let values: Vec<f32> = (0..rows).flat_map(|i| [i as f32, i as f32 + 0.5]).collect();
    let data = FixedSizeListArray::new(item, 2, Arc::new(Float32Array::from(values)), None);
    let ids = StringArray::from_iter_values((0..rows).map(|i| format!("id-{i}")));
    let fields = vec![
        Field::new(ID_COLUMN, DataType::Utf8, true),
        Field::new(DATA_COLUMN, data.data_type().clone(), true),
    ];
    let metadata = metadata.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(data)];
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let path = dir.join("t.lance").to_str().unwrap().to_string();
    let params =
        WriteParams { max_rows_per_file: 10, mode: WriteMode::Create, ..Default::default() };
    let source = RecordBatchIterator::new([Ok(batch)], schema);
    crate::runtime::block_on(async { Dataset::write(source, &path, Some(params)).await })
        .unwrap()
        .unwrap();
    path
}

const METADATA: &[(&str, &str)] = &[("tensor_shape", "[2]"), ("tensor_dtype", "float32")];

fn reader(rows: usize) -> (tempfile::TempDir, Reader) {
    let dir = tempfile::tempdir().unwrap();
    let path = foreign_table(dir.path(), rows, METADATA);
    let reader = Reader::open(Location::parse(&path).unwrap(), &ReaderOptions::default()).unwrap();
    (dir, reader)
}

fn delete(dir: &tempfile::TempDir, predicate: &str) {
    let path = dir.path().join("t.lance").to_str().unwrap().to_string();
    crate::runtime::block_on(async {
        let mut dataset = Dataset::open(&path).await.unwrap();
        dataset.delete(predicate).await.unwrap();
    })
    .unwrap();
}

fn find(reader: &Reader, ids: Vec<&str>) -> Vec<(Option<u64>, u64)> {
    let mut found = Vec::new();
    let record = |i, row, count| {
        assert_eq!(i, found.len());
        found.push((row, count));
    };
    reader.find(&StringArray::from(ids), record).unwrap();
    found
}

fn first_values(batch: &RecordBatch) -> Vec<f32> {
    let data = batch.column_by_name(DATA_COLUMN).unwrap().as_fixed_size_list();
    data.values().as_primitive::<Float32Type>().values().chunks(2).map(|pair| pair[0]).collect()
}

#[test]
fn a_take_keeps_order_and_duplicates_across_fragments() {
    let (_dir, reader) = reader(35);
    let batch = reader.take(&[34, 0, 10, 0, 9], &all()).unwrap();
    assert_eq!(first_values(&batch), [34.0, 0.0, 10.0, 0.0, 9.0]);
    let ids: Vec<_> = batch.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(ids, ["id-34", "id-0", "id-10", "id-0", "id-9"]);
    assert_eq!(batch.schema(), reader.schema(&all(), false).unwrap());
}

#[test]
fn nothing_asked_for_gives_an_empty_batch_of_the_right_schema() {
    let (_dir, reader) = reader(3);
    for columns in [all(), ids(), data()] {
        let batch = reader.take(&[], &columns).unwrap();
        assert_eq!(
            (batch.num_rows(), batch.schema()),
            (0, reader.schema(&columns, false).unwrap())
        );
    }
    reader.read(reader.column(0).unwrap(), &[], &mut []).unwrap();
}

#[test]
fn a_row_beyond_the_table_is_named() {
    let (_dir, reader) = reader(5);
    for error in [
        reader.row(0, 5).unwrap_err(),
        reader.take(&[0, 5], &all()).unwrap_err(),
        reader.read(reader.column(0).unwrap(), &[5], &mut [0; 8]).unwrap_err(),
        reader.id(5).unwrap_err(),
    ] {
        assert_eq!(error.status, Status::RDS_ERR_OUT_OF_RANGE);
        assert_eq!(error.message, "row 5 is out of range (the table has 5 rows)");
    }
}

#[test]
fn a_stream_covers_its_range_in_order() {
    let (_dir, reader) = reader(35);
    let stream = |first_row, row_count| {
        let options = StreamOptions {
            columns: data(),
            first_row,
            row_count,
            batch_rows: 4,
            fixed_shape_tensor: false,
        };
        let batches: Vec<_> = reader.stream(&options)?.map(|batch| batch.unwrap()).collect();
        assert!(batches.iter().all(|batch| batch.num_rows() <= 4));
        Ok::<_, Error>(batches.iter().flat_map(first_values).collect::<Vec<f32>>())
    };
    let expected = |range: std::ops::Range<usize>| range.map(|i| i as f32).collect::<Vec<_>>();
    assert_eq!(stream(0, None).unwrap(), expected(0..35));
    assert_eq!(stream(8, Some(15)).unwrap(), expected(8..23));
    assert_eq!(stream(35, None).unwrap(), expected(0..0));
    for (first, count) in [(36, None), (30, Some(6)), (u64::MAX, Some(2))] {
        assert_eq!(stream(first, count).unwrap_err().status, Status::RDS_ERR_OUT_OF_RANGE);
    }
}

#[test]
fn a_stream_that_lacks_rows_fails_instead_of_ending() {
    let (_dir, reader) = reader(35);
    let options = StreamOptions {
        columns: data(),
        first_row: 30,
        row_count: None,
        batch_rows: 4,
        fixed_shape_tensor: false,
    };
    let schema = reader.schema(&options.columns, false).unwrap();
    let results: Vec<_> =
        stream::Stream::new(reader.snapshot.clone(), &options, 6, schema).take(9).collect();
    let given = |batch: &RecordBatch| batch.num_rows();
    assert!(results.iter().flatten().map(given).sum::<usize>() <= 5);
    let error = results.into_iter().find_map(|result| result.err()).map(Error::from).unwrap();
    assert_eq!(error.status, Status::RDS_ERR_CORRUPT);
}

#[test]
fn find_gives_the_first_row_and_counts_duplicates() {
    let (dir, reader) = reader(12);
    let found = find(&reader, vec!["id-11", "nobody", "id-0", ""]);
    assert_eq!(found, [(Some(11), 1), (None, 0), (Some(0), 1), (None, 0)]);
    let path = dir.path().join("t.lance").to_str().unwrap().to_string();
    // The same ids once more.
    let writer = crate::writer::Writer::open(
        Location::parse(&path).unwrap(),
        crate::writer::WriterOptions {
            mode: crate::writer::Mode::Append,
            durability: crate::writer::Durability::Commit,
            ..Default::default()
        },
    )
    .unwrap();
    writer.write_arrow(reader.take(&[3, 3], &all()).unwrap()).unwrap();
    writer.commit(crate::writer::CommitScope::Run, &mut |_, _| true).unwrap();
    writer.close().unwrap();
    let newer = Reader::open(Location::parse(&path).unwrap(), &ReaderOptions::default()).unwrap();
    assert_eq!((newer.rows(), reader.rows()), (14, 12));
    assert_eq!(find(&newer, vec!["id-3"]), [(Some(3), 3)]);
    let older = Reader::open(
        Location::parse(&path).unwrap(),
        &ReaderOptions { version: Some(reader.version()), ..Default::default() },
    )
    .unwrap();
    assert_eq!(older.rows(), 12);
}

#[test]
fn deleted_rows_are_gone_from_every_way_of_reading() {
    let (dir, old) = reader(25);
    delete(&dir, "object_id in ('id-0', 'id-11', 'id-12')");
    let path = dir.path().join("t.lance").to_str().unwrap().to_string();
    let reader = Reader::open(Location::parse(&path).unwrap(), &ReaderOptions::default()).unwrap();
    assert_eq!((old.rows(), reader.rows()), (25, 22));
    assert_eq!(
        first_values(&reader.take(&[0, 9, 10, 21], &data()).unwrap()),
        [1.0, 10.0, 13.0, 24.0]
    );
    assert_eq!(reader.id(10).unwrap(), "id-13");
    assert_eq!(find(&reader, vec!["id-11", "id-13"]), [(None, 0), (Some(10), 1)]);
    let options = StreamOptions {
        columns: all(),
        first_row: 9,
        row_count: Some(2),
        batch_rows: 99,
        fixed_shape_tensor: false,
    };
    let batches: Vec<_> = reader.stream(&options).unwrap().map(|batch| batch.unwrap()).collect();
    assert_eq!(batches.iter().flat_map(first_values).collect::<Vec<_>>(), [10.0, 13.0]);
    // The snapshot still has them.
    assert_eq!(old.id(11).unwrap(), "id-11");
}

#[test]
fn a_table_with_no_rows_is_a_table() {
    let (dir, _) = reader(3);
    delete(&dir, "true");
    let path = dir.path().join("t.lance").to_str().unwrap().to_string();
    let reader = Reader::open(Location::parse(&path).unwrap(), &ReaderOptions::default()).unwrap();
    assert_eq!(reader.rows(), 0);
    assert_eq!(find(&reader, vec!["id-0"]), [(None, 0)]);
    let options = StreamOptions {
        columns: all(),
        first_row: 0,
        row_count: None,
        batch_rows: 9,
        fixed_shape_tensor: false,
    };
    assert_eq!(reader.stream(&options).unwrap().count(), 0);
    assert_eq!(reader.row(0, 0).unwrap_err().status, Status::RDS_ERR_OUT_OF_RANGE);
}

#[test]
fn what_is_no_table_of_results_is_refused_by_name() {
    let open = |path: &str, version| {
        Reader::open(
            Location::parse(path).unwrap(),
            &ReaderOptions { version, ..Default::default() },
        )
        .err()
        .unwrap()
    };
    let dir = tempfile::tempdir().unwrap();
    let error = open(dir.path().to_str().unwrap(), None);
    assert_eq!(error.status, Status::RDS_ERR_NOT_FOUND);
    assert!(error.message.contains("lance_db/results.lance"), "{error}");
    let path = foreign_table(dir.path(), 3, &[("tensor_shape", "2"), ("tensor_dtype", "int8")]);
    let error = open(&path, None);
    assert_eq!(error.status, Status::RDS_ERR_SCHEMA_MISMATCH);
    assert!(error.message.contains("tensor_shape"), "{error}");
    let other = tempfile::tempdir().unwrap();
    let path = foreign_table(other.path(), 3, METADATA);
    assert_eq!(open(&path, Some(99)).status, Status::RDS_ERR_NOT_FOUND);
}
