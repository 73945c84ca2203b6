//! All numbers as text, in either of the two forms that Prometheus reads.
//!
//! Promise: names follow Prometheus' conventions, units are seconds and bytes, and
//! every label has its values from a fixed list. What a room could not find out is
//! left out: a number that is there is true.
//!
//! A counter's name is written without the `_total` that both forms give it.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::EncodeCounterValue;
use prometheus_client::encoding::EncodeGaugeValue;
use prometheus_client::encoding::MetricEncoder;
use prometheus_client::encoding::NoLabelSet;
use prometheus_client::encoding::prometheus_text;
use prometheus_client::encoding::text;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::engine;
use crate::http::metrics::Form;
use crate::http::metrics::meters::Meters;
use crate::http::places::Usage;
use crate::http::problem::Code;
use crate::meter::Count;
use crate::meter::Noted;
use crate::process::Process;
use crate::service::figures::Figures;
use crate::service::figures::Jobs;
use crate::store;

/// What is on the page.
pub(super) struct Page {
    pub(super) figures: Figures,
    pub(super) meters: Arc<Meters>,
    pub(super) connections: Usage,
}

impl Page {
    pub(super) fn write(self, form: Form) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut page = String::new();
        let written = match form {
            Form::Text => prometheus_text::encode(&mut page, &registry),
            Form::OpenMetrics => text::encode(&mut page, &registry),
        };
        written.expect("a string takes all that is written to it");
        page
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page").field("figures", &self.figures).finish_non_exhaustive()
    }
}

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = Writer(encoder);
        to.0.encode_descriptor("sessile_build", "Which server this is.", None, MetricType::Info)?
            .encode_info(&[("version", env!("CARGO_PKG_VERSION"))])?;
        self.jobs(&self.figures.jobs, &mut to)?;
        self.places(&mut to)?;
        self.engine(&self.figures.engine, &mut to)?;
        self.store(&self.figures.store, &mut to)?;
        self.front_door(&mut to)?;
        self.process(&self.figures.process, &mut to)
    }
}

impl Page {
    fn jobs(&self, jobs: &Jobs, to: &mut Writer<'_>) -> fmt::Result {
        to.counters(
            "sessile_jobs_accepted",
            "Jobs that were accepted.",
            "delivery",
            [("stored", jobs.accepted_stored), ("streamed", jobs.accepted_streamed)],
        )?;
        let failed = jobs.failed.iter().map(|(_, count)| count).sum();
        to.counters(
            "sessile_jobs_ended",
            "Jobs that are over.",
            "outcome",
            [("succeeded", jobs.succeeded), ("failed", failed), ("cancelled", jobs.cancelled)],
        )?;
        let reasons = jobs.failed.iter().map(|(reason, count)| (reason.word(), *count));
        to.counters("sessile_jobs_failed", "Jobs that failed, by why.", "reason", reasons)?;
        to.counter("sessile_jobs_retried", "Attempts that failed and were followed by another.", jobs.retried)?;
        to.gauges(
            "sessile_jobs",
            "Jobs that have not ended.",
            "state",
            [("queued", jobs.live.queued), ("running", jobs.live.running)],
        )?;
        to.histogram("sessile_job_wait_seconds", "From when a job could start to its start.", &jobs.waited)?;
        to.histogram("sessile_job_run_seconds", "From a guest's start to its end.", &jobs.ran)?;
        to.counter("sessile_guest_cpu_seconds", "Processor time that guests have used.", jobs.cpu.as_secs_f64())
    }

    fn places(&self, to: &mut Writer<'_>) -> fmt::Result {
        let Figures { slots, usage, lanes, lanes_waiting, .. } = &self.figures;
        to.gauge("sessile_slots", "Guests that may compute at once.", *slots)?;
        to.gauge("sessile_slots_held", "Guests that have the right to compute.", slots - usage.slots_free as u64)?;
        to.gauge("sessile_seats", "Guests that may have begun at once.", usage.seats)?;
        to.gauge("sessile_seats_held", "Guests that have begun.", usage.seats - usage.seats_free)?;
        to.gauges(
            "sessile_slots_waiting",
            "Guests that wait for the right to compute.",
            "wants",
            [("to_begin", usage.to_begin), ("to_go_on", usage.to_go_on)],
        )?;
        to.gauge("sessile_lanes", "Session ids for which somebody has the turn.", *lanes)?;
        to.gauge("sessile_lanes_waiting", "Requests that wait for their turn behind them.", *lanes_waiting)
    }

    fn engine(&self, engine: &engine::Figures, to: &mut Writer<'_>) -> fmt::Result {
        to.gauge("sessile_guest_memory_bytes", "What guests hold of memory.", engine.memory_bytes)?;
        to.gauge(
            "sessile_guest_memory_limit_bytes",
            "What guests may hold of memory together.",
            engine.memory_bytes_max,
        )?;
        to.gauge("sessile_modules_loaded", "Modules that are in memory.", engine.modules_loaded)?;
        to.counters(
            "sessile_module_lookups",
            "Runs, by whether their module was in memory.",
            "result",
            [("hit", engine.found_loaded), ("miss", engine.had_to_load)],
        )?;
        to.counters(
            "sessile_compilations",
            "Compilations that are over.",
            "result",
            [("compiled", engine.compiled), ("refused", engine.refused), ("failed", engine.failed)],
        )?;
        to.histogram("sessile_compilation_seconds", "How long compilations took.", &engine.compile_time)?;
        to.gauge("sessile_compilations_pending", "Modules being compiled or waiting for it.", self.figures.compiling)
    }

