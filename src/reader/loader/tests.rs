//! Loaders over numbers of rows; those of tables are tested through C.

use super::*;
use crate::error::Status;

const ALONE: Share = Share { index: 0, of: 1 };

fn options(rows: u64, batch: u64) -> LoaderOptions {
    LoaderOptions {
        sources: Vec::new(),
        subset: Some(Subset::Range(0..rows)),
        columns: Vec::new(),
        order: Order::Shuffled { clump: 1 },
        seed: 1,
        epoch: 0,
        batch,
        tail: Tail::Short,
        rank: ALONE,
        worker: ALONE,
        whole_steps: false,
        weights: Vec::new(),
        epoch_rows: None,
        memory: None,
        max_bytes: None,
        ahead: None,
        threads: None,
        patience: None,
    }
}

fn epoch(loader: &Loader) -> Vec<usize> {
    let mut counts = Vec::new();
    loop {
        let given = loader.next().unwrap();
        if given.turn.step.is_none() {
            return counts;
        }
        counts.push(given.rows.1);
        loader.release(given.buffer).unwrap();
    }
}

#[test]
fn epochs_follow_each_other_and_a_state_is_gone_on_from() {
    let loader = Loader::open(options(10, 4)).unwrap();
    assert_eq!(epoch(&loader), [4, 4, 2]);
    loader.next().map(|given| loader.release(given.buffer).unwrap()).unwrap();
    let state = loader.state();
    let other = Loader::open(LoaderOptions { seed: 9, tail: Tail::Pad, ..options(10, 5) }).unwrap();
    other.restore(&state).unwrap();
    assert_eq!((other.stats().epoch, other.stats().consumed), (1, 4));
    assert_eq!(epoch(&other), [5, 5]);
    assert_eq!(epoch(&loader), [4, 2]);
}

#[test]
fn what_is_lent_bounds_what_is_given() {
    let loader = Loader::open(LoaderOptions { max_bytes: Some(64), ..options(100, 4) }).unwrap();
    let lent: Vec<u64> = (0..2).map(|_| loader.next().unwrap().buffer).collect();
    let error = loader.next().err().unwrap();
    assert_eq!(error.status, Status::RDS_ERR_NO_ROOM);
    assert_eq!((loader.stats().consumed, loader.stats().counts.lent), (8, 2));
    loader.release(lent[0]).unwrap();
    assert!(loader.release(lent[0]).is_err());
    assert_eq!(loader.next().unwrap().turn.before.consumed, 8);
}

#[test]
fn a_tail_that_leaves_no_step_and_a_batch_without_room_are_refused() {
    let dropped = LoaderOptions { tail: Tail::Drop, ..options(3, 4) };
    assert!(Loader::open(dropped).is_err());
    assert!(Loader::open(LoaderOptions { max_bytes: Some(23), ..options(3, 4) }).is_err());
    assert!(Loader::open(options(3, 4)).unwrap().seek(0, 4).is_err());
}

#[test]
fn who_stops_a_loader_ends_it() {
    let loader = Loader::open(options(3, 4)).unwrap();
    loader.next().unwrap();
    loader.stop();
    assert_eq!(loader.next().err().unwrap().status, Status::RDS_ERR_CANCELLED);
}
