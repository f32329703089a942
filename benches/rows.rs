//! Rows of a table through the C functions, against a copy from a plain mapped file, the honest ceiling,
//! and against Lance's own take. `make bench` runs it: 200,000 rows of float32 at four widths, warm.
//! `make bench BENCH='"one row"'` runs what matches.

use std::ffi::CString;
use std::hint::black_box;
use std::path::Path;

use arrow::ffi::FFI_ArrowArray;
use criterion::measurement::WallTime;
use criterion::{
    BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use lance::dataset::{Dataset, ProjectionRequest};
use memmap2::Mmap;
use rds::error::Status;
use rds::ffi::reader::{rds_reader_close, rds_reader_open};
use rds::ffi::reader_rows::{rds_reader_get, rds_reader_read};
use rds::ffi::types::rds_reader;
use rds::ids::Ids;
use rds::location::Location;
use rds::tensor::DType;
use rds::writer::{CommitScope, Durability, Mode, TensorView, Writer, WriterOptions};
use tempfile::TempDir;

const ROWS: u64 = 200_000;
const WIDTHS: [usize; 4] = [2, 64, 512, 2048];
const BATCH: u64 = 1000;

/// The same values as a table of librds and as a plain file.
struct Table {
    dir: TempDir,
    row_bytes: usize,
    plain: Mmap,
    reader: *mut rds_reader,
}

impl Table {
    fn new(width: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plain = write(dir.path(), width);
        let path = CString::new(dir.path().to_str().unwrap()).unwrap();
        let mut reader = std::ptr::null_mut();
        // SAFETY: the path is a C string, the reader a place for one.
        ok(unsafe { rds_reader_open(path.as_ptr(), std::ptr::null(), &raw mut reader) });
        Self { dir, row_bytes: width * 4, plain, reader }
    }

    fn read(&self, rows: &[u64], out: &mut [u8]) {
        // SAFETY: the reader is open, `out` has room for the rows.
        ok(unsafe {
            rds_reader_read(
                self.reader,
                0,
                rows.as_ptr(),
                rows.len() as u64,
                out.as_mut_ptr().cast(),
                out.len(),
            )
        });
    }

    fn copy(&self, rows: &[u64], out: &mut [u8]) {
        copy(&self.plain, self.row_bytes, rows, out);
    }
}

fn copy(plain: &[u8], row_bytes: usize, rows: &[u64], out: &mut [u8]) {
    for (row, out) in rows.iter().zip(out.chunks_exact_mut(row_bytes)) {
        let at = *row as usize * row_bytes;
        out.copy_from_slice(&plain[at..at + row_bytes]);
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: the reader is open.
        ok(unsafe { rds_reader_close(self.reader) });
    }
}

fn ok(status: Status) {
    assert_eq!(status, Status::RDS_OK);
}

fn write(dir: &Path, width: usize) -> Mmap {
    let location = Location::parse(dir.to_str().unwrap()).unwrap();
    let options = WriterOptions {
        mode: Mode::Create,
        durability: Durability::Commit,
        max_queued_bytes: 64 << 20,
        ..Default::default()
    };
    let writer = Writer::open(location, options).unwrap();
    let mut all = Vec::new();
    for first in (0..ROWS).step_by(BATCH as usize) {
        let numbers = first as usize * width..(first + BATCH) as usize * width;
        let values: Vec<u8> = numbers.flat_map(|i| (i as f32).to_ne_bytes()).collect();
        let ids: Vec<u64> = (first..first + BATCH).collect();
        let shape = [BATCH as i64, width as i64];
        let layout = TensorView::layout(DType::RDS_DTYPE_FLOAT32, &shape, None).unwrap();
        let dtype = DType::RDS_DTYPE_FLOAT32;
        let tensors = TensorView::new(dtype, &shape, layout, &values, false).unwrap();
        writer.write_tensors(&Ids::Uint64(&ids), &[("data", tensors)]).unwrap();
        all.extend(values);
    }
    writer.commit(CommitScope::Run, &mut |_, _| true).unwrap();
    writer.close().unwrap();
    let path = dir.join("plain");
    std::fs::write(&path, all).unwrap();
    // SAFETY: nobody changes the file.
    unsafe { Mmap::map(&std::fs::File::open(path).unwrap()) }.unwrap()
}

/// A fixed sequence that looks random, so that runs compare.
fn random_rows(count: usize) -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = |_| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % ROWS
    };
    (0..count).map(next).collect()
}

