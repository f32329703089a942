//! The order of the rows of an epoch: a bijection of their numbers that needs no memory, and tells any position at
//! once. It is fixed for ever: `docs/order.md` has it in words, `order_vectors.txt` in numbers.

/// What no two inputs next to each other have in common (2^64 over the golden ratio).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
/// Rounds, and below how many rows there are more: the fewer rows, the more often the same few values are asked for.
const ROUNDS: usize = 8;
const FEW: u64 = 1 << 16;
const ROUNDS_OF_FEW: usize = 24;
/// Positions that are worked on together: their multiplications overlap.
const TOGETHER: usize = 8;

/// The finaliser of splitmix64: every bit of the input changes each of the output with even odds.
#[inline]
pub fn mix(mut x: u64) -> u64 {
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

/// Takes a number into a hash.
#[inline]
pub fn digest(hash: u64, number: u64) -> u64 {
    mix(hash.wrapping_add(number).wrapping_add(GOLDEN))
}

/// What the order of a table in an epoch follows from. `pass` counts how often a table of a mixture was gone through.
#[derive(Clone, Copy)]
pub struct Key {
    pub seed: u64,
    pub epoch: u64,
    pub table: u64,
    pub pass: u64,
}

/// A bijection of `0..n`: a Feistel network over two numbers below `a` and `b`, whose product is hardly above `n`; what
/// comes out above goes in again (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002).
struct Permutation {
    n: u64,
    a: u64,
    b: u64,
    keys: [u64; ROUNDS_OF_FEW],
    rounds: usize,
}

impl Permutation {
    fn new(n: u64, key: Key) -> Self {
        // Even, because with both odd no odd permutation would ever come.
        let root = n.saturating_sub(1).isqrt() + 1;
        let a = root + root % 2;
        let hash = [key.seed, key.epoch, key.table, key.pass].into_iter().fold(0, digest);
        let mut keys = [0; ROUNDS_OF_FEW];
        for (round, key) in (1..).zip(&mut keys) {
            *key = mix(hash.wrapping_add(GOLDEN.wrapping_mul(round)));
        }
        let rounds = if n < FEW { ROUNDS_OF_FEW } else { ROUNDS };
        Self { n, a, b: n.div_ceil(a), keys, rounds }
    }

    fn keys(&self) -> impl DoubleEndedIterator<Item = (bool, u64)> {
        let keys = self.keys.iter().take(self.rounds);
        keys.enumerate().map(|(round, key)| (round % 2 == 0, *key))
    }

    /// All numbers, which are below `n`, to what they become.
    fn apply(&self, numbers: &mut [u64]) {
        if self.n < 2 {
            return;
        }
        let (together, rest) = numbers.as_chunks_mut::<TOGETHER>();
        for numbers in together {
            self.pass(numbers);
        }
        for number in rest {
            self.pass(std::array::from_mut(number));
        }
    }

    #[inline]
    fn pass<const N: usize>(&self, numbers: &mut [u64; N]) {
        self.once(numbers);
        for number in numbers {
            while *number >= self.n {
                self.once(std::array::from_mut(number));
            }
        }
    }

    #[inline]
    fn once<const N: usize>(&self, numbers: &mut [u64; N]) {
        let mut left = numbers.map(|number| number / self.b);
        let mut right = numbers.map(|number| number % self.b);
        for (of_left, key) in self.keys() {
            if of_left {
                for (left, right) in left.iter_mut().zip(&right) {
                    *left = turned(*left, shift(*right, key, self.a), self.a);
                }
            } else {
                for (left, right) in left.iter().zip(&mut right) {
                    *right = turned(*right, shift(*left, key, self.b), self.b);
                }
            }
        }
        for (number, (left, right)) in numbers.iter_mut().zip(left.iter().zip(&right)) {
            *number = left * self.b + right;
        }
    }

    /// What becomes `number`.
    fn inverse(&self, mut number: u64) -> u64 {
        if self.n < 2 {
            return number;
        }
        loop {
            let (mut left, mut right) = (number / self.b, number % self.b);
            for (of_left, key) in self.keys().rev() {
                if of_left {
                    left = turned(left, self.a - shift(right, key, self.a), self.a);
                } else {
                    right = turned(right, self.b - shift(left, key, self.b), self.b);
                }
            }
            number = left * self.b + right;
            if number < self.n {
                return number;
            }
        }
    }
}

/// A number below `modulus` that follows from another one.
#[inline]
fn shift(from: u64, key: u64, modulus: u64) -> u64 {
    ((u128::from(mix(from.wrapping_add(key))) * u128::from(modulus)) >> 64) as u64
}

/// The sum of two numbers of which one is below `modulus` and the other not above.
#[inline]
fn turned(number: u64, by: u64, modulus: u64) -> u64 {
    let sum = number + by;
    if sum >= modulus { sum - modulus } else { sum }
}

/// In which order rows come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    InOrder,
    /// In clumps of so many rows, which follow each other within.
    Shuffled {
        clump: u64,
    },
}

