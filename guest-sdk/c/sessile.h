/*
 * sessile.h: what a job on Sessile can ask of its host, for C and C++.
 *
 * Build with any toolchain for WASI preview 1, for instance wasi-sdk:
 *
 *     clang --target=wasm32-wasip1 -O2 -o job.wasm job.c
 *
 * The files of the session are below "/", the job's only directory. If main
 * returns 0, everything that the job changed is kept; otherwise nothing is.
 *
 * Strings are UTF-8, passed as a pointer and a length in bytes; no zero byte
 * is needed or written. A function that yields a string takes a buffer and its
 * capacity, writes nothing if the value does not fit, and returns the value's
 * whole length. So call it again with a larger buffer if the answer is larger
 * than the capacity. A pointer outside memory traps.
 *
 * A negative answer is one of the errors below.
 */
#ifndef SESSILE_H
#define SESSILE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* There is no such value, or no such thing. */
#define SESSILE_ABSENT (-1)
/* The job is not in a session. */
#define SESSILE_NO_SESSION (-2)
/* There is a session of that id already. */
#define SESSILE_EXISTS (-3)
/* The session is in use in a way that rules this out now. */
#define SESSILE_BUSY (-4)
/* What was handed over is not allowed, whatever the state of the session. */
#define SESSILE_INVALID (-5)
/* A quota would be passed. */
#define SESSILE_QUOTA (-6)

/* Levels of a logged line. */
#define SESSILE_LOG_TRACE 0
#define SESSILE_LOG_DEBUG 1
#define SESSILE_LOG_INFO 2
#define SESSILE_LOG_WARN 3
#define SESSILE_LOG_ERROR 4

/* The longest id of a session, name of a parameter, and value of one. */
#define SESSILE_ID_BYTES_MAX 128
#define SESSILE_PARAM_NAME_BYTES_MAX 256
#define SESSILE_PARAM_VALUE_BYTES_MAX 65536

#define SESSILE_IMPORT(name) \
  __attribute__((__import_module__("sessile_v0"), __import_name__(name)))

/* 1 in a session, otherwise 0. A job that names a session which does not exist
 * runs outside any, so a job that needs one asks this first. */
SESSILE_IMPORT("session_active")
int32_t sessile_session_active(void);

/* The session's id, or SESSILE_ABSENT. */
SESSILE_IMPORT("session_id")
int32_t sessile_session_id(char *buf, int32_t cap);

/* The value of a parameter, or SESSILE_ABSENT. */
SESSILE_IMPORT("param_get")
int32_t sessile_param_get(const char *name, int32_t name_len, char *buf, int32_t cap);

/* Gives a parameter a value: 0, or an error. */
SESSILE_IMPORT("param_set")
int32_t sessile_param_set(const char *name, int32_t name_len, const char *value, int32_t value_len);

/* Takes a parameter away: 1 if it was there, 0 if not, or an error. */
SESSILE_IMPORT("param_remove")
int32_t sessile_param_remove(const char *name, int32_t name_len);

/* The names of all parameters, sorted, with a newline between each two. */
SESSILE_IMPORT("param_names")
int32_t sessile_param_names(char *buf, int32_t cap);

/* Makes a session and puts this job, which must be outside any, into it.
 * Yields the new session's id. With id_len 0 the host chooses one. Give a
 * buffer of SESSILE_ID_BYTES_MAX bytes: every id fits into it, and a second
 * call would find that the job is in a session already. */
SESSILE_IMPORT("session_create")
int32_t sessile_session_create(const char *id, int32_t id_len, char *buf, int32_t cap);

/* Gives the session another id: 0, or an error. For the job that created the
 * session this takes effect at once, for any other when the job ends well. */
SESSILE_IMPORT("session_rename")
int32_t sessile_session_rename(const char *id, int32_t id_len);

/* Deletes the session, under the same rule: 0, or an error. */
SESSILE_IMPORT("session_delete")
int32_t sessile_session_delete(void);

/* Keeps what is uncommitted in a session with explicit transactions, what this
 * job did so far included, however the job ends: 0, or an error. */
SESSILE_IMPORT("session_commit")
int32_t sessile_session_commit(void);

/* Undoes what is uncommitted in a session with explicit transactions, what this
 * job did so far included: 0, or an error; -4 while the job has a file open. */
SESSILE_IMPORT("session_rollback")
int32_t sessile_session_rollback(void);

/* The job's id. */
SESSILE_IMPORT("job_id")
int32_t sessile_job_id(char *buf, int32_t cap);

/* 1 for the first run of this job, 2 for the second. */
SESSILE_IMPORT("job_attempt")
int32_t sessile_job_attempt(void);

/* The milliseconds until the job's time limit, or -1 if it has none. */
SESSILE_IMPORT("job_remaining_ms")
int64_t sessile_job_remaining_ms(void);

/* Tells whoever watches how far the job is, from 0.0 to 1.0. */
SESSILE_IMPORT("job_progress")
void sessile_job_progress(double fraction, const char *message, int32_t message_len);

/* Sets the job's result, a JSON text: 0, or an error. The last one counts, and
 * it is kept only if the job succeeds. */
SESSILE_IMPORT("job_set_result")
int32_t sessile_job_set_result(const char *json, int32_t json_len);

/* Writes a line to the job's log, at one of the levels above. */
SESSILE_IMPORT("job_log")
void sessile_job_log(int32_t level, const char *message, int32_t message_len);

#ifdef __cplusplus
}
#endif

#endif
