//! Leaves a trace in its memory and on its heap, and prints what an earlier instance left there: nothing.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

static SEEN: AtomicU64 = AtomicU64::new(0);

fn main() {
    println!("{}", SEEN.fetch_add(1, Ordering::Relaxed));
    // Fresh memory is zero; anything else here was left by another job.
    let fresh = vec![0_u8; 1 << 20];
    println!("{}", fresh.iter().filter(|byte| **byte != 0).count());
    let dirty = vec![0xAB_u8; 4 << 20];
    std::hint::black_box(&dirty);
}
