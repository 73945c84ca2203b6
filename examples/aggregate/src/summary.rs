//! Count, sum, smallest, largest and mean of a column, group by group.
//!
//! Comes in: CSV with a header line, as a stream.
//! Goes out: a [`Summary`], which can be written as JSON or as a table.
//!
//! Promise: one row is in memory at a time, a row that cannot be counted is
//! reported with its line, and small numbers are not lost in a large sum.
//!
//! Not here: files, arguments and the host.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;

use serde::Serialize;

/// More groups than this are no summary, and would fill the job's memory.
const GROUPS_MAX: usize = 100_000;
/// How often the caller hears about the progress.
const ROWS_PER_NEWS: u64 = 10_000;

/// Which columns are meant, by their names in the header.
pub(crate) struct Columns<'a> {
    pub(crate) group: &'a str,
    pub(crate) value: &'a str,
}

/// What is wrong with the file, and on which line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    line: u64,
    what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

/// The whole answer.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    group_by: String,
    value: String,
    pub(crate) rows: u64,
    /// Sorted by name.
    pub(crate) groups: Vec<Group>,
}

/// One group's figures.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Group {
    name: String,
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    mean: f64,
}

impl Summary {
    /// Reads `input` to its end and tells `progress` about bytes and rows.
    pub(crate) fn of(input: impl Read, columns: &Columns<'_>, progress: impl Fn(u64, u64)) -> Result<Self, Fault> {
        let mut reader = csv::Reader::from_reader(input);
        let header = reader.headers().map_err(|error| unreadable(&error))?;
        let group_at = column(header, columns.group)?;
        let value_at = column(header, columns.value)?;

        let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
        let mut row = csv::StringRecord::new();
        let mut rows = 0;
        while reader.read_record(&mut row).map_err(|error| unreadable(&error))? {
            let line = row.position().map_or(0, csv::Position::line);
            let fault = |what: String| Fault { line, what };
            // The reader has checked that every row is as long as the header.
            let (group, text) = (&row[group_at], &row[value_at]);
            let value =
                number(text).ok_or_else(|| fault(format!("`{text}` in `{}` is not a number", columns.value)))?;
            if let Some(tally) = tallies.get_mut(group) {
                tally.add(value);
            } else if tallies.len() < GROUPS_MAX {
                tallies.insert(group.to_owned(), Tally::first(value));
            } else {
                return Err(fault(format!("`{}` has more than {GROUPS_MAX} groups", columns.group)));
            }
            rows += 1;
            if rows % ROWS_PER_NEWS == 0 {
                progress(reader.position().byte(), rows);
            }
        }
        let groups = tallies.into_iter().map(|(name, tally)| tally.group(name)).collect();
        Ok(Self { group_by: columns.group.to_owned(), value: columns.value.to_owned(), rows, groups })
    }
}

fn column(header: &csv::StringRecord, name: &str) -> Result<usize, Fault> {
    let found = header.iter().position(|column| column == name);
    found.ok_or_else(|| {
        let columns: Vec<&str> = header.iter().collect();
        Fault { line: 1, what: format!("there is no column `{name}`; the columns are {}", columns.join(", ")) }
    })
}

/// Words such as `inf` and `nan` would spoil every figure after them.
fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|value| value.is_finite())
}

fn unreadable(error: &csv::Error) -> Fault {
    let what = match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "this is not UTF-8".to_owned(),
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("there are {len} fields, but the header has {expected_len}")
        }
        _ => error.to_string(),
    };
    Fault { line: error.position().map_or(1, csv::Position::line), what }
}

/// A group's figures while rows still come.
struct Tally {
    count: u64,
    sum: f64,
    /// What rounding took from `sum` so far (Neumaier's summation).
    lost: f64,
    min: f64,
    max: f64,
}

