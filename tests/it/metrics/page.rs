//! The page of numbers, read strictly: whatever a scraper might stumble over is a
//! failure of the test.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// One metric: what it is, and its series by their names and labels as they are written.
#[derive(Debug)]
pub(super) struct Metric {
    kind: String,
    samples: Vec<Sample>,
}

#[derive(Debug)]
struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    value: f64,
}

/// A whole page.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) metrics: BTreeMap<String, Metric>,
}

impl Page {
    /// Reads the plain text form, version 0.0.4.
    #[track_caller]
    pub(super) fn read(text: &str) -> Page {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let (name, help) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')).expect(line);
            assert!(help.ends_with('.') && is_name(name), "{line}");
            let line = lines.next().expect("a type follows");
            let kind = line.strip_prefix(&format!("# TYPE {name} ")).expect(line).to_owned();
            let mut samples = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                samples.push(sample(line));
            }
            let metric = Metric { kind, samples };
            metric.check(name);
            assert!(metrics.insert(name.to_owned(), metric).is_none(), "{name} is there twice");
        }
        Page { metrics }
    }

    /// The value of a series, by what stands before it on its line; 0 if the metric has no such series.
    #[track_caller]
    pub(super) fn value(&self, series: &str) -> f64 {
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let family = ["_count", "_sum"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
        let metric = self.metrics.get(family).or_else(|| self.metrics.get(name));
        let metric = metric.unwrap_or_else(|| panic!("there is no {name}"));
        let labels = read_labels(labels.strip_suffix('}').expect(series));
        let found = metric.samples.iter().find(|sample| sample.name == name && sample.labels == labels);
        found.map_or(0.0, |sample| sample.value)
    }

    /// How much each series has grown since `before`, of those that have.
    pub(super) fn growth(&self, before: &Page, name: &str) -> BTreeMap<String, f64> {
        let of = |page: &Page| -> BTreeMap<String, f64> {
            let samples = page.metrics[name].samples.iter();
            samples.map(|sample| (words(&sample.labels), sample.value)).collect()
        };
        let was = of(before);
        let grown = of(self).into_iter().map(|(labels, now)| {
            let more = now - was.get(&labels).copied().unwrap_or(0.0);
            (labels, more)
        });
        grown.filter(|(_, more)| *more != 0.0).collect()
    }
}

impl Metric {
    #[track_caller]
    fn check(&self, name: &str) {
        let mut seen = BTreeSet::new();
        for sample in &self.samples {
            assert!(seen.insert((sample.name.clone(), words(&sample.labels))), "{sample:?} is there twice");
            assert!(sample.value.is_finite() && sample.value >= 0.0, "{sample:?}");
        }
        assert!(!name.contains("_ms") && !name.contains("_kb"), "{name}: units are seconds and bytes");
        match self.kind.as_str() {
            "counter" => assert!(name.ends_with("_total"), "{name}"),
            "gauge" => assert!(!name.ends_with("_total"), "{name}"),
            "histogram" => return self.check_histogram(name),
            other => panic!("{name} is a {other}"),
        }
        assert!(self.samples.iter().all(|sample| sample.name == name), "{self:?}");
    }

    /// Buckets in their order, each with all before it; `+Inf` last, and as many as the count.
    #[track_caller]
    fn check_histogram(&self, name: &str) {
        let mut left = self.samples.iter().peekable();
        while left.peek().is_some() {
            let (mut bound, mut count, mut labels) = (f64::NEG_INFINITY, 0.0, Vec::new());
            while let Some(bucket) = left.next_if(|sample| sample.name == format!("{name}_bucket")) {
                let (le, others) = bucket.labels.split_last().expect("a bucket has a bound");
                let next = if le.1 == "+Inf" { f64::INFINITY } else { le.1.parse().expect("a bound is a number") };
                assert!(le.0 == "le" && next > bound && bucket.value >= count, "{bucket:?}");
                (bound, count, labels) = (next, bucket.value, others.to_vec());
            }
            assert_eq!(bound, f64::INFINITY, "{name} has no last bucket");
            let (sum, all) = (left.next().expect("a sum"), left.next().expect("a count"));
            assert_eq!((&sum.name, &sum.labels), (&format!("{name}_sum"), &labels));
            assert_eq!((&all.name, &all.labels, all.value), (&format!("{name}_count"), &labels, count));
        }
    }
}

fn words(labels: &[(String, String)]) -> String {
    labels.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect(line);
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').expect(line)),
        None => (series, ""),
    };
    assert!(is_name(name), "{line}");
    Sample { name: name.to_owned(), labels: read_labels(labels), value: value.parse().expect(line) }
}

#[track_caller]
fn read_labels(labels: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    // No value of ours has a comma or a mark to be escaped.
    for pair in labels.split(',').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').expect(pair);
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).expect(pair);
        assert!(is_name(name) && !name.contains(':') && !value.contains(['"', '\\']) && !value.is_empty(), "{pair}");
        pairs.push((name.to_owned(), value.to_owned()));
    }
    pairs
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(fits)
}

#[test]
fn the_reader_sees_what_is_wrong() {
    let right = "# HELP a_total A.\n# TYPE a_total counter\na_total{x=\"y\",z=\"w\"} 2\na_total 1e3\n";
    let page = Page::read(right);
    assert_eq!((page.value("a_total{x=\"y\",z=\"w\"}"), page.value("a_total")), (2.0, 1000.0));
    for wrong in [
        right.trim_end().to_owned(),
        right.replace("# HELP a_total A.\n", ""),
        right.replace("# TYPE a_total counter\n", ""),
        right.replace("a_total 1e3", "a_total{x=\"y\",z=\"w\"} 3"),
        right.replace("1e3", "many"),
        right.replace("_total", ""),
        format!("{right}{right}"),
        right.replace("counter", "histogram"),
    ] {
        assert!(std::panic::catch_unwind(|| Page::read(&wrong)).is_err(), "{wrong}");
    }
}
