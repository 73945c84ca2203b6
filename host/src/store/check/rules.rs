//! What holds in a sound database, as queries that find nothing there.
//!
//! Promise: a rule follows from what the tables promise, and not from how the
//! server happens to fill them; so it holds after each commit, whatever made it.
//! Each rule costs at most a look at what it is about.

/// Which session a rule has found; stands for `{session}` in the rules, as
/// `{piece}` does for the length of a piece.
pub(super) const SESSION: &str =
    "'session ' || session.id || ' of ' || session.tenant || '/' || session.principal || ' (' || session.key || ')'";

/// The query, and what it means if it finds something.
pub(super) type Rule = (&'static str, &'static str);

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Rule> {
    CONTENT.iter().chain(COUNTS).chain(HISTORY).chain(RECORDS)
}

/// Files and their pieces, at each commit that is kept and in the open transaction.
/// A row is looked at as of the first commit that is kept and has it. (`0 +` keeps
/// SQLite from the index by commit, in which a whole session is one entry.)
const CONTENT: &[Rule] = &[
    (
        "SELECT 'blob ' || id AS what FROM blob WHERE id NOT IN (SELECT blob FROM chunk WHERE blob IS NOT NULL)",
        "no file needs it",
    ),
    (
        "SELECT 'file ' || path || ' in ' || {session} AS what FROM session JOIN node ON session = key
         WHERE kind = 'file' AND (until = 0 OR until > oldest) AND
             ((size_bytes + {piece} - 1) / {piece}, size_bytes, 0) <>
             (SELECT count(*), coalesce(sum(length), 0),
                  coalesce(sum(length <> min({piece}, size_bytes - idx * {piece})), 0)
              FROM chunk WHERE chunk.session = key AND chunk.file = node.file
                  AND 0 + chunk.since <= max(node.since, oldest)
                  AND (chunk.until = 0 OR chunk.until > max(node.since, oldest)))",
        "its pieces do not make up what it is on record as",
    ),
    (
        "SELECT 'file ' || file || ' in ' || {session} AS what FROM session JOIN chunk ON session = key
         WHERE until = 0 AND (key, file) NOT IN (SELECT session, file FROM node WHERE until = 0 AND kind = 'file')",
        "it is gone, and its pieces are not",
    ),
    (
        "SELECT 'file ' || file || ' in ' || {session} AS what FROM session JOIN chunk ON session = key
         WHERE uncommitted AND 0 + since <= version AND (until = 0 OR until > version)
             AND (key, file) NOT IN (SELECT node.session, file FROM session AS its JOIN node ON node.session = its.key
                 WHERE kind = 'file' AND 0 + since <= its.version AND (until = 0 OR until > its.version))",
        "it was not there at the last commit, and its pieces were",
    ),
    (
        "SELECT kind || ' ' || path || ' in ' || {session} AS what FROM session JOIN node AS inner ON session = key
         WHERE path LIKE '%/%' AND (until = 0 OR until > oldest) AND NOT EXISTS (SELECT 1 FROM node AS outer
             WHERE outer.session = key AND outer.kind = 'directory'
                 AND outer.path = rtrim(rtrim(inner.path, replace(inner.path, '/', '')), '/')
                 AND 0 + outer.since <= max(inner.since, oldest)
                 AND (outer.until = 0 OR outer.until > max(inner.since, oldest)))",
        "it lies in no directory",
    ),
    (
        "SELECT kind || ' ' || path || ' in ' || {session} AS what FROM session JOIN node ON session = key
         WHERE kind NOT IN ('file', 'directory', 'link') OR (kind = 'link') <> (target IS NOT NULL)
             OR node.file >= next_file OR stamp > step",
        "its record contradicts itself",
    ),
];

/// What the row of a session or a tenant says of the rest.
const COUNTS: &[Rule] = &[
    (
        "SELECT 'tenant ' || name AS what FROM tenant WHERE (sessions, stored_bytes) <>
             (SELECT count(*), coalesce(sum(session.stored_bytes), 0) FROM session WHERE session.tenant = name)",
        "its count of sessions or of their stored bytes is wrong",
    ),
    (
        "SELECT 'tenant ' || tenant.name AS what FROM tenant WHERE (modules, module_bytes) <>
             (SELECT count(*), coalesce(sum(size_bytes), 0) FROM module_version AS found
              WHERE found.tenant = tenant.name)",
        "its count of modules or of their bytes is wrong",
    ),
    (
        "SELECT {session} AS what FROM session WHERE stored_bytes <>
             (SELECT coalesce(sum(length), 0) FROM chunk WHERE session = key AND blob IS NOT NULL)",
        "its count of stored bytes is wrong",
    ),
    (
        "SELECT {session} AS what FROM session WHERE past_bytes <>
             (SELECT coalesce(sum(length), 0) FROM chunk WHERE session = key AND blob IS NOT NULL AND until > 0)",
        "its count of bytes of earlier commits is wrong",
    ),
    (
        "SELECT {session} AS what FROM session WHERE (used_bytes, used_files) <>
             (SELECT coalesce(sum(CASE WHEN kind = 'file' THEN size_bytes ELSE 0 END), 0), count(*) FROM node
              WHERE session = key AND until = 0)",
        "its count of bytes or files is wrong",
    ),
    (
        "SELECT {session} AS what FROM session JOIN session_commit ON session = key AND number = version
         WHERE (kept_bytes, kept_files) <> (bytes, files)",
        "its count of bytes or files as of its last commit is wrong",
    ),
];

