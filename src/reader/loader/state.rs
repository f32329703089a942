//! A position in 64 bytes, with what it is a position of. `docs/order.md` has the layout.

use crate::error::{Error, Result};
use crate::reader::loader::order::Order;
use crate::reader::loader::rows::Rows;
use crate::reader::loader::steps::Position;

pub const STATE_BYTES: usize = 64;

const MAGIC: [u8; 4] = *b"rdsL";
const FORMAT: u8 = 1;

/// What the files of a version are called: two tables do not have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    pub version: u64,
    /// Of all files.
    pub files: u64,
    /// Of the first one, which later versions of a table mostly have too.
    pub first: u32,
}

/// What a loader goes through.
pub struct Subject {
    pub identity: Identity,
    /// Whether there is a table at all.
    pub table: bool,
}

/// The fields of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    shuffled: bool,
    position: Position,
    identity: Identity,
    subset: u32,
    order: u32,
}

impl State {
    fn of(subject: &Subject, rows: &Rows, position: Position) -> Self {
        Self {
            shuffled: rows.order() != Order::InOrder,
            position,
            identity: subject.identity,
            subset: rows.subset_digest() as u32,
            order: rows.order_digest(position.epoch, position.consumed) as u32,
        }
    }
}

pub fn write(subject: &Subject, rows: &Rows, position: Position) -> [u8; STATE_BYTES] {
    let state = State::of(subject, rows, position);
    let (at, table) = (state.position, state.identity);
    let head = [FORMAT, u8::from(!state.shuffled), 0, 0];
    let longs = [at.seed, at.epoch, at.consumed, table.version, table.files];
    let mut bytes = MAGIC.to_vec();
    bytes.extend(head);
    bytes.extend(longs.iter().flat_map(|long| long.to_le_bytes()));
    bytes.extend([table.first, state.subset, state.order].iter().flat_map(|int| int.to_le_bytes()));
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    let mut state = [0; STATE_BYTES];
    state.iter_mut().zip(bytes).for_each(|(out, byte)| *out = byte);
    state
}

/// The position of a state, if it is one of the same rows in the same order.
pub fn read(subject: &Subject, rows: &Rows, bytes: &[u8; STATE_BYTES]) -> Result<Position> {
    let refused = |why: &str| Err(Error::invalid_argument(format!("position {why}")));
    let int = |at: usize| {
        bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
    };
    let long = |at: usize| {
        bytes.get(at..).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b))
    };
    if !bytes.starts_with(&MAGIC) {
        return refused("is no state of a loader: it does not begin as one");
    }
    if bytes[4] != FORMAT {
        return Err(Error::not_supported(format!(
            "position is of format {}; this version of librds knows {FORMAT}",
            bytes[4]
        )));
    }
    if int(60) != crc32c::crc32c(bytes.get(..60).unwrap_or_default()) {
        return refused("is damaged: its checksum is not that of its bytes");
    }
    if bytes[5] > 1 || bytes[6..8] != [0, 0] {
        return Err(Error::not_supported(
            "position says something that this version of librds does not know",
        ));
    }
    let position = Position { seed: long(8), epoch: long(16), consumed: long(24) };
    let identity = Identity { version: long(32), files: long(40), first: int(48) };
    let given =
        State { shuffled: bytes[5] == 0, position, identity, subset: int(52), order: int(56) };
    let own = State::of(subject, rows, position);
    if identity != own.identity {
        return refused(&of_another_table(identity, own.identity, subject.table));
    }
    if given.subset != own.subset {
        return refused(
            "is of another subset of the rows: give the loader the same range or list of rows, in the same order",
        );
    }
    if given.shuffled != own.shuffled {
        let name = |shuffled: bool| if shuffled { "shuffled" } else { "in order" };
        return refused(&format!(
            "is of rows {}, and this loader has them {}: the options differ in order",
            name(given.shuffled),
            name(own.shuffled)
        ));
    }
    if given.order != own.order {
        return refused(match rows.tables() {
            1 => "is of other options: another clump_rows, or a mixture of tables",
            _ => {
                "is of other options: another clump_rows, other tables or epoch_rows, or other weights before it"
            }
        });
    }
    if position.consumed > rows.len() {
        return refused(&format!(
            "is behind {} rows of an epoch, which has {}",
            position.consumed,
            rows.len()
        ));
    }
    Ok(position)
}

