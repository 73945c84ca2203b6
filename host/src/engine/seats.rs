//! The seats: threads that do nothing but run guests, one at a time each.
//!
//! Promise: a guest that computes without end, or panics in one of our own
//! functions, harms its own run and nothing else; the seat lives on. A guest that
//! begins elsewhere ([`brief`](super::brief)) is there for a moment only.

use std::any::Any;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc;
use std::task::Poll;
use std::thread::JoinHandle;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::brief::Stretch;
use super::cache::Cache;
use super::cache::Loaded;
use super::live::Live;
use super::order::Ran;
use super::order::RightToCompute;
use super::order::RunOrder;
use super::run;
use super::run::Stay;
use super::state::House;
use crate::model::job::Spent;

/// How much the kernel prefers every other thread of the server: with guests at
/// this nice value a plain request waits 1 to 2 ms while all slots are used.
const NICE: i32 = 10;

/// The threads. They end when this is dropped.
pub(super) struct Seats {
    seats: Vec<Seat>,
    house: House,
}

struct Seat {
    // Dropped before the thread is waited for, which ends its loop.
    line: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

/// A guest's run, which goes on wherever it is polled.
type Run = Pin<Box<dyn Future<Output = Ran> + Send>>;

/// A run on its way to a seat.
struct Work {
    run: Run,
    stay: Stay,
    /// To be told how its first stretch goes, if it has had none.
    habits: Option<Arc<Loaded>>,
    answer: oneshot::Sender<Ran>,
}

impl Seats {
    /// Starts `count` threads, whose guests hold at most that many files open each.
    pub(super) fn start(count: usize, house: &House) -> io::Result<Self> {
        let seats = (0..count).map(Seat::start).collect::<io::Result<_>>()?;
        Ok(Self { seats, house: house.clone() })
    }

    /// What all guests hold of memory together, and the most that they may.
    pub(super) fn memory(&self) -> (u64, u64) {
        self.house.memory.stand()
    }

    /// Runs one guest on the seat with that number, or here if it is done at once.
    pub(super) async fn run(
        &self,
        seat: usize,
        cache: Arc<Cache>,
        mut order: RunOrder,
        right: Box<dyn RightToCompute>,
    ) -> Ran {
        // Dropped with this future: nobody waits for a guest that goes on.
        let stop = CancellationToken::child_token(&order.stop);
        let _stops_when_dropped = stop.clone().drop_guard();
        order.stop = stop;
        let live = order.live.clone();
        let mut habits = cache.at_hand(&order.program);
        let begins_here = order.is_light && habits.as_ref().is_some_and(|module| module.habits.are_brief());
        let stay = Stay::new(&order.limits);
        let mut run: Run = Box::pin(carry_out(cache, order, right, self.house.clone(), stay.clone()));
        if begins_here {
            let (ran, stretch) = first_stretch(&mut run, &stay, false).await;
            if let Some(module) = habits.take() {
                module.habits.note(stretch);
            }
            match ran {
                Poll::Ready(ran) => return ran,
                Poll::Pending => stay.cpu.leave(),
            }
        }
        let (answer, ran) = oneshot::channel();
        let seat = self.seats.get(seat).expect("the queue hands out only seats that exist");
        let line = seat.line.as_ref().expect("the line is taken only when the seats are dropped");
        // A seat whose thread is gone answers like one that panicked. The line's end is seen below.
        let _ = line.send(Work { run, stay, habits, answer });
        ran.await.unwrap_or_else(|_| {
            live.close();
            Ran::broken(&live)
        })
    }
}

impl Seat {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (line, works) = mpsc::channel::<Work>();
        let name = format!("seat-{number}");
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            if let Err(error) = rustix::process::nice(NICE) {
                tracing::warn!(%error, "guests run at the priority of everything else");
            }
            while let Ok(work) = works.recv() {
                runtime.block_on(work.sit());
            }
        })?;
        Ok(Self { line: Some(line), thread: Some(thread) })
    }
}

impl Work {
    async fn sit(self) {
        let Work { mut run, stay, habits, answer } = self;
        stay.seated.now();
        let (ran, stretch) = first_stretch(&mut run, &stay, true).await;
        if let Some(module) = habits {
            module.habits.note(stretch);
        }
        let ran = match ran {
            Poll::Ready(ran) => ran,
            Poll::Pending => run.await,
        };
        // Nobody waits any more if the future of the run was dropped.
        let _ = answer.send(ran);
    }
}

/// Lets a run go on on this thread, up to where it ends or waits for the first time.
async fn first_stretch(run: &mut Run, stay: &Stay, on_seat: bool) -> (Poll<Ran>, Stretch) {
    stay.cpu.come();
    let ran = futures_util::poll!(run);
    let cpu = match &ran {
        Poll::Ready(ran) => ran.spent.cpu,
        Poll::Pending => stay.cpu.spent(),
    };
    let stretch = Stretch { cpu, ended: ran.is_ready(), on_seat };
    (ran, stretch)
}

async fn carry_out(
    cache: Arc<Cache>,
    order: RunOrder,
    mut right: Box<dyn RightToCompute>,
    house: House,
    stay: Stay,
) -> Ran {
    let live: Arc<Live> = order.live.clone();
    let job = order.job.clone();
    let ran = AssertUnwindSafe(run::run(&cache, order, &mut *right, &house, &stay)).catch_unwind().await;
    let ran = ran.unwrap_or_else(|panic| {
        tracing::error!(%job, panic = panic_text(&*panic), "the engine panicked in a run");
        let spent = Spent { cpu: stay.cpu.spent(), ..Spent::default() };
        Ran { spent, ..Ran::broken(&live) }
    });
    live.close();
    drop(right);
    ran
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

impl Drop for Seats {
    fn drop(&mut self) {
        for seat in &mut self.seats {
            drop(seat.line.take());
        }
        for seat in &mut self.seats {
            if let Some(thread) = seat.thread.take() {
                // A panic there has been logged by the panic hook.
                let _ = thread.join();
            }
        }
    }
}
