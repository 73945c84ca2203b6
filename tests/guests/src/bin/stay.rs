//! Changes nothing and waits until it is cancelled: the gate by which a test holds a session's line or a slot.

fn main() {
    std::thread::sleep(std::time::Duration::from_secs(3_600));
}
