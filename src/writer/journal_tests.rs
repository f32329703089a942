use super::*;
use crate::error::Status;

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
    let bytes = std::fs::read(&journal.path).unwrap();
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
    journal.turn(&State { published: 7, ..State::default() }).unwrap();
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
    let end = journal.at as usize;
    let starts: Vec<usize> =
        (0..end).step_by(64).filter(|at| bytes[*at..].starts_with(MAGIC)).collect();
    let (second, last) = (starts[1], starts[3]);
    for at in (0..end).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        match parse(&damaged) {
            Ok(records) => assert!(at < second || at >= last || records.len() == 4, "{at}"),
            Err(error) => {
                assert!(at < last, "{at}");
                assert_eq!(error.status, Status::RDS_ERR_CORRUPT);
            }
        }
    }
    for length in last..end {
        assert!(parse(&bytes[..length]).unwrap().len() >= 3);
    }
}

#[test]
fn records_that_were_synced_together_may_be_torn_in_any_order() {
    let place = tempfile::tempdir().unwrap();
    let (mut journal, _) = written(place.path());
    let first = journal.at as usize;
    journal.rows(0, 2, &ids("c"), &[&[3; 100]]).unwrap();
    journal.rows(0, 3, &ids("d"), &[&[4; 100]]).unwrap();
    let mut bytes = std::fs::read(&journal.path).unwrap();
    bytes[first + 60] ^= 1;
    assert_eq!(parse(&bytes).unwrap().len(), 4);
    journal.sync().unwrap();
    journal.rows(0, 4, &ids("e"), &[&[5; 100]]).unwrap();
    let mut bytes = std::fs::read(&journal.path).unwrap();
    bytes[first + 60] ^= 1;
    assert!(parse(&bytes).is_err(), "the fifth was on disk when the seventh was written");
}

#[test]
fn segments_are_used_again_and_their_old_records_are_not_read() {
    let place = tempfile::tempdir().unwrap();
    let (mut journal, _) = written(place.path());
    for turn in 1..6 {
        journal.turn(&State { published: turn, ..State::default() }).unwrap();
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
    std::fs::remove_file(&journal.path).unwrap();
    assert_eq!(read(place.path(), 1).err().unwrap().status, Status::RDS_ERR_CORRUPT);
}
