//! `GET /metrics`: every number moves by what was done and by nothing else, and none
//! of them says whose it is.

mod page;

use std::collections::BTreeMap;
use std::fs;

use reqwest::Method;
use serde_json::json;
use sessile_kit::Answer;
use sessile_kit::Client;
use sessile_kit::Run;
use sessile_kit::Settings;
use sessile_kit::TestServer;
use sessile_kit::guests;
use sessile_kit::guests::Dressed;
use sessile_kit::until;

use self::page::Page;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// With everything on it that can be, the page is no larger.
const PAGE_BYTES_MAX: usize = 256 << 10;

async fn page(client: &Client) -> Page {
    let answer = client.get("/metrics").await.expect(200);
    assert_eq!(answer.header("content-type"), Some(TEXT));
    Page::read(&answer.text())
}

async fn page_as(client: &Client, accept: &str) -> Answer {
    client.send(client.request(Method::GET, "/metrics").header("accept", accept)).await.expect(200)
}

/// Demands that a metric's series have grown by so much, and no others.
#[track_caller]
fn check_growth(before: &Page, after: &Page, name: &str, wanted: &[(&str, u32)]) {
    let wanted: BTreeMap<_, _> = wanted.iter().map(|(labels, more)| ((*labels).to_owned(), f64::from(*more))).collect();
    assert_eq!(after.growth(before, name), wanted, "{name}");
}

#[tokio::test]
async fn each_job_is_counted_once_and_as_it_ended() {
    let server = TestServer::start().await;
    for guest in [guests::HELLO, guests::SPIN, guests::STAY, guests::WRITE_THEN_TRAP] {
        server.ready(guest).await;
    }
    let exit = server.ready(guests::WRITE_THEN_EXIT).await;
    let before = page(&server).await;

    let session = server.new_session().await;
    let job = server.new_job(guests::HELLO).id("once").run().await.succeeded();
    // A retry is the same job.
    let _ = server.new_job(guests::HELLO).id("once").run().await.succeeded();
    let _ = session.run(guests::HELLO).await.succeeded();
    let _ = server.new_job(guests::WRITE_THEN_EXIT).args(["3"]).run().await.failed("exit");
    let _ = session.new_job(guests::WRITE_THEN_TRAP).run().await.failed("trap");
    let _ = server.new_job(guests::SPIN).limit("wall_ms", 400).run().await.failed("wall-timeout");
    server.new_job(guests::STAY).submit().await.until_running().await.end().await;
    let good = Run::start(&server, "hello", "", None).read();
    assert_eq!(good.outcome(), "succeeded");
    let bad = Run::start(&server, &exit, "arg=4", Some(&session)).read();
    assert_eq!(bad.status, 422, "{bad:?}");
    // None of these comes to a job.
    let _ = server.post("/v1/jobs", &json!({"module": "none"})).await.expect(404);
    let _ = job.cancel().await.expect(200);

    let after = page(&server).await;
    let check = |name, wanted: &[_]| check_growth(&before, &after, name, wanted);
    check("sessile_jobs_accepted_total", &[("stored", 6), ("streamed", 2)]);
    check("sessile_jobs_ended_total", &[("succeeded", 3), ("failed", 4), ("cancelled", 1)]);
    check("sessile_jobs_failed_total", &[("exit", 2), ("trap", 1), ("wall-timeout", 1)]);
    check("sessile_jobs", &[]);
    check("sessile_module_lookups_total", &[("miss", 5), ("hit", 3)]);
    for histogram in ["sessile_job_wait_seconds", "sessile_job_run_seconds"] {
        assert_eq!(after.value(&format!("{histogram}_count")), 8.0, "{histogram}");
    }
    let (ran, cpu) = (after.value("sessile_job_run_seconds_sum"), after.value("sessile_guest_cpu_seconds_total"));
    assert!(ran >= 0.4 && cpu > 0.05 && cpu <= ran, "{ran} {cpu}");
}

