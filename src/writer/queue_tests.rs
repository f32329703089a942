use super::*;
use crate::tensor::{DType, TensorSpec};
use crate::writer::batch::IdBlock;

fn layout() -> Arc<Layout> {
    Arc::new(Layout::new(TensorSpec::new(DType::RDS_DTYPE_UINT8, &[1]).unwrap()))
}

fn batch(rows: usize) -> Batch {
    let ids = IdBlock { lengths: vec![0; rows], bytes: Vec::new() };
    Batch { rows, ids, columns: vec![vec![0_u8; rows].into()] }
}

#[test]
fn small_batches_wait_together_and_large_ones_alone() {
    let queue = Queue::new(64 << 20);
    for _ in 0..1000 {
        queue.push(layout(), batch(10)).unwrap();
    }
    queue.push(layout(), batch(100_000)).unwrap();
    queue.push(layout(), batch(10)).unwrap();
    let rows = |message: Message| match message {
        Message::Rows { rows, .. } => rows.into_batch().rows,
        _ => 0,
    };
    let taken: Vec<usize> = queue.take().into_iter().map(rows).collect();
    assert_eq!(taken, [10_000, 100_000, 10]);
    let stats = queue.stats();
    assert_eq!((stats.accepted_rows, stats.queued_bytes), (110_010, 5 * 110_010));
    queue.release(110_010, 5 * 110_010);
    assert_eq!(queue.stats().queued_bytes, 0);
}

#[test]
fn callers_take_turns_in_the_order_they_came() {
    let queue = Queue::new(1000);
    queue.push(layout(), batch(200)).unwrap();
    let order = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for (i, rows) in [1000, 1, 1].into_iter().enumerate() {
            let (queue, order) = (&queue, &order);
            scope.spawn(move || {
                queue.push(layout(), batch(rows)).unwrap();
                order.lock().unwrap().push(i);
            });
            while queue.state().waiting.len() != i + 1 {
                std::thread::yield_now();
            }
        }
        queue.release(200, 1000);
        while order.lock().unwrap().is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(queue.state().waiting.len(), 2, "small ones wait for the large one");
        queue.release(1000, 5000);
    });
    let order = order.into_inner().unwrap();
    assert_eq!((order[0], order.len()), (0, 3));
}
