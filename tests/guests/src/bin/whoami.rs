//! Prints all that a job is told: arguments, environment, stdin, job and session.

use std::env;
use std::io::Read;

fn main() {
    for (n, arg) in env::args().enumerate() {
        println!("arg {n} {arg}");
    }
    let mut vars: Vec<_> = env::vars().collect();
    vars.sort();
    for (name, value) in vars {
        println!("env {name}={value}");
    }
    let mut stdin = String::new();
    std::io::stdin().read_to_string(&mut stdin).expect("stdin can be read");
    println!("stdin {stdin}");
    println!("session-active {}", sessile_guest::session::active());
    println!("session-id {:?}", sessile_guest::session::id());
    println!("job-id {}", sessile_guest::job::id());
    println!("attempt {}", sessile_guest::job::attempt());
    eprintln!("this is stderr");
}
