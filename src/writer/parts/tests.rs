use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::error::Status;
use crate::ids::Ids;
use crate::tensor::{DType, TensorSpec};
use crate::writer::layout::Layout;
use crate::writer::parts::blocks::Blocks;
use crate::writer::parts::removal::remove;
use crate::writer::staging::Token;
use crate::writer::{Mode, TensorView, Writer, WriterOptions};

struct Place {
    _held: tempfile::TempDir,
    location: Location,
}

impl Place {
    fn new() -> Self {
        let held = tempfile::tempdir().unwrap();
        let location = Location::parse(held.path().join("r").to_str().unwrap()).unwrap();
        Self { _held: held, location }
    }

    fn table(&self) -> &Path {
        self.location.path()
    }

    /// A part of rows whose bytes are all equal to the number of the row.
    fn part(&self, job: &str, number: u64, batches: &[std::ops::Range<usize>]) -> Vec<u8> {
        let part = Some(Part { job: job.to_string(), number });
        let options = WriterOptions { mode: Mode::Staged, part, ..WriterOptions::default() };
        let writer = Writer::open(self.location.clone(), options).unwrap();
        for batch in batches {
            let ids: Vec<i64> = batch.clone().map(|row| row as i64).collect();
            let bytes: Vec<u8> = batch.clone().flat_map(|row| [row as u8; WIDTH]).collect();
            let shape = [ids.len() as i64, WIDTH as i64];
            let layout = TensorView::layout(DType::RDS_DTYPE_UINT8, &shape, None).unwrap();
            let view =
                TensorView::new(DType::RDS_DTYPE_UINT8, &shape, layout, &bytes, false).unwrap();
            writer.write_tensors(&Ids::Int64(&ids), &[("data", view)]).unwrap();
        }
        let token = writer.stage().unwrap().to_vec();
        writer.close().unwrap();
        token
    }

    fn commit(&self, tokens: &[&[u8]], job: Option<&str>) -> Result<crate::writer::CommitInfo> {
        commit_staged(self.location.clone(), tokens, Mode::Create, job)
    }

    fn left(&self) -> Vec<PathBuf> {
        directories(self.table()).unwrap()
    }
}

const WIDTH: usize = 3000;

fn layout() -> Layout {
    let spec = TensorSpec::new(DType::RDS_DTYPE_UINT8, &[WIDTH as i64]).unwrap();
    Layout::new([("data", &spec)].into_iter()).unwrap()
}

fn token_of(bytes: &[u8]) -> PartToken {
    match Token::from_bytes(bytes).unwrap() {
        Token::Part(token) => token,
        Token::Files(_) => panic!("no part"),
    }
}

/// The numbers of the rows that blocks give, which are checked.
fn read(blocks: &mut Blocks, mut skip: usize, most: usize) -> Result<Vec<usize>> {
    let mut numbers = Vec::new();
    while numbers.len() < most
        && let Some(rows) = blocks.next(skip, most - numbers.len(), &[0])?
    {
        skip = 0;
        let ids = rows.ids.to_array()?;
        for (id, row) in ids.iter().flatten().zip(rows.columns[0].chunks(WIDTH)) {
            let number: usize = id.parse().unwrap();
            assert!(row.iter().all(|byte| *byte == number as u8), "row {number}");
            numbers.push(number);
        }
    }
    Ok(numbers)
}

#[test]
fn rows_of_any_range_of_a_part_come_back_whatever_its_batches_were() {
    let place = Place::new();
    // Small ones that wait together, and some of several blocks.
    let batches = [0..1, 1..5, 5..1500, 1500..1501, 1501..1580, 1580..3000, 3000..3002];
    let token = token_of(&place.part("j", 0, &batches));
    assert_eq!(token.rows, 3002);
    for (first, count) in [(0, 3002), (0, 1), (1, 4), (4, 2000), (1499, 3), (2999, 3), (3001, 1)] {
        let path = token.path(place.table());
        let mut blocks = Blocks::open(path, &token, &[WIDTH], Vec::new()).unwrap();
        let skip = blocks.skip(first as u64).unwrap() as usize;
        let rows = read(&mut blocks, skip, count).unwrap();
        assert_eq!(rows, (first..first + count).collect::<Vec<_>>());
    }
}

