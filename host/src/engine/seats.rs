//! The seats: threads that do nothing but run guests, one at a time each.
//!
//! Promise: a guest that computes without end, or panics in one of our own
//! functions, harms its own run and nothing else; the seat lives on.

use std::any::Any;
use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;

use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::cache::Cache;
use super::live::Live;
use super::order::Ran;
use super::order::RightToCompute;
use super::order::RunOrder;
use super::run;
use super::state::House;

/// How much the kernel prefers every other thread of the server: with guests at
/// this nice value a plain request waits 1 to 2 ms while all slots are used.
const NICE: i32 = 10;

/// The threads. They end when this is dropped.
pub(super) struct Seats {
    seats: Vec<Seat>,
}

struct Seat {
    // Dropped before the thread is waited for, which ends its loop.
    line: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
}

struct Work {
    cache: Arc<Cache>,
    order: RunOrder,
    right: Box<dyn RightToCompute>,
    answer: oneshot::Sender<Ran>,
}

impl Seats {
    /// Starts `count` threads, whose guests hold at most that many files open each.
    pub(super) fn start(count: usize, house: &House) -> io::Result<Self> {
        let seats = (0..count).map(|number| Seat::start(number, house.clone())).collect::<io::Result<_>>()?;
        Ok(Self { seats })
    }

    /// Runs one guest on the seat with that number.
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
        let (answer, ran) = oneshot::channel();
        let seat = self.seats.get(seat).expect("the queue hands out only seats that exist");
        let line = seat.line.as_ref().expect("the line is taken only when the seats are dropped");
        // A seat whose thread is gone answers like one that panicked. The line's end is seen below.
        let _ = line.send(Work { cache, order, right, answer });
        ran.await.unwrap_or_else(|_| {
            live.close();
            Ran::broken(&live)
        })
    }
}

impl Seat {
    fn start(number: usize, house: House) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (line, works) = mpsc::channel::<Work>();
        let name = format!("seat-{number}");
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            if let Err(error) = rustix::process::nice(NICE) {
                tracing::warn!(%error, "guests run at the priority of everything else");
            }
            while let Ok(work) = works.recv() {
                runtime.block_on(work.carry_out(&house));
            }
        })?;
        Ok(Self { line: Some(line), thread: Some(thread) })
    }
}

impl Work {
    async fn carry_out(self, house: &House) {
        let Work { cache, order, mut right, answer } = self;
        let live: Arc<Live> = order.live.clone();
        let job = order.job.clone();
        let ran = AssertUnwindSafe(run::run(&cache, order, &mut *right, house)).catch_unwind().await;
        let ran = ran.unwrap_or_else(|panic| {
            tracing::error!(%job, panic = panic_text(&*panic), "the engine panicked in a run");
            Ran::broken(&live)
        });
        live.close();
        drop(right);
        // Nobody waits any more if the future of the run was dropped.
        let _ = answer.send(ran);
    }
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