/// Runs `read` on one gather of `count` rows after the other, never the same twice in a row.
fn gathers(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    width: usize,
    count: usize,
    mut read: impl FnMut(&[u64]),
) {
    let rows = random_rows(count * (65536 / count));
    let mut gathers = rows.chunks_exact(count).cycle();
    group.bench_function(BenchmarkId::new(name, width), |bench| {
        bench.iter(|| read(black_box(gathers.next().unwrap())));
    });
}

/// As `gathers` of one row, but no read can begin before the last one has ended: what a row costs who
/// waits for it, while there one read hides behind the other.
fn chained(
    group: &mut BenchmarkGroup<WallTime>,
    name: &str,
    width: usize,
    mut read: impl FnMut(&[u64], &mut [u8]),
) {
    let rows = random_rows(65536);
    let mut rows = rows.iter().cycle();
    let mut out = vec![0; width * 4];
    let nothing = black_box(0);
    group.bench_function(BenchmarkId::new(name, width), |bench| {
        bench.iter(|| {
            let row = rows.next().unwrap() | u64::from(out[0] & nothing);
            read(&[row], &mut out);
        });
    });
}

fn rows(criterion: &mut Criterion) {
    for width in WIDTHS {
        let table = Table::new(width);
        let mut group = criterion.benchmark_group("one row after the other");
        chained(&mut group, "memcpy from mmap", width, |rows, out| table.copy(rows, out));
        chained(&mut group, "rds_reader_read", width, |rows, out| table.read(rows, out));
        group.finish();
        let path = table.dir.path().join("lance_db/results.lance");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let dataset = runtime.block_on(Dataset::open(path.to_str().unwrap())).unwrap();
        for (title, count) in [("one row", 1), ("512 rows", 512)] {
            let mut group = criterion.benchmark_group(title);
            group.throughput(Throughput::Elements(count as u64));
            let mut out = vec![0; count * table.row_bytes];
            gathers(&mut group, "memcpy from mmap", width, count, |rows| {
                table.copy(rows, &mut out)
            });
            gathers(&mut group, "rds_reader_read", width, count, |rows| table.read(rows, &mut out));
            if count == 1 {
                gathers(&mut group, "rds_reader_get", width, count, |rows| {
                    let mut array = FFI_ArrowArray::empty();
                    // SAFETY: the reader is open, the array is a place for one. Dropping releases it.
                    ok(unsafe { rds_reader_get(table.reader, 0, rows[0], &raw mut array) });
                });
            }
            gathers(&mut group, "Lance take", width, count, |rows| {
                let columns = ProjectionRequest::from_columns(["data"], dataset.schema());
                black_box(runtime.block_on(dataset.take(rows, columns)).unwrap());
            });
            group.finish();
        }
    }
}

/// When a second thread pays: the same copy by one thread, and by two of which one is started for it.
fn threads(criterion: &mut Criterion) {
    let table = Table::new(512);
    let mut group = criterion.benchmark_group("threads");
    for kib in [256, 1024, 2048, 4096, 8192, 16384, 65536] {
        let count = kib * 1024 / table.row_bytes;
        let mut out = vec![0; count * table.row_bytes];
        group.throughput(Throughput::Bytes(out.len() as u64));
        gathers(&mut group, "one", kib, count, |rows| table.copy(rows, &mut out));
        gathers(&mut group, "two", kib, count, |rows| {
            let (plain, row_bytes) = (&table.plain, table.row_bytes);
            let (first, second) = rows.split_at(count / 2);
            let (out, rest) = out.split_at_mut(first.len() * row_bytes);
            std::thread::scope(|scope| {
                scope.spawn(|| copy(plain, row_bytes, first, out));
                copy(plain, row_bytes, second, rest);
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(std::time::Duration::from_secs(2));
    targets = rows, threads
}
criterion_main!(benches);
