//! Does with sessions and its directory what its arguments say, and prints the
//! answers: `create ID` (`-` lets the server choose), `rename ID`, `delete`,
//! `commit`, `rollback`, `set NAME VALUE`, `get NAME`, `id`, `write FILE TEXT`,
//! `read FILE`, `remove FILE`, `hold FILE` (open until the end), `progress WORD`,
//! `stay` (for an hour), `stay-before N` (only before the `N`th attempt), `trap`.

use std::env;
use std::fs;
use std::thread;
use std::time::Duration;

use sessile_guest::job;
use sessile_guest::session;

fn main() {
    let mut words = env::args().skip(1);
    let mut held = Vec::new();
    while let Some(word) = words.next() {
        let mut next = || words.next().expect("the word has an argument");
        match word.as_str() {
            "create" => {
                let id = next();
                println!("create {:?}", session::create(Some(id.as_str()).filter(|id| *id != "-")));
            }
            "rename" => println!("rename {:?}", session::rename(&next())),
            "delete" => println!("delete {:?}", session::delete()),
            "commit" => println!("commit {:?}", session::commit()),
            "rollback" => println!("rollback {:?}", session::rollback()),
            "set" => println!("set {:?}", session::set_param(&next(), &next())),
            "get" => println!("get {:?}", session::param(&next())),
            "id" => println!("id {:?}", session::id()),
            "write" => fs::write(next(), next()).expect("the file can be written"),
            "read" => println!("read {:?}", fs::read_to_string(next()).ok()),
            "remove" => println!("remove {:?}", fs::remove_file(next()).is_ok()),
            "hold" => held.push(fs::File::open(next()).expect("the file can be opened")),
            "progress" => job::progress(0.5, &next()),
            "stay" => stay(),
            "stay-before" => {
                let attempt: u32 = next().parse().expect("a number");
                if job::attempt() < attempt {
                    stay();
                }
            }
            "trap" => std::process::abort(),
            other => panic!("`{other}` is not a word of this guest"),
        }
    }
}

fn stay() {
    thread::sleep(Duration::from_secs(3_600));
}
