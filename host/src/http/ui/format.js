// Numbers and moments for people: short in the text, exact in the title.
// Words of the API that have a colour are listed here; any other word has none.

import { el, shown } from './dom.js';

const UNITS = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

export function bytesText(count) {
  let [value, unit] = [count, 0];
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${number(unit === 0 || value >= 100 ? Math.round(value) : Number(value.toPrecision(3)))} ${UNITS[unit]}`;
}

export const number = (count) => Number(count).toLocaleString();

/** A size, with the exact bytes in the title. */
export const bytes = (count) => el('span', { title: `${number(count)} bytes` }, bytesText(count));

/** A moment in the reader's own time, with UTC in the title. */
export function time(text) {
  if (!text) return null;
  const moment = new Date(text);
  if (Number.isNaN(moment.getTime())) return shown(text);
  const local = moment.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
  return el('time', { datetime: moment.toISOString(), title: `${shown(text)} (UTC)` }, local);
}

export function msText(ms) {
  if (ms < 1000) return `${number(Math.round(ms * 100) / 100)} ms`;
  if (ms < 60_000) return `${number(Math.round(ms / 10) / 100)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return two(minutes, 'min', Math.floor((ms % 60_000) / 1000), 's');
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? two(hours, 'h', minutes % 60, 'min') : two(Math.floor(hours / 24), 'days', hours % 24, 'h');
}

const two = (many, unit, few, less) => `${number(many)} ${unit}${few > 0 ? ` ${few} ${less}` : ''}`;

/** A stretch of time, with the exact milliseconds in the title. */
export const duration = (ms) => (ms === null || ms === undefined ? null : el('span', { title: `${number(ms)} ms` }, msText(ms)));

const COLOURS = {
  queued: 'wait', running: 'go', succeeded: 'good', failed: 'bad', cancelled: 'off',
  active: 'good', pending: 'wait', marked: 'bad', compiling: 'wait', ready: 'good', rejected: 'bad',
  created: 'good', modified: 'wait', deleted: 'bad',
};

/** A word of the API. */
export const badge = (word) => el('span', { class: `badge ${Object.hasOwn(COLOURS, word) ? COLOURS[word] : ''}` }, shown(word));

export const yesNo = (yes) => (yes ? 'yes' : 'no');