#[tokio::test]
async fn a_job_that_is_tried_again_ends_once() {
    let server = TestServer::start().await;
    server.ready(guests::TRY_AGAIN).await;
    let before = page(&server).await;
    let _ = server.new_job(guests::TRY_AGAIN).args(["2"]).with("retries", 5).run().await.succeeded();
    let after = page(&server).await;
    check_growth(&before, &after, "sessile_jobs_retried_total", &[("", 1)]);
    check_growth(&before, &after, "sessile_jobs_accepted_total", &[("stored", 1)]);
    check_growth(&before, &after, "sessile_jobs_ended_total", &[("succeeded", 1)]);
    check_growth(&before, &after, "sessile_jobs_failed_total", &[]);
    assert_eq!(after.value("sessile_job_run_seconds_count"), 2.0);
    assert!(after.value("sessile_job_wait_seconds_sum") < 1.0, "the pause is no wait");
}

#[tokio::test]
async fn what_goes_on_now_is_seen_while_it_goes_on() {
    let server = TestServer::with("slots", 3).start().await;
    let session = server.new_session().await;
    let gate = session.hold().await;
    let waiting = session.new_job(guests::HELLO).submit().await;
    let now = page(&server).await;
    for (series, value) in [
        ("sessile_jobs{state=\"running\"}", 1.0),
        ("sessile_jobs{state=\"queued\"}", 1.0),
        ("sessile_lanes", 1.0),
        ("sessile_lanes_waiting", 1.0),
        ("sessile_slots", 3.0),
        ("sessile_slots_held", 1.0),
        ("sessile_seats_held", 1.0),
        ("sessile_slots_waiting{wants=\"to_begin\"}", 0.0),
        ("sessile_store_takes_writes", 1.0),
    ] {
        assert_eq!(now.value(series), value, "{series}");
    }
    assert!(now.value("sessile_guest_memory_bytes") > 0.0);
    gate.end().await;
    let _ = waiting.wait().await.succeeded();
    until("everything is given back", || async {
        let now = page(&server).await;
        let held = ["sessile_jobs{state=\"running\"}", "sessile_slots_held", "sessile_seats_held", "sessile_lanes"];
        (held.iter().map(|series| now.value(series)).sum::<f64>() == 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_is_stored_and_compiled_is_counted() {
    let server = TestServer::start().await;
    let before = page(&server).await;
    let session = server.new_session().with_file("a.txt", "twelve bytes").await;
    let _ = session.run(guests::HELLO).await.succeeded();
    let _ = server.upload("broken", b"\0asm\x01\0\0\0\xff".to_vec()).await.expect(422);
    let after = page(&server).await;
    let grown = |name| after.value(name) - before.value(name);
    assert_eq!((grown("sessile_sessions"), grown("sessile_modules"), grown("sessile_tenants")), (1.0, 1.0, 0.0));
    assert_eq!(grown("sessile_stored_bytes"), 12.0);
    assert_eq!(grown("sessile_modules_loaded"), 1.0);
    check_growth(&before, &after, "sessile_compilations_total", &[("compiled", 1)]);
    assert_eq!(after.value("sessile_compilation_seconds_count"), 1.0);
    // Acceptance, claim and commit of the job, at least.
    let commits = grown("sessile_store_commits_total{result=\"committed\"}");
    assert!(commits >= 3.0, "{commits}");
    assert_eq!(grown("sessile_store_commit_seconds_count"), commits);
    assert!(grown("sessile_store_commit_units_sum") >= commits);
    assert!(after.value("sessile_store_log_bytes") > 0.0 && after.value("sessile_store_database_bytes") > 0.0);
    let (free, all) = (after.value("sessile_store_disk_free_bytes"), after.value("sessile_store_disk_bytes"));
    assert!(free > 0.0 && free < all, "{free} of {all}");
    assert!(grown("sessile_work_bytes{medium=\"memory\"}") + grown("sessile_work_bytes{medium=\"disk\"}") > 0.0);
    assert!(after.value("process_resident_memory_bytes") > 1e6 && after.value("process_cpu_seconds_total") > 0.0);
    assert!(after.value("process_open_fds") > 5.0);
}

#[tokio::test]
async fn each_request_is_counted_by_its_address_its_method_and_its_answer() {
    let server = TestServer::start().await;
    let _ = server.new_session().with_id("letters").await;
    let before = page(&server).await;
    let _ = server.put("/v1/sessions/letters/files/deep/er/a.txt", "a").await.expect(201);
    let _ = server.get("/v1/sessions/letters/files/deep/er/a.txt").await.expect(200);
    let _ = server.get("/v1/sessions/letters/files/none").await.expect(404);
    let _ = server.get("/v1/sessions/none").await.expect(404);
    let _ = server.get("/v1/sessions").await.expect(200);
    let _ = server.with_key(None).get("/v1/sessions").await.expect(401);
    let _ = server.delete("/v1/jobs").await.expect(405);
    let _ = server.get("/nothing/here").await.expect(404);
    let brew = server.request(Method::from_bytes(b"BREW").unwrap(), "/v1/jobs/any");
    let _ = server.send(brew).await.expect(405);
    let after = page(&server).await;
    let check = |name, wanted: &[_]| check_growth(&before, &after, name, wanted);
    check(
        "sessile_http_requests_total",
        &[
            ("PUT /v1/sessions/{id}/files/{*path} 2xx", 1),
            ("GET /v1/sessions/{id}/files/{*path} 2xx", 1),
            ("GET /v1/sessions/{id}/files/{*path} 4xx", 1),
            ("GET /v1/sessions/{id} 4xx", 1),
            ("GET /v1/sessions 2xx", 1),
            ("GET /v1/sessions 4xx", 1),
            ("DELETE /v1/jobs 4xx", 1),
            ("GET other 4xx", 1),
            ("other /v1/jobs/{id} 4xx", 1),
            // The page before this one.
            ("GET /metrics 2xx", 1),
        ],
    );
    check("sessile_http_problems_total", &[("not-found", 3), ("unauthorized", 1), ("method-not-allowed", 2)]);
    let times = "sessile_http_request_seconds_count{route=\"/v1/sessions/{id}/files/{*path}\"}";
    assert_eq!(after.value(times) - before.value(times), 3.0);
    // The one without a key came by a connection of its own; how many the others share is their client's choice.
    let accepted = "sessile_http_connections_accepted_total";
    assert!((1.0..=10.0).contains(&(after.value(accepted) - before.value(accepted))));
    assert!(after.value("sessile_http_connections{key=\"shown\"}") >= 1.0);
}

#[tokio::test]
async fn a_job_that_is_lost_with_the_server_is_counted_by_the_next() {
    let mut server = TestServer::start().await;
    let job = server.new_job(guests::STAY).with("on_crash", "fail").submit().await.until_running().await;
    server.kill9();
    server.restart();
    let _ = job.wait().await.failed("lost");
    let page = page(&server).await;
    assert_eq!(page.value("sessile_jobs_failed_total{reason=\"lost\"}"), 1.0);
    assert_eq!(page.value("sessile_jobs_ended_total{outcome=\"failed\"}"), 1.0);
    assert_eq!(page.value("sessile_jobs_accepted_total{delivery=\"stored\"}"), 0.0);
}

#[tokio::test]
async fn only_the_operator_reads_the_page_unless_it_is_opened() {
    let server = TestServer::with("metrics", "root").start().await;
    let _ = server.with_key(None).get("/metrics").await.refused(401, "unauthorized");
    let _ = server.with_key(Some("ssk_none")).get("/metrics").await.refused(401, "unauthorized");
    let _ = server.with_key(None).get("/metrics?a=b").await.refused(401, "unauthorized");
    let admin = server.principal("ann", &["submit", "modules", "admin"]).await;
    let detail = admin.get("/metrics").await.refused(403, "forbidden");
    assert!(detail.contains("`root`"), "{detail}");
    let detail = server.get("/metrics?a=b").await.refused(400, "invalid-request");
    assert!(detail.contains("`a`"), "{detail}");
    let operator = server.principal("operator", &["root"]).await;
    let page = page(&operator).await;
    assert_eq!(page.value("sessile_http_problems_total{code=\"forbidden\"}"), 1.0);
    let head = operator.send(operator.request(Method::HEAD, "/metrics")).await.expect(200);
    assert_eq!((head.header("content-type"), head.body.len()), (Some(TEXT), 0));
    let _ = operator.post("/metrics", &json!({})).await.refused(405, "method-not-allowed");

    // As it comes, and no key was ever made.
    let server = Settings::default().without_dev().start().await;
    let _ = server.with_key(None).get("/metrics").await.refused(401, "unauthorized");
}

#[tokio::test]
async fn an_open_page_is_for_whoever_can_connect() {
    for settings in [Settings::default().without_dev().with("metrics", "anybody"), Settings::default()] {
        let server = settings.start().await;
        let stranger = server.with_key(None);
        let _ = page(&stranger).await;
        let _ = page(&server.with_key(Some("ssk_none"))).await;
        let _ = stranger.get("/metrics?a=b").await.refused(400, "invalid-request");
    }
}

#[tokio::test]
async fn no_name_is_on_the_page_and_nobody_can_make_it_long() {
    let server = TestServer::start().await;
    let _ = server.post("/v1/admin/tenants", &json!({"id": "zz-tenant"})).await.expect(201);
    let ann = server.principal_of("zz-tenant", "zz-principal", &["submit", "modules"]).await;
    let _ = ann.upload("zz-module", Dressed::from(guests::HELLO).bytes()).await.expect(201);
    let session = ann.new_session().with_id("zz-session").with_file("zz-file", "1").with_param("zz-param", "2").await;
    let order = json!({"module": "zz-module", "id": "zz-job", "session": session.id(), "labels": {"zz-label": "zz"}});
    let run = ann.request(Method::POST, "/v1/jobs").header("prefer", "wait=60").json(&order);
    let _ = ann.send(run).await.expect(200);
    let _ = ann.get("/v1/jobs/zz-job").await.expect(200);
    let _ = ann.get("/v1/zz-address").await.expect(404);

    let routes = fs::read_to_string(super::house::root().join("host/src/http/metrics/route.rs")).unwrap();
    let templates = routes.split('"').filter(|text| text.starts_with('/') && !text.contains(' '));
    for template in templates.chain(["/zz"]) {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "ZZ"] {
            // Names that nothing has, so nothing is changed.
            let path = template.replace(['{', '}', '*'], "zz");
            let request = ann.request(Method::from_bytes(method.as_bytes()).unwrap(), &path);
            let _ = ann.send(request).await;
        }
    }
    let text = server.get("/metrics").await.expect(200).text();
    let page = Page::read(&text);
    assert!(page.growth(&page, "sessile_http_requests_total").is_empty());
    let found = text.to_lowercase().lines().find(|line| line.contains("zz")).map(str::to_owned);
    assert_eq!(found, None);
    assert!(text.len() > 50 << 10 && text.len() < PAGE_BYTES_MAX, "{} bytes", text.len());
}

#[tokio::test]
async fn the_other_form_has_the_same_numbers_under_its_own_rules() {
    let server = TestServer::start().await;
    let _ = server.new_job(guests::HELLO).run().await.succeeded();
    let answer = page_as(&server, "application/openmetrics-text;version=1.0.0, text/plain;q=0.5").await;
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let text = answer.text();
    assert!(text.ends_with("\n# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
    for line in [
        "# TYPE sessile_build info",
        "# TYPE sessile_jobs_ended counter",
        "sessile_jobs_ended_total{outcome=\"succeeded\"} 1",
        "# TYPE sessile_job_wait_seconds histogram",
        "sessile_job_wait_seconds_bucket{le=\"+Inf\"} 1",
        "# TYPE process_open_fds gauge",
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in {text}");
    }
    let series = |text: &str| -> Vec<String> {
        let samples = text.lines().filter(|line| !line.starts_with('#') && !line.contains("le="));
        let mut names: Vec<_> =
            samples.filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name.to_owned()).collect();
        names.sort();
        names
    };
    let plain = page_as(&server, "*/*").await;
    assert_eq!(plain.header("content-type"), Some(TEXT));
    // All but what the first scrape itself has added.
    let without_scrape =
        |names: Vec<String>| names.into_iter().filter(|name| !name.contains("/metrics")).collect::<Vec<_>>();
    assert_eq!(without_scrape(series(&text)), without_scrape(series(&plain.text())));
}

#[tokio::test]
async fn every_metric_is_explained_to_the_operator() {
    let server = TestServer::start().await;
    let page = page(&server).await;
    let manual = fs::read_to_string(super::house::root().join("docs/operating.md")).unwrap();
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let named = rows.map(|(name, _)| name.split('{').next().unwrap().to_owned());
    let explained: Vec<_> = named.filter(|name| name.starts_with("sessile_") || name.starts_with("process_")).collect();
    let mut sorted = explained.clone();
    sorted.sort();
    assert_eq!(sorted, page.metrics.keys().cloned().collect::<Vec<_>>());
}
