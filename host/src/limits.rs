//! Every bound of the server, by name, with its reason.
//!
//! Promise: no line, cache, body or wait is longer than a number written here
//! or in the configuration. At the bound we refuse with words.
//!
//! Not here: which of them an operator may turn (`config`).

use std::time::Duration;

/// A module: the largest real one we know (CPython) has 26 MB.
pub const MODULE_BYTES_MAX: usize = 64 << 20;
/// Uploads held in memory at once; with [`MODULE_BYTES_MAX`] this bounds their memory.
pub const UPLOADS_MAX: usize = 4;
/// The body of any JSON request. A job's stdin travels in one, so it is not tiny.
pub const JSON_BYTES_MAX: usize = 1 << 20;
/// Files read out of the store at once: each holds a thread and a connection meanwhile.
pub const FILE_READS_MAX: usize = 8;
/// Connections that wait to be accepted: a burst of clients comes at once.
pub const BACKLOG_MAX: u32 = 1_024;
/// Connections at once, unless configured; fewer if the system allows few open files, of which
/// guests and the store need the larger part.
pub const CONNECTIONS_MAX: usize = 4_096;
/// The share of the process's open files that connections take: one in so many.
pub const OPEN_FILES_PER_CONNECTION: u64 = 4;
/// Connections of one tenant: a quarter of all, so that three others find room beside it.
pub const CONNECTIONS_PER_TENANT_MAX: usize = 1_024;
/// Followed outputs, streaming runs and waiting requests of one tenant: the other half of its
/// connections is for requests that are answered at once.
pub const STREAMS_PER_TENANT_MAX: usize = 512;
/// Modules and files of one tenant on their way in that are more than [`SPOOL_MEMORY_BYTES`], and answers of more than [`FILE_MEMORY_BYTES`]
/// on their way out: each lies on the disk or in memory until a slow client has sent or read it.
pub const LARGE_PER_TENANT_MAX: usize = 64;
/// First line and headers of a request. Session keys and the like are short.
pub const HEAD_BYTES_MAX: usize = 16 << 10;
/// Headers of a request; hyper takes no more.
pub const HEADERS_MAX: usize = 100;
/// The target of a request; a path in a session has 1 KiB at most, percent-encoded 3.
pub const TARGET_BYTES_MAX: usize = 8 << 10;
/// How long a request's head may take to come, unless configured: it fits into a few packets.
pub const HEAD_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// How long no byte of a request's body may come, unless configured.
pub const BODY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// How long a connection stays open on which nothing is asked, unless configured.
pub const CONNECTION_IDLE_DEFAULT: Duration = Duration::from_secs(60);
/// How long a client may take no byte of its answer, unless configured.
pub const WRITE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// How deep a JSON body of a request, or a job's result, may nest: every reader of it recurses.
pub const JSON_DEPTH_MAX: usize = 64;
/// A file written over HTTP, streamed through a spool file on disk.
pub const FILE_BYTES_MAX: u64 = 1 << 30;

/// What one entry of an archive may take beside the bytes of a file, on the average: its own header, one with a path and
/// a target that are long, and what fills up the last block of each.
pub const ARCHIVE_ENTRY_BYTES: u64 = 8 << 10;
/// One header that says more about the next entry: real ones hold names, times and what we do not keep.
pub const ARCHIVE_EXTRA_BYTES_MAX: u64 = 64 << 10;
/// What may follow the last entry: zeros up to a whole record, which is 10 KiB unless asked for otherwise.
pub const ARCHIVE_END_BYTES_MAX: u64 = 1 << 20;

/// Parameters: a name is an identifier or a path-like word.
pub const PARAM_NAME_BYTES_MAX: usize = 256;
/// Parameters: larger things belong in a file.
pub const PARAM_VALUE_BYTES_MAX: usize = 64 << 10;
/// Parameters of one session; they are copied for each job.
pub const PARAMS_MAX: usize = 1_000;
/// Names and values of one session together.
pub const PARAMS_BYTES_MAX: usize = 1 << 20;