    fn store(&self, store: &store::Figures, to: &mut Writer<'_>) -> fmt::Result {
        to.gauge("sessile_store_takes_writes", "1, or 0 once the disk has failed.", u64::from(store.takes_writes))?;
        to.counters(
            "sessile_store_commits",
            "Transactions of the database.",
            "result",
            [
                ("committed", store.commit_time.count()),
                ("disk_full", store.commits_full),
                ("failed", store.commits_failed),
            ],
        )?;
        to.histogram(
            "sessile_store_commit_seconds",
            "How long a transaction took, with its sync.",
            &store.commit_time,
        )?;
        to.histogram("sessile_store_commit_units", "Writes that shared a transaction.", &store.commit_units)?;
        to.gauge("sessile_store_writes_waiting", "Writes that wait for the writer.", store.writes_waiting)?;
        to.gauge("sessile_store_log_bytes", "How long the log of the database is.", store.log_bytes)?;
        to.gauges(
            "sessile_work_bytes",
            "What working copies take, at a guess.",
            "medium",
            [("memory", store.copies_in_memory_bytes), ("disk", store.copies_on_disk_bytes)],
        )?;
        if let Some(disk) = store.disk {
            to.gauge("sessile_store_database_bytes", "The database's file.", disk.database_bytes)?;
            to.gauge("sessile_store_disk_bytes", "The data directory's file system.", disk.bytes)?;
            to.gauge("sessile_store_disk_free_bytes", "What is free on it for the server.", disk.free_bytes)?;
        }
        if let Some(held) = store.held {
            to.gauge("sessile_tenants", "Tenants on record.", held.tenants)?;
            to.gauge("sessile_sessions", "Sessions on record.", held.sessions)?;
            to.gauge("sessile_stored_bytes", "What sessions hold, as it counts for quotas.", held.stored_bytes)?;
            to.gauge("sessile_modules", "Versions of modules on record.", held.modules)?;
            to.gauge("sessile_module_bytes", "What modules hold, as it counts for quotas.", held.module_bytes)?;
        }
        Ok(())
    }

    fn front_door(&self, to: &mut Writer<'_>) -> fmt::Result {
        let mut requests = to.family("sessile_http_requests", "Requests that were answered.", MetricType::Counter)?;
        for (route, method, status, count) in self.meters.requests() {
            let labels = [("method", method), ("route", route.template()), ("status", status)];
            requests.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
        }
        let help = "From a request's head to the beginning of its answer.";
        let mut times = to.family("sessile_http_request_seconds", help, MetricType::Histogram)?;
        for (route, noted) in self.meters.times() {
            let labels = [("route", route.template())];
            let mut of_route = times.encode_family(&labels)?;
            of_route.encode_histogram::<NoLabelSet>(noted.sum, noted.count(), &noted.within, None)?;
        }
        let problems = Code::ALL.into_iter().map(Code::word);
        let problems = problems.zip(self.meters.problems.iter().map(Count::get));
        to.counters("sessile_http_problems", "Requests that were refused, by the code.", "code", problems)?;
        let Usage { accepted, unknown, known, most, streams } = self.connections;
        to.gauges("sessile_http_connections", "Open connections.", "key", [("none", unknown), ("shown", known)])?;
        to.gauge("sessile_http_connections_limit", "Connections that may be open.", most)?;
        to.counter("sessile_http_connections_accepted", "Connections that were accepted.", accepted)?;
        to.gauge("sessile_http_streams", "Streaming runs, followed outputs and requests that wait.", streams)
    }

    fn process(&self, process: &Process, to: &mut Writer<'_>) -> fmt::Result {
        let started_at = self.figures.started_at.micros() as f64 / 1e6;
        to.gauge("process_start_time_seconds", "When the server started, since 1970.", started_at)?;
        to.counter("process_cpu_seconds", "Processor time of the server and its guests.", process.cpu.as_secs_f64())?;
        let told = [
            ("process_resident_memory_bytes", "Memory that the process takes.", process.resident_bytes),
            ("process_open_fds", "Files and sockets that it has open.", process.open_files),
            ("process_max_fds", "Files and sockets that it may have open.", process.open_files_max),
        ];
        told.into_iter().try_for_each(|(name, help, value)| value.map_or(Ok(()), |value| to.gauge(name, help, value)))
    }
}

/// Writes one metric after the other.
struct Writer<'e>(DescriptorEncoder<'e>);

impl Writer<'_> {
    /// The head of a metric, whose series follow.
    fn family<'s>(&'s mut self, name: &'s str, help: &str, kind: MetricType) -> Result<MetricEncoder<'s>, fmt::Error> {
        self.0.encode_descriptor(name, help, None, kind)
    }

    fn counter(&mut self, name: &str, help: &str, value: impl EncodeCounterValue) -> fmt::Result {
        self.family(name, help, MetricType::Counter)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    fn counters<'l>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        series: impl IntoIterator<Item = (&'l str, u64)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Counter)?;
        for (word, value) in series {
            family.encode_family(&[(label, word)])?.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.family(name, help, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauges<'l, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        series: impl IntoIterator<Item = (&'l str, V)>,
    ) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Gauge)?;
        for (word, value) in series {
            family.encode_family(&[(label, word)])?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn histogram(&mut self, name: &str, help: &str, noted: &Noted) -> fmt::Result {
        let mut family = self.family(name, help, MetricType::Histogram)?;
        family.encode_histogram::<NoLabelSet>(noted.sum, noted.count(), &noted.within, None)
    }
}
