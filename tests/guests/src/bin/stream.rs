//! Does what its arguments say, one after another: leaves marks, copies stdin, prints, floods, spins, fails.

use std::io;
use std::io::Read;
use std::io::Write;

fn main() {
    for order in std::env::args().skip(1) {
        let (word, rest) = order.split_once('=').unwrap_or((&order, ""));
        match word {
            "marks" => guests::leave_marks(),
            "echo" => echo(),
            "print" => print(rest.as_bytes()),
            "flood" => (0..rest.parse().expect("a number of blocks")).for_each(|_| print(&[b'x'; 64 << 10])),
            "spin" => loop {
                std::hint::black_box(());
            },
            "sleep" => std::thread::sleep(std::time::Duration::from_secs(3_600)),
            "exit" => std::process::exit(rest.parse().expect("a code")),
            _ => panic!("{order} is no order"),
        }
    }
}

fn echo() {
    let mut block = vec![0; 64 << 10];
    loop {
        match io::stdin().read(&mut block).expect("stdin can be read") {
            0 => return,
            count => print(&block[..count]),
        }
    }
}

fn print(bytes: &[u8]) {
    io::stdout().write_all(bytes).and_then(|()| io::stdout().flush()).expect("stdout takes bytes");
}