#[test]
fn each_byte_of_a_part_that_is_changed_is_found() {
    let place = Place::new();
    let token = token_of(&place.part("j", 0, &[0..2, 2..30]));
    let path = token.path(place.table());
    let whole = fs::read(&path).unwrap();
    for at in (0..token.bytes as usize).step_by(97).chain(0..40) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, damaged).unwrap();
        let mut blocks = Blocks::open(path.clone(), &token, &[WIDTH], Vec::new()).unwrap();
        let error = read(&mut blocks, 0, usize::MAX).unwrap_err();
        assert_eq!(error.status, Status::RDS_ERR_CORRUPT, "byte {at}: {error}");
    }
    for length in [0, 1, 15, 16, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(file::read_token(&path).unwrap_err().status, Status::RDS_ERR_CORRUPT);
    }
}

#[test]
fn jobs_of_any_names_have_directories_of_their_own() {
    let table = Path::new("/t.lance");
    let names =
        ["", "a", "A", "a/b", "a%2fb", "..", "ä", "a b", &"x".repeat(300), &"x".repeat(301)];
    let found: BTreeSet<PathBuf> = names.iter().map(|name| directory(table, name)).collect();
    assert_eq!(found.len(), names.len());
    let parent = table.join(RUNS).join(JOBS);
    assert!(found.iter().all(|path| path.parent() == Some(&parent)), "{found:?}");
    let lengths = found.iter().filter_map(|path| path.file_name()).map(std::ffi::OsStr::len);
    assert!(lengths.max().unwrap() < 200);
}

#[test]
fn what_others_wrote_of_a_job_goes_with_its_commit_and_not_without() {
    let place = Place::new();
    let tokens = [place.part("j", 1, &[3..5]), place.part("j", 0, &[0..3])];
    place.part("j", 1, &[7..9]);
    place.part("k", 0, &[0..1]);
    let half = group(&directory(place.table(), "j"), 1).join(format!("1-x{UNFINISHED}"));
    fs::write(&half, b"half").unwrap();
    let given: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
    assert_eq!(place.commit(&given[1..], None).unwrap().rows, 3);
    assert_eq!(place.left().len(), 2);
    let append = |job| commit_staged(place.location.clone(), &given, Mode::Append, job);
    // Alone it is told, as one whole job it is done.
    assert_eq!(append(None).unwrap_err().status, Status::RDS_ERR_ALREADY_EXISTS);
    assert_eq!(append(Some("j")).unwrap().rows, 2);
    assert_eq!(place.left(), [directory(place.table(), "k")]);
    assert_eq!(append(Some("j")).unwrap().rows, 0);
    assert_eq!(append(Some("k")).unwrap_err().status, Status::RDS_ERR_INVALID_ARGUMENT);
}

#[test]
fn files_that_were_packed_before_are_what_a_commit_shows() {
    let place = Place::new();
    let tokens: Vec<Vec<u8>> = (0..4)
        .map(|part| place.part("j", part, &[part as usize * 9..part as usize * 9 + 9]))
        .collect();
    let given: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
    let pack = |share| {
        let wanted = Wanted { share, skip: 0, more: false };
        pack_parts(place.location.clone(), &given, Mode::Create, "j", wanted)
    };
    assert_eq!((pack((1, 2)).unwrap(), pack((0, 2)).unwrap(), pack((0, 2)).unwrap()), (0, 36, 36));
    let packed = pack::directory_of(place.table(), "j");
    let files = |directory: &Path| -> BTreeSet<String> {
        let names = fs::read_dir(directory).unwrap().flatten().map(|entry| entry.file_name());
        names
            .filter_map(|name| name.into_string().ok())
            .filter(|name| name.ends_with(".lance"))
            .collect()
    };
    let made = files(&packed);
    assert_eq!(made.len(), 1, "the second call of a share makes nothing");
    assert_eq!(place.commit(&given, Some("j")).unwrap().rows, 36);
    assert_eq!(files(&place.table().join("data")), made);
    assert!(place.left().is_empty());
}

