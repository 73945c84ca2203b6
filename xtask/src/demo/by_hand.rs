//! The demo as one would type it, with curl and a server that stays.

use crate::tell;

const START: &str = r#"cargo run -- serve --dev --data ./sessile-data --listen 127.0.0.1:7777"#;

const REST: &str = r#"export KEY=…                      # the dev_key in the line that it prints
export AUTH="Authorization: Bearer $KEY"
export S=http://127.0.0.1:7777

curl -H "$AUTH" -T target/guests/wasm32-wasip1/guest/letter.wasm $S/v1/modules/letter
curl -H "$AUTH" --json '{"id": "order-book", "params": {"sender": "Molen De Hoop"}}' $S/v1/sessions
curl -H "$AUTH" -T examples/letter/data.xml $S/v1/sessions/order-book/files/data.xml
curl -H "$AUTH" -H 'Prefer: wait=60' --json '{"module": "letter", "session": "order-book"}' $S/v1/jobs
curl -H "$AUTH" $S/v1/sessions/order-book/files/letter.html
curl -H "$AUTH" $S/v1/sessions/order-book/params

# One that fails after it has written everything, and leaves nothing:
curl -H "$AUTH" -H 'Prefer: wait=60' --json '{"module": "letter", "session": "order-book", "args": ["--fail-after-writing"]}' $S/v1/jobs
curl -H "$AUTH" $S/v1/sessions/order-book/params/letters_written"#;

/// Prints the lines to copy.
pub(super) fn show() {
    tell::say("a server that stays, in one terminal:");
    println!("\n{START}\n");
    tell::say("and in another, from this directory:");
    println!("\n{REST}");
}
