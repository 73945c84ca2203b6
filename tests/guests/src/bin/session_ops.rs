//! Does with sessions and its directory what its arguments say, and prints the
//! answers: `create ID` (`-` lets the server choose), `rename ID`, `delete`,
//! `set NAME VALUE`, `get NAME`, `id`, `write FILE TEXT`, `progress WORD`,
//! `stay` (for an hour), `trap`.

use std::env;
use std::fs;
use std::thread;
use std::time::Duration;

use sessile_guest::job;
use sessile_guest::session;

fn main() {
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        let mut next = || words.next().expect("the word has an argument");
        match word.as_str() {
            "create" => {
                let id = next();
                println!("create {:?}", session::create(Some(id.as_str()).filter(|id| *id != "-")));
            }
            "rename" => println!("rename {:?}", session::rename(&next())),
            "delete" => println!("delete {:?}", session::delete()),
            "set" => println!("set {:?}", session::set_param(&next(), &next())),
            "get" => println!("get {:?}", session::param(&next())),
            "id" => println!("id {:?}", session::id()),
            "write" => fs::write(next(), next()).expect("the file can be written"),
            "progress" => job::progress(0.5, &next()),
            "stay" => thread::sleep(Duration::from_secs(3_600)),
            "trap" => std::process::abort(),
            other => panic!("`{other}` is not a word of this guest"),
        }
    }
}
