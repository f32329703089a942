use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, FixedSizeListArray, Float32Array, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::bit_util;
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
use crate::tensor::DType;

const VERSIONS: [ConcreteFileVersion; 2] = [ConcreteFileVersion::V2_1, ConcreteFileVersion::V2_2];

fn run<T: Send>(work: impl Future<Output = Result<T>> + Send) -> T {
    crate::runtime::block_on(work).unwrap().unwrap()
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
    RecordBatch::try_new(Arc::new(spec.schema()), columns).unwrap()
}

fn lance_schema(schema: &SchemaRef) -> Schema {
    Schema::try_from(schema.as_ref()).unwrap()
}

fn write(path: &Path, version: ConcreteFileVersion, batches: &[RecordBatch]) -> FileWriteSummary {
    let (sink, locked) = Sink::create(path.to_path_buf()).unwrap();
    let schema = lance_schema(&batches[0].schema());
    let mut file = PageFile::new(sink, &schema, version).unwrap();
    let summary = run(async {
        for batch in batches {
            file.write(batch).await?;
        }
        file.finish().await
    });
    locked.keep();
    summary
}

fn write_by_lance(path: &Path, version: ConcreteFileVersion, batch: &RecordBatch) {
    let (sink, locked) = Sink::create(path.to_path_buf()).unwrap();
    let (schema, options) = (lance_schema(&batch.schema()), FileWriterOptions::default());
    let file = lance_file::versions::create_writer(version, Box::new(sink), schema, options);
    let mut file = file.unwrap();
    run(async {
        file.write_batch(batch).await?;
        Ok(file.finish().await?)
    });
    locked.keep();
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
        let (ours, lances) = (dir.path().join("ours"), dir.path().join("lances"));
        let summary = write(&ours, version, std::slice::from_ref(&batch));
        assert_eq!(summary.num_rows, 50);
        assert_eq!(summary.size_bytes, std::fs::metadata(&ours).unwrap().len());
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
fn rows_with_nulls_are_left_to_lance_and_stay_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let spec = TensorSpec::new(DType::RDS_DTYPE_FLOAT32, &[4]).unwrap();
    let plain = |first| batch(&spec, first, 10);
    let with_nulls = |first: usize| {
        let values = Float32Array::from_iter((0..40).map(|i| (i != 5).then_some(i as f32)));
        let DataType::FixedSizeList(item, _) = spec.arrow_type() else { panic!() };
        let nulls = arrow::buffer::NullBuffer::from_iter((0..10).map(|i| i != first % 10));
        let data = FixedSizeListArray::new(item, 4, Arc::new(values), Some(nulls));
        let columns = vec![plain(first).column(0).clone(), Arc::new(data) as ArrayRef];
        RecordBatch::try_new(plain(0).schema(), columns).unwrap()
    };
    for version in VERSIONS {
        let path = dir.path().join(format!("{version:?}"));
        let batches = [plain(0), plain(10), with_nulls(23), with_nulls(34), plain(40)];
        write(&path, version, &batches);
        let found = read(&path);
        let expected = concat_batches(&plain(0).schema(), &batches).unwrap();
        assert_eq!(found.columns(), expected.columns());
        let pages: Vec<_> =
            columns(&path)[1].pages.iter().map(|p| (p.priority, p.length)).collect();
        assert_eq!(pages, [(0, 20), (20, 20), (40, 10)]);
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
        let path = dir.path().join(dtype.name());
        write(&path, ConcreteFileVersion::V2_2, &batches);
        let expected = concat_batches(&whole.schema(), &batches).unwrap();
        assert_eq!(read(&path).columns(), expected.columns());
        assert_eq!(columns(&path)[1].pages.len(), 1);
        assert_eq!(
            page_bytes(&path, &columns(&path)[1]).len(),
            36 * bit_util::ceil(width as usize * spec.stored_numbers().1, 8,)
        );
    }
}

#[test]
fn a_page_of_plain_rows_is_bounded_and_aligned() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let spec = TensorSpec::new(DType::RDS_DTYPE_FLOAT32, &[1001]).unwrap();
    let batches: Vec<_> = (0..5).map(|i| batch(&spec, i * 4000, 4000)).collect();
    write(&path, ConcreteFileVersion::V2_2, &batches);
    let pages = &columns(&path)[1].pages;
    let fit = (PLAIN_PAGE_BYTES / 4004) as u64;
    let rows: Vec<u64> = pages.iter().map(|page| page.length).collect();
    assert_eq!(rows, [fit, fit, 20_000 - 2 * fit]);
    assert!(pages.iter().all(|page| page.buffer_offsets[0].is_multiple_of(64)));
    let expected = concat_batches(&batches[0].schema(), &batches).unwrap();
    assert_eq!(read(&path).columns(), expected.columns());
}

