// The list of sessions: the caller's own, or for an admin those of another principal.
// Each row is as of the session's last commit, with what goes on in it now.

import { json } from './api.js';
import { badge, bytes, number, time } from './format.js';
import { el, name } from './dom.js';
import { go, to } from './route.js';
import { jobLink, sessionLink } from './jobs.js';
import { list } from './list.js';

const STATES = ['active', 'pending', 'marked'];

export function sessionsView({ query, signal, access }) {
  const filter = { state: query.state, owner: query.owner };
  const sessions = list({
    label: 'sessions',
    columns: ['Session', 'State', 'Owner', 'Holds', 'Files', 'Waiting', 'Running job', 'Last used', 'Expires'],
    empty: Object.values(filter).some(Boolean) ? 'No session is like that.' : 'There are no sessions of yours.',
    key: (session) => session.id,
    load: (cursor, within) => json('sessions', { query: { ...filter, cursor }, signal: within }),
    row: (session) => [
      sessionLink(session.id, { owner: query.owner }),
      [badge(session.state), session.uncommitted ? ' uncommitted' : null],
      name(session.owner),
      bytes(session.bytes),
      number(session.files),
      number(session.queued),
      session.running_job ? jobLink(session.running_job) : null,
      time(session.last_used_at),
      time(session.expires_at) ?? 'never',
    ],
    signal,
  });
  return [el('h1', { tabindex: '-1' }, 'Sessions'), filters(filter, access.admin), sessions.node];
}

function filters(filter, isAdmin) {
  const states = ['', ...STATES].map((state) => el('option', { value: state, selected: state === (filter.state ?? '') }, state || 'any'));
  const owner = () => el('label', {}, 'Owner', el('input', { name: 'owner', value: filter.owner ?? '', placeholder: 'you; or another principal', spellcheck: 'false', autocapitalize: 'off' }));
  const form = el('form', { class: 'filters', role: 'search', 'aria-label': 'Narrow down the sessions' },
    el('label', {}, 'State', el('select', { name: 'state', on: { change: () => form.requestSubmit() } }, states)),
    isAdmin ? owner() : null,
    el('button', { type: 'submit' }, 'Show'),
    el('a', { class: 'button quiet', href: to(['sessions']) }, 'Show all'));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    go(['sessions'], Object.fromEntries(new FormData(form)));
  });
  return form;
}
