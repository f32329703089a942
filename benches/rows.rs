//! Random rows of a table: librds against Lance's own take and against a copy from a plain file's
//! memory, the honest ceiling. `make bench` runs it; the table is 50,000 rows of 64 float32, warm.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lance::dataset::{Dataset, ProjectionRequest};
use rds::ids::Ids;
use rds::location::Location;
use rds::reader::Reader;
use rds::tensor::DType;
use rds::writer::{Durability, Mode, TensorView, Writer, WriterOptions};

const ROWS: u64 = 50_000;
const WIDTH: usize = 64;
const ROW_BYTES: usize = WIDTH * 4;

fn write_table(location: &Location) -> Vec<u8> {
    let values: Vec<u8> =
        (0..ROWS as usize * WIDTH).flat_map(|i| (i as f32).to_ne_bytes()).collect();
    let numbers: Vec<u64> = (0..ROWS).collect();
    let shape = [ROWS as i64, WIDTH as i64];
    let dtype = DType::RDS_DTYPE_FLOAT32;
    let layout = TensorView::layout(dtype, &shape, None).unwrap();
    let tensors = TensorView::new(dtype, &shape, layout, &values, false).unwrap();
    let options = WriterOptions {
        mode: Mode::Create,
        durability: Durability::Commit,
        max_queued_bytes: 64 << 20,
    };
    let writer = Writer::open(location.clone(), options).unwrap();
    writer.write_tensors(&Ids::Uint64(&numbers), &tensors).unwrap();
    writer.commit(&mut |_, _| true).unwrap();
    writer.close().unwrap();
    values
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

fn rows(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let location = Location::parse(dir.path().to_str().unwrap()).unwrap();
    let values = write_table(&location);
    let reader = Reader::open(location.clone(), None).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dataset = runtime.block_on(Dataset::open(location.path().to_str().unwrap())).unwrap();

    for count in [1, 512] {
        let wanted = random_rows(count);
        let mut out = vec![0; count * ROW_BYTES];
        let mut group = criterion.benchmark_group(format!("{count} random rows"));
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function("copy from memory", |bench| {
            bench.iter(|| {
                for (row, out) in black_box(&wanted).iter().zip(out.chunks_exact_mut(ROW_BYTES)) {
                    let at = *row as usize * ROW_BYTES;
                    out.copy_from_slice(&values[at..at + ROW_BYTES]);
                }
            });
        });
        group.bench_function("librds read", |bench| {
            bench.iter(|| reader.read(black_box(&wanted), &mut out).unwrap());
        });
        group.bench_function("lance take", |bench| {
            bench.iter(|| {
                let columns = ProjectionRequest::from_columns(["data"], dataset.schema());
                runtime.block_on(dataset.take(black_box(&wanted), columns)).unwrap()
            });
        });
        group.finish();
    }
}

criterion_group!(benches, rows);
criterion_main!(benches);
