// Tenants for the operator, or for an admin their own: what each may have, what it has, its keys.
// Keys are listed by who has them; their text was shown once, when they were made.

import { badge, bytes, duration, number, time } from './format.js';
import { code, el, fill, name, problemText, section } from './dom.js';
import { every } from './poll.js';
import { go, to } from './route.js';
import { json } from './api.js';
import { list } from './list.js';

const REFRESH_MS = 10_000;
/** Each row asks for its own numbers, one after another. */
const PAGE = 20;

export function tenantsView({ signal, access }) {
  const title = el('h1', { tabindex: '-1' }, 'Tenants');
  if (!access.root) return [title, ownTenant()];
  const usage = new Map();
  const tenants = list({
    label: 'tenants',
    columns: ['Tenant', 'Sessions', 'Stored', 'Modules', 'Waiting jobs', 'Running jobs', 'Made'],
    empty: 'There are none.',
    key: (tenant) => tenant.id,
    load: async (cursor, within) => {
      const page = await json('tenants', { query: { limit: PAGE, cursor }, signal: within });
      for (const { id } of page.items) {
        // One that has just been deleted has none.
        usage.set(id, (await json('quota', { names: { tenant: id }, signal: within }).catch(orNone)));
      }
      return { ...page, items: page.items.map((tenant) => ({ ...tenant, quota: usage.get(tenant.id) })) };
    },
    row: ({ id, created_at: made, quota }) => [
      el('a', { href: to(['tenants', id]) }, name(id)),
      ...['sessions', 'stored_bytes', 'modules', 'queued_jobs', 'running_jobs'].map((measure) => quota && used(measure, quota)),
      time(made),
    ],
    signal,
    refreshMs: REFRESH_MS,
  });
  return [title, tenants.node];
}

function orNone(error) {
  if (error.status === 404) return null;
  throw error;
}

function ownTenant() {
  const input = el('input', { type: 'text', required: true, spellcheck: 'false', autocapitalize: 'off' });
  const form = el('form', { class: 'filters' }, el('label', {}, 'Name of your tenant', input), el('button', { type: 'submit' }, 'Show'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    go(['tenants', input.value]);
  });
  return [el('p', { class: 'hint' }, 'A list of all tenants is for keys with the scope root. This key manages one, which you can name.'), form];
}

export function tenantView({ parts: [, tenant], signal }) {
  const numbers = el('div', {}, el('p', { class: 'note' }, 'Loading…'));
  const names = { tenant };
  every(REFRESH_MS, signal, async () => {
    fill(numbers, quotaTable(await json('quota', { names, signal })));
  }, (error) => fill(numbers, problemText(error)));
  const keys = list({
    label: 'keys',
    columns: ['Key', 'Principal', 'Scopes', 'Last used', 'Made'],
    empty: 'There are no keys.',
    key: (key) => key.id,
    load: (cursor, within) => json('keys', { names, query: { cursor }, signal: within }),
    row: (key) => [code(key.id), name(key.principal), key.scopes.map((scope) => [badge(scope), ' ']), time(key.last_used_at) ?? 'never', time(key.created_at)],
    signal,
    refreshMs: REFRESH_MS,
  });
  return [el('h1', { tabindex: '-1' }, 'Tenant ', name(tenant)), section('Quota', numbers), section('Keys', keys.node)];
}

const WORDS = {
  sessions: 'Sessions', stored_bytes: 'Stored', modules: 'Versions of modules', module_bytes: 'Modules hold',
  queued_jobs: 'Waiting jobs', running_jobs: 'Running jobs', running_memory_bytes: 'Memory of running jobs',
  cpu_s_per_min: 'Processor seconds a minute', requests_per_s: 'Requests a second', weight: 'Weight',
  wall_ms: 'Time of a job', cpu_ms: 'Processor time of a job', memory_bytes: 'Memory of a job', output_bytes: 'Output of a job',
  session_bytes: 'A session holds', session_files: 'Files of a session',
};

function amount(measure, value) {
  if (measure.endsWith('_bytes')) return bytes(value);
  return measure.endsWith('_ms') ? duration(value) : number(value);
}

/** What is used of what may be, with a bar. */
function used(measure, quota) {
  const [now, most] = [quota.usage[measure], quota[measure]];
  const bar = el('meter', { min: 0, max: Math.max(most, 1), high: Math.max(most, 1) * 0.9, value: now, 'aria-label': 'Used' });
  return [amount(measure, now), ' of ', amount(measure, most), ' ', bar];
}

function quotaTable(quota) {
  const known = Object.keys(WORDS).filter((measure) => Object.hasOwn(quota, measure));
  const measures = [...known, ...Object.keys(quota).filter((measure) => measure !== 'usage' && !known.includes(measure))];
  const inUse = measures.filter((measure) => Object.hasOwn(quota.usage, measure));
  const others = measures.filter((measure) => !inUse.includes(measure));
  const row = (measure, value) => el('div', {}, el('dt', { title: measure }, WORDS[measure] ?? measure), el('dd', {}, value));
  return el('dl', { class: 'facts' },
    inUse.map((measure) => row(measure, used(measure, quota))),
    others.map((measure) => row(measure, [measure === 'weight' ? null : 'at most ', amount(measure, quota[measure])])));
}
