use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, FixedSizeListArray};
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use futures::TryStreamExt;
use lance_core::cache::LanceCache;
use lance_encoding::decoder::FilterExpression;
use lance_file::format::pbfile::ColumnMetadata;
use lance_file::reader::{FileReader, FileReaderOptions};
use lance_io::ReadBatchParams;
use lance_io::object_store::ObjectStore;
use lance_io::scheduler::{FileScheduler, ScanScheduler, SchedulerConfig};
use lance_io::utils::CachedFileSize;

use super::*;
use crate::tensor::{DType, TensorSpec, schema};
use crate::writer::batch::from_arrow;
use crate::writer::footer::PAGE_BYTES;
use crate::writer::heap::Heap;
use crate::writer::pool::Pool;
use crate::writer::syncer::Syncer;

const VERSIONS: [ConcreteFileVersion; 2] = [ConcreteFileVersion::V2_1, ConcreteFileVersion::V2_2];

fn run<T: Send>(work: impl Future<Output = Result<T>> + Send) -> T {
    crate::runtime::block_on(work).unwrap().unwrap()
}

fn schema_of(spec: &TensorSpec) -> ArrowSchema {
    schema([("data", spec)].into_iter())
}

fn layout_of(spec: &TensorSpec) -> Layout {
    Layout::new([("data", spec)].into_iter()).unwrap()
}

/// Rows from `first` on, of values that differ.
fn batch(spec: &TensorSpec, first: usize, rows: usize) -> RecordBatch {
    let (numbers, bits) = spec.stored_numbers();
    let bytes = (rows * numbers * bits).div_ceil(8);
    let bytes: Vec<u8> = (first..first + bytes).map(|i| (i * 37 + i / 200) as u8).collect();
    let DataType::FixedSizeList(item, _) = spec.arrow_type() else { panic!() };
    let values = arrow::array::ArrayData::builder(item.data_type().clone())
        .len(rows * numbers)
        .add_buffer(bytes.into())
        .build()
        .unwrap();
    let values = arrow::array::make_array(values);
    let data = FixedSizeListArray::new(item, numbers as i32, values, None);
    let ids = StringArray::from_iter_values((first..first + rows).map(|i| format!("id-{i}")));
    let columns: Vec<ArrayRef> = vec![Arc::new(ids), Arc::new(data)];
    RecordBatch::try_new(Arc::new(schema_of(spec)), columns).unwrap()
}

fn lance_schema(schema: &SchemaRef) -> Schema {
    Schema::try_from(schema.as_ref()).unwrap()
}

/// A file of batches, as a run writes it.
fn write(dir: &Path, spec: &TensorSpec, target: &Target, batches: &[RecordBatch]) -> PathBuf {
    let layout = layout_of(spec);
    let run_id = uuid::Uuid::new_v4().simple().to_string();
    let (syncer, pool) = (Syncer::start(), Pool::new(0));
    let mut heap = Heap::create(dir, &run_id, 1, 0, 1).unwrap();
    for batch in batches {
        let batch = from_arrow(&layout, batch, &pool, true).unwrap();
        heap.append(&[(&batch).into()], true, &syncer).unwrap();
    }
    let column = &heap.columns[0];
    let rows = Rows { path: column.path.clone(), file: column.file.clone() };
    let source = Source {
        number: 0,
        first_row: 0,
        rows: heap.rows,
        columns: vec![rows],
        ids: heap.ids.path.clone(),
        layout: &layout,
    };
    let finished = run(source.finish(target));
    std::fs::remove_file(&heap.ids.path).unwrap();
    let [file] = finished.files.as_slice() else { panic!("{} files", finished.files.len()) };
    let path = dir.join(&file.name);
    assert_eq!(file.bytes, std::fs::metadata(&path).unwrap().len());
    assert_eq!(finished.rows, batches.iter().map(|batch| batch.num_rows() as u64).sum::<u64>());
    path
}

fn target(spec: &TensorSpec, version: ConcreteFileVersion) -> Target {
    Target { schema: lance_schema(&Arc::new(schema_of(spec))), version }
}

fn write_by_lance(path: &Path, version: ConcreteFileVersion, batch: &RecordBatch) {
    let file = Arc::new(File::create(path).unwrap());
    let sink = Sink { file, at: 0 };
    let (schema, options) = (lance_schema(&batch.schema()), FileWriterOptions::default());
    let file = lance_file::versions::create_writer(version, Box::new(sink), schema, options);
    let mut file = file.unwrap();
    run(async {
        file.write_batch(batch).await?;
        Ok(file.finish().await?)
    });
}