/// Arguments of a job. A million empty ones would fit in the JSON body and cost more in the guest.
pub const ARGS_MAX: usize = 1_024;
/// Environment variables of a job.
pub const ENV_MAX: usize = 256;
/// Labels of a job: they are for finding it again.
pub const LABELS_MAX: usize = 32;
/// A label's name or value.
pub const LABEL_BYTES_MAX: usize = 128;
/// What a job is given (arguments, environment, stdin) is kept in memory while the job waits, up to this; of more, the
/// record alone has it until the job starts.
pub const INPUTS_HELD_BYTES_MAX: usize = 4 << 10;
/// A job's priority is from minus this to this.
pub const PRIORITY_MAX: i8 = 100;
/// How far ahead a job may be put off.
pub const PUT_OFF_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
/// How often a job may be run again after it failed.
pub const RETRIES_MAX: u32 = 20;
/// What a job may hand back as its JSON result; more belongs in a file.
pub const RESULT_BYTES_MAX: usize = 256 << 10;
/// The message beside a job's progress.
pub const PROGRESS_BYTES_MAX: usize = 1 << 10;
/// One line that a job logs; longer ones are cut.
pub const LOG_LINE_BYTES_MAX: usize = 4 << 10;
/// Lines that one run may log; the rest is dropped, since the log is everybody's.
pub const LOG_LINES_MAX: u32 = 1_000;
/// A sentence about a job's end, backtrace included.
pub const DETAIL_BYTES_MAX: usize = 8 << 10;

/// One job, unless it asks for less.
pub const WALL_DEFAULT: Duration = Duration::from_secs(30);
/// One job may ask for this much and no more.
pub const WALL_MAX: Duration = Duration::from_secs(3_600);
/// Processor time of one job, unless it asks for less.
pub const CPU_DEFAULT: Duration = Duration::from_secs(30);
/// Processor time that one job may ask for.
pub const CPU_MAX: Duration = Duration::from_secs(3_600);
/// All memories and tables of one job together, unless it asks for less or more.
pub const MEMORY_BYTES_DEFAULT: u64 = 256 << 20;
/// What one job may ask for; also the size of the pool's memory slots.
pub const MEMORY_BYTES_MAX: u64 = 1 << 30;
/// Below this no real program starts, so a smaller number is a mistake.
pub const MEMORY_BYTES_MIN: u64 = 64 << 10;
/// Each of stdout and stderr, unless a job asks for less or more.
pub const OUTPUT_BYTES_DEFAULT: u64 = 1 << 20;
/// Each of stdout and stderr: both are kept in memory while the job runs.
pub const OUTPUT_BYTES_MAX: u64 = 16 << 20;
/// The stdout of a streaming run, unless it asks for less: it is counted, not kept.
pub const STREAM_BYTES_MAX: u64 = 1 << 30;
/// What lies between a streaming run and its client in each direction. Larger
/// saves no time, smaller makes guest and client wait for each other more often.
pub const PIPE_BYTES_MAX: usize = 256 << 10;
/// What is handed over at once of it.
pub const PIPE_PIECE_BYTES_MAX: usize = 64 << 10;
/// Of a request body that the guest did not read, this much is read and thrown
/// away, so that a client which writes before it reads gets its answer.
pub const LEFTOVER_BYTES_MAX: usize = 64 << 20;
/// All files of one session together.
pub const SESSION_BYTES_MAX: u64 = 1 << 30;
/// Files, directories and links of one session.
pub const SESSION_FILES_MAX: u64 = 10_000;
/// How deep a session's directories may nest; our own walks recurse once per level.
pub const DEPTH_MAX: usize = 64;
/// One path in a session, in bytes: what Linux takes in one call, and less.
pub const PATH_BYTES_MAX: usize = 1_024;
/// Files that one guest holds open (one took 19,988 otherwise: the whole process's share). Fewer
/// where all guests together could hold more than half of what the process may.
pub const OPEN_FILES_MAX: usize = 1_000;
/// With fewer no real program runs: half of them are its streams, and what a call needs for a moment.
pub const OPEN_FILES_MIN: usize = 32;
/// Entries of directories in all listings that a component holds: each listing keeps its names in
/// the server. A walk through the largest session holds half of them.
pub const LISTED_MAX: usize = 20_000;
/// Places at which one job may have changed its session, before we look everywhere instead.
pub const TOUCHED_MAX: usize = 20_000;
/// Stretches of one file that we tell apart; beyond, neighbours count as one.
pub const TOUCHED_RANGES_MAX: usize = 256;
/// Clocks and files that one call of a guest may wait for at once.
pub const POLL_MAX: u32 = 1_024;
/// What one call of a guest may make the host copy.
pub const HOSTCALL_BYTES_MAX: usize = 8 << 20;

