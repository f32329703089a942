use super::*;
use crate::tensor::{DType, TensorSpec};
use crate::writer::batch::IdBlock;

fn layout() -> Arc<Layout> {
    let spec = TensorSpec::new(DType::RDS_DTYPE_UINT8, &[1]).unwrap();
    Arc::new(Layout::new([("data", &spec)].into_iter()).unwrap())
}

fn batch(rows: usize) -> Batch {
    let ids = IdBlock { lengths: vec![0; rows], bytes: Vec::new() };
    Batch { rows, ids, columns: vec![vec![0_u8; rows].into()] }
}

#[test]
fn small_batches_wait_together_and_large_ones_alone() {
    let queue = Queue::new(64 << 20, None, None, Duration::ZERO);
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
    let queue = Queue::new(1000, None, None, Duration::ZERO);
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

#[derive(Debug)]
struct Asked(AtomicBool);

impl Patience for Asked {
    fn applies(&self) -> bool {
        true
    }

    fn lasts(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn a_wait_that_is_ended_accepts_nothing_and_gives_its_turn_away() {
    let asked = Arc::new(Asked(AtomicBool::new(false)));
    let queue = Queue::new(1000, Some(asked.clone()), None, Duration::ZERO);
    queue.push(layout(), batch(200)).unwrap();
    let error = queue.push(layout(), batch(1000)).unwrap_err();
    assert_eq!(error.status, crate::error::Status::RDS_ERR_NO_ROOM);
    assert_eq!(queue.stats().accepted_rows, 200);
    assert!(queue.state().waiting.is_empty());
    asked.0.store(true, Ordering::Relaxed);
    std::thread::scope(|scope| {
        let pushed = scope.spawn(|| queue.push(layout(), batch(1)));
        // It is asked, and waits on.
        std::thread::sleep(Duration::from_millis(150));
        assert!(!pushed.is_finished());
        queue.release(200, 1000);
        assert_eq!(pushed.join().unwrap().unwrap(), 201);
    });
}

#[test]
fn a_call_waits_for_room_no_longer_than_it_is_told_to() {
    for longest in [Duration::ZERO, Duration::from_millis(120)] {
        let queue = Queue::new(1000, None, Some(longest), Duration::ZERO);
        queue.push(layout(), batch(200)).unwrap();
        let since = std::time::Instant::now();
        let error = queue.push(layout(), batch(1000)).unwrap_err();
        assert_eq!(error.status, crate::error::Status::RDS_ERR_NO_ROOM);
        assert!((longest..longest + Duration::from_secs(2)).contains(&since.elapsed()));
        assert_eq!(queue.stats().accepted_rows, 200);
        queue.release(200, 1000);
        assert_eq!(queue.push(layout(), batch(1000)).unwrap(), 1200);
    }
}

#[test]
fn rows_that_nobody_waits_for_wait_for_more() {
    let linger = Duration::from_millis(200);
    let waited = |queue: &Queue| {
        let since = Instant::now();
        queue.wait(Some(since + Duration::from_secs(10)));
        since.elapsed()
    };
    let queue = Queue::new(64 << 20, None, None, linger);
    queue.push(layout(), batch(10)).unwrap();
    let alone = waited(&queue);
    assert!(linger / 2 <= alone && alone < linger * 10, "{alone:?}");
    // Enough, or somebody who waits, is taken at once.
    queue.push(layout(), batch(ENOUGH_BYTES)).unwrap();
    assert!(waited(&queue) < linger / 2);
    let queue = Queue::new(64 << 20, None, None, linger);
    queue.push(layout(), batch(10)).unwrap();
    queue.start_stage().unwrap();
    queue.push(layout(), batch(10)).unwrap();
    assert!(waited(&queue) < linger / 2);
    // Two that come while the task sleeps wake it, in time and together.
    let queue = Queue::new(64 << 20, None, None, linger);
    std::thread::scope(|scope| {
        let slept = scope.spawn(|| waited(&queue));
        std::thread::sleep(linger / 4);
        for _ in 0..2 {
            queue.push(layout(), batch(ENOUGH_BYTES / 2)).unwrap();
            queue.wake_in_time();
        }
        assert!(slept.join().unwrap() < linger);
    });
    // It is told once that there are some, and once that they are enough.
    assert!(queue.state().told == Told::Enough);
    queue.take();
    let few = Queue::new(64 << 20, None, None, linger);
    for queue in [&queue, &few] {
        assert!(queue.state().told == Told::Nothing);
    }
    few.push(layout(), batch(10)).unwrap();
    few.wake_in_time();
    assert!(few.state().told == Told::Some);
}
