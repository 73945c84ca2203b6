//! Tasks that let others go first, as often as chance says: what they find when they
//! go on is then something else in each run (B39).

use std::cell::RefCell;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;

use crate::store::tests::power::Dice;

thread_local! {
    static DICE: RefCell<Option<Dice>> = const { RefCell::new(None) };
}

/// While it lives, tasks of this thread's runtime are late. Elsewhere none is.
pub(crate) struct Chance;

impl Chance {
    pub(crate) fn new(dice: Dice) -> Chance {
        DICE.set(Some(dice));
        Chance
    }
}

impl Drop for Chance {
    fn drop(&mut self) {
        DICE.set(None);
    }
}

/// How many others go first: mostly none, and now and then as many as come in the
/// time of a commit.
fn roll() -> u64 {
    DICE.with_borrow_mut(|dice| {
        let Some(dice) = dice else { return 0 };
        let longest = 1 << dice.roll(9);
        if dice.roll(2) == 0 { 0 } else { dice.roll(longest) }
    })
}

/// Work that is late.
pub(crate) struct Late<W> {
    work: Pin<Box<W>>,
    /// How many others go first; rolled whenever there is something to do.
    before_us: Option<u64>,
}

pub(crate) fn late<W: Future>(work: W) -> Late<W> {
    Late { work: Box::pin(work), before_us: None }
}

impl<W: Future> Future for Late<W> {
    type Output = W::Output;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<W::Output> {
        let before_us = self.before_us.get_or_insert_with(roll);
        if *before_us > 0 {
            *before_us -= 1;
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.before_us = None;
        self.work.as_mut().poll(task)
    }
}