/// Packs what there is of a job whose other parts are to come; how many rows files have.
fn begin(place: &Place, tokens: &[Vec<u8>]) -> u64 {
    let given: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
    let wanted = Wanted { share: (0, 1), skip: 0, more: true };
    pack_parts(place.location.clone(), &given, Mode::Create, "j", wanted).unwrap()
}

/// What is begun: the name that says of which rows, and the file of their column.
fn begun(place: &Place) -> Vec<(String, u64, u64)> {
    let packed = fs::read_dir(pack::directory_of(place.table(), "j")).unwrap().flatten();
    let begun = packed.filter(|entry| entry.path().is_dir()).map(|entry| {
        let column = entry.path().join("rds-begun-1-0.lance").metadata().unwrap();
        (entry.file_name().into_string().unwrap(), column.ino(), column.len() / WIDTH as u64)
    });
    begun.collect()
}

fn rows_in_order(place: &Place, tokens: &[Vec<u8>]) {
    let given: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
    let rows = place.commit(&given, Some("j")).unwrap().rows;
    let options = crate::reader::ReaderOptions::default();
    let reader = crate::reader::Reader::open(place.location.clone(), &options).unwrap();
    let ids: Vec<String> = (0..rows).map(|row| reader.id(row).unwrap().to_string()).collect();
    assert_eq!(ids, (0..rows).map(|row| row.to_string()).collect::<Vec<_>>());
    assert!(place.left().is_empty());
}

#[test]
fn a_file_that_is_begun_is_gone_on_with_and_then_is_the_one_that_is_shown() {
    let place = Place::new();
    let part = |number: usize| place.part("j", number as u64, &[number * 9..number * 9 + 9]);
    let mut tokens = vec![part(0), part(1)];
    assert_eq!(begin(&place, &tokens), 0);
    let [(first, inode, 18)] = &begun(&place)[..] else { panic!("{:?}", begun(&place)) };
    // Nothing new: nothing is made.
    begin(&place, &tokens);
    assert_eq!(begun(&place), [(first.clone(), *inode, 18)]);
    tokens.extend([part(2), part(3)]);
    begin(&place, &tokens);
    let [(second, same, 36)] = &begun(&place)[..] else { panic!("{:?}", begun(&place)) };
    assert!(first != second && inode == same);
    tokens.push(part(4));
    rows_in_order(&place, &tokens);
    let data = fs::read_dir(place.table().join("data")).unwrap().flatten();
    let inodes: Vec<u64> = data.map(|entry| entry.metadata().unwrap().ino()).collect();
    assert_eq!(inodes, [*inode]);
}

#[test]
fn a_file_that_was_begun_with_other_rows_is_made_anew() {
    let place = Place::new();
    let part = |number: usize| place.part("j", number as u64, &[number * 9..number * 9 + 9]);
    let mut tokens = vec![part(0), part(1)];
    begin(&place, &[place.part("j", 0, &[100..105]), tokens[1].clone()]);
    tokens[1] = part(1);
    begin(&place, &tokens);
    assert_eq!(begun(&place).len(), 2);
    // A part that another task wrote once more.
    tokens[0] = part(0);
    tokens.push(part(2));
    rows_in_order(&place, &tokens);
}

#[test]
fn what_is_begun_is_left_to_who_works_on_it_and_made_anew_if_it_is_damaged() {
    let place = Place::new();
    let tokens: Vec<Vec<u8>> = (0..3)
        .map(|part| place.part("j", part, &[part as usize * 9..part as usize * 9 + 9]))
        .collect();
    begin(&place, &tokens[..1]);
    let packed = pack::directory_of(place.table(), "j");
    let name = begun(&place)[0].0.clone();
    let start = u64::from_str_radix(name.split_once('-').unwrap().0, 16).unwrap();
    let held = begun::Begun::new(&packed, start).lock(Duration::ZERO).unwrap().unwrap();
    begin(&place, &tokens[..2]);
    assert_eq!(begun(&place)[0].0, name);
    let column = packed.join(&name).join("rds-begun-1-0.lance");
    fs::OpenOptions::new().write(true).open(column).unwrap().set_len(100).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            drop(held);
        });
        let began = std::time::Instant::now();
        rows_in_order(&place, &tokens);
        assert!(began.elapsed() >= Duration::from_millis(50), "who makes the file waits");
    });
}

