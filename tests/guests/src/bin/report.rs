//! Reports progress and a result: the JSON that it is told.

fn main() {
    let result = guests::arg(0).expect("a result");
    sessile_guest::job::progress(0.5, "half way");
    println!("{}", sessile_guest::job::set_result(&result).is_ok());
    if guests::arg(1).as_deref() == Some("sleep") {
        std::thread::sleep(std::time::Duration::from_secs(3_600));
    }
}
