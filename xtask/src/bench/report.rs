//! What was measured, as a table for people and as JSON for programs.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use serde_json::json;

use crate::bench::measure::Samples;

/// One comparison.
pub(super) struct Row {
    /// What is compared.
    what: &'static str,
    base: Figures,
    ours: Figures,
    /// Whether the processor time of one is work of the same kind as the other's.
    has_cpu: bool,
    /// Which figure of `ours` stands over which of `base`.
    ratio: Ratio,
}

/// What a ratio is made of.
#[derive(Clone, Copy)]
enum Ratio {
    /// Of medians, and of processor time: lower is better.
    Time,
    /// Of requests in a second: higher is better.
    Rate,
    /// Of bytes in memory: lower is better.
    Memory,
}

/// One side of a comparison.
struct Figures {
    name: &'static str,
    requests: usize,
    p50: Duration,
    p99: Duration,
    per_second: f64,
    cpu: Duration,
    /// In memory, where that is what was measured.
    bytes: u64,
}

impl Figures {
    fn of(name: &'static str, samples: &Samples) -> Figures {
        Figures {
            name,
            requests: samples.count(),
            p50: samples.percentile(50),
            p99: samples.percentile(99),
            per_second: samples.per_second(),
            cpu: samples.cpu_each(),
            bytes: 0,
        }
    }
}

impl Row {
    /// Of two whose latencies are compared: the second over the first.
    pub(super) fn of_times(what: &'static str, names: [&'static str; 2], samples: &[Samples; 2]) -> Row {
        Row::of(what, names, samples, Ratio::Time)
    }

    /// Of two that do as much as they can: the second over the first.
    pub(super) fn of_rates(what: &'static str, names: [&'static str; 2], samples: &[Samples; 2]) -> Row {
        Row::of(what, names, samples, Ratio::Rate)
    }

    /// Of what two hold in memory, in bytes: the second over the first.
    pub(super) fn of_memory(what: &'static str, names: [&'static str; 2], bytes: [u64; 2]) -> Row {
        let [base, ours] =
            [0, 1].map(|side| Figures { bytes: bytes[side], ..Figures::of(names[side], &Samples::default()) });
        Row { what, base, ours, has_cpu: false, ratio: Ratio::Memory }
    }

    fn of(what: &'static str, names: [&'static str; 2], samples: &[Samples; 2], ratio: Ratio) -> Row {
        let [base, ours] = [0, 1].map(|side| Figures::of(names[side], &samples[side]));
        Row { what, base, ours, has_cpu: true, ratio }
    }

    /// The same where the servers' processes did other work beside what was timed.
    pub(super) fn without_cpu(self) -> Row {
        Row { has_cpu: false, ..self }
    }

    fn ratio(&self) -> f64 {
        match self.ratio {
            Ratio::Time => over(self.ours.p50, self.base.p50),
            Ratio::Rate => self.ours.per_second / self.base.per_second,
            Ratio::Memory => self.ours.bytes as f64 / self.base.bytes as f64,
        }
    }

    fn cpu_ratio(&self) -> Option<f64> {
        self.has_cpu.then(|| over(self.ours.cpu, self.base.cpu))
    }
}

fn over(one: Duration, other: Duration) -> f64 {
    one.as_secs_f64() / other.as_secs_f64()
}

/// A table in Markdown.
pub(super) fn table(rows: &[Row]) -> String {
    let mut table = "| what | contestant | p50 ms | p99 ms | per s | CPU ms | ratio | CPU ratio |\n\
                     | --- | --- | --: | --: | --: | --: | --: | --: |\n"
        .to_owned();
    for row in rows {
        let of = match row.ratio {
            Ratio::Time => "p50",
            Ratio::Rate => "per s",
            Ratio::Memory => "MB",
        };
        let cpu = row.cpu_ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default();
        line(&mut table, row, &row.base, [row.what, "", ""]);
        line(&mut table, row, &row.ours, ["", &format!("{:.2} ({of})", row.ratio()), &cpu]);
    }
    table
}

fn line(table: &mut String, row: &Row, figures: &Figures, [what, ratio, cpu_ratio]: [&str; 3]) {
    let ms = |time: Duration, digits: usize| format!("{:.digits$}", time.as_secs_f64() * 1e3);
    let Figures { name, p50, p99, per_second, .. } = figures;
    if matches!(row.ratio, Ratio::Memory) {
        let mb = figures.bytes as f64 / f64::from(1 << 20);
        writeln!(table, "| {what} | {name}: {mb:.1} |  |  |  |  | {ratio} |  |").expect("a string takes a line");
        return;
    }
    let (p50, p99) = (ms(*p50, 2), ms(*p99, 2));
    let cpu = if row.has_cpu { ms(figures.cpu, 3) } else { String::new() };
    let line = format!("| {what} | {name} | {p50} | {p99} | {per_second:.0} | {cpu} | {ratio} | {cpu_ratio} |");
    writeln!(table, "{line}").expect("a string takes a line");
}

/// The same with every figure there is.
pub(super) fn write_json(rows: &[Row], path: &Path) -> anyhow::Result<()> {
    let rows: Vec<Value> = rows.iter().map(as_json).collect();
    let text = serde_json::to_string_pretty(&json!({"rows": rows}))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn as_json(row: &Row) -> Value {
    let of = match row.ratio {
        Ratio::Time => "p50",
        Ratio::Rate => "per_second",
        Ratio::Memory => "bytes",
    };
    json!({
        "what": row.what, "base": figures_as_json(&row.base), "ours": figures_as_json(&row.ours),
        "ratio_of": of, "ratio": row.ratio(), "cpu_ratio": row.cpu_ratio(),
    })
}

fn figures_as_json(figures: &Figures) -> Value {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    json!({
        "name": figures.name, "requests": figures.requests, "p50_ms": ms(figures.p50), "p99_ms": ms(figures.p99),
        "per_second": figures.per_second, "cpu_ms": ms(figures.cpu), "bytes": figures.bytes,
    })
}
