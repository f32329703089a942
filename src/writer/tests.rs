use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::*;
use crate::error::Status;
use crate::reader::{Reader, ReaderOptions};
use crate::tensor::DType;

fn options(mode: Mode, durability: Durability) -> WriterOptions {
    let visible = Duration::from_secs(3600);
    WriterOptions { mode, durability, max_queued_bytes: 1 << 20, visible, ..Default::default() }
}

fn open(dir: &tempfile::TempDir, mode: Mode, durability: Durability) -> Result<Writer> {
    let location = Location::parse(dir.path().to_str().unwrap()).unwrap();
    Writer::open(location, options(mode, durability))
}

fn write(writer: &Writer, first: i64, values: &[[f32; 2]]) -> Result<()> {
    let ids: Vec<i64> = (first..first + values.len() as i64).collect();
    let bytes: Vec<u8> = values.iter().flatten().flat_map(|v| v.to_ne_bytes()).collect();
    let shape = [values.len() as i64, 2];
    let layout = TensorView::layout(DType::RDS_DTYPE_FLOAT32, &shape, None)?;
    let view = TensorView::new(DType::RDS_DTYPE_FLOAT32, &shape, layout, &bytes, false)?;
    writer.write_tensors(&Ids::Int64(&ids), &[("data", view)])
}

fn rows(dir: &tempfile::TempDir) -> Result<u64> {
    Ok(Reader::open(Location::parse(dir.path().to_str().unwrap())?, &ReaderOptions::default())?
        .rows())
}

fn value_of(dir: &tempfile::TempDir, row: u64) -> [f32; 2] {
    let reader = Reader::open(
        Location::parse(dir.path().to_str().unwrap()).unwrap(),
        &ReaderOptions::default(),
    )
    .unwrap();
    let mut out = [0; 8];
    reader.read(reader.column(0).unwrap(), &[row], &mut out).unwrap();
    [0, 4].map(|at| f32::from_ne_bytes(out[at..at + 4].try_into().unwrap()))
}

#[test]
fn nothing_is_made_before_the_first_batch_and_by_an_empty_commit() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(&dir, Mode::Create, Durability::Commit).unwrap();
    write(&writer, 0, &[]).unwrap();
    assert_eq!(writer.commit(CommitScope::Run, &mut |_, _| true).unwrap(), CommitInfo::default());
    writer.close().unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_commit_reports_what_is_durable_and_a_second_one_adds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(&dir, Mode::Create, Durability::Commit).unwrap();
    write(&writer, 0, &[[1.0, 2.0], [3.0, 4.0]]).unwrap();
    write(&writer, 2, &[[5.0, 6.0]]).unwrap();
    assert_eq!(rows(&dir).unwrap_err().status, Status::RDS_ERR_NOT_FOUND);
    let info = writer.commit(CommitScope::Run, &mut |_, _| true).unwrap();
    assert_eq!((info.rows, info.tensor_bytes, info.data_files), (3, 24, 1));
    assert_eq!(writer.commit(CommitScope::Run, &mut |_, _| true).unwrap(), info);
    assert_eq!(rows(&dir).unwrap(), 3);
    assert_eq!(value_of(&dir, 2), [5.0, 6.0]);
    writer.close().unwrap();
}

#[test]
fn rows_are_durable_by_the_journal_and_visible_when_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(&dir, Mode::Create, Durability::Batch).unwrap();
    for batch in 0..3 {
        write(&writer, batch, &[[batch as f32, 0.0]]).unwrap();
        assert_eq!(rows(&dir).unwrap_err().status, Status::RDS_ERR_NOT_FOUND);
        assert_eq!(writer.stats().unwrap().durable_rows, batch as u64 + 1);
    }
    writer.flush().unwrap();
    assert_eq!((rows(&dir).unwrap(), value_of(&dir, 2)), (3, [2.0, 0.0]));
    writer.close().unwrap();
}

#[test]
fn rows_become_visible_by_time_without_another_call() {
    let dir = tempfile::tempdir().unwrap();
    let location = Location::parse(dir.path().to_str().unwrap()).unwrap();
    let interval = Durability::Interval(Duration::from_millis(20));
    let visible = Duration::from_millis(100);
    let options = WriterOptions { visible, ..options(Mode::Create, interval) };
    let writer = Writer::open(location, options).unwrap();
    write(&writer, 0, &[[1.0, 2.0]]).unwrap();
    let shown = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(25));
        rows(&dir).is_ok_and(|rows| rows == 1)
    });
    assert!(shown);
    writer.close().unwrap();
}

