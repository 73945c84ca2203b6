//! Leaves its marks, then traps.

fn main() {
    guests::leave_marks();
    guests::trap();
}
