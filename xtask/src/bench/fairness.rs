//! Fair shares: one tenant floods the server with jobs that only compute, and
//! another hands in a small job now and then. What is measured is how long the
//! small one waits from its acceptance to its start, idle and flooded.

use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;
use serde_json::json;

use crate::bench::ground;
use crate::bench::ground::House;
use crate::bench::ground::MODULE;
use crate::bench::ground::SPINNER;
use crate::bench::http::Connection;
use crate::bench::http::Door;
use crate::bench::measure;
use crate::bench::measure::Contestant;
use crate::bench::report::Row;
use crate::tell;

const FLOOD: usize = 10_000;
const FLOODERS: usize = 64;
const JOBS: usize = 150;
/// Between two small jobs.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) fn rows() -> anyhow::Result<Vec<Row>> {
    tell::step("a small job of one tenant, while another floods the server with 10,000 that compute");
    let house = House::open()?;
    let quiet = other_tenant(&house)?;
    let (mut alone, mut beside) = (quiet.open()?, quiet.open()?);
    let process = house.server.process();
    let idle = Contestant::new(process, || delays(&mut alone));
    let mut is_flooded = false;
    let flooded = Contestant::new(process, || {
        if !std::mem::replace(&mut is_flooded, true) {
            flood(&house)?;
        }
        delays(&mut beside)
    });
    let samples = measure::in_turn([idle, flooded])?;
    let names = ["nobody else", "10,000 of another tenant"];
    Ok(vec![Row::of_times("small job, acceptance to start", names, &samples).without_cpu()])
}

/// The way in for a second tenant, which has the small job's module.
fn other_tenant(house: &House) -> anyhow::Result<Door> {
    let mut operator = house.door.open()?;
    operator.json("POST /v1/admin/tenants", "", &json!({"id": "quiet"}))?;
    let order = json!({"principal": "bench", "scopes": ["submit", "modules"]});
    let made = operator.json("POST /v1/admin/tenants/quiet/keys", "", &order)?;
    let key = made["key"].as_str().context("a new key is not shown")?.to_owned();
    let quiet = Door { address: house.door.address.clone(), key };
    ground::upload(&quiet, MODULE)?;
    Ok(quiet)
}

/// Hands in all the jobs of the flood; none of them ends by itself.
fn flood(house: &House) -> anyhow::Result<()> {
    let connections: anyhow::Result<Vec<Connection>> = (0..FLOODERS).map(|_| house.door.open()).collect();
    let mut connections = connections?;
    let order = json!({"module": SPINNER, "limits": {"wall_ms": 600_000, "cpu_ms": 600_000}});
    let order = &order;
    thread::scope(|scope| {
        let submit = |connection: &mut Connection| -> anyhow::Result<()> {
            (0..FLOOD / FLOODERS).try_for_each(|_| connection.json("POST /v1/jobs", "", order).map(|_| ()))
        };
        let threads: Vec<_> = connections.iter_mut().map(|one| scope.spawn(move || submit(one))).collect();
        threads.into_iter().try_for_each(|one| one.join().expect("a client does not panic"))
    })
}

/// How long each of some small jobs waited.
fn delays(connection: &mut Connection) -> anyhow::Result<Vec<Duration>> {
    let order = ground::job_outside(&["nothing"]);
    let delay = |_| {
        thread::sleep(PAUSE);
        let job = connection.json("POST /v1/jobs", "Prefer: wait=120\r\n", &order)?;
        anyhow::ensure!(job["state"] == "succeeded", "a job of the bench did not succeed: {job:#}");
        let waited = moment(&job["started_at"])?.checked_sub(moment(&job["created_at"])?);
        waited.context("a job began on another day than it was accepted")
    };
    (0..JOBS).map(delay).collect()
}

/// The time of day in a moment of RFC 3339 in UTC.
fn moment(text: &Value) -> anyhow::Result<Duration> {
    let time = text.as_str().and_then(|text| text.split_once('T')).and_then(|(_, time)| time.strip_suffix('Z'));
    let mut parts = time.context("a moment that is none")?.split(':').map(str::parse::<f64>);
    let mut part = || parts.next().context("a moment that ends early")?.context("a moment without numbers");
    Ok(Duration::from_secs_f64(part()? * 3_600.0 + part()? * 60.0 + part()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_of_day() {
        let moment = moment(&json!("2026-11-25T01:02:03.500250Z")).unwrap();
        assert_eq!(moment.as_micros(), 3_723_500_250);
    }
}