impl Order {
    /// Positions of a table of `n` rows to the rows that are there. Both are below `n`.
    pub fn apply(self, n: u64, key: Key, positions: &mut [u64]) {
        match self {
            Order::InOrder => {}
            Order::Shuffled { clump: 0 | 1 } => Permutation::new(n, key).apply(positions),
            Order::Shuffled { clump } => Clumps::new(n, clump, key).apply(positions),
        }
    }
}

/// Clumps in a permuted order. The last one may have fewer rows, and stands anywhere.
struct Clumps {
    permutation: Permutation,
    clump: u64,
    /// The positions of the last one.
    last: std::ops::Range<u64>,
}

impl Clumps {
    fn new(n: u64, clump: u64, key: Key) -> Self {
        let clumps = n.div_ceil(clump);
        let permutation = Permutation::new(clumps, key);
        let last = clumps.saturating_sub(1);
        let first = permutation.inverse(last) * clump;
        Self { permutation, clump, last: first..first + (n - last * clump) }
    }

    fn apply(&self, positions: &mut [u64]) {
        // Positions that follow each other are, as a rule, of one clump.
        let mut known = (u64::MAX, 0);
        for position in positions {
            let mut at = *position;
            if at >= self.last.end {
                at += self.clump - (self.last.end - self.last.start);
            }
            let place = at / self.clump;
            if place != known.0 {
                let mut clump = [place];
                self.permutation.apply(&mut clump);
                known = (place, clump[0]);
            }
            *position = known.1 * self.clump + at % self.clump;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u64, epoch: u64) -> Key {
        Key { seed, epoch, table: 0, pass: 0 }
    }

    fn all(order: Order, n: u64, key: Key) -> Vec<u64> {
        let mut rows: Vec<u64> = (0..n).collect();
        order.apply(n, key, &mut rows);
        rows
    }

    #[test]
    fn every_row_comes_once() {
        for n in (0..300).chain([FEW - 1, FEW, FEW + 1, 100_003]) {
            for clump in [1, 2, 3, 7, 64, 1000] {
                let mut rows = all(Order::Shuffled { clump }, n, key(n, 1));
                rows.sort_unstable();
                assert!(rows.into_iter().eq(0..n), "{n} {clump}");
            }
        }
    }

    #[test]
    fn what_became_of_a_number_is_found_back() {
        for n in [1, 2, 9, 1000, 1 << 40, (1 << 62) + 7] {
            let permutation = Permutation::new(n, key(3, 4));
            for number in [0, n / 3, n - 1] {
                let mut one = [number];
                permutation.apply(&mut one);
                assert!(one[0] < n);
                assert_eq!(permutation.inverse(one[0]), number, "{n} {number}");
            }
        }
    }

    #[test]
    fn rows_of_a_clump_follow_each_other() {
        let rows = all(Order::Shuffled { clump: 10 }, 1003, key(5, 0));
        let breaks = rows.array_windows().filter(|[row, next]| row + 1 != *next).count();
        assert!((80..=100).contains(&breaks), "{breaks}");
    }

    /// The order is a promise: `order_vectors.txt` is what another language is tested with, too.
    #[test]
    fn the_order_is_the_one_that_is_written_down() {
        let mut lines = 0;
        let comments = |line: &&str| !line.starts_with('#') && !line.is_empty();
        for line in include_str!("order_vectors.txt").lines().filter(comments) {
            let numbers = |text: &str| -> Vec<u64> {
                text.split_whitespace().map(|number| number.parse().unwrap()).collect()
            };
            let (given, rows) = line.split_once(':').unwrap();
            let [n, clump, seed, epoch, table, pass] = numbers(given)[..] else { panic!("{line}") };
            let mut positions: Vec<u64> = (0..n.min(8)).chain(n.saturating_sub(2)..n).collect();
            Order::Shuffled { clump }.apply(n, Key { seed, epoch, table, pass }, &mut positions);
            assert_eq!(positions, numbers(rows), "{given}");
            lines += 1;
        }
        assert!(lines > 20);
    }
}
