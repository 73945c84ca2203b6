//! What xtask says while it works: one line per step.

/// Says what comes next.
pub(crate) fn step(what: &str) {
    println!("\n==> {what}");
}

/// Says what came of it.
pub(crate) fn say(what: &str) {
    println!("    {what}");
}

/// Shows a text of several lines, set apart.
pub(crate) fn show(text: &str) {
    for line in text.lines() {
        println!("    | {line}");
    }
}
