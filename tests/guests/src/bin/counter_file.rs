//! Counts in a file and in a parameter, both read, increased and written back,
//! and gives the new count as its result. Told `trap`, it traps after that.

use std::fs;

fn main() {
    let in_file = fs::read_to_string("/counter").map_or(0, |text| text.parse::<u64>().expect("a number")) + 1;
    let in_param =
        sessile_guest::session::param("counter").map_or(0, |text| text.parse::<u64>().expect("a number")) + 1;
    fs::write("/counter", in_file.to_string()).expect("the session takes a file");
    sessile_guest::session::set_param("counter", &in_param.to_string()).expect("the session takes a parameter");
    sessile_guest::job::set_result(&in_param.to_string()).expect("a number is JSON");
    if guests::arg(0).as_deref() == Some("trap") {
        guests::trap();
    }
}
