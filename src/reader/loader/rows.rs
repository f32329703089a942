//! Which rows of which tables an epoch consists of, and what is at a position of it.

use std::ops::Range;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::reader::loader::order::{Key, Order, digest};

/// More than any table has, and few enough to be multiplied by what they are multiplied by.
pub const MOST_ROWS: u64 = 1 << 62;

/// Rows of one table: an epoch consists of them.
#[derive(Clone)]
pub enum Subset {
    Range(Range<u64>),
    /// In the order given; a row may be there twice.
    List(Arc<[u64]>),
}

impl Subset {
    pub fn count(&self) -> u64 {
        match self {
            Self::Range(rows) => rows.end - rows.start,
            Self::List(rows) => rows.len() as u64,
        }
    }

    fn row(&self, index: u64) -> u64 {
        match self {
            Self::Range(rows) => rows.start + index,
            Self::List(rows) => rows.get(index as usize).copied().unwrap_or_default(),
        }
    }

    fn digest(&self, hash: u64) -> u64 {
        match self {
            Self::Range(rows) => digest(digest(digest(hash, 1), rows.start), rows.end),
            Self::List(rows) => rows.iter().copied().fold(digest(hash, 2), digest),
        }
    }
}

/// How often rows of each table come from a position on.
#[derive(Clone)]
pub struct Weights {
    pub epoch: u64,
    pub consumed: u64,
    pub weights: Vec<u64>,
}

/// The rows of all tables, in the order of each epoch.
pub struct Rows {
    order: Order,
    tables: Vec<Subset>,
    /// In the order of their positions; the first is that of the begin.
    weights: Vec<Weights>,
    len: u64,
    subset_digest: u64,
}

impl Rows {
    /// `epoch_rows` and `weights` are those of a mixture; without any, each table comes as often as it has rows.
    pub fn new(
        order: Order,
        tables: Vec<Subset>,
        epoch_rows: Option<u64>,
        weights: Vec<Weights>,
    ) -> Result<Self> {
        let sum = tables.iter().try_fold(0_u64, |sum, table| sum.checked_add(table.count()));
        let len = epoch_rows.or(sum).filter(|len| *len <= MOST_ROWS && sum.is_some());
        let len = len.ok_or_else(|| {
            Error::invalid_argument(format!("options: an epoch has more than {MOST_ROWS} rows"))
        })?;
        if sum == Some(0) && len > 0 {
            return Err(Error::invalid_argument(format!(
                "options.epoch_rows is {len}, and no table has a row"
            )));
        }
        let own = tables.iter().map(Subset::count).collect();
        let mut all = vec![Weights { epoch: 0, consumed: 0, weights: own }];
        for (index, given) in weights.into_iter().enumerate() {
            check(index, &given, all.last(), &tables)?;
            all.push(given);
        }
        // A list may be long.
        let subset_digest = tables.iter().fold(0, |hash, table| table.digest(hash));
        Ok(Self { order, tables, weights: all, len, subset_digest })
    }

