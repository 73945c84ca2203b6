//! The sweep: sessions whose time is over go (R20), and nobody else notices.
//!
//! Comes in: a tick, and the time. Goes out: to the store, which knows by an
//! index what is due; to the lanes, which know who is at work.
//!
//! Promise: one task for all sessions, none of which costs a timer. A session
//! with a running or waiting request is never taken away by its idle timeout.
//! A sweep works in small pieces, so everybody else's writes go on between them.
//!
//! Not here: when a session's time is over (`model::expiry`).

use std::collections::HashSet;
use std::sync::PoisonError;

use tokio::time::Instant;
use tokio::time::MissedTickBehavior;

use crate::clock::Timestamp;
use crate::limits;
use crate::model::expiry::Verdict;
use crate::model::life::Move;
use crate::model::life::SessionLife;
use crate::model::session::Session;
use crate::model::session::SessionKey;
use crate::service::Service;
use crate::service::refusal::Chain;
use crate::service::refusal::Refusal;
use crate::service::session_keys::Visit;
use crate::service::sessions::lane_of;
use crate::store::Receipt;
use crate::store::StoreError;

impl Service {
    /// Sweeps at the configured interval until the server stops.
    pub(super) fn sweep_from_now_on(&self) {
        let service = self.clone();
        self.start_task(async move {
            let interval = service.inner.settings.sweep_interval;
            let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = service.inner.draining.cancelled() => return,
                    _ = ticks.tick() => {}
                }
                if let Err(error) = service.sweep().await {
                    tracing::warn!(error = %Chain(&error), "a sweep was cut short; the next one goes on");
                }
            }
        });
    }

    /// Lets every session go whose time is over; says how many there were.
    pub(super) async fn sweep(&self) -> Result<usize, StoreError> {
        let now = self.now();
        let mut expired = 0;
        let mut after = None;
        loop {
            let due = self.inner.store.due_sessions(now, after, limits::SWEEP_BATCH).await?;
            let Some(last) = due.last() else { break };
            // Those that stay, because somebody is at work in them, are not asked for again.
            after = last.terms.expires_at(last.life()).map(|moment| (moment, last.key));
            let (marked, lapsed) = self.mark(&due, now);
            let marked: HashSet<SessionKey> = marked.await?.into_iter().collect();
            expired += marked.len();
            let gone: Vec<&Session> = due.iter().filter(|session| marked.contains(&session.key)).collect();
            self.remove(&gone).await?;
            for session in lapsed {
                self.end_of_lifetime(session).await;
            }
            if self.is_draining() {
                break;
            }
        }
        if expired > 0 {
            tracing::info!(sessions = expired, "sessions expired");
        }
        self.remove_left_overs().await?;
        self.forget_old_commits(now).await?;
        self.note_key_uses(limits::KEY_USE_GRAIN).await?;
        Ok(expired)
    }

    /// Lets go of commits that are older than their session keeps them.
    async fn forget_old_commits(&self, now: Timestamp) -> Result<(), StoreError> {
        while self.inner.store.forget_old_commits(now, limits::SWEEP_BATCH).await? == limits::SWEEP_BATCH {}
        Ok(())
    }

    /// Marks those whose time is over and in whose lane nobody is, and gives
    /// those that are to be dropped in spite of who is there.
    ///
    /// The look at the lanes and the place in the store's line of writes are
    /// taken in one step, as a job takes its place in both
    /// ([`jobs`](super::jobs)). So a job that arrives at this moment either has
    /// its place already, and keeps its session; or it is written down after the
    /// mark, and runs without a session like any that names one which is gone
    /// (R3). A write over HTTP that is done between our look at the record and
    /// the mark has moved the expiry, and the mark passes the session by; one
    /// that comes after it finds no session, and is refused.
    fn mark<'d>(&self, due: &'d [Session], now: Timestamp) -> (Receipt<Vec<SessionKey>>, Vec<&'d Session>) {
        let _door = self.inner.door.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut expired, mut lapsed) = (Vec::new(), Vec::new());
        for session in due {
            let busy = self.inner.lanes.length(&lane_of(session)).busy;
            match session.terms.verdict(session.life(), now, busy) {
                Verdict::Keep => {}
                Verdict::Expire if SessionLife::on_record(session).after(&Move::DropIdle).is_ok() => {
                    expired.push(session.key);
                }
                Verdict::Expire => {}
                Verdict::Drop => lapsed.push(session),
            }
        }
        (self.inner.store.mark_expired(expired, now), lapsed)
    }

    /// A lifetime that is over while a job runs ends like a drop (R19).
    async fn end_of_lifetime(&self, session: &Session) {
        let visit = Visit { access: session.key.into(), session: session.clone() };
        match self.drop_because(&visit, "the lifetime of its session was over").await {
            // Somebody else dropped it first.
            Ok(_) | Err(Refusal::NoSession(_)) => {}
            Err(refusal) => tracing::warn!(session = %session.id, %refusal, "a session outlives its lifetime for now"),
        }
    }

    /// Removes what was marked and then left, because the store was too busy to
    /// remove it: gone within one sweep (R19). One in whose lane somebody still
    /// is goes when they give the turn back.
    async fn remove_left_overs(&self) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let marked = self.inner.store.marked_sessions(after, limits::SWEEP_BATCH).await?;
            let Some(last) = marked.last() else { return Ok(()) };
            after = Some(last.key);
            let left = |session: &&Session| !self.inner.lanes.length(&lane_of(session)).busy;
            self.remove(&marked.iter().filter(left).collect::<Vec<_>>()).await?;
        }
    }

    /// Removes marked sessions, a bounded amount in each commit.
    async fn remove(&self, sessions: &[&Session]) -> Result<(), StoreError> {
        let (mut keys, mut bytes) = (Vec::new(), 0);
        for session in sessions {
            keys.push(session.key);
            bytes += session.stored_bytes;
            if bytes >= limits::SWEEP_BYTES {
                self.inner.store.remove_marked(std::mem::take(&mut keys)).await?;
                bytes = 0;
            }
        }
        if keys.is_empty() { Ok(()) } else { self.inner.store.remove_marked(keys).await }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;
    use crate::clock::Clock;
    use crate::engine::CompileLimits;
    use crate::engine::Engine;
    use crate::engine::EngineConfig;
    use crate::limits::OPEN_FILES_MAX;
    use crate::model::caller::Owner;
    use crate::model::expiry::NewTerms;
    use crate::model::expiry::Terms;
    use crate::model::history::Retention;
    use crate::model::history::TransactionMode;
    use crate::model::params::ParamChanges;
    use crate::model::quota::Quota;
    use crate::model::session::QueueMode;
    use crate::model::session::SessionLimits;
    use crate::queue::admission::UnknownSessions;
    use crate::queue::slots::seats;
    use crate::service::Settings;
    use crate::store::Created;
    use crate::store::NewSession;
    use crate::store::SessionChanges;
    use crate::store::Store;
    use crate::store::StoreConfig;

    const MINUTE: Duration = Duration::from_secs(60);

    /// A service whose clock stands still, and which sweeps only when told to.
    struct Kit {
        home: TempDir,
        clock: Clock,
        service: Service,
    }

    impl Kit {
        async fn new() -> Kit {
            let clock = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
            let home = tempfile::tempdir().unwrap();
            let service = start(&home, &clock).await;
            service.create_tenant(owner().tenant).await.unwrap();
            Kit { home, clock, service }
        }

        /// The same data under a new server, at the same time.
        async fn restarted(self) -> Kit {
            let Kit { home, clock, service } = self;
            service.drain(Duration::ZERO).await;
            tokio::task::spawn_blocking(move || drop(service)).await.unwrap();
            let service = start(&home, &clock).await;
            Kit { home, clock, service }
        }

        fn create(&self, id: &str, terms: Terms) -> Receipt<Created> {
            self.service.inner.store.create_session(NewSession {
                id: id.parse().unwrap(),
                owner: owner(),
                queue: QueueMode::Wait,
                limits: SessionLimits::default(),
                terms,
                creator: None,
                params: [].into(),
                keyed: false,
                transaction: TransactionMode::Job,
                retention: Retention::default(),
                from: None,
                now: self.clock.now(),
            })
        }

        async fn session(&self, id: &str, terms: Terms) -> Session {
            let Created::New(session) = self.create(id, terms).await.unwrap() else { panic!("it is new") };
            session
        }

        async fn is_there(&self, id: &str) -> bool {
            self.service.session(&owner(), &id.parse().unwrap()).await.is_ok()
        }

        async fn write(&self, session: &Session) -> Result<(), Refusal> {
            let changes = ParamChanges::from([("touched".to_owned(), Some("yes".to_owned()))]);
            self.service.write_params(&visit(session), changes).await.map(|_| ())
        }
    }

    async fn start(home: &TempDir, clock: &Clock) -> Service {
        let (data, work) = (home.path().join("data"), Some(home.path().join("work")));
        let store = Store::open(StoreConfig {
            data,
            work,
            work_bytes_max: 1 << 20,
            quota: Quota { sessions: 200_000, ..Quota::of_machine(4, 1) },
        })
        .unwrap();
        let engine = Engine::start(EngineConfig {
            seats: seats(1),
            open_files_max: OPEN_FILES_MAX,
            memory_bytes_max: u64::MAX,
            compile: CompileLimits::default(),
        })
        .unwrap();
        let settings = Settings {
            slots: 1,
            queue_max: 10,
            unknown_sessions: UnknownSessions::Serialize,
            sweep_interval: Duration::from_secs(3_600),
            reply_timeout: Duration::from_secs(30),
        };
        Service::start(store, engine, settings, clock.clone()).await.unwrap()
    }

    fn owner() -> Owner {
        Owner { tenant: "t".parse().unwrap(), principal: "p".parse().unwrap() }
    }

    fn visit(session: &Session) -> Visit {
        Visit { access: session.key.into(), session: session.clone() }
    }

    fn idle(timeout: Duration) -> Terms {
        Terms { idle_timeout: Some(timeout), lifetime: None }
    }

    #[tokio::test]
    async fn r20_100_000_idle_sessions_expire_in_one_sweep_beside_work() {
        const MANY: usize = 100_000;
        let kit = Kit::new().await;
        let survivor = kit.session("survivor", idle(10 * MINUTE)).await;
        for batch in 0..MANY / 5_000 {
            let made = (0..5_000).map(|number| kit.create(&format!("s{batch}-{number}"), idle(MINUTE)));
            for made in made.collect::<Vec<_>>() {
                made.await.unwrap();
            }
        }
        assert_eq!(kit.service.sweep().await.unwrap(), 0);

        kit.clock.turn(MINUTE);
        let service = kit.service.clone();
        let sweep = tokio::spawn(async move { service.sweep().await });
        let mut writes = 0;
        while !sweep.is_finished() {
            kit.write(&survivor).await.unwrap();
            writes += 1;
        }

        assert_eq!(sweep.await.unwrap().unwrap(), MANY);
        assert!(writes > 10, "only {writes} writes got through beside the sweep");
        assert!(kit.is_there("survivor").await);
        assert!(!kit.is_there("s0-0").await);
        assert_eq!(kit.service.inner.store.marked_sessions(None, 10).await.unwrap(), []);
    }

    #[tokio::test]
    async fn r20_a_session_in_whose_lane_somebody_is_does_not_expire() {
        let kit = Kit::new().await;
        let session = kit.session("s", idle(MINUTE)).await;
        let turn = kit.service.inner.lanes.join(lane_of(&session)).turn().await;
        kit.clock.turn(10 * MINUTE);
        assert_eq!(kit.service.sweep().await.unwrap(), 0);
        let shown = kit.service.activity(&session).expires_at;
        assert_eq!(shown, Some(kit.clock.now().plus(MINUTE)), "it would be idle from now on");

        drop(turn);
        assert_eq!(kit.service.sweep().await.unwrap(), 1);
        assert!(!kit.is_there("s").await);
    }

    #[tokio::test]
    async fn r20_every_use_measures_the_idle_timeout_anew() {
        let kit = Kit::new().await;
        let session = kit.session("s", idle(MINUTE)).await;
        for _ in 0..3 {
            kit.clock.turn(MINUTE - Duration::from_secs(1));
            kit.write(&session).await.unwrap();
            assert_eq!(kit.service.sweep().await.unwrap(), 0);
        }
        // A look is no use.
        kit.clock.turn(MINUTE);
        assert!(kit.is_there("s").await);
        assert_eq!(kit.service.sweep().await.unwrap(), 1);
        assert!(kit.write(&session).await.is_err());
    }

    #[tokio::test]
    async fn r20_a_use_between_look_and_mark_saves_the_session() {
        let kit = Kit::new().await;
        let session = kit.session("s", idle(MINUTE)).await;
        kit.clock.turn(MINUTE);
        let now = kit.clock.now();
        let due = kit.service.inner.store.due_sessions(now, None, 10).await.unwrap();
        assert_eq!(due.len(), 1);
        kit.write(&session).await.unwrap();
        assert_eq!(kit.service.mark(&due, now).0.await.unwrap(), []);
        assert!(kit.is_there("s").await);
    }

    #[tokio::test]
    async fn r20_a_lifetime_ends_whatever_happens_meanwhile() {
        let kit = Kit::new().await;
        let terms = Terms { idle_timeout: Some(MINUTE), lifetime: Some(2 * MINUTE) };
        let session = kit.session("s", terms).await;
        kit.clock.turn(MINUTE - Duration::from_secs(1));
        kit.write(&session).await.unwrap();
        kit.clock.turn(MINUTE);
        kit.write(&session).await.unwrap();
        let _turn = kit.service.inner.lanes.join(lane_of(&session)).turn().await;
        kit.clock.turn(Duration::from_secs(1));
        kit.service.sweep().await.unwrap();
        assert!(!kit.is_there("s").await);
    }

    #[tokio::test]
    async fn r20_terms_can_be_changed_and_survive_a_restart() {
        let kit = Kit::new().await;
        let session = kit.session("s", Terms::default()).await;
        let terms = NewTerms { idle_timeout: Some(Some(MINUTE)), lifetime: None };
        let changed = kit
            .service
            .change_session(&visit(&session), None, SessionChanges { terms, ..SessionChanges::default() })
            .await
            .unwrap();
        assert_eq!(changed.terms, idle(MINUTE));
        let spared = kit.session("spared", idle(MINUTE)).await;
        let terms = NewTerms { idle_timeout: Some(None), lifetime: None };
        kit.service
            .change_session(&visit(&spared), None, SessionChanges { terms, ..SessionChanges::default() })
            .await
            .unwrap();

        kit.clock.turn(MINUTE);
        let kit = kit.restarted().await;
        assert_eq!(kit.service.sweep().await.unwrap(), 1);
        assert!(!kit.is_there("s").await && kit.is_there("spared").await);
    }
}
