//! What a job waits for before it starts: its turn, then its time, then a slot, then
//! whoever made its session meanwhile.
//!
//! Comes in: a job with its place in a lane, if it has one.
//! Goes out: the same job with all that it needs to start; or why it will not.
//!
//! Not here: what is done with it ([`journey`](super::journey)).

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::model::outcome::Outcome;
use crate::model::session::Session;
use crate::queue::lanes::LaneKey;
use crate::queue::lanes::Place;
use crate::queue::lanes::Turn;
use crate::queue::slots::Slot;
use crate::service::journey::Halt;
use crate::service::live::InLane;
use crate::service::live::LiveJob;
use crate::service::live::LiveJobs;
use crate::service::settle::cancelled;
use crate::store::StoreError;

/// A job that waits.
pub(super) struct Waiting<'a> {
    pub(super) live: &'a Arc<LiveJob>,
    pub(super) jobs: &'a LiveJobs,
    /// Cancelled when the server stops.
    pub(super) draining: &'a CancellationToken,
    /// The lane that it has a place in.
    pub(super) lane: Option<LaneKey>,
}

/// Where a job gets from what it needs beside its turn.
pub(super) trait Supply {
    /// Until it may start at all.
    fn due(&self) -> impl Future<Output = ()> + Send;
    fn slot(&self) -> impl Future<Output = Slot> + Send;
    /// The session that it runs in, if any, as it is now.
    fn session(&self) -> impl Future<Output = Result<Option<Session>, StoreError>> + Send;
}

/// What a job has that may start.
pub(super) struct Ready {
    pub(super) slot: Slot,
    pub(super) session: Option<Session>,
    pub(super) in_lane: Option<InLane>,
}

impl Waiting<'_> {
    /// Waits for the turn, which is left to the caller, then until the job is due, and
    /// then for a slot. The session is looked up after that.
    pub(super) async fn ready(
        self,
        place: Option<Place>,
        turn: &mut Option<Turn>,
        supply: &impl Supply,
    ) -> Result<Ready, Halt> {
        let Waiting { live, jobs, draining, lane } = self;
        if let Some(place) = place {
            *turn = Some(unless_stopped(live, draining, place.turn()).await?);
        }
        // Listed before the session is looked up: whoever drops the session
        // marks it first and looks here second, so either that one finds us
        // running in it, or we find the mark, or the session is gone at `begin`.
        let in_lane = lane.clone().map(|lane| jobs.take_lane(lane, live));
        unless_stopped(live, draining, supply.due()).await?;
        loop {
            let slot = unless_stopped(live, draining, supply.slot()).await?;
            let session = supply.session().await?;
            let Some(lane) = lane.as_ref().filter(|lane| session.is_some() && jobs.is_behind(lane, live)) else {
                return Ok(Ready { slot, session, in_lane });
            };
            // While we waited for the slot somebody has made the session that we named, and is
            // at work in it: they come first (R13). They are listed before the session is there.
            drop(slot);
            tracing::debug!(job = %live.key.id, session = %lane.session, "waits for the session's creator");
            let place = turn.take().map(Turn::let_pass);
            if let Some(place) = place {
                *turn = Some(unless_stopped(live, draining, place.turn()).await?);
            }
        }
    }
}

/// Waits for `what`, unless the job is cancelled or the server stops first.
pub(super) async fn unless_stopped<T>(
    live: &LiveJob,
    draining: &CancellationToken,
    what: impl Future<Output = T>,
) -> Result<T, Halt> {
    tokio::select! {
        biased;
        () = live.stop.cancelled() => Err(Halt::Cancelled),
        () = draining.cancelled() => Err(Halt::Drained),
        got = what => Ok(got),
    }
}

/// The session in which a job was about to begin was dropped since it was looked up, by
/// somebody who did not find the job running yet: it goes on without one (R17). Or not
/// at all, if it was cancelled meanwhile; then that is its end, for the reason given.
pub(super) fn without_session(live: &LiveJob) -> Result<(), Outcome> {
    if live.cancelled().is_some() {
        return Err(cancelled(live));
    }
    live.enter(None);
    Ok(())
}
