//! `/v1/jobs` and `/v1/run`, described.

use axum::http::Method;
use serde_json::Value;
use serde_json::json;

use super::api::Api;
use super::api::Body;
use super::headers as h;
use super::sessions::NO_CHANGE;
use super::sessions::SUBMIT;
use crate::http::events::PrintedView;
use crate::http::events::StateView;
use crate::http::job_form::JobForm;
use crate::http::job_view::JobView;
use crate::http::job_view::ProgressView;
use crate::http::jobs::JobQuery;
use crate::http::jobs::Nothing;
use crate::http::output::OutputQuery;
use crate::http::problem::Code;
use crate::http::run_form;
use crate::http::wire::ListView;
use crate::limits;

pub(super) fn describe(api: &mut Api) {
    submitting(api);
    looking(api);
    printing(api);
    following(api);
    running(api);
}

fn submitting(api: &mut Api) {
    api.on(Method::POST, "/v1/jobs", "submitJob", "Hand in a job.")
        .more(format!(
            "Answers as soon as the job is durable, or with `Prefer: wait=N` when it has ended, at most N and {} seconds later. The job belongs to the server from then on, \
             not to this request. The same `id` with the same request again runs nothing and is answered with the same job.",
            limits::WAIT_MAX.as_secs()
        ))
        .needs(SUBMIT)
        .takes(&[&h::PREFER_WAIT, &h::SESSION_ID, &h::SESSION_KEY])
        .json_body::<JobForm>(Body::Required)
        .answers(200, "With `Prefer: wait`: the job, which has ended.", &[&h::LOCATION], &[&h::SESSION_ID, &h::SESSION_KEY])
        .json::<JobView>()
        .answers(202, "The job, which is accepted.", &[&h::LOCATION], &[&h::SESSION_ID, &h::SESSION_KEY])
        .json::<JobView>()
        .refuses(NO_CHANGE);
}

fn looking(api: &mut Api) {
    api.on(Method::GET, "/v1/jobs", "listJobs", "List the caller's jobs, newest first.")
        .needs(SUBMIT)
        .asked::<JobQuery>()
        .answers(200, "One page of the list.", &[], &[])
        .json::<ListView<JobView>>()
        .refuses(&[]);
    api.on(Method::GET, "/v1/jobs/{id}", "getJob", "Look at a job.")
        .needs(SUBMIT)
        .answers(200, "The job.", &[], &[&h::SESSION_ID])
        .json::<JobView>()
        .refuses(&[Code::NotFound]);
    api.on(Method::POST, "/v1/jobs/{id}/cancel", "cancelJob", "Cancel a job.")
        .more("Answers when the guest has stopped. A job that is over stays as it is.")
        .needs(SUBMIT)
        .json_body::<Nothing>(Body::Optional)
        .answers(200, "The job.", &[], &[&h::SESSION_ID])
        .json::<JobView>()
        .refuses(&[Code::NotFound]);
}

fn printing(api: &mut Api) {
    let streams = [
        ("/v1/jobs/{id}/stdout", "getJobStdout", "Read what a job has printed to stdout."),
        ("/v1/jobs/{id}/stderr", "getJobStderr", "Read what a job has printed to stderr."),
    ];
    for (path, id, summary) in streams {
        api.on(Method::GET, path, id, summary)
            .more("The bytes so far; with `?follow=true` all of them, as they come, until the job has ended.")
            .needs(SUBMIT)
            .asked::<OutputQuery>()
            .takes(&[&h::RANGE, &h::IF_RANGE, &h::IF_MATCH, &h::IF_NONE_MATCH])
            .answers(200, "The bytes.", &[], &[&h::ACCEPT_RANGES])
            .bytes("application/octet-stream")
            .answers(206, "The range that was asked for.", &[&h::CONTENT_RANGE, &h::ACCEPT_RANGES], &[])
            .bytes("application/octet-stream")
            .answers(304, "What there is, is one of `If-None-Match`.", &[], &[&h::ACCEPT_RANGES])
            .and_head()
            .refuses(&[Code::NotFound, Code::PreconditionFailed, Code::RangeNotSatisfiable]);
    }
}

fn following(api: &mut Api) {
    api.on(Method::GET, "/v1/jobs/{id}/events", "followJob", "Follow a job by server-sent events.")
        .more(
            "First comes what there was to tell, then what happens, until the event `end`. The stream goes on after `Last-Event-ID`. Lines \
             that begin with a colon only keep the connection alive.",
        )
        .needs(SUBMIT)
        .takes(&[&h::LAST_EVENT_ID])
        .answers(200, "The events.", &[], &[&h::SESSION_ID])
        .events(
            "Each event has an `id`, a name and one line of JSON: `state` a StateEvent, `progress` a Progress, `stdout` and `stderr` a \
             PrintedEvent, and `end`, the last one, the Job.",
            |schemas| {
                json!({
                    "state": schemas.written::<StateView>(),
                    "progress": schemas.written::<ProgressView>(),
                    "stdout": schemas.written::<PrintedView>(),
                    "stderr": schemas.written::<PrintedView>(),
                    "end": schemas.written::<JobView>(),
                })
            },
        )
        .answers(204, "Nothing comes any more after `Last-Event-ID`.", &[], &[&h::SESSION_ID])
        .refuses(&[Code::NotFound]);
}

fn running(api: &mut Api) {
    api.on(Method::POST, "/v1/run/{module}", "run", "Run a module as a stream.")
        .more(
            "The request body is the job's stdin and the answer's body its stdout, both as they come. The status is sent with the first byte of \
             stdout. A job that fails before is answered with a problem; one that fails later ends the body early, and the trailer \
             `Job-Outcome` says how it ended. A client that goes away cancels the job.",
        )
        .needs(SUBMIT)
        .takes(&[&h::SESSION_ID, &h::SESSION_KEY, &h::TE])
        .asked_as(run_form::NAMES.iter().map(|(name, says)| asked(name, says)))
        .bytes_body("What the job reads from stdin.", &["*/*"])
        .answers(
            200,
            "What the job prints to stdout.",
            &[&h::JOB_ID, &h::JOB_SESSION_ACTIVE, &h::TRAILER],
            &[&h::SESSION_ID, &h::SESSION_KEY],
        )
        .bytes("application/octet-stream")
        .refuses(&[NO_CHANGE, &[Code::JobFailed]].concat());
}

/// One name of the query string of a streaming run.
fn asked(name: &str, says: &str) -> Value {
    let number = |least: u64, most: u64| json!({ "type": "integer", "minimum": least, "maximum": most });
    let schema = match name {
        "arg" => json!({ "type": "array", "items": { "type": "string" }, "maxItems": limits::ARGS_MAX }),
        "env" => {
            json!({ "type": "array", "items": { "type": "string", "pattern": "^[^=]+=" }, "maxItems": limits::ENV_MAX })
        }
        "queue" => json!({ "type": "string", "enum": ["wait", "reject"] }),
        "wall_ms" => number(1, limits::WALL_MAX.as_millis() as u64),
        "cpu_ms" => number(1, limits::CPU_MAX.as_millis() as u64),
        "memory_bytes" => number(limits::MEMORY_BYTES_MIN, limits::MEMORY_BYTES_MAX),
        "output_bytes" => number(0, limits::STREAM_BYTES_MAX),
        "params_in_env" => json!({ "type": "boolean" }),
        _ => panic!("say here what `{name}` may be"),
    };
    json!({ "name": name, "in": "query", "description": says, "schema": schema })
}