async fn open(path: &Path) -> Result<FileScheduler> {
    let scheduler =
        ScanScheduler::new(Arc::new(ObjectStore::local()), SchedulerConfig::new(1 << 26));
    let path = object_store::path::Path::from_absolute_path(path).unwrap();
    Ok(scheduler.open_file(&path, &CachedFileSize::unknown()).await?)
}

fn columns(path: &Path) -> Vec<ColumnMetadata> {
    run(async { Ok(FileReader::read_all_metadata(&open(path).await?).await?.column_metadatas) })
}

fn read(path: &Path) -> RecordBatch {
    let batches: Vec<RecordBatch> = run(async {
        let (cache, options) = (LanceCache::no_cache(), FileReaderOptions::default());
        let file = open(path).await?;
        let reader = FileReader::try_open(file, None, Arc::default(), &cache, options).await?;
        let all = ReadBatchParams::RangeFull;
        let stream = reader.read_stream(all, 1000, 1, FilterExpression::no_filter());
        Ok(stream.await?.try_collect().await?)
    });
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

/// The bytes of the only page of a column.
fn page_bytes(path: &Path, column: &ColumnMetadata) -> Vec<u8> {
    let [page] = column.pages.as_slice() else { panic!("{} pages", column.pages.len()) };
    let file = std::fs::read(path).unwrap();
    let (start, size) = (page.buffer_offsets[0] as usize, page.buffer_sizes[0] as usize);
    file[start..start + size].to_vec()
}

#[test]
fn pages_are_those_that_lance_makes() {
    let dir = tempfile::tempdir().unwrap();
    let shapes: [&[i64]; 4] = [&[8], &[2, 24], &[1000], &[]];
    let specs = DType::all().flat_map(|dtype| shapes.map(|shape| TensorSpec::new(dtype, shape)));
    for (spec, version) in specs.flat_map(|spec| VERSIONS.map(|version| (spec.clone(), version))) {
        let Ok(spec) = spec else { continue };
        let batch = batch(&spec, 3, 50);
        let lances = dir.path().join("lances");
        let ours = write(dir.path(), &spec, &target(&spec, version), std::slice::from_ref(&batch));
        write_by_lance(&lances, version, &batch);
        for (our, lance) in columns(&ours).iter().zip(&columns(&lances)) {
            let what = format!("{} {:?} {version:?}", spec.dtype.name(), spec.shape);
            assert_eq!(our.encoding, lance.encoding, "{what}");
            assert_eq!(our.pages[0].encoding, lance.pages[0].encoding, "{what}");
            assert_eq!(our.pages[0].length, 50, "{what}");
            assert_eq!(page_bytes(&ours, our), page_bytes(&lances, lance), "{what}");
        }
        assert_eq!(read(&ours).columns(), batch.columns());
        std::fs::remove_file(ours).unwrap();
        std::fs::remove_file(lances).unwrap();
    }
}

#[test]
fn slices_of_arrays_are_written_where_they_begin() {
    let dir = tempfile::tempdir().unwrap();
    for (dtype, width) in [(DType::RDS_DTYPE_BOOL, 24), (DType::RDS_DTYPE_INT16, 3)] {
        let spec = TensorSpec::new(dtype, &[width]).unwrap();
        let whole = batch(&spec, 0, 30);
        // Also where a slice of bits begins within a byte.
        let DataType::FixedSizeList(item, _) = spec.arrow_type() else { panic!() };
        let values = whole.column(1).as_fixed_size_list().values().slice(5, 10 * width as usize);
        let data = FixedSizeListArray::new(item, width as i32, values, None);
        let odd = vec![whole.column(0).slice(0, 10), Arc::new(data) as ArrayRef];
        let odd = RecordBatch::try_new(whole.schema(), odd).unwrap();
        let batches = [whole.slice(0, 7), odd, whole.slice(7, 0), whole.slice(11, 19)];
        let path = write(dir.path(), &spec, &target(&spec, VERSIONS[1]), &batches);
        let expected = concat_batches(&whole.schema(), &batches).unwrap();
        assert_eq!(read(&path).columns(), expected.columns());
        assert_eq!(columns(&path)[1].pages.len(), 1);
    }
}

/// Byte 0, and from there without a gap.
fn assert_one_run(path: &Path, bytes: u64) {
    let mut end = 0;
    for page in &columns(path)[1].pages {
        assert_eq!(page.buffer_offsets, [end]);
        assert!(page.buffer_offsets[0].is_multiple_of(64));
        end += page.buffer_sizes[0];
    }
    assert_eq!(end, bytes);
}

#[test]
fn rows_are_one_run_of_bytes_over_all_pages() {
    let dir = tempfile::tempdir().unwrap();
    for (dtype, width, rows) in [
        (DType::RDS_DTYPE_FLOAT32, 1001, 20_000),
        (DType::RDS_DTYPE_UINT8, 37, 1_000_000),
        (DType::RDS_DTYPE_FLOAT64, 4096, 2_100),
    ] {
        let spec = TensorSpec::new(dtype, &[width]).unwrap();
        let batches: Vec<_> = (0..5).map(|i| batch(&spec, i * rows / 5, rows / 5)).collect();
        let path = write(dir.path(), &spec, &target(&spec, VERSIONS[1]), &batches);
        assert_one_run(&path, (rows * spec.row_bytes()) as u64);
        let pages = &columns(&path)[1].pages;
        assert!(pages.len() > 1 && pages.iter().all(|page| page.buffer_sizes[0] <= PAGE_BYTES));
        let expected = concat_batches(&batches[0].schema(), &batches).unwrap();
        assert_eq!(read(&path).columns(), expected.columns());
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn rows_wider_than_a_page_follow_each_other_too() {
    let dir = tempfile::tempdir().unwrap();
    for (width, rows) in [((32 << 20) + 64, [1, 1].as_slice()), ((32 << 20) + 32, &[2, 1])] {
        let spec = TensorSpec::new(DType::RDS_DTYPE_UINT8, &[width]).unwrap();
        let total = rows.iter().sum::<u64>() as usize;
        let batch = batch(&spec, 0, total);
        let path =
            write(dir.path(), &spec, &target(&spec, VERSIONS[1]), std::slice::from_ref(&batch));
        let lengths: Vec<u64> = columns(&path)[1].pages.iter().map(|page| page.length).collect();
        assert_eq!(lengths, rows);
        assert_one_run(&path, (total * width as usize) as u64);
        assert_eq!(read(&path).columns(), batch.columns());
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn whatever_does_not_lie_plain_is_encoded_anew() {
    let dir = tempfile::tempdir().unwrap();
    let bits = TensorSpec::new(DType::RDS_DTYPE_BOOL, &[3]).unwrap();
    let numbers = TensorSpec::new(DType::RDS_DTYPE_INT32, &[5]).unwrap();
    let as_lance_likes = |spec: &TensorSpec, version| {
        let mut target = target(spec, version);
        target.schema.fields.iter_mut().for_each(|field| field.metadata.clear());
        target
    };
    for (spec, target) in [
        (&bits, target(&bits, VERSIONS[1])),
        (&bits, target(&bits, VERSIONS[0])),
        (&numbers, as_lance_likes(&numbers, VERSIONS[1])),
        (&numbers, as_lance_likes(&numbers, ConcreteFileVersion::V2_0)),
        (&numbers, as_lance_likes(&numbers, ConcreteFileVersion::V2_3)),
    ] {
        let batches: Vec<_> = (0..3).map(|i| batch(spec, i * 7_000, 7_000)).collect();
        let path = write(dir.path(), spec, &target, &batches);
        let expected = concat_batches(&batches[0].schema(), &batches).unwrap();
        assert_eq!(read(&path).columns(), expected.columns(), "{target:?}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_file_that_could_not_be_finished_is_finished_by_the_next_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let spec = TensorSpec::new(DType::RDS_DTYPE_INT16, &[5]).unwrap();
    let (layout, pool) = (layout_of(&spec), Pool::new(0));
    let batch = batch(&spec, 0, 700);
    let mut heap = Heap::create(dir.path(), "r", 1, 0, 1).unwrap();
    let rows = from_arrow(&layout, &batch, &pool, true).unwrap();
    heap.append(&[(&rows).into()], true, &Syncer::start()).unwrap();
    let column = &heap.columns[0];
    let rows = Rows { path: column.path.clone(), file: column.file.clone() };
    let (ids, columns) = (heap.ids.path.clone(), vec![rows]);
    let source =
        Source { number: 0, first_row: 0, rows: 700, columns, ids: ids.clone(), layout: &layout };
    let kept = std::fs::read(&ids).unwrap();
    std::fs::write(&ids, &kept[..kept.len() - 1]).unwrap();
    let target = target(&spec, VERSIONS[1]);
    assert!(crate::runtime::block_on(source.finish(&target)).unwrap().is_err());
    // Longer than the footer that comes.
    column.file.write_all_at(&[7; 100_000], column.bytes + 9).unwrap();
    std::fs::write(&ids, kept).unwrap();
    run(source.finish(&target));
    assert_eq!(read(&column.path).columns(), batch.columns());
}

#[test]
fn rows_of_more_bits_than_a_page_can_say_are_left_to_lance() {
    let plain = |bytes| {
        let spec = TensorSpec::new(DType::RDS_DTYPE_UINT8, &[bytes]).unwrap();
        let column = Column::new("data", spec.clone());
        plain_layout(&target(&spec, VERSIONS[1]), &column).is_some()
    };
    assert!(plain((1 << 29) - 1));
    assert!(!plain(1 << 29));
}