    /// Rows of an epoch.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn order(&self) -> Order {
        self.order
    }

    pub fn tables(&self) -> usize {
        self.tables.len()
    }

    /// Of the rows that are chosen.
    pub fn subset_digest(&self) -> u64 {
        self.subset_digest
    }

    /// Of what says the order, beside what `order` tells by name, as far as it had a part in the rows before a position.
    pub fn order_digest(&self, epoch: u64, consumed: u64) -> u64 {
        let clump = match self.order {
            Order::InOrder => 0,
            Order::Shuffled { clump } => clump.max(1),
        };
        let mut hash = digest(0, clump);
        if self.tables.len() > 1 {
            hash = digest(digest(hash, self.tables.len() as u64), self.len);
            for (rows, weights) in self.segments(epoch) {
                if rows.start < consumed {
                    hash = weights.iter().copied().fold(digest(hash, rows.start), digest);
                }
            }
        }
        hash
    }

    /// The rows at positions of an epoch that follow each other, which are all there are: their numbers, and of a mixture
    /// the tables that they are of.
    pub fn at(
        &self,
        seed: u64,
        epoch: u64,
        positions: Range<u64>,
        rows: &mut Vec<u64>,
        tables: &mut Vec<u32>,
    ) {
        let begin = rows.len();
        if let [table] = &self.tables[..] {
            rows.extend(positions);
            let rows = rows.get_mut(begin..).unwrap_or_default();
            self.order.apply(table.count(), Key { seed, epoch, table: 0, pass: 0 }, rows);
            rows.iter_mut().for_each(|row| *row = table.row(*row));
            return;
        }
        // What comes of one table lies on a few passes of it, mostly one: they are worked on together.
        let mut drawn: Vec<Vec<(usize, u64)>> = vec![Vec::new(); self.tables.len()];
        self.draw(epoch, positions, |table, index| {
            if let Some(drawn) = drawn.get_mut(table) {
                drawn.push((rows.len(), index));
            }
            rows.push(0);
            tables.push(table as u32);
        });
        for (number, (drawn, table)) in drawn.iter().zip(&self.tables).enumerate() {
            for part in
                drawn.chunk_by(|(_, one), (_, next)| one / table.count() == next / table.count())
            {
                let pass = part.first().map_or(0, |(_, index)| index / table.count());
                let mut found: Vec<u64> =
                    part.iter().map(|(_, index)| index % table.count()).collect();
                let key = Key { seed, epoch, table: number as u64, pass };
                self.order.apply(table.count(), key, &mut found);
                for ((place, _), index) in part.iter().zip(found) {
                    if let Some(row) = rows.get_mut(*place) {
                        *row = table.row(index);
                    }
                }
            }
        }
    }

    /// Tells for each position of an epoch the table, and how many of its rows came before.
    fn draw(&self, epoch: u64, positions: Range<u64>, mut drawn: impl FnMut(usize, u64)) {
        let mut before = vec![0; self.tables.len()];
        for (segment, weights) in self.segments(epoch) {
            let sums = sums(weights);
            let from = positions.start.clamp(segment.start, segment.end) - segment.start;
            let until = positions.end.clamp(segment.start, segment.end) - segment.start;
            for at in from..until {
                let (table, count) = table_at(&sums, at);
                drawn(table, before.get(table).copied().unwrap_or_default() + count);
            }
            let counts = counts(&sums, segment.end - segment.start);
            before.iter_mut().zip(counts).for_each(|(before, count)| *before += count);
        }
    }

    /// The parts of an epoch that have the same weights.
    fn segments(&self, epoch: u64) -> impl Iterator<Item = (Range<u64>, &[u64])> {
        let len = self.len;
        let of_epoch = move |weights: &Weights| match weights.epoch == epoch {
            true => weights.consumed.min(len),
            false => 0,
        };
        let later = self.weights.iter().take_while(move |weights| weights.epoch <= epoch).count();
        let known = self.weights.get(..later).unwrap_or_default();
        let ends = known.iter().skip(1).map(of_epoch).chain([self.len]);
        let segments = known.iter().zip(ends);
        let segments =
            segments.map(move |(weights, end)| (of_epoch(weights)..end, &weights.weights[..]));
        segments.filter(|(rows, _)| rows.start < rows.end)
    }
}

fn check(index: usize, given: &Weights, before: Option<&Weights>, tables: &[Subset]) -> Result<()> {
    let refused =
        |why: String| Err(Error::invalid_argument(format!("options.weights[{index}]: {why}")));
    let (count, wanted) = (given.weights.len(), tables.len());
    if count != wanted {
        return refused(format!("weight_count is {count}, and there are {wanted} tables"));
    }
    if before.is_some_and(|b| (given.epoch, given.consumed) < (b.epoch, b.consumed)) {
        return refused("its position is before that of the one before".into());
    }
    let sum = given.weights.iter().try_fold(0_u64, |sum, weight| sum.checked_add(*weight));
    if !sum.is_some_and(|sum| (1..=MOST_ROWS).contains(&sum)) {
        return refused(format!("the sum of weights is to be from 1 to {MOST_ROWS}"));
    }
    let empty = |(table, weight): (&Subset, &u64)| table.count() == 0 && *weight > 0;
    match tables.iter().zip(&given.weights).position(empty) {
        Some(table) => refused(format!("table {table} has no rows, and a weight")),
        None => Ok(()),
    }
}

/// The sums of the first weights: of none, of one, and so on.
fn sums(weights: &[u64]) -> Vec<u64> {
    let mut sum = 0;
    let next = |weight: &u64| {
        sum += weight;
        sum
    };
    [0].into_iter().chain(weights.iter().map(next)).collect()
}

/// Of the first `count` rows of a mixture, those of all tables but the last, if they are so many parts of all.
fn share(count: u64, part: u64, whole: u64) -> u64 {
    match whole {
        0 => 0,
        _ => (u128::from(count) * u128::from(part) / u128::from(whole)) as u64,
    }
}

/// How many rows of each table are among the first `at`.
fn counts(sums: &[u64], at: u64) -> Vec<u64> {
    let mut counts = Vec::with_capacity(sums.len());
    let mut of_first = at;
    for [part, whole] in sums.array_windows().rev() {
        let fewer = share(of_first, *part, *whole);
        counts.push(of_first - fewer);
        of_first = fewer;
    }
    counts.reverse();
    counts
}

