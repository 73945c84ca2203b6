//! The query string of a streaming run, read and checked.
//!
//! It says what the body of `POST /v1/jobs` says, as far as that makes sense
//! here, and is checked by the same rules ([`job_form`](super::job_form)). The
//! body of the request is the guest's stdin, so nothing else fits there.

use std::str::FromStr;

use crate::http::job_form::JobForm;
use crate::http::job_form::bounded;
use crate::http::problem::Problem;
use crate::http::session_form::QueueWord;
use crate::limits;
use crate::service::jobs::JobOrder;

/// The names that a query string may have, and what each says.
pub(super) const NAMES: [(&str, &str); 8] = [
    ("arg", "An argument of the job, after its name; may be there several times."),
    ("env", "An environment variable as `name=value`; may be there several times."),
    ("queue", "Whether the job waits while its session is busy; if not said, as the session says."),
    ("wall_ms", "Milliseconds from its start to its end, at most."),
    ("cpu_ms", "Milliseconds of processor time, at most."),
    ("memory_bytes", "All memories and tables together, at most."),
    ("output_bytes", "What it may print to stdout, at most."),
    ("params_in_env", "Whether it gets its session's parameters as environment variables too."),
];

/// The order that a query string stands for. `session` is what the header
/// `Session-Id` says.
pub(super) fn order(module: String, query: Vec<(String, String)>, session: Option<&str>) -> Result<JobOrder, Problem> {
    let mut form = JobForm::of(module);
    let mut output_bytes = None;
    for (name, value) in query {
        match name.as_str() {
            "arg" => form.args.push(value),
            "env" => {
                let (variable, value) = value.split_once('=').ok_or_else(|| {
                    Problem::invalid(format!("`env` is `{value}`, and must be a name, `=` and a value"))
                })?;
                once("env", &mut form.env.insert(variable.to_owned(), value.to_owned()), Some(variable))?;
            }
            "queue" => set("queue", &mut form.queue, queue_word(&value)?)?,
            "wall_ms" => set("wall_ms", &mut form.limits.wall_ms, parsed("wall_ms", &value)?)?,
            "cpu_ms" => set("cpu_ms", &mut form.limits.cpu_ms, parsed("cpu_ms", &value)?)?,
            "memory_bytes" => set("memory_bytes", &mut form.limits.memory_bytes, parsed("memory_bytes", &value)?)?,
            "output_bytes" => set("output_bytes", &mut output_bytes, parsed("output_bytes", &value)?)?,
            "params_in_env" => form.params_in_env = parsed("params_in_env", &value)?,
            _ => {
                let known: Vec<String> = NAMES.iter().map(|(known, _)| format!("`{known}`")).collect();
                let known = known.join(", ");
                return Err(Problem::invalid(format!(
                    "the query string is wrong: unknown name `{name}`, expected one of {known}"
                )));
            }
        }
    }
    let mut order = form.order_without_id(session)?;
    let most = limits::STREAM_BYTES_MAX;
    order.limits.output_bytes = Some(bounded("output_bytes", output_bytes, 0, most, most)?);
    Ok(order)
}

fn queue_word(text: &str) -> Result<QueueWord, Problem> {
    match text {
        "wait" => Ok(QueueWord::Wait),
        "reject" => Ok(QueueWord::Reject),
        _ => Err(Problem::invalid(format!("`queue` is `{text}`, and must be `wait` or `reject`"))),
    }
}

fn parsed<T: FromStr>(name: &str, text: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| {
        let wanted = if name == "params_in_env" { "`true` or `false`" } else { "a whole number" };
        Problem::invalid(format!("`{name}` is `{text}`, and must be {wanted}"))
    })
}

fn set<T>(name: &str, field: &mut Option<T>, value: T) -> Result<(), Problem> {
    once(name, &mut field.replace(value), None)
}

/// Refuses what was said before.
fn once<T>(name: &str, before: &mut Option<T>, which: Option<&str>) -> Result<(), Problem> {
    match (before.take(), which) {
        (None, _) => Ok(()),
        (Some(_), Some(which)) => Err(Problem::invalid(format!("`{name}` sets `{which}` twice"))),
        (Some(_), None) => Err(Problem::invalid(format!("`{name}` is there twice"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &[(&str, &str)]) -> Result<JobOrder, String> {
        let query = query.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        order("m@3".to_owned(), query, Some("s")).map_err(|problem| format!("{problem:?}"))
    }

    #[track_caller]
    fn check_refused(query: &[(&str, &str)], part: &str) {
        let refusal = read(query).expect_err("it must be refused");
        assert!(refusal.contains(part), "{refusal}");
    }

    #[test]
    fn arguments_keep_their_order() {
        let order = read(&[("arg", "b"), ("env", "A=1=2"), ("arg", ""), ("arg", "a"), ("wall_ms", "7")]).unwrap();
        assert_eq!(order.inputs.args, ["b", "", "a"]);
        assert_eq!(order.inputs.env["A"], "1=2");
        assert_eq!(order.limits.wall_ms, Some(7));
        assert_eq!(order.limits.output_bytes, Some(limits::STREAM_BYTES_MAX));
        assert_eq!(order.session.unwrap().as_str(), "s");
    }

    #[test]
    fn every_name_that_is_told_is_taken() {
        for (name, _) in NAMES {
            let value = match name {
                "env" => "a=b",
                "queue" => "wait",
                "params_in_env" => "true",
                _ => "100000",
            };
            assert_eq!(read(&[(name, value)]).err(), None, "{name}");
        }
    }

    #[test]
    fn a_refusal_names_the_part_of_the_query() {
        check_refused(&[("args", "x")], "unknown name `args`");
        check_refused(&[("env", "x")], "`env` is `x`");
        check_refused(&[("env", "A=1"), ("env", "A=2")], "sets `A` twice");
        check_refused(&[("wall_ms", "soon")], "`wall_ms` is `soon`");
        check_refused(&[("wall_ms", "1"), ("wall_ms", "1")], "`wall_ms` is there twice");
        check_refused(&[("wall_ms", "0")], "`limits.wall_ms` is 0");
        check_refused(&[("queue", "maybe")], "`queue` is `maybe`");
        check_refused(&[("params_in_env", "yes")], "`params_in_env` is `yes`");
    }
}
