// Again and again, while somebody looks: one request under way, none in a hidden tab.
// It ends with the signal of the view that it belongs to.

const PAUSE_MAX_MS = 60_000;

/** Waits so long, or until the signal; says whether to go on. */
export function pause(ms, signal) {
  return new Promise((settle) => {
    if (signal.aborted) return settle(false);
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      settle(!signal.aborted);
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener('abort', end);
  });
}

function untilVisible(signal) {
  return new Promise((settle) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener('visibilitychange', look);
      signal.removeEventListener('abort', look);
      settle();
    };
    document.addEventListener('visibilitychange', look);
    signal.addEventListener('abort', look);
    look();
  });
}

/**
 * Does `task` now and then every `ms`; it waits for the one before, and longer when the server
 * says so or is silent. A refusal is told to `failed`. A task that gives `false` was the last.
 */
export async function every(ms, signal, task, failed) {
  let failures = 0;
  for (;;) {
    await untilVisible(signal);
    if (signal.aborted) return;
    let wait = ms;
    try {
      if ((await task()) === false) return;
      failures = 0;
    } catch (error) {
      if (signal.aborted) return;
      failed(error);
      if ([401, 403, 404].includes(error.status)) return;
      failures += 1;
      wait = Math.min(Math.max(ms * 2 ** failures, (error.retryAfterS ?? 0) * 1000), PAUSE_MAX_MS);
    }
    if (!(await pause(wait, signal))) return;
  }
}