#[test]
fn ids_of_a_begun_file_that_are_damaged_come_from_the_parts() {
    for damage in [|bytes: &mut Vec<u8>| bytes.clear(), |bytes: &mut Vec<u8>| bytes[9] ^= 0x40] {
        let place = Place::new();
        let tokens = vec![place.part("j", 0, &[0..9]), place.part("j", 1, &[9..18])];
        begin(&place, &tokens[..1]);
        let packed = pack::directory_of(place.table(), "j");
        let ids = packed.join(&begun(&place)[0].0).join("1-0.ids");
        let mut bytes = fs::read(&ids).unwrap();
        damage(&mut bytes);
        fs::write(&ids, bytes).unwrap();
        rows_in_order(&place, &tokens);
    }
}

#[test]
fn a_note_that_is_damaged_is_none() {
    let place = Place::new();
    let tokens = vec![place.part("j", 0, &[0..9])];
    let given: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
    let wanted = Wanted { share: (0, 1), skip: 0, more: false };
    pack_parts(place.location.clone(), &given, Mode::Create, "j", wanted).unwrap();
    let packed = fs::read_dir(pack::directory_of(place.table(), "j")).unwrap().flatten();
    let mut notes = packed.map(|entry| entry.path());
    let note = notes.find(|path| path.extension().is_some_and(|end| end == "note")).unwrap();
    let mut bytes = fs::read(&note).unwrap();
    let at = bytes.windows(6).position(|some| some == b"string").unwrap();
    bytes[at + 4] ^= 0x10;
    fs::write(&note, bytes).unwrap();
    rows_in_order(&place, &tokens);
}

#[test]
fn of_many_that_go_on_with_a_file_at_once_each_does_and_no_row_is_lost() {
    for _ in 0..10 {
        let place = Place::new();
        let tokens: Vec<Vec<u8>> = (0..12)
            .map(|part| place.part("j", part, &[part as usize * 9..part as usize * 9 + 9]))
            .collect();
        std::thread::scope(|scope| {
            for end in 1..tokens.len() {
                let (place, tokens) = (&place, &tokens);
                scope.spawn(move || begin(place, &tokens[..end]));
            }
        });
        rows_in_order(&place, &tokens);
    }
}

#[test]
fn what_was_packed_goes_with_a_commit_that_leaves_a_part() {
    let place = Place::new();
    let tokens = [place.part("j", 0, &[0..9]), place.part("j", 1, &[9..18])];
    place.part("j", 300, &[18..20]);
    begin(&place, &tokens);
    let given: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
    assert_eq!(place.commit(&given, Some("j")).unwrap().rows, 18);
    let job = directory(place.table(), "j");
    let left: Vec<_> = fs::read_dir(&job).unwrap().flatten().map(|entry| entry.path()).collect();
    assert_eq!(left, [group(&job, 300)]);
    assert_eq!(names(&left[0]).unwrap().len(), 1);
}

#[test]
fn one_part_is_found_among_those_that_wait_and_those_that_are_there() {
    let place = Place::new();
    let tokens: Vec<Vec<u8>> = (0..3).map(|part| place.part("j", part, &[0..2])).collect();
    place.part("k", 1, &[0..2]);
    let told = |part: Option<u64>| {
        let mut told = Vec::new();
        let mut each = |parts: &Listed| {
            told.push((parts.first, parts.last, parts.token.map(<[u8]>::to_vec)));
            true
        };
        list(&place.location, Some("j"), part, &mut each).unwrap();
        told
    };
    assert_eq!(told(Some(1)), [(1, 1, Some(tokens[1].clone()))]);
    assert_eq!(told(None).len(), 3);
    place.commit(&[&tokens[0], &tokens[1]], None).unwrap();
    assert_eq!(told(Some(1)), [(1, 1, None)]);
    assert_eq!(told(None), [(0, 1, None), (2, 2, Some(tokens[2].clone()))]);
    assert_eq!(told(Some(7)), []);
}

