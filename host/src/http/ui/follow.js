// Server-sent events with a key: a browser's own reader can send none, so the stream is read by hand.
// It goes on after the last event that came, also when the connection breaks, until the end.

import { ask } from './api.js';
import { pause } from './poll.js';

const PAUSE_MS = 1_000;
const PAUSE_MAX_MS = 30_000;

/**
 * Follows a job: `told[event](data)` for each event, and before it `told.attempt(number)`, with which
 * every id begins; `broken(error)` when the connection is lost and `joined()` when it stands. Ends with the job or the signal; throws what no retry mends.
 */
export async function follow(id, signal, told, { joined, broken }) {
  let last = null;
  let failures = 0;
  for (;;) {
    let wait = 0;
    try {
      const headers = { Accept: 'text/event-stream', ...(last === null ? {} : { 'Last-Event-ID': last }) };
      const answer = await ask('events', { names: { id }, headers, signal });
      if (answer.status === 204) return;
      joined();
      let over = false;
      await read(answer.body, (event) => {
        failures = 0;
        last = event.id ?? last;
        told.attempt(Number.parseInt(last, 10));
        told[event.name]?.(JSON.parse(event.data));
        over ||= event.name === 'end';
      });
      if (over) return;
    } catch (error) {
      if (signal.aborted) return;
      const lasts = error.status >= 400 && error.status < 500 && error.status !== 429;
      if (lasts) throw error;
      broken(error);
      wait = (error.retryAfterS ?? 0) * 1000;
    }
    failures += 1;
    wait = Math.min(Math.max(wait, PAUSE_MS * 2 ** Math.min(failures - 1, 5)), PAUSE_MAX_MS);
    if (!(await pause(wait, signal))) return;
  }
}

/** Reads `id`, `event` and `data` of each event; comments and all else are passed over. */
async function read(body, tell) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  let event = { id: null, name: 'message', data: '' };
  const line = (text) => {
    if (text === '') {
      if (event.data !== '') tell(event);
      event = { id: null, name: 'message', data: '' };
      return;
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(text);
    if (field === 'id') event.id = value;
    if (field === 'event') event.name = value;
    if (field === 'data') event.data += value;
  };
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split('\n');
    rest = lines.pop();
    lines.forEach((text) => line(text.replace(/\r$/, '')));
  }
}
