//! Does with parameters what its arguments say, and prints the answers:
//! `get NAME`, `set NAME VALUE`, `remove NAME`, `names`, `big BYTES`.

use std::env;

use sessile_guest::session;

fn main() {
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let mut next = || words.next().expect("the word has an argument");
        match word.as_str() {
            "get" => println!("{:?}", session::param(&next())),
            "set" => println!("{:?}", session::set_param(&next(), &next())),
            "remove" => println!("{:?}", session::remove_param(&next())),
            "names" => println!("{:?}", session::param_names()),
            "big" => {
                let bytes = next().parse().expect("a number of bytes");
                println!("{}", session::set_param("big", &"x".repeat(bytes)).is_ok());
            }
            other => panic!("`{other}` is not a word of this guest"),
        }
    }
}
