//! The tables.
//!
//! Promise: they use nothing that PostgreSQL lacks; dialect is confined to
//! [`schema`](super::schema).
//!
//! What a session held at a commit is all rows that were true then; what a
//! commit changed is all rows that begin or end with it. So a rollback, a list of
//! changes and the removal of an old commit each cost what changed.

/// Tenants, their keys and their modules.
pub(super) const TENANTS: &str = "
CREATE TABLE schema_version (version INTEGER NOT NULL);

CREATE TABLE tenant (
    name        TEXT PRIMARY KEY NOT NULL,
    created_at  INTEGER NOT NULL,             -- all times: microseconds since 1970
    -- What it holds, so that nobody has to count for each write.
    sessions     INTEGER NOT NULL DEFAULT 0,
    stored_bytes INTEGER NOT NULL DEFAULT 0,  -- of its sessions
    modules      INTEGER NOT NULL DEFAULT 0,  -- versions
    module_bytes INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE api_key (
    tenant      TEXT NOT NULL,
    id          TEXT NOT NULL,
    hash        BLOB NOT NULL UNIQUE,         -- the key itself is stored nowhere
    principal   TEXT NOT NULL,
    scopes      TEXT NOT NULL,                -- words, with a space between
    created_at  INTEGER NOT NULL,
    last_used_at INTEGER,                     -- to the minute or so; none: never
    PRIMARY KEY (tenant, id)
);

-- Outlives its versions, so that no version number is used twice.
CREATE TABLE module (
    tenant       TEXT NOT NULL,
    name         TEXT NOT NULL,
    next_version INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
);
CREATE TABLE module_version (
    tenant      TEXT NOT NULL,
    name        TEXT NOT NULL,
    version     INTEGER NOT NULL,
    digest      BLOB NOT NULL,
    size_bytes  INTEGER NOT NULL,
    kind        TEXT NOT NULL,
    state       TEXT NOT NULL,
    reason      TEXT,                         -- of a rejected one
    imports     TEXT NOT NULL,                -- a JSON array of names
    created_at  INTEGER NOT NULL,
    created_by  TEXT NOT NULL,
    PRIMARY KEY (tenant, name, version)
);
CREATE INDEX module_version_digest ON module_version (digest);
CREATE TABLE artefact (
    digest      BLOB NOT NULL,                -- of the module
    fingerprint TEXT NOT NULL,                -- of the engine
    file_digest BLOB NOT NULL,                -- of the compiled file
    PRIMARY KEY (digest, fingerprint)
);
";

/// What differs for a tenant from what all have.
pub(super) const QUOTAS: &str = "
CREATE TABLE tenant_quota (
    tenant      TEXT NOT NULL,
    name        TEXT NOT NULL,                -- of a number of the quota
    value       INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) WITHOUT ROWID;
";

/// Sessions with their history.
pub(super) const SESSIONS: &str = "
CREATE TABLE session (
    key          INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant       TEXT NOT NULL,
    principal    TEXT NOT NULL,
    id           TEXT NOT NULL,
    state        TEXT NOT NULL,
    queue        TEXT NOT NULL,
    mode         TEXT NOT NULL,               -- what a transaction is: job, explicit
    limit_bytes  INTEGER NOT NULL,
    limit_files  INTEGER NOT NULL,
    kept_bytes   INTEGER NOT NULL,            -- as of the last commit
    kept_files   INTEGER NOT NULL,
    used_bytes   INTEGER NOT NULL,            -- with what is not committed yet
    used_files   INTEGER NOT NULL,
    version      INTEGER NOT NULL,            -- the number of the last commit
    oldest       INTEGER NOT NULL,            -- the number of the first one that is kept
    uncommitted  INTEGER NOT NULL,            -- whether rows of the next commit are there already
    step         INTEGER NOT NULL,            -- counts all writes, also those that were undone
    tree_version INTEGER NOT NULL,            -- the last step that changed a node
    next_file    INTEGER NOT NULL,            -- the number of the next new file
    stored_bytes INTEGER NOT NULL,            -- what all rows of `chunk` take
    past_bytes   INTEGER NOT NULL,            -- what those of them take that are past
    history_commits INTEGER NOT NULL,         -- how many commits are kept
    history_age_us  INTEGER,                  -- how old they get; none: of any age
    history_due_at  INTEGER,                  -- when the oldest one is too old; none: never
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    idle_timeout_us INTEGER,                  -- none: it may be idle for ever
    lifetime_us  INTEGER,                     -- none: it may live for ever
    expires_at   INTEGER,                     -- by those two; none: never
    creator      INTEGER,                     -- the job that made it, if one did
    key_number   INTEGER,                     -- of the newest session key; none: it demands none
    UNIQUE (tenant, principal, id)
);
-- A sweep asks what is due, and most sessions are not.
CREATE INDEX session_expiry ON session (expires_at, key) WHERE expires_at IS NOT NULL;
CREATE INDEX session_history ON session (history_due_at, key) WHERE history_due_at IS NOT NULL;
-- Lists of one state. Nearly all sessions are active, and found without it.
CREATE INDEX session_state ON session (tenant, state, principal, id) WHERE state <> 'active';
-- What is being dropped; a handful at any time.
CREATE INDEX session_marked ON session (key) WHERE state = 'marked';
-- What a restart rolls back.
CREATE INDEX session_uncommitted ON session (key) WHERE uncommitted = 1;
CREATE INDEX session_creator ON session (creator) WHERE creator IS NOT NULL;
CREATE TABLE session_commit (
    session      INTEGER NOT NULL,
    number       INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    cause        TEXT NOT NULL,
    job          TEXT,                        -- the id of the job that made it
    bytes        INTEGER NOT NULL,            -- what the session holds as of it
    files        INTEGER NOT NULL,
    row_bytes    INTEGER NOT NULL,            -- about what the rows take that it made past, without blobs
    PRIMARY KEY (session, number)
) WITHOUT ROWID;

-- Rows of these three are true from commit `since` on, to before commit
-- `until`; 0 is for ever, so far.
CREATE TABLE param (
    session     INTEGER NOT NULL,
    name        TEXT NOT NULL,
    until       INTEGER NOT NULL,
    since       INTEGER NOT NULL,
    value       TEXT NOT NULL,
    -- All of now lie together: each job takes them, however many are past.
    PRIMARY KEY (session, until, name)
) WITHOUT ROWID;
CREATE TABLE node (
    session     INTEGER NOT NULL,
    path        TEXT NOT NULL,
    until       INTEGER NOT NULL,
    since       INTEGER NOT NULL,
    file        INTEGER NOT NULL,             -- in the session, whatever its path
    kind        TEXT NOT NULL,                -- file, directory, link
    size_bytes  INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,             -- nanoseconds since 1970
    stamp       INTEGER NOT NULL,             -- the step that last changed its content
    target      TEXT,                         -- of a link
    PRIMARY KEY (session, path, until)
) WITHOUT ROWID;
CREATE INDEX node_since ON node (session, since);
CREATE INDEX node_past ON node (session, until) WHERE until > 0;
-- Most sessions have no links, and a job asks that at its start.
CREATE INDEX node_link ON node (session) WHERE kind = 'link';
CREATE TABLE chunk (
    session     INTEGER NOT NULL,
    file        INTEGER NOT NULL,
    idx         INTEGER NOT NULL,
    until       INTEGER NOT NULL,
    since       INTEGER NOT NULL,
    length      INTEGER NOT NULL,
    hash        BLOB NOT NULL,                -- SHA-256 of the bytes
    blob        INTEGER,                      -- where they are; none: all of them are zero
    PRIMARY KEY (session, file, idx, until)
) WITHOUT ROWID;
CREATE INDEX chunk_since ON chunk (session, since);
CREATE INDEX chunk_past ON chunk (session, until) WHERE until > 0;
CREATE TABLE blob (
    id          INTEGER PRIMARY KEY,
    bytes       BLOB NOT NULL
);
-- How many rows of `chunk` share a blob, of those that more than one has.
CREATE TABLE shared_blob (
    blob        INTEGER PRIMARY KEY,
    chunks      INTEGER NOT NULL
);
";

/// Jobs, each in one row.
pub(super) const JOBS: &str = "
CREATE TABLE job (
    seq               INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant            TEXT NOT NULL,
    principal         TEXT NOT NULL,
    id                TEXT NOT NULL,
    place             TEXT NOT NULL,          -- where its id lies in the index
    fingerprint       BLOB NOT NULL,          -- of the request
    module            TEXT NOT NULL,
    version           INTEGER NOT NULL,
    digest            BLOB NOT NULL,
    kind              TEXT NOT NULL,
    session_id        TEXT,                   -- as the job named it
    session_key       INTEGER,                -- what stood behind the name, if anything
    session_active    INTEGER NOT NULL,
    key_session       INTEGER,                -- the session whose key its acceptance handed out, if it demands keys
    key_handed        INTEGER,                -- that key's number
    on_crash          TEXT NOT NULL,
    dry_run           INTEGER NOT NULL DEFAULT 0, -- whether nothing of it is to be kept
    delivery          TEXT NOT NULL,          -- stored, or streamed while its client is there
    priority          INTEGER NOT NULL DEFAULT 0,
    not_before        INTEGER,                -- its next attempt; none: it may start at once
    retries           INTEGER NOT NULL DEFAULT 0, -- how often it may fail and be run again
    failures          INTEGER NOT NULL DEFAULT 0, -- how often it did
    limit_wall_us     INTEGER NOT NULL,
    limit_cpu_us      INTEGER NOT NULL,
    limit_memory      INTEGER NOT NULL,
    limit_output      INTEGER NOT NULL,
    state             TEXT NOT NULL,
    attempt           INTEGER NOT NULL,
    reason            TEXT,                   -- with the next two: how it ended, or failed last
    exit_code         INTEGER,
    detail            TEXT,
    result            TEXT,
    created_at        INTEGER NOT NULL,
    started_at        INTEGER,
    ended_at          INTEGER,
    wall_us           INTEGER NOT NULL DEFAULT 0,
    cpu_us            INTEGER NOT NULL DEFAULT 0,
    memory_peak       INTEGER NOT NULL DEFAULT 0,
    stdout_bytes      INTEGER NOT NULL DEFAULT 0,
    stderr_bytes      INTEGER NOT NULL DEFAULT 0,
    stdout_truncated  INTEGER NOT NULL DEFAULT 0,
    stderr_truncated  INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant, principal, place)
);
CREATE INDEX job_owner ON job (tenant, principal, seq);
CREATE INDEX job_live ON job (digest, tenant) WHERE ended_at IS NULL;
-- The permutation between ids and their places; one row.
CREATE TABLE job_id_order (key BLOB NOT NULL);
";

/// What belongs to a job beside its row.
pub(super) const JOB_PARTS: &str = "
CREATE TABLE job_label (
    job         INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
    name        TEXT NOT NULL,
    value       TEXT NOT NULL,
    PRIMARY KEY (job, name)
);
-- What the guest is given. Gone when the job is over.
CREATE TABLE job_input (
    job         INTEGER PRIMARY KEY NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
    record      TEXT NOT NULL,                -- JSON with a format number
    stdin       BLOB NOT NULL
);
CREATE TABLE job_output (
    job         INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
    stream      TEXT NOT NULL,
    bytes       BLOB NOT NULL,
    PRIMARY KEY (job, stream)
);
";

/// What dry runs would have changed.
pub(super) const JOB_CHANGES: &str = "
CREATE TABLE job_change (
    job         INTEGER NOT NULL REFERENCES job (seq) ON DELETE CASCADE,
    what        TEXT NOT NULL,                -- file, directory, link, param
    name        TEXT NOT NULL,                -- a path, or that of a parameter
    change      TEXT NOT NULL,                -- created, modified, deleted
    size_bytes  INTEGER NOT NULL,
    PRIMARY KEY (job, what, name)
) WITHOUT ROWID;
";