/// What a kill leaves: files as they are, and an owner that is gone.
fn kill(writer: Writer, dir: &tempfile::TempDir) {
    let runs = runs::runs(&dir.path().join("lance_db/results.lance")).unwrap();
    for found in runs {
        for entry in std::fs::read_dir(&found.directory).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap().to_str().unwrap().starts_with("owner.") {
                std::fs::rename(&path, found.directory.join("old.1.test")).unwrap();
            }
        }
    }
    let error = write(&writer, 99, &[[9.0, 9.0]]).unwrap_err();
    assert_eq!(error.status, Status::RDS_ERR_COMMIT_CONFLICT, "{error}");
    assert!(writer.close().is_err());
}

#[test]
fn rows_of_a_run_that_died_wait_and_become_visible_once_and_in_order() {
    for mode in [Mode::Create, Mode::Append, Mode::Overwrite] {
        let dir = tempfile::tempdir().unwrap();
        let location = || Location::parse(dir.path().to_str().unwrap()).unwrap();
        let before = u64::from(mode == Mode::Append);
        if mode != Mode::Create {
            let writer = open(&dir, Mode::Create, Durability::Batch).unwrap();
            write(&writer, 0, &[[7.0, 7.0]]).unwrap();
            writer.close().unwrap();
        }
        let writer = open(&dir, mode, Durability::Batch).unwrap();
        for batch in 0..5 {
            write(&writer, batch, &[[batch as f32, 0.0]]).unwrap();
            if batch == 2 && mode != Mode::Overwrite {
                writer.flush().unwrap();
            }
        }
        kill(writer, &dir);
        let create = open(&dir, Mode::Create, Durability::Batch).err().unwrap();
        assert_eq!(create.status, Status::RDS_ERR_ALREADY_EXISTS);
        let look = RecoverOptions { dry_run: true, ..RecoverOptions::default() };
        let recover = |options: &RecoverOptions| {
            crate::runtime::block_on(recover(&location(), options)).unwrap().unwrap()
        };
        let waiting = recover(&look);
        assert_eq!(waiting.waiting_runs, 1);
        let recovered = recover(&RecoverOptions::default());
        assert_eq!(recovered.recovered_runs, 1, "{mode:?}");
        // The batch that was not acknowledged may be there too.
        let all = before + 5 + (recovered.recovered_rows - (waiting.waiting_rows - 1)).min(1);
        assert_eq!(rows(&dir).unwrap(), all, "{mode:?}");
        for batch in 0..5 {
            assert_eq!(value_of(&dir, before + batch), [batch as f32, 0.0]);
        }
        assert_eq!(recover(&RecoverOptions::default()), RecoverInfo::default());
        assert_eq!(rows(&dir).unwrap(), all);
    }
}

#[test]
fn an_appending_writer_finishes_what_a_dead_one_left() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(&dir, Mode::Create, Durability::Batch).unwrap();
    write(&writer, 0, &[[1.0, 0.0]]).unwrap();
    kill(writer, &dir);
    let writer = open(&dir, Mode::Append, Durability::Batch).unwrap();
    write(&writer, 1, &[[2.0, 0.0]]).unwrap();
    writer.close().unwrap();
    let rows = rows(&dir).unwrap();
    assert_eq!((value_of(&dir, 0), value_of(&dir, rows - 1)), ([1.0, 0.0], [2.0, 0.0]));
}

#[test]
fn closing_without_a_commit_drops_rows_in_commit_durability_only() {
    for (durability, kept) in [(Durability::Commit, None), (Durability::Batch, Some(1))] {
        let dir = tempfile::tempdir().unwrap();
        let writer = open(&dir, Mode::Create, durability).unwrap();
        write(&writer, 0, &[[1.0, 2.0]]).unwrap();
        writer.close().unwrap();
        assert_eq!(rows(&dir).ok(), kept);
        let table = dir.path().join("lance_db/results.lance");
        let files = std::fs::read_dir(table.join("data")).map_or(0, |files| files.count());
        assert_eq!(files, kept.unwrap_or(0) as usize, "no file that no version names is left");
        assert_eq!(table.join("_rds").exists(), kept.is_some());
    }
}

#[test]
fn a_dropped_writer_flushes_in_the_background() {
    let dir = tempfile::tempdir().unwrap();
    let interval = Durability::Interval(Duration::from_secs(3600));
    let writer = open(&dir, Mode::Create, interval).unwrap();
    write(&writer, 0, &[[1.0, 2.0]]).unwrap();
    drop(writer);
    let flushed = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(25));
        rows(&dir).is_ok()
    });
    assert!(flushed);
}