fn of_another_table(given: Identity, own: Identity, table: bool) -> String {
    if !table {
        return "is of a table, and this loader has none".into();
    }
    if given == Identity::default() {
        return "is of no table, and this loader has one".into();
    }
    let (version, shown) = (given.version, own.version);
    if version != shown && given.first == own.first {
        return format!(
            "is of version {version} of the table, and the reader shows version {shown}: open it with version {version}"
        );
    }
    format!(
        "is of another table (version {version} of it), or of files that were merged since; the reader shows version {shown}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Status;
    use crate::reader::loader::rows::{Subset, Weights};

    fn subject(version: u64, files: u64, first: u32) -> Subject {
        Subject { identity: Identity { version, files, first }, table: true }
    }

    fn rows(order: Order, len: u64) -> Rows {
        Rows::new(order, vec![Subset::Range(0..len)], None, vec![]).unwrap()
    }

    const AT: Position = Position { seed: 5, epoch: u64::MAX, consumed: 99 };
    const SHUFFLED: Order = Order::Shuffled { clump: 1 };

    #[test]
    fn a_position_comes_back_and_any_change_of_a_byte_is_seen() {
        let (subject, rows) = (subject(3, 4, 5), rows(SHUFFLED, 100));
        let state = write(&subject, &rows, AT);
        assert_eq!(read(&subject, &rows, &state).unwrap(), AT);
        for at in 0..STATE_BYTES {
            let mut damaged = state;
            damaged[at] ^= 1;
            assert!(read(&subject, &rows, &damaged).is_err(), "{at}");
        }
        let mut odd = state;
        odd[6] = 1;
        let crc = crc32c::crc32c(&odd[..60]);
        odd[60..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(read(&subject, &rows, &odd).unwrap_err().status, Status::RDS_ERR_NOT_SUPPORTED);
        let mut later = state;
        later[4] = 2;
        assert_eq!(
            read(&subject, &rows, &later).unwrap_err().status,
            Status::RDS_ERR_NOT_SUPPORTED
        );
    }

    #[test]
    fn what_differs_is_named() {
        let state = write(&subject(3, 4, 5), &rows(SHUFFLED, 100), AT);
        let why = |subject: &Subject, rows: &Rows| {
            read(subject, rows, &state).unwrap_err().message.clone()
        };
        let same = || subject(3, 4, 5);
        assert!(why(&subject(4, 9, 5), &rows(SHUFFLED, 100)).contains("version 3"));
        assert!(why(&subject(3, 9, 6), &rows(SHUFFLED, 100)).contains("another table"));
        assert!(why(&same(), &rows(SHUFFLED, 101)).contains("another subset"));
        let list = vec![Subset::List((0..100).collect())];
        let list = Rows::new(SHUFFLED, list, None, vec![]).unwrap();
        assert!(why(&same(), &list).contains("another subset"));
        assert!(why(&same(), &rows(Order::InOrder, 100)).contains("in order"));
        assert!(why(&same(), &rows(Order::Shuffled { clump: 2 }, 100)).contains("clump_rows"));
        let none = Subject { identity: Identity::default(), table: false };
        assert!(why(&none, &rows(SHUFFLED, 100)).contains("has none"));
        let none = write(&none, &rows(SHUFFLED, 100), AT);
        let why = read(&same(), &rows(SHUFFLED, 100), &none).unwrap_err().message.clone();
        assert!(why.contains("no table"));
    }

    #[test]
    fn weights_may_change_behind_a_position_and_not_before() {
        let rows = |weights: &[(u64, [u64; 2])]| {
            let weights = weights.iter().map(|(consumed, weights)| Weights {
                epoch: 1,
                consumed: *consumed,
                weights: weights.to_vec(),
            });
            let tables = vec![Subset::Range(0..10), Subset::Range(0..20)];
            Rows::new(SHUFFLED, tables, None, weights.collect()).unwrap()
        };
        let at = Position { seed: 0, epoch: 1, consumed: 8 };
        let state = write(&subject(1, 1, 1), &rows(&[(0, [1, 1])]), at);
        let read = |rows: Rows| read(&subject(1, 1, 1), &rows, &state);
        assert!(read(rows(&[(0, [1, 1]), (8, [1, 5])])).is_ok());
        assert!(read(rows(&[(0, [1, 1]), (7, [1, 5])])).is_err());
        assert!(read(rows(&[(0, [1, 2])])).is_err());
    }
}
