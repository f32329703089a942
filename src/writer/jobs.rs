//! Which parts of which jobs a table has: the configuration of a version says it, as `0-41,43`. Anybody may have
//! written that.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// Before the name of a job, in the configuration of a table.
pub const JOB: &str = "rds.job.";
/// The version that added the last parts. What others put in the place of the table keeps its configuration.
pub const SINCE: &str = "rds.jobs";

/// Which part of a job a writer writes: a part that comes twice, because a task ran twice, counts once.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Part {
    pub job: String,
    pub number: u64,
}

/// The parts of jobs whose rows are in a table.
#[derive(Clone, Debug, Default)]
pub struct Jobs(BTreeMap<String, Ranges>);

impl Jobs {
    pub fn of(config: &HashMap<String, String>) -> Self {
        let jobs = config.iter().filter_map(|(key, parts)| Some((key.strip_prefix(JOB)?, parts)));
        Self(jobs.map(|(job, parts)| (job.to_string(), Ranges::of(parts))).collect())
    }

    /// False, if it is there already.
    pub fn add(&mut self, part: &Part) -> bool {
        if self.has(part) {
            return false;
        }
        let number = part.number;
        match self.0.get_mut(&part.job) {
            Some(parts) => parts.add(number, number),
            None => self.0.entry(part.job.clone()).or_default().add(number, number),
        }
        true
    }

    pub fn has(&self, part: &Part) -> bool {
        self.0.get(&part.job).is_some_and(|parts| parts.has(part.number))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds all of these; false and nothing, if one of them is there already.
    pub fn add_all(&mut self, others: &Self) -> bool {
        let is_there = |(job, first, last): (&str, u64, u64)| {
            self.0.get(job).is_some_and(|parts| parts.has_any(first, last))
        };
        if others.ranges(None).any(is_there) {
            return false;
        }
        for (job, first, last) in others.ranges(None) {
            self.0.entry(job.to_string()).or_default().add(first, last);
        }
        true
    }

    /// The first and the last of parts that follow each other, of one job or of all.
    pub fn ranges(&self, job: Option<&str>) -> impl Iterator<Item = (&str, u64, u64)> {
        let wanted = move |of: &&String| job.is_none_or(|job| job == *of);
        let jobs = self.0.iter().filter(move |(of, _)| wanted(of));
        jobs.flat_map(|(job, parts)| {
            parts.0.iter().map(|(first, last)| (job.as_str(), *first, *last))
        })
    }

    pub fn config(&self) -> BTreeMap<String, String> {
        self.0.iter().map(|(job, parts)| (format!("{JOB}{job}"), parts.text())).collect()
    }
}

/// Numbers as ranges that neither touch nor overlap: the first and the last of each.
#[derive(Clone, Debug, Default)]
struct Ranges(BTreeMap<u64, u64>);

impl Ranges {
    fn of(text: &str) -> Self {
        let mut ranges = Self::default();
        for range in text.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            if let (Ok(first), Ok(last)) = (first.parse(), last.parse()) {
                ranges.add(first, last);
            }
        }
        ranges
    }

    fn has(&self, number: u64) -> bool {
        self.has_any(number, number)
    }

    fn has_any(&self, first: u64, last: u64) -> bool {
        self.0.range(..=last).next_back().is_some_and(|(_, end)| first <= *end)
    }

    fn add(&mut self, mut first: u64, mut last: u64) {
        if first > last {
            return;
        }
        // Those that it touches, from the last one on, become one with it.
        while let Some((&start, &end)) = self.0.range(..=last.saturating_add(1)).next_back()
            && end.saturating_add(1) >= first
        {
            self.0.remove(&start);
            (first, last) = (first.min(start), last.max(end));
        }
        self.0.insert(first, last);
    }

    fn text(&self) -> String {
        let range = |(first, last): (&u64, &u64)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        self.0.iter().map(range).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_job_are_written_as_ranges_and_count_once() {
        let mut jobs = Jobs::default();
        let part = |number| Part { job: "j".into(), number };
        for number in [3, 0, 1, 2, 7, 9, 8] {
            assert!(jobs.add(&part(number)));
        }
        let config = jobs.config();
        assert_eq!(config["rds.job.j"], "0-3,7-9");
        let mut again = Jobs::of(&config.into_iter().collect());
        assert!(!again.add(&part(8)));
        assert!(again.add(&part(4)));
    }

    #[test]
    fn parts_are_added_together_or_not_at_all() {
        let of = |text: &str| Jobs::of(&HashMap::from([("rds.job.j".into(), text.into())]));
        let mut jobs = of("0-3,7");
        for other in ["3", "2-9", "5-7", "0-100"] {
            assert!(!jobs.add_all(&of(other)), "{other}");
        }
        assert!(jobs.add_all(&of("4-6,10")));
        assert_eq!(jobs.config()["rds.job.j"], "0-7,10");
    }

    #[test]
    fn whatever_a_table_says_of_its_parts_is_taken_as_ranges() {
        let of = |text: &str| Ranges::of(text).text();
        assert_eq!(of("0-18446744073709551615"), "0-18446744073709551615");
        assert_eq!(of("5-7,1-2,3,9,8-12,20-19,x,,-,4-"), "1-3,5-12");
        assert_eq!(of("1-10,3-4,0-0,18446744073709551615"), "0-10,18446744073709551615");
        assert!(Ranges::of("3-5").has(4) && !Ranges::of("3-5").has(6));
    }

    #[test]
    fn parts_in_any_order_are_the_same_set() {
        let numbers: Vec<u64> = (0..200).map(|i| i * 7919 % 97).collect();
        let mut ranges = Ranges::default();
        for (at, number) in numbers.iter().enumerate() {
            assert_eq!(ranges.has(*number), numbers[..at].contains(number));
            ranges.add(*number, *number);
        }
        assert_eq!(ranges.text(), "0-96");
    }
}