#[test]
fn modes_create_append_overwrite() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        open(&dir, Mode::Append, Durability::Batch).err().unwrap().status,
        Status::RDS_ERR_NOT_FOUND
    );
    for (mode, expected) in
        [(Mode::Create, 1), (Mode::Append, 2), (Mode::Append, 3), (Mode::Overwrite, 1)]
    {
        let writer = open(&dir, mode, Durability::Batch).unwrap();
        write(&writer, 7, &[[expected as f32, 0.0]]).unwrap();
        writer.close().unwrap();
        assert_eq!(rows(&dir).unwrap(), expected);
        assert_eq!(value_of(&dir, expected - 1), [expected as f32, 0.0]);
    }
    let error = open(&dir, Mode::Create, Durability::Batch).err().unwrap();
    assert_eq!(error.status, Status::RDS_ERR_ALREADY_EXISTS);
}

#[test]
fn an_overwrite_may_change_the_shape_and_goes_on_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(&dir, Mode::Create, Durability::Batch).unwrap();
    write(&writer, 0, &[[1.0, 2.0]]).unwrap();
    writer.close().unwrap();
    let writer = open(&dir, Mode::Overwrite, Durability::Batch).unwrap();
    for batch in [vec![9.0_f32], vec![8.0]] {
        writer.write_arrow(arrow_batch(&["x"], &batch, 1)).unwrap();
    }
    writer.close().unwrap();
    let reader = Reader::open(
        Location::parse(dir.path().to_str().unwrap()).unwrap(),
        &ReaderOptions::default(),
    )
    .unwrap();
    assert_eq!((reader.rows(), reader.column(0).unwrap().spec.shape.as_slice()), (2, &[1][..]));
}

#[test]
fn a_create_that_lost_the_race_says_so_and_loses_nothing_of_the_winner() {
    let dir = tempfile::tempdir().unwrap();
    let loser = open(&dir, Mode::Create, Durability::Batch).unwrap();
    let winner = open(&dir, Mode::Create, Durability::Batch).unwrap();
    write(&winner, 0, &[[1.0, 2.0]]).unwrap();
    let error = write(&loser, 0, &[[3.0, 4.0]]).unwrap_err();
    assert_eq!(error.status, Status::RDS_ERR_ALREADY_EXISTS);
    // Reported again, and by close too.
    assert_eq!(write(&loser, 0, &[[3.0, 4.0]]).unwrap_err().status, error.status);
    assert_eq!(loser.close().unwrap_err().status, error.status);
    winner.close().unwrap();
    assert_eq!(value_of(&dir, 0), [1.0, 2.0]);
}

#[test]
fn a_refused_batch_leaves_the_writer_usable() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(&dir, Mode::Create, Durability::Commit).unwrap();
    write(&writer, 0, &[[1.0, 2.0]]).unwrap();
    let refused = [arrow_batch(&["a"], &[1.0, 2.0, 3.0], 3), arrow_batch(&["a"], &[1.0], 1)];
    for batch in refused {
        let error = writer.write_arrow(batch).unwrap_err();
        assert_eq!(error.status, Status::RDS_ERR_SCHEMA_MISMATCH);
        assert!(error.message.contains("expected rows of float32 [2]"), "{error}");
    }
    write(&writer, 1, &[[3.0, 4.0]]).unwrap();
    assert_eq!(writer.commit(CommitScope::Run, &mut |_, _| true).unwrap().rows, 2);
    writer.close().unwrap();
}

#[test]
fn a_first_batch_that_is_refused_does_not_fix_the_shape() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(&dir, Mode::Create, Durability::Commit).unwrap();
    let null_id = StringArray::from(vec![None::<&str>]);
    let bad = with_ids(Arc::new(null_id), &[1.0, 2.0, 3.0], 3);
    assert_eq!(writer.write_arrow(bad).unwrap_err().status, Status::RDS_ERR_INVALID_ARGUMENT);
    write(&writer, 1, &[[3.0, 4.0]]).unwrap();
    writer.close().unwrap();
}

#[test]
fn progress_can_stop_the_wait_and_the_rows_stay_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(&dir, Mode::Create, Durability::Commit).unwrap();
    write(&writer, 0, &[[1.0, 2.0]]).unwrap();
    let error = writer.commit(CommitScope::Run, &mut |_, _| false).unwrap_err();
    assert_eq!(error.status, Status::RDS_ERR_CANCELLED);
    let mut last = (0, 0);
    assert_eq!(
        writer
            .commit(CommitScope::Run, &mut |done, total| {
                last = (done, total);
                true
            })
            .unwrap()
            .rows,
        1
    );
    assert_eq!(last, (1, 1));
    writer.close().unwrap();
}

