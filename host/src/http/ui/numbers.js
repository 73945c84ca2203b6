// The server's page of numbers, those of them that say at a glance how it is.
// All of them, and their history, are for Prometheus.

import { ask } from './api.js';
import { bytes, duration, msText, number, time } from './format.js';
import { el, facts, fill, problemText, section } from './dom.js';
import { every } from './poll.js';

const REFRESH_MS = 5_000;

export function numbersView({ signal }) {
  const place = el('div', {}, el('p', { class: 'note' }, 'Loading…'));
  let before = null;
  every(REFRESH_MS, signal, async () => {
    const text = await (await ask('metrics', { signal })).text();
    const now = { at: Date.now(), page: read(text) };
    fill(place, show(now, before ?? now));
    before ??= now;
  }, (error) => fill(place, problemText(error)));
  return [el('h1', { tabindex: '-1' }, 'Server'), place];
}

/** Each series by its name and labels, as they are written. */
function read(text) {
  const series = new Map();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const end = line.lastIndexOf(' ');
    series.set(line.slice(0, end), Number(line.slice(end + 1)));
  }
  return series;
}

function show(now, before) {
  const { page } = now;
  const of = (series) => page.get(series) ?? null;
  const told = (series, as) => (of(series) === null ? null : as(of(series)));
  const outOf = (part, whole, as = number) => (of(part) === null ? null : [as(of(part)), ' of ', as(of(whole) ?? 0)]);
  const jobs = facts([
    ...['queued', 'running'].map((state) => [state, told(`sessile_jobs{state="${state}"}`, number)]),
    ...['succeeded', 'failed', 'cancelled'].map((outcome) => [`${outcome} since the start`, told(`sessile_jobs_ended_total{outcome="${outcome}"}`, number)]),
    ...failures(page),
    ['Wait before a start', latency(now, before, 'sessile_job_wait_seconds')],
    ['Run', latency(now, before, 'sessile_job_run_seconds')],
  ]);
  const engine = facts([
    ['Slots held', outOf('sessile_slots_held', 'sessile_slots')],
    ['Seats held', outOf('sessile_seats_held', 'sessile_seats')],
    ['Sessions with a turn', told('sessile_lanes', number)],
    ['Requests behind them', told('sessile_lanes_waiting', number)],
    ['Memory of guests', outOf('sessile_guest_memory_bytes', 'sessile_guest_memory_limit_bytes', bytes)],
    ['Modules being compiled', told('sessile_compilations_pending', number)],
  ]);
  const store = facts([
    ['Takes writes', of('sessile_store_takes_writes') === 0 ? el('strong', { class: 'problem' }, 'no: its disk has failed; restart the server') : 'yes'],
    ['Commit', latency(now, before, 'sessile_store_commit_seconds')],
    ['Writes waiting', told('sessile_store_writes_waiting', number)],
    ['Disk free', outOf('sessile_store_disk_free_bytes', 'sessile_store_disk_bytes', bytes)],
    ['Database', told('sessile_store_database_bytes', bytes)],
    ['Working copies', told('sessile_work_bytes{medium="memory"}', (count) => [bytes(count), ' in memory, ', bytes(of('sessile_work_bytes{medium="disk"}') ?? 0), ' on disk'])],
    ['Tenants', told('sessile_tenants', number)],
    ['Sessions', told('sessile_sessions', number)],
    ['Stored in sessions', told('sessile_stored_bytes', bytes)],
  ]);
  const process = facts([
    ['Started', told('process_start_time_seconds', (seconds) => time(new Date(seconds * 1000).toISOString()))],
    ['Memory', told('process_resident_memory_bytes', bytes)],
    ['Processor time', told('process_cpu_seconds_total', (seconds) => duration(seconds * 1000))],
    ['Open files', outOf('process_open_fds', 'process_max_fds')],
    ['Connections', told('sessile_http_connections{key="shown"}', (count) => `${number(count + (of('sessile_http_connections{key="none"}') ?? 0))} of ${number(of('sessile_http_connections_limit') ?? 0)}`)],
  ]);
  return el('div', { class: 'columns' }, section('Jobs', jobs), section('Engine', engine), section('Store', store), section('Process', process));
}

/** Why jobs failed, as far as any did. */
function failures(page) {
  const found = [...page].map(([series, count]) => [/^sessile_jobs_failed_total\{reason="([a-z-]+)"\}$/.exec(series)?.[1], count]);
  return found.filter(([reason, count]) => reason && count > 0).map(([reason, count]) => [`failed: ${reason}`, number(count)]);
}

/** The mean and the bound that 99 of 100 kept to: since this page was opened if anything happened, else since the start. */
function latency(now, before, metric) {
  const change = (series) => (now.page.get(series) ?? 0) - (before.page.get(series) ?? 0);
  const isNews = change(`${metric}_count`) > 0;
  const of = isNews ? change : (series) => now.page.get(series) ?? 0;
  const count = of(`${metric}_count`);
  if (count === 0) return 'none so far';
  const mean = msText(of(`${metric}_sum`) / count * 1000);
  const bounds = [...now.page.keys()].map((series) => [series, new RegExp(`^${metric}_bucket\\{le="([^"]+)"\\}$`).exec(series)?.[1]]);
  const met = bounds.find(([series, bound]) => bound && of(series) >= 0.99 * count);
  const bound = !met || met[1] === '+Inf' ? '' : `, 99 % within ${msText(Number(met[1]) * 1000)}`;
  const since = isNews ? `since this page was opened ${msText(now.at - before.at)} ago` : 'since the server started';
  return el('span', { title: `of ${number(count)}, ${since}` }, `${mean} on average${bound}`, el('small', {}, ` (${number(count)} ${since})`));
}
