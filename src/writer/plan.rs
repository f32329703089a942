//! Which fragments of a run are merged: along the way, so that a version names few, and at the end, so
//! that a table has one file per million rows or gibibyte.

use std::ops::Range;

use crate::writer::data_file::fullness;

/// A fragment in the order of the table.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub rows: u64,
    /// Of tensors, as in the caller's memory.
    pub bytes: u64,
    /// Of this run, and nothing but its rows: it may be merged with its neighbours.
    pub mergeable: bool,
}

impl Piece {
    fn fullness(&self) -> f64 {
        fullness(self.rows, self.bytes)
    }
}

/// So many fragments of a class are merged into one of the next: a row is rewritten once per class.
const FAN: u32 = 8;
const CLASSES: u32 = 6;

/// Fragments a factor of `FAN` apart are of different classes.
fn class(piece: &Piece) -> u32 {
    let units = piece.fullness() * f64::from(FAN.pow(CLASSES));
    (units.max(1.0) as u64).ilog(u64::from(FAN))
}

/// Runs of at least two neighbours for which `fits` holds.
fn runs(pieces: &[Piece], fits: impl Fn(&Piece) -> bool) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        if !fits(piece) {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.end == at => run.end += 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs.retain(|run| run.len() > 1);
    runs
}

fn may_grow(piece: &Piece) -> bool {
    piece.mergeable && piece.fullness() < 1.0
}

/// Neighbours to be merged while the run goes on, if there are enough of one class, with the smaller ones
/// between them. What is left is some `FAN` fragments of each class, and full ones.
pub fn along_the_way(pieces: &[Piece]) -> Option<Range<usize>> {
    (0..CLASSES).find_map(|largest| {
        let runs = runs(pieces, |piece| may_grow(piece) && class(piece) <= largest);
        let is_largest = |piece: &&Piece| class(piece) == largest;
        let count = |run: &Range<usize>| {
            pieces.get(run.clone()).unwrap_or_default().iter().filter(is_largest).count()
        };
        let run = runs.into_iter().find(|run| count(run) >= FAN as usize)?;
        // Nearly full ones are as much to rewrite along the way as at the end, so no more of them are.
        if largest + 1 == CLASSES { groups(pieces, run).into_iter().next() } else { Some(run) }
    })
}

/// Neighbours to be merged when the run is done: as few as leave no more files than the rows fill. What
/// is full already is never rewritten.
pub fn at_the_end(pieces: &[Piece]) -> Vec<Range<usize>> {
    runs(pieces, may_grow).into_iter().flat_map(|run| groups(pieces, run)).collect()
}

fn groups(pieces: &[Piece], run: Range<usize>) -> Vec<Range<usize>> {
    let sizes = run.clone().map(|at| pieces.get(at).map_or(0.0, Piece::fullness));
    let mut groups: Vec<(f64, Range<usize>)> =
        sizes.zip(run).map(|(size, at)| (size, at..at + 1)).collect();
    let total: f64 = groups.iter().map(|(size, _)| size).sum();
    let allowed = total.ceil() as usize;
    while groups.len() > allowed {
        // The two neighbours that are the least to rewrite.
        let sum = |pair: &[(f64, Range<usize>)]| match pair {
            [(one, _), (other, _)] if *one < 1.0 && *other < 1.0 => one + other,
            _ => f64::INFINITY,
        };
        let smallest = groups.windows(2).map(sum).enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
        let Some((at, size)) = smallest.filter(|(_, size)| size.is_finite()) else { break };
        let (_, next) = groups.remove(at + 1);
        if let Some(group) = groups.get_mut(at) {
            *group = (size, group.1.start..next.end);
        }
    }
    groups.into_iter().map(|(_, group)| group).filter(|group| group.len() > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::writer::data_file::{MAX_BYTES, MAX_ROWS};

    fn pieces(parts: &[f64]) -> Vec<Piece> {
        let piece = |part: &f64| Piece {
            rows: 1,
            bytes: (part * MAX_BYTES as f64) as u64,
            mergeable: true,
        };
        parts.iter().map(piece).collect()
    }

    #[test]
    fn many_commits_leave_few_fragments_and_rewrite_each_row_seldom() {
        let mut table: Vec<Piece> = Vec::new();
        let (mut rewritten, mut most) = (0, 0);
        for _ in 0..20_000 {
            table.push(Piece { rows: 64, bytes: 16_384, mergeable: true });
            while let Some(group) = along_the_way(&table) {
                let rows: u64 = table[group.clone()].iter().map(|piece| piece.rows).sum();
                let bytes = table[group.clone()].iter().map(|piece| piece.bytes).sum();
                rewritten += rows;
                let merged = Piece { rows, bytes, mergeable: true };
                table.splice(group, [merged]);
            }
            most = most.max(table.len());
        }
        assert_eq!(table.iter().map(|piece| piece.rows).sum::<u64>(), 20_000 * 64);
        assert!(most <= 50, "{most} fragments");
        assert!(rewritten <= 6 * 20_000 * 64, "{} times", rewritten / (20_000 * 64));
    }

    #[test]
    fn fragments_of_others_are_left_alone_and_not_jumped_over() {
        let mut mixed = pieces(&[0.001; 9]);
        mixed[4].mergeable = false;
        assert_eq!(along_the_way(&mixed), None);
        assert_eq!(at_the_end(&mixed), [0..4, 5..9]);
        assert_eq!(along_the_way(&pieces(&[0.001; 9])), Some(0..9));
        assert!(at_the_end(&[]).is_empty());
        assert!(at_the_end(&pieces(&[0.3])).is_empty());
    }

    #[test]
    fn full_fragments_are_never_rewritten() {
        assert!(at_the_end(&pieces(&[1.0, 0.3, 1.2, 0.4, 1.0])).is_empty());
        assert_eq!(at_the_end(&pieces(&[1.0, 0.3, 0.3, 1.0])), [1..3]);
        assert_eq!(along_the_way(&pieces(&[1.0; 20])), None);
        let rows = |rows| Piece { rows, bytes: 1, mergeable: true };
        assert!(at_the_end(&[rows(MAX_ROWS), rows(MAX_ROWS)]).is_empty());
        assert_eq!(at_the_end(&[rows(MAX_ROWS / 2), rows(MAX_ROWS / 2)]), [0..2]);
    }

    #[test]
    fn the_end_rewrites_no_more_than_it_must() {
        // Two gibibytes in two files: the first one stays as it is.
        assert_eq!(at_the_end(&pieces(&[0.9, 0.9, 0.2])), [1..3]);
        // Fits in as many files as there are.
        assert!(at_the_end(&pieces(&[0.9, 0.9])).is_empty());
        assert_eq!(at_the_end(&pieces(&[0.2; 5])), [0..5]);
    }

    #[test]
    fn nearly_full_fragments_are_merged_along_the_way_only_if_that_saves_files() {
        assert_eq!(along_the_way(&pieces(&[0.9; 9])), None);
        let group = along_the_way(&pieces(&[0.3; 10])).unwrap();
        assert!((2..=4).contains(&group.len()), "{group:?}");
    }
}
