//! The line and the slot: who is next, and where there is room to run.
//!
//! Comes in: a job that [`admission`] has let in, or a write over HTTP.
//! Goes out: a [`lanes::Turn`] and a [`slots::Slot`], held while it works.
//!
//! Promise: everything is taken in one order, first the turn in the lane, then
//! a seat with a slot, and given back in reverse. A job that waits for its turn never
//! holds a slot, so a long lane cannot starve the others; and since nobody
//! takes a turn while holding a slot, nobody waits in a circle.
//!
//! Not here: what a job does with its turn (`engine`), and what it leaves
//! behind (`store`).

pub mod admission;
pub mod lanes;
pub mod shares;
pub mod slots;
pub mod compilers;

#[cfg(test)]
mod tests;
