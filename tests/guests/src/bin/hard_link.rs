//! Asks for a second name for a file, and says what the host answered.

use std::fs;

fn main() {
    fs::write("/one.txt", "one").expect("the session takes a file");
    match fs::hard_link("/one.txt", "/two.txt") {
        Ok(()) => {
            fs::write("/two.txt", "both").expect("the second name can be written");
            println!("linked");
        }
        Err(_) => println!("refused"),
    }
}