/// The table of the row at a position, and how many of its rows came before. Each table divides what it is given
/// between its own rows and those before it: so each count grows by nothing or one.
fn table_at(sums: &[u64], at: u64) -> (usize, u64) {
    let (mut count, mut next) = (at, at + 1);
    for (table, [part, whole]) in sums.array_windows().enumerate().rev() {
        let (fewer, fewer_next) = (share(count, *part, *whole), share(next, *part, *whole));
        if fewer == fewer_next {
            return (table, count - fewer);
        }
        (count, next) = (fewer, fewer_next);
    }
    (0, count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHUFFLED: Order = Order::Shuffled { clump: 1 };

    fn ranges(lens: &[u64]) -> Vec<Subset> {
        lens.iter().map(|len| Subset::Range(0..*len)).collect()
    }

    fn all(rows: &Rows, epoch: u64) -> Vec<(u32, u64)> {
        let (mut numbers, mut tables) = (Vec::new(), Vec::new());
        rows.at(1, epoch, 0..rows.len(), &mut numbers, &mut tables);
        tables.into_iter().zip(numbers).collect()
    }

    #[test]
    fn without_weights_each_row_of_each_table_comes_once() {
        let rows = Rows::new(SHUFFLED, ranges(&[7, 0, 100, 31]), None, vec![]).unwrap();
        let mut drawn = all(&rows, 3);
        // They are mixed: no table is long away.
        assert!(drawn.windows(4).all(|four| four.iter().any(|(table, _)| *table == 2)));
        drawn.sort_unstable();
        let wanted = [(0, 7), (2, 100), (3, 31)];
        let wanted =
            wanted.into_iter().flat_map(|(table, len)| (0..len).map(move |row| (table, row)));
        assert!(drawn.into_iter().eq(wanted));
    }

    #[test]
    fn weights_hold_from_their_position_on_and_a_table_that_is_through_begins_anew() {
        let weights = |epoch, consumed, weights: [u64; 2]| Weights {
            epoch,
            consumed,
            weights: weights.into(),
        };
        let changes = vec![weights(0, 0, [1, 3]), weights(1, 40, [1, 0]), weights(1, 60, [1, 1])];
        let rows = Rows::new(SHUFFLED, ranges(&[50, 10]), Some(80), changes).unwrap();
        let of_second =
            |drawn: &[(u32, u64)]| drawn.iter().filter(|(table, _)| *table == 1).count();
        let first = all(&rows, 0);
        assert_eq!(of_second(&first), 60);
        let mut seen = [0; 10];
        first.iter().filter(|(table, _)| *table == 1).for_each(|(_, row)| seen[*row as usize] += 1);
        assert_eq!(seen, [6; 10]);
        let second = all(&rows, 1);
        assert_eq!((of_second(&second[..40]), of_second(&second[40..60])), (30, 0));
        assert_eq!(of_second(&second[60..]), 10);
        assert_eq!(of_second(&all(&rows, 2)), 40);
    }

    #[test]
    fn parts_of_an_epoch_are_those_of_the_whole() {
        let weights = vec![Weights { epoch: 0, consumed: 13, weights: vec![5, 1, 2] }];
        let rows = Rows::new(SHUFFLED, ranges(&[9, 20, 4]), Some(100), weights).unwrap();
        let whole = all(&rows, 0);
        for (begin, end) in [(0, 1), (5, 40), (12, 14), (99, 100)] {
            let (mut numbers, mut tables) = (Vec::new(), Vec::new());
            rows.at(1, 0, begin..end, &mut numbers, &mut tables);
            let part: Vec<_> = tables.into_iter().zip(numbers).collect();
            assert_eq!(part, whole[begin as usize..end as usize]);
        }
    }

    #[test]
    fn what_is_no_mixture_is_refused() {
        let weights =
            |given: &[u64]| vec![Weights { epoch: 0, consumed: 0, weights: given.to_vec() }];
        for given in [&[1][..], &[0, 0], &[1, u64::MAX], &[1, 2, 3]] {
            assert!(Rows::new(SHUFFLED, ranges(&[5, 5]), None, weights(given)).is_err());
        }
        assert!(Rows::new(SHUFFLED, ranges(&[5, 0]), None, weights(&[1, 1])).is_err());
        assert!(Rows::new(SHUFFLED, ranges(&[u64::MAX, 5]), None, vec![]).is_err());
        assert!(Rows::new(SHUFFLED, ranges(&[0, 0]), Some(5), vec![]).is_err());
        assert!(Rows::new(SHUFFLED, ranges(&[0, 0]), None, vec![]).is_ok());
    }
}
