//! Those outside, who ask for things at the wrong moment.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::paper::Number;
use super::walks::Order;
use super::walks::submit;
use super::world::DROPPED;
use super::world::World;
use super::world::job_key;
use super::world::lane;
use crate::model::life::Move;
use crate::model::life::SessionLife;
use crate::model::outcome::Outcome;

/// What a client does once its job is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Waits,
    Cancels(&'static str),
    GoesAway,
}

/// Hands a job in.
pub(super) async fn hand_in(world: Arc<World>, order: Order, then: Then) {
    let told: oneshot::Receiver<()> = submit(&world, order);
    match then {
        Then::GoesAway => {}
        Then::Waits => {
            told.await.unwrap();
            wait(&world, order).await;
        }
        Then::Cancels(why) => {
            told.await.unwrap();
            assert!(world.paper.job(order.job).is_some(), "job {} was accepted and is not on record", order.job);
            cancel(world, order, why).await;
        }
    }
}

/// Waits for the end of a job that is on record, which is there then.
async fn wait(world: &World, order: Order) -> Option<Outcome> {
    if let Some(live) = world.live.get(&job_key(order.job, order.session)) {
        live.ended().await;
    }
    let outcome = world.paper.job(order.job).unwrap();
    let stopped = world.draining.is_cancelled();
    assert!(outcome.is_some() || stopped, "job {} was said to have ended, and no end is on record", order.job);
    outcome
}

/// Cancels a job, if it is on record and has not ended.
pub(super) async fn cancel(world: Arc<World>, order: Order, why: &'static str) {
    if world.paper.job(order.job).is_none() {
        return;
    }
    let live = world.live.get(&job_key(order.job, order.session));
    let in_time = live.is_some_and(|live| live.cancel(why));
    if in_time {
        world.cancelled(order.job, why);
    }
    let outcome = wait(&world, order).await;
    let is_ours = outcome == Some(Outcome::Cancelled { detail: why.to_owned() });
    // One that stays queued when the server stops is cancelled by nobody.
    let stays = outcome.is_none();
    assert!(in_time == is_ours || stays, "a cancel of job {}: in time: {in_time}, {outcome:?}", order.job);
}

/// Writes into a session under a turn of its own, unless its client leaves first.
pub(super) async fn write(world: Arc<World>, number: Number, session: usize, leaves: CancellationToken) {
    let lane = lane(session);
    let Some(session) = world.paper.named(&lane.owner, &lane.session) else { return };
    let place = {
        let mut door = world.door.lock().unwrap();
        door.push(number);
        world.lanes.join(lane)
    };
    let turn = tokio::select! {
        biased;
        () = leaves.cancelled() => return,
        turn = place.turn() => turn,
    };
    if let Some(draft) = world.paper.begin(session.key) {
        let note = world.works(session.key, number);
        // A session is dropped without asking those who write to it; then this is refused.
        let _ = world.paper.commit(number, draft, None);
        drop(note);
    }
    drop(turn);
}

/// Drops a session, whoever is at work in it.
pub(super) async fn drop_session(world: Arc<World>, session: usize) {
    let lane = lane(session);
    let Some(session) = world.paper.named(&lane.owner, &lane.session) else { return };
    // First the mark, then the look at who runs.
    if !world.paper.mark(session.key) {
        return;
    }
    let running = world.live.running_in(&lane, session.key);
    let Some(job) = running else {
        assert!(SessionLife::on_record(&session).after(&Move::DropIdle).is_ok());
        return world.paper.remove(session.key);
    };
    // It may have left the session since; it removes it all the same.
    if job.lose_session().is_err() {
        return;
    }
    let number = job.key.id.as_str().trim_start_matches("job-").parse().unwrap();
    if job.cancel(DROPPED) {
        world.cancelled(number, DROPPED);
    }
}