/// The shortest idle timeout and lifetime of a session: a sweep comes once in
/// a second or so, and shorter ones would not be kept.
pub const TERM_MIN: Duration = Duration::from_secs(1);
/// The longest idle timeout of a session, a year: whoever wants more wants a
/// session that stays.
pub const IDLE_TIMEOUT_MAX: Duration = Duration::from_secs(365 * 86_400);
/// The longest lifetime of a session, ten years.
pub const LIFETIME_MAX: Duration = Duration::from_secs(3_650 * 86_400);
/// How often sessions that have expired are looked for, unless configured.
pub const SWEEP_INTERVAL_DEFAULT: Duration = Duration::from_secs(1);
/// The longest time between two sweeps: what is marked is gone within it (R19).
pub const SWEEP_INTERVAL_MAX: Duration = Duration::from_secs(5);
/// Sessions that a sweep looks at, and marks, in one go: everybody else's
/// writes wait for no longer than these take.
pub const SWEEP_BATCH: usize = 500;
/// What sessions that are removed in one go may hold together; one session is
/// removed in one go however much it holds.
pub const SWEEP_BYTES: u64 = 4 << 20;

/// How often the use of one API key is written down.
pub const KEY_USE_GRAIN: Duration = Duration::from_secs(60);

/// Commits that a session keeps, unless it asks for more or fewer.
pub const HISTORY_DEFAULT: u32 = 10;
/// Commits that a session may keep.
pub const HISTORY_MAX: u32 = 1_000;
/// What earlier commits may take of the smallest session; of others, what the session may hold.
pub const HISTORY_BYTES_MIN: u64 = 64 << 10;
/// The longest age of a commit that a session may ask for, ten years.
pub const HISTORY_AGE_MAX: Duration = LIFETIME_MAX;

/// What all guests together can do with at least: one job with the usual limit.
pub const GUEST_MEMORY_BYTES_MIN: u64 = MEMORY_BYTES_DEFAULT;
/// Guests that an operator may let run at once: each is a thread, and a place in the pool.
pub const SLOTS_MAX: u64 = 4_096;
/// Sessions that a tenant may be given; each is a handful of rows.
pub const QUOTA_SESSIONS_MAX: u64 = 100_000_000;
/// What a tenant may be given to store, 1 PiB: beyond, it is a mistake.
pub const QUOTA_BYTES_MAX: u64 = 1 << 50;
/// Versions of modules that a tenant may be given.
pub const QUOTA_MODULES_MAX: u64 = 1_000_000;
/// Requests per second that a tenant may be given; no server answers so many.
pub const QUOTA_REQUESTS_PER_S_MAX: u64 = 1_000_000;
/// Processor seconds per minute that a tenant may be given: those of 4,096 processors.
pub const QUOTA_CPU_S_PER_MIN_MAX: u64 = 60 * 4_096;
/// The largest share of a tenant beside others, which have at least 1.
pub const QUOTA_WEIGHT_MAX: u64 = 1_000;

/// Jobs waiting in one lane, unless configured.
pub const QUEUE_DEFAULT: usize = 1_000;
/// Jobs in the server that have not ended: each is a task and its request in memory.
pub const JOBS_LIVE_MAX: usize = 100_000;
/// How long a guest computes before it gives way to one of those who wait: longer than most jobs
/// take, and short for somebody who waits. A guest is interrupted five times in it.
pub const SLICE: Duration = Duration::from_millis(50);
/// Guests that may have begun beyond those that may compute: each has a thread, and its memory.
pub const SEATS_EXTRA_MAX: usize = 256;
/// Runs of a job that the server's death cut short, before it counts as lost (R25).
pub const ATTEMPTS_MAX: u32 = 3;
/// From a job's first failure to its next run; after each further one twice as long.
pub const RETRY_FIRST: Duration = Duration::from_secs(1);
/// What that grows to.
pub const RETRY_LONGEST: Duration = Duration::from_secs(60);
/// Units of work waiting for the one writer of the database.
pub const WRITES_WAITING_MAX: usize = 8_192;
/// Units that the writer gathers into one commit.
pub const WRITES_PER_COMMIT_MAX: usize = 512;
/// How long a record that nobody waits for waits for others. Who asks for that job waits for it.
pub const WRITE_BEHIND: Duration = Duration::from_millis(20);
/// What compiling one module may map, unless configured: a 24 MB compiler of a real language takes 672 MB.
pub const COMPILE_MEMORY_BYTES_DEFAULT: u64 = 2 << 30;
/// Less than this, and the compiler itself does not start.
pub const COMPILE_MEMORY_BYTES_MIN: u64 = 256 << 20;
/// Processor time of one compilation, unless configured: CPython takes 11 s, that compiler 47.
pub const COMPILE_CPU_DEFAULT: Duration = Duration::from_secs(120);
/// How long one compilation may take, unless configured.
pub const COMPILE_WALL_DEFAULT: Duration = Duration::from_secs(120);
/// Threads of one compilation. Each reserves addresses, which are counted as its memory.
pub const COMPILE_THREADS_MAX: usize = 4;
/// Modules of one tenant that may wait to be compiled.
pub const COMPILES_WAITING_MAX: usize = 16;
/// Compiled code is two to four times as large as the module.
pub const ARTEFACT_BYTES_MAX: u64 = 512 << 20;
/// Modules kept loaded: each holds mappings of its code, and the kernel allows 65,530.
pub const MODULES_LOADED_MAX: usize = 1_000;
/// Versions of modules that are remembered by what they were asked for as.
pub const MODULES_FOUND_MAX: usize = 10_000;

