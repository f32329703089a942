//! The steps of an epoch: which positions each is of, and who takes which of them. A step follows from the rows that
//! are consumed, and from nothing else of what came before.

use std::ops::Range;

/// Where a loader is. All ranks that are behind the same step have the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    pub seed: u64,
    pub epoch: u64,
    /// Rows of the epoch that came before, over all ranks.
    pub consumed: u64,
}

impl Position {
    pub fn at(self, consumed: u64) -> Self {
        Self { consumed, ..self }
    }

    fn of_next_epoch(self) -> Self {
        Self { epoch: self.epoch.wrapping_add(1), consumed: 0, ..self }
    }
}

/// What becomes of the rows at the end of an epoch that fill no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// A step with fewer rows.
    Short,
    /// The first rows of the epoch fill the step up.
    Pad,
    /// They are left out.
    Drop,
}

/// One of several that share something.
#[derive(Clone, Copy, Debug)]
pub struct Share {
    pub index: u32,
    pub of: u32,
}

impl Share {
    /// Its part of a range: parts differ by one at most, and follow each other.
    fn part(self, all: Range<u64>) -> Range<u64> {
        let len = u128::from(all.end - all.start);
        let at = |index: u32| all.start + (len * u128::from(index) / u128::from(self.of)) as u64;
        at(self.index)..at(self.index + 1)
    }

    /// The rows of the largest part.
    fn most(self, rows: u64) -> u64 {
        rows.div_ceil(u64::from(self.of))
    }
}

/// How an epoch is cut.
#[derive(Clone, Debug)]
pub struct Steps {
    /// Rows of an epoch.
    pub rows: u64,
    /// Rows of a step over all ranks.
    pub batch: u64,
    pub tail: Tail,
    pub rank: Share,
    pub worker: Share,
    /// Workers take steps in turn, and do not share each.
    pub whole_steps: bool,
}

/// A step, as one rank or worker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Rows of it over all ranks, those that fill it up too.
    pub rows: u64,
    /// Rows of the epoch that came before it.
    pub consumed: u64,
    /// The positions of the epoch that are taken, of those that it has.
    pub positions: Range<u64>,
    /// And then from the begin of the epoch on, which may come to its end and begin once more.
    pub padding: Range<u64>,
}

impl Step {
    /// Whether any of it is.
    pub fn is_taken(&self) -> bool {
        !self.positions.is_empty() || !self.padding.is_empty()
    }
}

/// What is next: a step, or that the epoch is over; and where one is afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub step: Option<Step>,
    pub before: Position,
    pub after: Position,
}

impl Steps {
    /// Rows of a step that this rank or worker takes at most.
    pub fn most(&self) -> u64 {
        let step = if self.tail == Tail::Pad { self.batch } else { self.batch.min(self.rows) };
        let of_rank = self.rank.most(step);
        if self.whole_steps { of_rank } else { self.worker.most(of_rank) }
    }

    /// Steps of a whole epoch.
    pub fn of_epoch(&self) -> u64 {
        match self.tail {
            Tail::Drop => self.rows / self.batch,
            _ => self.rows.div_ceil(self.batch),
        }
    }

    pub fn next(&self, before: Position) -> Turn {
        let over = Turn { step: None, before, after: before.of_next_epoch() };
        let round = if self.whole_steps { u64::from(self.worker.of) } else { 1 };
        let skipped = if self.whole_steps { u64::from(self.worker.index) } else { 0 };
        let first = before.consumed.saturating_add(self.batch.saturating_mul(skipped));
        let Some(step) = self.step(first) else { return over };
        let consumed = before.consumed.saturating_add(self.batch.saturating_mul(round));
        Turn { step: Some(step), before, after: before.at(consumed.min(self.rows)) }
    }

