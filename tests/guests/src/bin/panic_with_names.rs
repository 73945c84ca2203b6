//! Panics three calls deep, in functions whose names a backtrace should show.

#[inline(never)]
fn reads_the_order() {
    adds_up_the_lines(std::hint::black_box(0));
}

#[inline(never)]
fn adds_up_the_lines(lines: u32) {
    assert!(std::hint::black_box(lines) > 0, "an order without lines");
}

fn main() {
    reads_the_order();
    std::hint::black_box(());
}