/// How long a streaming run waits for a client that does not read, unless configured (R30).
pub const REPLY_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// How long a request may wait for its answer with `Prefer: wait`.
pub const WAIT_MAX: Duration = Duration::from_secs(300);
/// Items of a list, unless asked for.
pub const PAGE_DEFAULT: usize = 50;
/// Items of a list at most.
pub const PAGE_MAX: usize = 500;
/// What a client that was turned away for load should wait before it tries again.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A piece of a file in the database. Smaller means more rows for the same file,
/// larger means more to write for one changed byte.
pub const CHUNK_BYTES: usize = 64 << 10;
/// Changed content that a commit holds in memory while it waits for the writer;
/// more than this is read from the working copy when its turn comes.
pub const COMMIT_MEMORY_BYTES: usize = 256 << 10;
/// An upload larger than this goes to a temporary file while it comes in.
pub const SPOOL_MEMORY_BYTES: usize = 256 << 10;
/// A download no larger than this is read by the thread that serves the request: to hand it to another takes longer.
pub const FILE_LOOK_BYTES: u64 = 16 << 10;
/// A download larger than this is copied to a temporary file, not to memory.
pub const FILE_MEMORY_BYTES: u64 = 1 << 20;
/// Connections for reading that stay open when nobody reads.
pub const READERS_KEPT: usize = 8;
/// A directory of files that holds no more is read, listed or emptied in a moment, in memory.
pub const LIGHT_BYTES_MAX: u64 = 1 << 20;
/// The same for the number of its files and directories.
pub const LIGHT_FILES_MAX: u64 = 64;
/// Working copies that are kept for their sessions' next jobs.
pub const COPIES_KEPT_MAX: usize = 1_000;
/// Those of them that stay open: three file handles each.
pub const COPIES_OPEN_MAX: usize = 64;
/// Paths of a working copy that are worth mending one by one; beyond, it is made anew.
pub const COPY_MENDS_MAX: usize = 64;
/// Empty directories that are kept for jobs outside any session.
pub const SCRATCH_KEPT_MAX: usize = 64;
/// What all working copies in memory take together, unless configured.
pub const WORK_BYTES_DEFAULT: u64 = 1 << 30;
/// With less free memory-backed storage than this, working copies lie on disk.
pub const WORK_FREE_BYTES_MIN: u64 = 256 << 20;
/// Directories waiting for the janitor; beyond, whoever makes new ones helps.
pub const RUBBISH_WAITING_MAX: usize = 1_000;
/// Pages of the log (of 4 KiB) after which it is carried over into the database. Pages that each job writes, which are
/// most, are carried over once for all of them. The log may grow on while commits go on; see [`LOG_PAGES_MAX`].
pub const CHECKPOINT_PAGES: u32 = 4_000;
/// How long a job that found the disk full waits before it tries again.
pub const FULL_DISK_RETRY: Duration = Duration::from_millis(200);
/// Pages of the log (64 MiB) after which the writer itself stops to carry them over. After a crash the next start reads
/// the log and writes it again.
pub const LOG_PAGES_MAX: u32 = 16_384;
