//! For `cargo xtask bench`: fills a server's database with sessions, faster than
//! a server is asked for them one after the other.
//!
//! Comes in: the path of the database of a server that does not run, the id of a
//! session without files in it, and how many more are to be like it.
//! Goes out: nothing; `sessile check` finds what it made sound.

use std::error::Error;

use rusqlite::Connection;
use rusqlite::params;

const NUMBERS: &str = "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?2)";

fn main() -> Result<(), Box<dyn Error>> {
    let [path, pattern, count] = <[String; 3]>::try_from(std::env::args().skip(1).collect::<Vec<_>>())
        .map_err(|_| "the arguments are a database, the id of a session and a number")?;
    let count: i64 = count.parse()?;
    let mut db = Connection::open(path)?;
    let changes = db.transaction()?;
    let columns = columns(&changes)?;
    let values: Vec<_> =
        columns.iter().map(|name| if name == "id" { "pattern.id || '-' || n" } else { name.as_str() }).collect();
    let insert = format!(
        "{NUMBERS} INSERT INTO session ({}) SELECT {} FROM number, session AS pattern WHERE pattern.id = ?1",
        columns.join(", "),
        values.join(", ")
    );
    changes.execute(&insert, params![pattern, count])?;
    changes.execute(
        "INSERT INTO session_commit SELECT made.key, number, at, cause, job, bytes, files, row_bytes
         FROM session AS pattern, session_commit ON session = pattern.key, session AS made
         WHERE pattern.id = ?1 AND made.key > pattern.key",
        [&pattern],
    )?;
    let held = "UPDATE tenant SET sessions = sessions + ?2 WHERE name = (SELECT tenant FROM session WHERE id = ?1)";
    changes.execute(held, params![pattern, count])?;
    Ok(changes.commit()?)
}

/// Those of a session but for its number, which SQLite gives.
fn columns(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut query = db.prepare("SELECT name FROM pragma_table_info('session') WHERE name <> 'key'")?;
    query.query_map([], |row| row.get(0))?.collect()
}
