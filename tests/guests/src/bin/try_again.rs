//! Leaves its marks, and a file and a parameter that say which attempt it is, and exits with 3 before the attempt that
//! it is told. Told an id besides, it makes a session of that id first.

use sessile_guest::job;
use sessile_guest::session;

fn main() {
    let attempt = job::attempt();
    let good = guests::number(0).expect("an attempt");
    if let Some(id) = guests::arg(1) {
        println!("create {:?}", session::create(Some(&id)));
    }
    println!("attempt {attempt}");
    guests::leave_marks();
    std::fs::write(format!("/attempt-{attempt}"), "").expect("the directory takes a file");
    if session::active() {
        session::set_param("attempt", &attempt.to_string()).expect("a session takes a parameter");
    }
    if u64::from(attempt) < good {
        std::process::exit(3);
    }
}