#[test]
fn a_full_queue_waits_instead_of_growing_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let location = Location::parse(dir.path().to_str().unwrap()).unwrap();
    let options =
        WriterOptions { max_queued_bytes: 1, ..options(Mode::Create, Durability::Commit) };
    let writer = Writer::open(location, options).unwrap();
    for batch in 0..500 {
        write(&writer, batch, &[[batch as f32, 1.0]; 4]).unwrap();
    }
    assert_eq!(writer.commit(CommitScope::Run, &mut |_, _| true).unwrap().rows, 2000);
    writer.close().unwrap();
    assert_eq!(value_of(&dir, 1999), [499.0, 1.0]);
}

fn arrow_batch(ids: &[&str], values: &[f32], length: i32) -> RecordBatch {
    with_ids(Arc::new(StringArray::from(ids.to_vec())), values, length)
}

fn with_ids(ids: ArrayRef, values: &[f32], length: i32) -> RecordBatch {
    let item = Arc::new(Field::new("element", DataType::Float32, false));
    let values = Arc::new(Float32Array::from(values.to_vec()));
    let data = FixedSizeListArray::new(item, length, values, None);
    RecordBatch::try_from_iter([("data", Arc::new(data) as ArrayRef), ("object_id", ids)]).unwrap()
}

#[test]
fn arrow_columns_come_in_any_order_and_other_columns_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let writer = open(&dir, Mode::Create, Durability::Commit).unwrap();
    let batch = arrow_batch(&["a"], &[1.0, 2.0], 2);
    writer.write_arrow(batch.clone()).unwrap();
    let mut fields: Vec<Field> =
        batch.schema().fields().iter().map(|f| f.as_ref().clone()).collect();
    fields.push(Field::new("extra", DataType::Float32, true));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(Float32Array::from(vec![1.0])));
    let extra = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let error = writer.write_arrow(extra).unwrap_err();
    assert_eq!(error.status, Status::RDS_ERR_SCHEMA_MISMATCH);
    assert!(error.message.contains("\"extra\""), "{error}");
    writer.close().unwrap();
}

#[test]
fn of_writers_that_create_at_once_one_wins_and_its_rows_stay() {
    for _ in 0..10 {
        let dir = tempfile::tempdir().unwrap();
        let writers = [0, 1, 2, 3].map(|_| open(&dir, Mode::Create, Durability::Batch).unwrap());
        let winners: Vec<i64> = std::thread::scope(|scope| {
            let writers: Vec<_> = writers
                .into_iter()
                .zip(0..)
                .map(|(writer, number)| {
                    scope.spawn(move || {
                        let result = write(&writer, number, &[[number as f32, 0.0]]);
                        let closed = writer.close();
                        assert_eq!(result.is_ok(), closed.is_ok());
                        match result {
                            Ok(()) => Some(number),
                            Err(error) => {
                                assert_eq!(error.status, Status::RDS_ERR_ALREADY_EXISTS, "{error}");
                                None
                            }
                        }
                    })
                })
                .collect();
            writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect()
        });
        assert_eq!(winners.len(), 1);
        assert_eq!(rows(&dir).unwrap(), 1);
        assert_eq!(value_of(&dir, 0), [winners[0] as f32, 0.0]);
    }
}

#[test]
fn close_reports_why_a_queued_batch_could_not_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let table = dir.path().join("lance_db/results.lance");
    std::fs::create_dir_all(&table).unwrap();
    let writer = open(&dir, Mode::Create, Durability::Interval(Duration::from_secs(60))).unwrap();
    std::fs::write(table.join("_rds"), "in the way").unwrap();
    // Accepted, or refused already if the task was quick.
    let _ = write(&writer, 0, &[[1.0, 2.0]]);
    let error = writer.close().unwrap_err();
    assert_eq!(error.status, Status::RDS_ERR_IO, "{error}");
}

#[test]
fn counts_without_memory_behind_them_are_refused() {
    let ids = Ids::FixedBytes { bytes: &[], width: 0, count: 1 << 60 };
    assert_eq!(ids.to_array().unwrap_err().status, Status::RDS_ERR_INVALID_ARGUMENT);
    let (shape, dtype) = ([1 << 60, 1], DType::RDS_DTYPE_FLOAT32);
    let layout = TensorView::layout(dtype, &shape, Some(&[0, 4])).unwrap();
    let view = TensorView::new(dtype, &shape, layout, &[0; 4], false).unwrap();
    let error = view.to_rows(true, &Pool::new(0)).unwrap_err();
    assert_eq!(error.status, Status::RDS_ERR_INVALID_ARGUMENT);
}
