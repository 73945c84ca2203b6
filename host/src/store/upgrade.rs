//! From the tables of an older server to those of this one.
//!
//! Promise: an upgrade is one transaction. A crash in it leaves the old tables,
//! and a server that finds them does it again.

use rusqlite::Connection;
use rusqlite::params;

use crate::limits::HISTORY_DEFAULT;
use crate::store::error::StoreError;
use crate::store::job_ids::JobIds;
use crate::store::rows;
use crate::store::schema;
use crate::store::tables::JOB_CHANGES;
use crate::store::tables::JOBS;
use crate::store::tables::QUOTAS;
use crate::store::tables::SESSIONS;

/// Brings the tables of an older version up to this one's, step by step; says whether
/// they were of one.
pub(super) fn upgrade(db: &Connection) -> Result<bool, StoreError> {
    let before = schema::version(db)?;
    if before == 1 {
        from_1(db)?;
    }
    if schema::version(db)? == 2 {
        from_2(db)?;
    }
    if schema::version(db)? == 3 {
        from_3(db)?;
    }
    Ok(schema::version(db)? != before)
}

/// Version 1 kept no history: each session begins one at its last commit. Its
/// pieces of files lay in `chunk` itself.
fn from_1(db: &Connection) -> Result<(), StoreError> {
    db.execute_batch(
        "DROP INDEX session_expiry;
         DROP INDEX session_state;
         DROP INDEX session_marked;
         DROP INDEX session_creator;
         DROP INDEX node_link;
         ALTER TABLE session RENAME TO session_1;
         ALTER TABLE param RENAME TO param_1;
         ALTER TABLE node RENAME TO node_1;
         ALTER TABLE chunk RENAME TO chunk_1;",
    )?;
    db.execute_batch(SESSIONS)?;
    db.execute_batch(&format!(
        "INSERT INTO session (key, tenant, principal, id, state, queue, mode, limit_bytes, limit_files, kept_bytes,
             kept_files, used_bytes, used_files, version, oldest, uncommitted, step, tree_version, next_file,
             stored_bytes, past_bytes, history_commits, created_at, last_used_at, idle_timeout_us, lifetime_us,
             expires_at, creator, key_number)
         SELECT key, tenant, principal, id, state, queue, 'job', limit_bytes, limit_files, used_bytes,
             used_files, used_bytes, used_files, version, version, 0, version, tree_version,
             (SELECT coalesce(max(id), 0) + 1 FROM node_1), used_bytes, 0, {HISTORY_DEFAULT}, created_at,
             last_used_at, idle_timeout_us, lifetime_us, expires_at, creator, key_number
         FROM session_1;
         -- A number that was given is never given again, also if its session is gone.
         DELETE FROM sqlite_sequence WHERE name = 'session';
         INSERT INTO sqlite_sequence (name, seq) SELECT 'session', seq FROM sqlite_sequence WHERE name = 'session_1';
         INSERT INTO session_commit (session, number, at, cause, bytes, files, row_bytes)
         SELECT key, version, last_used_at, 'upgraded', used_bytes, used_files, 0 FROM session_1;
         INSERT INTO param (session, name, until, since, value)
         SELECT session, name, 0, version, value FROM param_1 JOIN session_1 ON key = session;
         INSERT INTO node (session, path, until, since, file, kind, size_bytes, modified_ns, stamp, target)
         SELECT session, path, 0, version, node_1.id, kind, size_bytes, modified_ns, version, target
         FROM node_1 JOIN session_1 ON key = session;
         INSERT INTO blob (id, bytes) SELECT rowid, bytes FROM chunk_1;
         INSERT INTO chunk (session, file, idx, until, since, length, hash, blob)
         SELECT session, node, idx, 0, version, length(bytes), chunk_1.hash, chunk_1.rowid
         FROM chunk_1 JOIN node_1 ON node_1.id = node JOIN session_1 ON key = session;
         DROP TABLE chunk_1;
         DROP TABLE node_1;
         DROP TABLE param_1;
         DROP TABLE session_1;
         ALTER TABLE api_key ADD COLUMN last_used_at INTEGER;
         ALTER TABLE job ADD COLUMN dry_run INTEGER NOT NULL DEFAULT 0;
         ALTER TABLE tenant ADD COLUMN sessions INTEGER NOT NULL DEFAULT 0;
         ALTER TABLE tenant ADD COLUMN stored_bytes INTEGER NOT NULL DEFAULT 0;
         ALTER TABLE tenant ADD COLUMN modules INTEGER NOT NULL DEFAULT 0;
         ALTER TABLE tenant ADD COLUMN module_bytes INTEGER NOT NULL DEFAULT 0;
         UPDATE tenant SET
             sessions = (SELECT count(*) FROM session WHERE tenant = name),
             stored_bytes = (SELECT coalesce(sum(stored_bytes), 0) FROM session WHERE tenant = name),
             modules = (SELECT count(*) FROM module_version AS version WHERE version.tenant = tenant.name),
             module_bytes =
                 (SELECT coalesce(sum(size_bytes), 0) FROM module_version AS version WHERE version.tenant = tenant.name);
         {QUOTAS}
         {JOB_CHANGES}
         UPDATE schema_version SET version = 2;"
    ))?;
    Ok(())
}

