// The list of the caller's jobs, newest first, and what narrows it down.
// The filters stand in the page's address, so a view can be kept as a bookmark.

import { json } from './api.js';
import { badge, duration, time } from './format.js';
import { el, name } from './dom.js';
import { go, to } from './route.js';
import { list } from './list.js';

const STATES = ['queued', 'running', 'succeeded', 'failed', 'cancelled'];

export const isOver = (job) => ['succeeded', 'failed', 'cancelled'].includes(job.state);

/** A link to a job. */
export const jobLink = (id) => el('a', { href: to(['jobs', id]) }, name(id));

export const sessionLink = (id, query) => el('a', { href: to(['sessions', id], query) }, name(id));

/** A job's module as it ran. */
export const moduleLink = (job) => el('a', { href: to(['modules', job.module.split('@')[0]]) }, name(job.module.includes('@') ? job.module : `${job.module}@${job.version}`));

/** Why a job ended, in a word or two. */
function why(outcome) {
  if (!outcome) return null;
  if (outcome.reason === 'exit') return `exit code ${outcome.exit_code}`;
  return outcome.reason ?? null;
}

export function jobsView({ query, signal }) {
  const filter = { state: query.state, session: query.session, module: query.module, label: query.label };
  const jobs = list({
    label: 'jobs',
    columns: ['Job', 'State', 'Module', 'Session', 'Accepted', 'Ran'],
    empty: Object.values(filter).some(Boolean) ? 'No job is like that.' : 'There are no jobs of yours.',
    key: (job) => job.id,
    load: (cursor, within) => json('jobs', { query: { ...filter, cursor }, signal: within }),
    row: (job) => [
      jobLink(job.id),
      [badge(job.state), ' ', why(job.outcome)],
      moduleLink(job),
      job.session ? sessionLink(job.session.id) : null,
      time(job.created_at),
      isOver(job) && job.started_at ? duration(job.wall_ms) : null,
    ],
    signal,
  });
  return [el('h1', { tabindex: '-1' }, 'Jobs'), filters(filter), jobs.node];
}

function filters(filter) {
  const field = (key, label, hint) => el('label', {}, label, el('input', { name: key, value: filter[key] ?? '', placeholder: hint, spellcheck: 'false', autocapitalize: 'off' }));
  const states = ['', ...STATES].map((state) => el('option', { value: state, selected: state === (filter.state ?? '') }, state || 'any'));
  const form = el('form', { class: 'filters', role: 'search', 'aria-label': 'Narrow down the jobs' },
    el('label', {}, 'State', el('select', { name: 'state', on: { change: () => form.requestSubmit() } }, states)),
    field('session', 'Session', 'id'),
    field('module', 'Module', 'name'),
    field('label', 'Label', 'name or name=value'),
    el('button', { type: 'submit' }, 'Show'),
    el('a', { class: 'button quiet', href: to(['jobs']) }, 'Show all'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    go(['jobs'], Object.fromEntries(new FormData(form)));
  });
  return form;
}
