//! Jobs that an earlier server accepted, taken up again.
//!
//! Promise: each has the place that it had (R25). Those who named the session of a
//! job that made it come after that job, whenever they were accepted (R13).

use crate::queue::admission::UnknownSessions;
use crate::queue::lanes::LaneKey;
use crate::queue::lanes::Place;
use crate::service::Service;
use crate::service::jobs::live_job;
use crate::service::journey::Walk;
use crate::service::record::Record;
use crate::store::QueuedJob;

/// A job and what it holds of the lanes.
struct Again {
    queued: QueuedJob,
    /// In the lane of the session that it named.
    place: Option<Place>,
    /// In that of the session which an earlier attempt made.
    ahead: Option<Place>,
}

impl Service {
    /// Sends all of them on their walks; `queued` is in the order of acceptance.
    pub(super) fn resume(&self, queued: Vec<QueuedJob>) {
        let mut all: Vec<_> = queued.into_iter().map(|queued| Again { queued, place: None, ahead: None }).collect();
        // Creators had their turns already, and need no turn in the lanes of what they made. So
        // each has its own turn at once, and none of them waits for another.
        for creator in all.iter_mut().filter(|again| again.queued.created.is_some()) {
            creator.place = self.place_again(&creator.queued);
        }
        for creator in &mut all {
            let owner = &creator.queued.job.owner;
            let lane = creator.queued.created.clone().map(|session| LaneKey { owner: owner.clone(), session });
            creator.ahead = lane.map(|lane| self.inner.lanes.join(lane));
        }
        for other in all.iter_mut().filter(|again| again.queued.created.is_none()) {
            other.place = self.place_again(&other.queued);
        }
        for Again { queued, place, ahead } in all {
            let listed = self.inner.live.enter(live_job(&queued.job));
            let listed = listed.expect("the store has one job of a name, and nobody else is in yet");
            self.set_out(Walk { queued, listed, record: Record::Stored, client: None, ahead }, place);
        }
    }

    fn place_again(&self, queued: &QueuedJob) -> Option<Place> {
        let named = queued.job.session.as_ref()?;
        if named.key.is_none() && self.inner.settings.unknown_sessions == UnknownSessions::Parallel {
            return None;
        }
        Some(self.inner.lanes.join(LaneKey { owner: queued.job.owner.clone(), session: named.id.clone() }))
    }
}