/// Version 2 had the ids of jobs in their index as they are. Its jobs are written anew, as
/// those of version 4 are.
fn from_2(db: &Connection) -> Result<(), StoreError> {
    // With the pragma, and without foreign keys, what belongs to jobs goes on to name `job`.
    db.execute_batch(
        "DROP INDEX job_owner;
         DROP INDEX job_live;
         PRAGMA legacy_alter_table = ON;
         ALTER TABLE job RENAME TO job_2;
         PRAGMA legacy_alter_table = OFF;",
    )?;
    db.execute_batch(JOBS)?;
    let ids = JobIds::choose(db)?;
    let next = "SELECT seq, id FROM job_2 WHERE seq > ?1 ORDER BY seq LIMIT 1000";
    let copy = format!("INSERT INTO job (place, {JOB_2}) SELECT ?2, {JOB_2} FROM job_2 WHERE seq = ?1");
    let mut last = i64::MIN;
    loop {
        let jobs = rows::all(db, next, [last], |row| Ok((row.get::<i64>("seq")?, rows::parsed(row, "id")?)))?;
        let Some((newest, _)) = jobs.last() else { break };
        last = *newest;
        for (seq, id) in &jobs {
            rows::change(db, &copy, params![seq, ids.place(id)])?;
        }
    }
    db.execute_batch(
        "-- As for sessions above.
         DELETE FROM sqlite_sequence WHERE name = 'job';
         INSERT INTO sqlite_sequence (name, seq) SELECT 'job', seq FROM sqlite_sequence WHERE name = 'job_2';
         DROP TABLE job_2;
         UPDATE schema_version SET version = 4;",
    )?;
    Ok(())
}

/// Version 3 ran each job at once, and once.
fn from_3(db: &Connection) -> Result<(), StoreError> {
    db.execute_batch(
        "ALTER TABLE job ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
         ALTER TABLE job ADD COLUMN not_before INTEGER;
         ALTER TABLE job ADD COLUMN retries INTEGER NOT NULL DEFAULT 0;
         ALTER TABLE job ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
         UPDATE schema_version SET version = 4;",
    )?;
    Ok(())
}

/// The columns of `job` in version 2.
const JOB_2: &str = "seq, tenant, principal, id, fingerprint, module, version, digest, kind, session_id, session_key,
    session_active, key_session, key_handed, on_crash, dry_run, delivery, limit_wall_us, limit_cpu_us, limit_memory,
    limit_output, state, attempt, reason, exit_code, detail, result, created_at, started_at, ended_at, wall_us, cpu_us,
    memory_peak, stdout_bytes, stderr_bytes, stdout_truncated, stderr_truncated";
