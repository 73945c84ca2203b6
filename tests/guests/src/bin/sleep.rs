//! Leaves its marks, then waits in a host call for an hour, or as many milliseconds as it is told.

use std::time::Duration;

fn main() {
    guests::leave_marks();
    std::thread::sleep(Duration::from_millis(guests::number(0).unwrap_or(3_600_000)));
}