impl Tally {
    fn first(value: f64) -> Self {
        Self { count: 1, sum: value, lost: 0.0, min: value, max: value }
    }

    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        let (large, small) = if self.sum.abs() >= value.abs() { (self.sum, value) } else { (value, self.sum) };
        self.lost += (large - sum) + small;
        self.sum = sum;
        self.count += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    fn group(self, name: String) -> Group {
        let sum = self.sum + self.lost;
        Group { name, count: self.count, sum, min: self.min, max: self.max, mean: sum / self.count as f64 }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.groups.iter().map(|group| group.name.chars().count());
        let width = longest.chain([self.group_by.chars().count()]).max().unwrap_or_default();
        writeln!(f, "{:<width$}  {:>9}  {:>14}  {:>12}", self.group_by, "rows", self.value, "mean")?;
        for Group { name, count, sum, mean, .. } in &self.groups {
            writeln!(f, "{name:<width$}  {count:>9}  {sum:>14.2}  {mean:>12.2}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::io;

    use super::*;

    const COLUMNS: Columns<'static> = Columns { group: "city", value: "amount" };

    fn summary(csv: &str) -> Result<Summary, Fault> {
        Summary::of(csv.as_bytes(), &COLUMNS, |_, _| {})
    }

    #[track_caller]
    fn check_fault(csv: &str, expected: &str) {
        assert_eq!(summary(csv).unwrap_err().to_string(), expected);
    }

    #[test]
    fn each_group_has_its_figures_whatever_the_quotes() {
        let summary = summary("id,city,amount\n1,\"Köln, Süd\",2.5\n2,Gent,1\n3,\"Köln, Süd\",-0.5\n").unwrap();
        let koln = Group { name: "Köln, Süd".to_owned(), count: 2, sum: 2.0, min: -0.5, max: 2.5, mean: 1.0 };
        let gent = Group { name: "Gent".to_owned(), count: 1, sum: 1.0, min: 1.0, max: 1.0, mean: 1.0 };
        assert_eq!((summary.rows, summary.groups), (3, vec![gent, koln]));
    }

    #[test]
    fn the_example_file_can_be_added_up() {
        let columns = Columns { group: "region", value: "amount" };
        let summary = Summary::of(&include_bytes!("../input.csv")[..], &columns, |_, _| {}).unwrap();
        assert_eq!((summary.rows, summary.groups.len()), (60, 4));
        let counted: u64 = summary.groups.iter().map(|group| group.count).sum();
        assert_eq!(counted, 60);
    }

    #[test]
    fn a_sum_of_many_small_numbers_is_exact_enough_for_money() {
        let csv = format!("city,amount\nX,1e15\n{}X,-1e15\n", "X,0.1\n".repeat(10_000));
        // Added up one by one they are off by hundreds, since near 1e15 a number has no tenths.
        assert!((summary(&csv).unwrap().groups[0].sum - 1_000.0).abs() < 1e-6);
    }

    #[test]
    fn a_bad_row_is_reported_with_its_line() {
        check_fault("city,amount\nX,1\nY,much\n", "line 3: `much` in `amount` is not a number");
        check_fault("city,amount\nX,inf\n", "line 2: `inf` in `amount` is not a number");
        check_fault("city,amount\n\"a\nb\",1\nY\n", "line 4: there are 1 fields, but the header has 2");
        check_fault("town,amount\n", "line 1: there is no column `city`; the columns are town, amount");
        let latin1 = Summary::of(&b"city,amount\nX,1\nK\xf6ln,1\n"[..], &COLUMNS, |_, _| {}).unwrap_err();
        assert_eq!(latin1.to_string(), "line 3: this is not UTF-8");
    }

    #[test]
    fn groups_without_end_are_refused() {
        let rows: String = (0..=GROUPS_MAX).map(|number| format!("c{number},1\n")).collect();
        check_fault(&format!("city,amount\n{rows}"), "line 100002: `city` has more than 100000 groups");
    }

    /// A file of `rows` rows that never exists as a whole.
    struct Rows {
        left: u64,
    }

    impl Read for Rows {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            const ROW: &[u8] = b"X,2\n";
            let rows = (buf.len() / ROW.len()).min(usize::try_from(self.left).unwrap());
            buf.chunks_exact_mut(ROW.len()).take(rows).for_each(|place| place.copy_from_slice(ROW));
            self.left -= rows as u64;
            Ok(rows * ROW.len())
        }
    }

    #[test]
    fn a_long_file_is_streamed_and_tells_how_far_it_is() {
        let news = RefCell::new(Vec::new());
        let input = b"city,amount\n".chain(Rows { left: 25_000 });
        let summary = Summary::of(input, &COLUMNS, |_, rows| news.borrow_mut().push(rows)).unwrap();
        assert_eq!((summary.rows, summary.groups[0].sum), (25_000, 50_000.0));
        assert_eq!(news.into_inner(), [10_000, 20_000]);
    }

    #[test]
    fn the_table_lines_up() {
        let table = summary("city,amount\nGent,1\nKöln,20.555\n").unwrap().to_string();
        let widths: Vec<usize> = table.lines().map(|line| line.chars().count()).collect();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{table}");
    }
}
