//! Who may enter. Pure decisions from facts that the caller gathers.
//!
//! Promise: nothing has been queued or written when a request is refused, so
//! the client may simply ask again.

use std::sync::Arc;

use crate::ids::SessionId;
use crate::limits::JOBS_LIVE_MAX;
use crate::limits::RETRY_AFTER;
use crate::model::quota::Measure;
use crate::model::quota::OverQuota;
use crate::model::quota::Quota;
use crate::model::session::QueueMode;

/// What a job finds that names a session which does not exist (R9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownSessions {
    /// It waits for its turn among those that named the same id.
    #[default]
    Serialize,
    /// It runs at once, beside them.
    Parallel,
    /// It is turned away.
    Reject,
}

/// The session that a request names, as far as the decision needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub id: SessionId,
    /// How the session wants its requests queued; `None` if no such session exists.
    pub queue: Option<QueueMode>,
    /// Requests that wait in the lane of that id.
    pub waiting: usize,
    /// Whether somebody has the turn there.
    pub busy: bool,
}

/// How the tenant of a job stands (R34).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Jobs of it that do not run yet.
    pub queued: u64,
    pub quota: Arc<Quota>,
    /// Why it has no processor time for one more, if it has none.
    pub no_cpu: Option<OverQuota>,
}

/// What the decision is made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether the server is stopping.
    pub draining: bool,
    /// Jobs in the server that have not ended.
    pub jobs_live: usize,
    /// `None` for a request that is no job.
    pub tenant: Option<Standing>,
    /// `None` for a request outside any session.
    pub named: Option<Named>,
    /// What the request itself says about waiting, if anything.
    pub queue: Option<QueueMode>,
    /// The most requests that may wait in one lane.
    pub queue_max: usize,
    pub unknown_sessions: UnknownSessions,
}

/// How an admitted request goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// It waits for its turn in the lane of the session it named.
    InLane,
    /// It needs no turn.
    Freely,
}

/// Why a request was turned away.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the server is stopping and takes no new work; try again when it is back")]
    Draining,
    #[error("{live} jobs have not ended yet, the most that this server holds; try again later")]
    ServerFull { live: usize },
    #[error(
        "no session is named `{id}`, and this server takes no job for a session that does not exist; create it with POST /v1/sessions"
    )]
    UnknownSession { id: SessionId },
    #[error("session `{id}` is busy, and this request was not to wait; try again, or ask with \"queue\": \"wait\"")]
    SessionBusy { id: SessionId },
    #[error("session `{id}` has {waiting} requests waiting, the most it may have; try again later")]
    LaneFull { id: SessionId, waiting: usize },
    #[error(transparent)]
    OverQuota(OverQuota),
}

/// Decides about one request.
pub fn admit(facts: &Facts) -> Result<Admitted, Refusal> {
    if facts.draining {
        return Err(Refusal::Draining);
    }
    if facts.jobs_live >= JOBS_LIVE_MAX {
        return Err(Refusal::ServerFull { live: facts.jobs_live });
    }
    if let Some(tenant) = &facts.tenant {
        within_quota(tenant).map_err(Refusal::OverQuota)?;
    }
    let Some(named) = &facts.named else {
        return Ok(Admitted::Freely);
    };
    if named.queue.is_none() {
        match facts.unknown_sessions {
            UnknownSessions::Serialize => {}
            UnknownSessions::Parallel => return Ok(Admitted::Freely),
            UnknownSessions::Reject => return Err(Refusal::UnknownSession { id: named.id.clone() }),
        }
    }
    // What the request says goes before what the session was made with (R11).
    let mode = facts.queue.or(named.queue).unwrap_or(QueueMode::Wait);
    if mode == QueueMode::Reject && (named.busy || named.waiting > 0) {
        return Err(Refusal::SessionBusy { id: named.id.clone() });
    }
    if named.waiting >= facts.queue_max {
        return Err(Refusal::LaneFull { id: named.id.clone(), waiting: named.waiting });
    }
    Ok(Admitted::InLane)
}