#[test]
fn rows_wider_than_a_page_have_one_each() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let width = (PLAIN_PAGE_BYTES + 8) as i64;
    let spec = TensorSpec::new(DType::RDS_DTYPE_UINT8, &[width]).unwrap();
    let batch = batch(&spec, 0, 2);
    write(&path, ConcreteFileVersion::V2_2, std::slice::from_ref(&batch));
    let rows: Vec<u64> = columns(&path)[1].pages.iter().map(|page| page.length).collect();
    assert_eq!(rows, [1, 1]);
    assert_eq!(read(&path).columns(), batch.columns());
}

#[test]
fn no_rows_make_no_pages() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let spec = TensorSpec::new(DType::RDS_DTYPE_UINT8, &[3]).unwrap();
    let batch = batch(&spec, 0, 0);
    assert_eq!(write(&path, ConcreteFileVersion::V2_1, &[batch]).num_rows, 0);
    assert!(columns(&path).iter().all(|column| column.pages.is_empty()));
}

#[test]
fn plain_rows_are_copied_from_file_to_file_and_others_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one"), dir.path().join("other"));
    let spec = TensorSpec::new(DType::RDS_DTYPE_INT32, &[5]).unwrap();
    let (first, second) = (batch(&spec, 0, 700), batch(&spec, 700, 800));
    let version = ConcreteFileVersion::V2_2;
    write(&one, version, std::slice::from_ref(&first));
    let schema = lance_schema(&first.schema());
    let (sink, locked) = Sink::create(other.clone()).unwrap();
    let mut file = PageFile::new(sink, &schema, version).unwrap();
    run(async {
        let metadata = FileReader::read_all_metadata(&open(&one).await?).await?;
        let source = File::open(&one).unwrap();
        assert!(file.copy_plain(&source, &metadata).await?);
        file.write_column("object_id", first.column(0)).await?;
        file.write(&second).await?;
        // What was cut off since is missed, not made up.
        let cut = File::options().write(true).open(&one).unwrap();
        cut.set_len(100).unwrap();
        let error = file.copy_plain(&source, &metadata).await.unwrap_err();
        assert_eq!(error.status, crate::error::Status::RDS_ERR_IO);
        Ok(())
    });
    drop((file, locked));
    std::fs::remove_file(&one).unwrap();
    write(&one, version, std::slice::from_ref(&first));
    let (sink, locked) = Sink::create(other.clone()).unwrap();
    let mut file = PageFile::new(sink, &schema, version).unwrap();
    run(async {
        let metadata = FileReader::read_all_metadata(&open(&one).await?).await?;
        assert!(file.copy_plain(&File::open(&one).unwrap(), &metadata).await?);
        file.write_column("object_id", first.column(0)).await?;
        file.write(&second).await?;
        file.finish().await
    });
    locked.keep();
    let expected = concat_batches(&first.schema(), &[first.clone(), second]).unwrap();
    assert_eq!(read(&other).columns(), expected.columns());
    assert_eq!(columns(&other)[1].pages.len(), 1);

    let bits = TensorSpec::new(DType::RDS_DTYPE_BOOL, &[3]).unwrap();
    let bits = batch(&bits, 0, 10);
    let path = dir.path().join("bits");
    write(&path, version, std::slice::from_ref(&bits));
    let (sink, _locked) = Sink::create(dir.path().join("more")).unwrap();
    let mut file = PageFile::new(sink, &lance_schema(&bits.schema()), version).unwrap();
    let copied = run(async {
        let metadata = FileReader::read_all_metadata(&open(&path).await?).await?;
        file.copy_plain(&File::open(&path).unwrap(), &metadata).await
    });
    assert!(!copied);
}

#[test]
fn columns_of_different_lengths_make_no_file() {
    let dir = tempfile::tempdir().unwrap();
    let spec = TensorSpec::new(DType::RDS_DTYPE_INT32, &[5]).unwrap();
    let batch = batch(&spec, 0, 7);
    let (sink, _locked) = Sink::create(dir.path().join("file")).unwrap();
    let schema = lance_schema(&batch.schema());
    let mut file = PageFile::new(sink, &schema, ConcreteFileVersion::V2_2).unwrap();
    let finished = crate::runtime::block_on(async {
        file.write_column("object_id", batch.column(0)).await?;
        file.finish().await
    });
    assert_eq!(finished.unwrap().unwrap_err().status, crate::error::Status::RDS_ERR_INTERNAL);
}

#[test]
fn rows_of_more_bits_than_a_page_can_say_are_left_to_lance() {
    let plain = |bytes| {
        let spec = TensorSpec::new(DType::RDS_DTYPE_UINT8, &[bytes]).unwrap();
        plain_layout(&lance_schema(&Arc::new(spec.schema()))).is_some()
    };
    assert!(plain((1 << 29) - 1));
    assert!(!plain(1 << 29));
}