#[test]
fn a_job_is_swept_when_nobody_has_added_to_it_for_so_long() {
    let place = Place::new();
    place.part("j", 0, &[0..3]);
    assert_eq!(sweep(place.table(), Duration::from_secs(60), false).unwrap(), (0, 0));
    assert_eq!(place.left().len(), 1);
    std::thread::sleep(Duration::from_millis(5));
    let (files, bytes) = sweep(place.table(), Duration::from_millis(1), true).unwrap();
    assert_eq!((files, place.left().len()), (1, 1));
    assert!(bytes > 9000);
    assert_eq!(sweep(place.table(), Duration::from_millis(1), false).unwrap(), (files, bytes));
    assert!(place.left().is_empty() && !place.table().join(RUNS).exists());
}

#[test]
fn a_writer_that_ends_without_a_token_leaves_nothing_and_one_that_is_late_is_told() {
    let place = Place::new();
    let part = Part { job: "j".into(), number: 3 };
    let mut file = PartFile::create(place.table(), part.clone(), false).unwrap();
    let ids = crate::writer::batch::IdBlock { lengths: vec![1; 400], bytes: vec![b'x'; 400] };
    let rows = vec![7; 400 * WIDTH];
    file.append(&layout(), &ids, &[&rows]).unwrap();
    assert_eq!(place.left().len(), 1);
    drop(file);
    assert!(place.left().is_empty() && !place.table().join(RUNS).exists());
    let mut late = PartFile::create(place.table(), part, false).unwrap();
    late.append(&layout(), &ids, &[&rows]).unwrap();
    remove(&directory(place.table(), "j")).unwrap();
    assert_eq!(late.finish(Some(&layout())).unwrap_err().status, Status::RDS_ERR_NOT_FOUND);
}

#[test]
fn of_drivers_that_publish_a_job_at_the_same_time_one_does() {
    for mode in [Mode::Create, Mode::Append] {
        for _ in 0..10 {
            let place = Place::new();
            if mode == Mode::Append {
                let first = place.part("first", 0, &[0..1]);
                place.commit(&[&first], Some("first")).unwrap();
            }
            let tokens: Vec<Vec<u8>> = (0..3).map(|part| place.part("j", part, &[0..2])).collect();
            let given: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
            let publish =
                || commit_staged(place.location.clone(), &given, mode, Some("j")).unwrap();
            let rows: u64 = std::thread::scope(|scope| {
                let drivers: Vec<_> = (0..3).map(|_| scope.spawn(|| publish().rows)).collect();
                drivers.into_iter().map(|driver| driver.join().unwrap()).sum()
            });
            assert_eq!(rows, 6);
            assert_eq!(rows_of(&place), rows + u64::from(mode == Mode::Append));
            assert!(place.left().is_empty());
        }
    }
}

#[test]
fn a_part_that_two_calls_append_at_the_same_time_is_there_once() {
    for _ in 0..10 {
        let place = Place::new();
        place.commit(&[&place.part("first", 0, &[0..1])], None).unwrap();
        let shared = [place.part("j", 0, &[0..2]), place.part("j", 0, &[0..2])];
        let own = [place.part("j", 1, &[0..2]), place.part("j", 2, &[0..2])];
        let publish = |call: usize| {
            let given = [shared[call].as_slice(), own[call].as_slice()];
            commit_staged(place.location.clone(), &given, Mode::Append, None)
        };
        let done: Vec<_> = std::thread::scope(|scope| {
            let calls: Vec<_> = (0..2).map(|call| scope.spawn(move || publish(call))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        let mut rows = 1;
        for (call, done) in done.into_iter().enumerate() {
            rows += match done {
                Ok(info) => info.rows,
                Err(error) => {
                    assert_eq!(error.status, Status::RDS_ERR_COMMIT_CONFLICT, "{error}");
                    publish(call).unwrap().rows
                }
            };
        }
        assert_eq!((rows, rows_of(&place)), (7, 7));
    }
}

fn rows_of(place: &Place) -> u64 {
    let options = crate::reader::ReaderOptions::default();
    crate::reader::Reader::open(place.location.clone(), &options).unwrap().rows()
}