    /// The step that begins behind so many rows, if there is one.
    fn step(&self, consumed: u64) -> Option<Step> {
        let left = self.rows.checked_sub(consumed).filter(|left| *left > 0)?;
        let rows = match self.tail {
            _ if left >= self.batch => self.batch,
            Tail::Short => left,
            Tail::Pad => self.batch,
            Tail::Drop => return None,
        };
        let mut taken = self.rank.part(consumed..consumed + rows);
        if !self.whole_steps {
            taken = self.worker.part(taken);
        }
        let real = |at: u64| at.min(self.rows);
        let padding = |at: u64| at.saturating_sub(self.rows);
        Some(Step {
            rows,
            consumed,
            positions: real(taken.start)..real(taken.end),
            padding: padding(taken.start)..padding(taken.end),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(rows: u64, batch: u64, tail: Tail) -> Steps {
        let alone = Share { index: 0, of: 1 };
        Steps { rows, batch, tail, rank: alone, worker: alone, whole_steps: false }
    }

    fn walk(steps: &Steps, from: u64) -> (Vec<Step>, Position) {
        let mut taken = Vec::new();
        let mut at = Position { consumed: from, ..Position::default() };
        loop {
            let turn = steps.next(at);
            at = turn.after;
            match turn.step {
                Some(step) => taken.push(step),
                None => return (taken, at),
            }
        }
    }

    #[test]
    fn tails_are_short_or_filled_up_or_left_out() {
        let ends = |tail| {
            let (steps, at) = walk(&steps(10, 4, tail), 0);
            assert_eq!(at, Position { seed: 0, epoch: 1, consumed: 0 });
            steps.last().map(|s| (s.rows, s.positions.clone(), s.padding.clone())).unwrap()
        };
        assert_eq!(ends(Tail::Short), (2, 8..10, 0..0));
        assert_eq!(ends(Tail::Pad), (4, 8..10, 0..2));
        assert_eq!(ends(Tail::Drop), (4, 4..8, 0..0));
        assert_eq!(walk(&steps(0, 4, Tail::Pad), 0).0, []);
    }

    #[test]
    fn an_epoch_that_is_smaller_than_a_step_fills_it_more_than_once() {
        let (taken, _) = walk(&steps(3, 8, Tail::Pad), 0);
        assert_eq!((taken[0].positions.clone(), taken[0].padding.clone()), (0..3, 0..5));
    }

    #[test]
    fn whoever_shares_a_step_all_of_it_is_taken_once() {
        for (rows, batch, ranks, workers) in
            [(100, 7, 3, 2), (5, 64, 4, 3), (31, 31, 8, 1), (9, 2, 5, 5)]
        {
            for tail in [Tail::Short, Tail::Pad] {
                let mut taken = Vec::new();
                for rank in 0..ranks {
                    for worker in 0..workers {
                        let rank = Share { index: rank, of: ranks };
                        let worker = Share { index: worker, of: workers };
                        let own = Steps { rank, worker, ..steps(rows, batch, tail) };
                        for step in walk(&own, 0).0 {
                            let len = |range: &Range<u64>| range.end - range.start;
                            assert!(len(&step.positions) + len(&step.padding) <= own.most());
                            taken.extend(step.positions);
                            taken.extend(step.padding.map(|at| at + rows));
                        }
                    }
                }
                taken.sort_unstable();
                let end = if tail == Tail::Pad { rows.div_ceil(batch) * batch } else { rows };
                assert!(taken.into_iter().eq(0..end), "{rows} {batch} {ranks} {workers}");
            }
        }
    }

    #[test]
    fn workers_of_whole_steps_take_them_in_turn() {
        let of = |index, from| {
            let worker = Share { index, of: 3 };
            let own = Steps { worker, whole_steps: true, ..steps(50, 4, Tail::Short) };
            walk(&own, from).0.iter().map(|step| step.positions.start).collect::<Vec<_>>()
        };
        assert_eq!(of(0, 0), [0, 12, 24, 36, 48]);
        assert_eq!(of(1, 0), [4, 16, 28, 40]);
        assert_eq!(of(2, 12), [20, 32, 44]);
    }
}
