use super::*;
use crate::error::Status;
use crate::writer::records::{Record, parse, read};

fn ids(text: &str) -> IdBlock {
    IdBlock { lengths: vec![text.len() as u32], bytes: text.as_bytes().to_vec() }
}

/// Two batches and an extent, each on disk before the next, and a batch behind them that was synced with nothing.
fn written(directory: &Path) -> (Journal, Vec<u8>) {
    let state = State { run: "r".into(), mode: "append".into(), ..State::default() };
    let mut journal = Journal::create(directory, 1, &state, &Syncer::start()).unwrap();
    journal.rows(0, 0, &ids("a"), &[&[1; 100]]).unwrap();
    journal.sync().unwrap();
    journal.rows(0, 1, &ids("b"), &[&[2; 100]]).unwrap();
    journal.sync().unwrap();
    let columns = vec![(5, 6)];
    journal.extent(&Extent { number: 0, rows: 2, ids_rows: 2, ids: (3, 4), columns }).unwrap();
    journal.sync().unwrap();
    let bytes = std::fs::read(&journal.now.path).unwrap();
    (journal, bytes)
}

#[test]
fn records_come_back_in_order() {
    let place = tempfile::tempdir().unwrap();
    let (mut journal, _) = written(place.path());
    let records = read(place.path(), 1).unwrap().unwrap();
    assert_eq!(records.len(), 4);
    assert!(
        matches!(&records[2], Record::Rows { before: 1, columns, .. } if columns[0] == [2; 100])
    );
    journal.turn(State { published: 7, ..State::default() }, None).unwrap();
    journal.done(9, 3).unwrap();
    let records = read(place.path(), 1).unwrap().unwrap();
    assert!(matches!(&records[0], Record::State(state) if state.published == 7));
    assert!(matches!(&records[1], Record::Done { rows: 9, version: 3 }));
    assert!(read(place.path(), 2).unwrap().is_none());
}

#[test]
fn a_torn_last_record_ends_the_journal_and_one_that_was_on_disk_is_damage() {
    let place = tempfile::tempdir().unwrap();
    let (journal, bytes) = written(place.path());
    let end = journal.now.at as usize;
    let starts: Vec<usize> =
        (0..end).step_by(64).filter(|at| bytes[*at..].starts_with(MAGIC)).collect();
    let (second, last) = (starts[1], starts[3]);
    for at in (0..end).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        match parse(&damaged) {
            Ok(parsed) => {
                assert!(at < second || at >= last || parsed.records.len() == 4, "{at}")
            }
            Err(error) => {
                assert!(at < last, "{at}");
                assert_eq!(error.status, Status::RDS_ERR_CORRUPT);
            }
        }
    }
    for length in last..end {
        assert!(parse(&bytes[..length]).unwrap().records.len() >= 3);
    }
}

#[test]
fn records_that_were_synced_together_may_be_torn_in_any_order() {
    let place = tempfile::tempdir().unwrap();
    let (mut journal, _) = written(place.path());
    let first = journal.now.at as usize;
    journal.rows(0, 2, &ids("c"), &[&[3; 100]]).unwrap();
    journal.rows(0, 3, &ids("d"), &[&[4; 100]]).unwrap();
    let mut bytes = std::fs::read(&journal.now.path).unwrap();
    bytes[first + 60] ^= 1;
    assert_eq!(parse(&bytes).unwrap().records.len(), 4);
    journal.sync().unwrap();
    journal.rows(0, 4, &ids("e"), &[&[5; 100]]).unwrap();
    let mut bytes = std::fs::read(&journal.now.path).unwrap();
    bytes[first + 60] ^= 1;
    assert!(parse(&bytes).is_err(), "the fifth was on disk when the seventh was written");
}

#[test]
fn segments_are_used_again_and_their_old_records_are_not_read() {
    let place = tempfile::tempdir().unwrap();
    let (mut journal, _) = written(place.path());
    for turn in 1..6 {
        journal.turn(State { published: turn, ..State::default() }, None).unwrap();
        for row in 0..200 - 30 * turn {
            journal.rows(0, row, &ids("x"), &[&[turn as u8; 100]]).unwrap();
        }
        let records = read(place.path(), 1).unwrap().unwrap();
        assert!(matches!(&records[0], Record::State(state) if state.published == turn));
        assert_eq!(records.len() as u64, 201 - 30 * turn);
    }
    let files = std::fs::read_dir(place.path()).unwrap().count();
    assert_eq!(files, 2, "one and a spare one");
    // A turn that was cut short: the segment before it counts.
    let cut = place.path().join("journal.1.99");
    std::fs::copy(place.path().join("spare.1"), &cut).unwrap();
    OpenOptions::new().write(true).open(&cut).unwrap().write_all_at(&[0; 40], 0).unwrap();
    let records = read(place.path(), 1).unwrap().unwrap();
    assert!(matches!(&records[0], Record::State(state) if state.published == 5));
    // And without one before it the journal is damaged.
    std::fs::remove_file(&journal.now.path).unwrap();
    assert_eq!(read(place.path(), 1).err().unwrap().status, Status::RDS_ERR_CORRUPT);
}

#[test]
fn rows_on_their_way_to_the_heap_are_read_from_older_segments() {
    let place = tempfile::tempdir().unwrap();
    let state = State { run: "r".into(), mode: "append".into(), ..State::default() };
    let mut journal = Journal::create(place.path(), 1, &state, &Syncer::start()).unwrap();
    let mut row = 0;
    let mut fill = |journal: &mut Journal| {
        for _ in 0..10 {
            journal.rows(4, row, &ids("x"), &[&[row as u8; 100]]).unwrap();
            row += 1;
        }
    };
    let rows = |records: &[Record]| -> Vec<u64> {
        let rows = records.iter().filter_map(|record| match record {
            Record::Rows { before, .. } => Some(*before),
            _ => None,
        });
        rows.collect()
    };
    let expect = |first: u64, end: u64| {
        let records = read(place.path(), 1).unwrap().unwrap();
        assert!(matches!(&records[0], Record::State(_)));
        assert_eq!(rows(&records), (first..end).collect::<Vec<_>>());
    };
    fill(&mut journal);
    journal.turn(state.clone(), Some((4, 3))).unwrap();
    fill(&mut journal);
    journal.sync().unwrap();
    // The segment that row 3 is in is kept whole.
    expect(0, 20);
    journal.turn(state.clone(), Some((4, 10))).unwrap();
    fill(&mut journal);
    journal.sync().unwrap();
    expect(10, 30);
    assert!(journal.has_room());
    journal.turn(state.clone(), Some((4, 12))).unwrap();
    assert!(!journal.has_room(), "three are kept");
    expect(10, 30);
    // Of another heap nothing is of use.
    journal.turn(state.clone(), Some((5, 0))).unwrap();
    expect(0, 0);
    // What a segment says of those before it must be so.
    fill(&mut journal);
    let full = journal.now.path.clone();
    journal.turn(state, Some((4, 35))).unwrap();
    let bytes = std::fs::read(&full).unwrap();
    let start = (0..bytes.len()).step_by(64).filter(|at| bytes[*at..].starts_with(MAGIC)).nth(5);
    for change in [Some(start.unwrap() + 60), None] {
        let mut damaged = bytes.clone();
        change.into_iter().for_each(|at| damaged[at] ^= 1);
        std::fs::write(&full, damaged).unwrap();
        if change.is_none() {
            std::fs::remove_file(&full).unwrap();
        }
        assert!(read(place.path(), 1).is_err());
    }
}