fn within_quota(tenant: &Standing) -> Result<(), OverQuota> {
    let allowed = tenant.quota.allow(Measure::QueuedJobs, tenant.queued, 1);
    // Others end in their own time; a second is as good a guess as any.
    allowed.map_err(|over| OverQuota { again: Some(RETRY_AFTER), ..over })?;
    tenant.no_cpu.clone().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(queue: Option<QueueMode>, waiting: usize, busy: bool) -> Option<Named> {
        Some(Named { id: "s".parse().unwrap(), queue, waiting, busy })
    }

    fn facts(named: Option<Named>) -> Facts {
        Facts {
            draining: false,
            jobs_live: 0,
            tenant: None,
            named,
            queue: None,
            queue_max: 2,
            unknown_sessions: UnknownSessions::Serialize,
        }
    }

    #[track_caller]
    fn check(facts: Facts, expected: Result<Admitted, &str>) {
        let told = admit(&facts).map_err(|refusal| refusal.to_string());
        match (&told, expected) {
            (Ok(admitted), Ok(expected)) => assert_eq!(*admitted, expected),
            (Err(told), Err(part)) => assert!(told.contains(part), "{told}"),
            _ => panic!("{facts:?}: {told:?}"),
        }
    }

    #[test]
    fn a_job_without_a_session_needs_no_turn() {
        check(facts(None), Ok(Admitted::Freely));
    }

    #[test]
    fn r9_the_setting_says_what_an_unknown_id_means() {
        let unknown = || facts(named(None, 1, true));
        check(unknown(), Ok(Admitted::InLane));
        check(Facts { unknown_sessions: UnknownSessions::Parallel, ..unknown() }, Ok(Admitted::Freely));
        check(Facts { unknown_sessions: UnknownSessions::Reject, ..unknown() }, Err("no session is named `s`"));
        let known = facts(named(Some(QueueMode::Wait), 1, true));
        check(Facts { unknown_sessions: UnknownSessions::Reject, ..known }, Ok(Admitted::InLane));
    }

    #[test]
    fn r11_reject_turns_away_only_while_somebody_is_in_the_lane() {
        check(facts(named(Some(QueueMode::Reject), 0, false)), Ok(Admitted::InLane));
        check(facts(named(Some(QueueMode::Reject), 0, true)), Err("is busy"));
        let asked = facts(named(Some(QueueMode::Wait), 0, true));
        check(Facts { queue: Some(QueueMode::Reject), ..asked }, Err("is busy"));
        let patient = facts(named(Some(QueueMode::Reject), 0, true));
        check(Facts { queue: Some(QueueMode::Wait), ..patient }, Ok(Admitted::InLane));
    }

    #[test]
    fn r12_a_full_lane_refuses_and_says_how_long_it_is() {
        check(facts(named(Some(QueueMode::Wait), 1, true)), Ok(Admitted::InLane));
        check(facts(named(Some(QueueMode::Wait), 2, true)), Err("has 2 requests waiting"));
    }

    #[test]
    fn r34_a_tenant_s_jobs_wait_up_to_its_quota_and_need_processor_time() {
        let standing = |queued, no_cpu| {
            let quota = Arc::new(Quota { queued_jobs: 2, ..Quota::of_machine(1, 1) });
            Facts { tenant: Some(Standing { queued, quota, no_cpu }), ..facts(None) }
        };
        check(standing(1, None), Ok(Admitted::Freely));
        check(standing(2, None), Err("`queued_jobs` of the tenant's quota is 2, 2 of it used"));
        let again = Some(std::time::Duration::from_secs(3));
        let no_cpu = OverQuota { measure: Measure::CpuSPerMin, used: 7, more: 1, limit: 6, again };
        check(standing(0, Some(no_cpu)), Err("try again in 3 s"));
    }

    #[test]
    fn a_stopping_or_full_server_takes_nothing() {
        check(Facts { draining: true, ..facts(None) }, Err("is stopping"));
        check(Facts { jobs_live: JOBS_LIVE_MAX, ..facts(None) }, Err("have not ended"));
    }
}