/// Commits, and which rows belong to them.
const HISTORY: &[Rule] = &[
    (
        "SELECT {session} AS what FROM session JOIN session_commit ON session = key
         WHERE (bytes, files) <>
             (SELECT coalesce(sum(CASE WHEN kind = 'file' THEN size_bytes ELSE 0 END), 0), count(*) FROM node
              WHERE session = key AND since <= number AND (until = 0 OR until > number))",
        "one of its commits does not hold what is on record",
    ),
    (
        "SELECT {session} AS what FROM session WHERE version - oldest + 1 <>
             (SELECT count(*) FROM session_commit WHERE session = key AND number BETWEEN oldest AND version)",
        "its commits are not all on record",
    ),
    (
        "SELECT {session} AS what FROM session WHERE
             EXISTS (SELECT 1 FROM node WHERE session = key
                 AND (max(since, until) > version + uncommitted OR min(since, until) < 0
                     OR typeof(since) || typeof(until) <> 'integerinteger'))
             OR EXISTS (SELECT 1 FROM chunk WHERE session = key
                 AND (max(since, until) > version + uncommitted OR min(since, until) < 0
                     OR typeof(since) || typeof(until) <> 'integerinteger'))
             OR EXISTS (SELECT 1 FROM param WHERE session = key
                 AND (max(since, until) > version + uncommitted OR min(since, until) < 0
                     OR typeof(since) || typeof(until) <> 'integerinteger'))
             OR EXISTS (SELECT 1 FROM session_commit WHERE session = key AND number > version)",
        "something in it belongs to no commit",
    ),
    (
        "SELECT {session} AS what FROM session WHERE
             EXISTS (SELECT 1 FROM node WHERE session = key AND until > 0 AND (until < oldest OR until <= since))
             OR EXISTS (SELECT 1 FROM chunk WHERE session = key AND until > 0 AND (until <= oldest OR until <= since))
             OR EXISTS (SELECT 1 FROM param WHERE session = key AND until > 0 AND (until < oldest OR until <= since))
             OR EXISTS (SELECT 1 FROM session_commit WHERE session = key AND number < oldest)",
        "something in it is older than all commits that are kept",
    ),
    (
        "SELECT {session} AS what FROM session WHERE uncommitted <> 0 AND mode <> 'explicit' OR tree_version > step",
        "its record contradicts itself",
    ),
    (
        "SELECT 'session ' || session AS what FROM
             (SELECT session FROM node UNION SELECT session FROM chunk UNION SELECT session FROM param
              UNION SELECT session FROM session_commit)
         WHERE session NOT IN (SELECT key FROM session)",
        "it is gone, and something of it is not",
    ),
];

/// Tenants, modules and jobs. A job may name a session that is gone, so what
/// it says of that is not held against it.
const RECORDS: &[Rule] = &[
    (
        "SELECT what FROM
             (SELECT tenant, {session} AS what FROM session
              UNION ALL SELECT tenant, 'quota ' || name || ' of ' || tenant FROM tenant_quota
              UNION ALL SELECT tenant, 'key ' || id || ' of ' || tenant FROM api_key
              UNION ALL SELECT tenant, 'module ' || name || ' of ' || tenant FROM module
              UNION ALL SELECT tenant, 'job ' || id || ' of ' || tenant || '/' || principal FROM job)
         WHERE tenant NOT IN (SELECT name FROM tenant)",
        "its tenant is gone",
    ),
    (
        "SELECT 'module ' || name || ' of ' || tenant AS what FROM module_version AS found
         WHERE NOT EXISTS (SELECT 1 FROM module WHERE module.tenant = found.tenant AND module.name = found.name
             AND next_version > version)",
        "the number of one of its versions may be given again",
    ),
    (
        "SELECT 'job ' || id || ' of ' || tenant || '/' || principal AS what FROM job
         WHERE (ended_at IS NULL) <> (state IN ('queued', 'running'))
             OR state NOT IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')
             OR failures > min(attempt, retries)
             OR (ended_at IS NULL) <> EXISTS (SELECT 1 FROM job_input WHERE job = seq)",
        "its record contradicts itself",
    ),
    (
        "SELECT 'job ' || job.id || ' of ' || job.tenant || '/' || job.principal AS what
         FROM job JOIN session ON session.key = key_session WHERE key_handed > key_number",
        "it was handed a session key that its session has not reached",
    ),
    (
        "SELECT what FROM
             (SELECT 'session' AS name, 'the last session' AS what, (SELECT max(key) FROM session) AS newest
              UNION ALL SELECT 'job', 'the last job', (SELECT max(seq) FROM job)) AS last
         WHERE newest > coalesce((SELECT seq FROM sqlite_sequence WHERE sqlite_sequence.name = last.name), 0)",
        "its number may be given again",
    ),
];
