// The commits of a session that are kept: what each changed, how it was then, and the way back.
// What a commit changed is read when somebody opens it.

import { badge, bytes, number, time } from './format.js';
import { button, confirmed, el, fill, name, problemText, say } from './dom.js';
import { jobLink } from './jobs.js';
import { json, post } from './api.js';
import { list } from './list.js';
import { to } from './route.js';

const REFRESH_MS = 600_000;
const CHANGES_MAX = 500;

const CAUSES = {
  created: 'made', forked: 'forked', job: 'a job', files: 'files over HTTP', params: 'parameters over HTTP',
  commit: 'a commit of a transaction', revert: 'a revert', upgraded: 'an upgrade of the server',
};

/** `now()` gives the session as it was last read. */
export function history(id, now, signal) {
  const names = { id };
  return list({
    label: 'commits',
    columns: ['Commit', 'When', 'By', 'Held', 'Changed', 'Then'],
    empty: 'There are none.',
    key: (commit) => commit.commit,
    load: async (cursor, within) => {
      const page = await json('commits', { names, query: { cursor }, signal: within });
      // So that a row is made anew when it is no longer the last.
      return { ...page, items: page.items.map((commit) => ({ ...commit, isLast: commit.commit === now().commit })) };
    },
    row: (commit) => [
      number(commit.commit),
      time(commit.at),
      [Object.hasOwn(CAUSES, commit.cause) ? CAUSES[commit.cause] : commit.cause, commit.job ? [' ', jobLink(commit.job)] : null],
      [bytes(commit.bytes), `, ${number(commit.files)} files`],
      changed({ ...names, number: commit.commit }, signal),
      el('div', { class: 'actions' },
        el('a', { class: 'button quiet', href: to(['sessions', id], { commit: commit.commit }) }, 'Look'),
        commit.isLast ? null : revert(now(), commit.commit, signal)),
    ],
    signal,
    refreshMs: REFRESH_MS,
  });
}

function changed(names, signal) {
  const place = el('div', {});
  const details = el('details', {}, el('summary', {}, 'Show'), place);
  details.addEventListener('toggle', async () => {
    if (!details.open || place.hasChildNodes()) return;
    fill(place, 'Loading…');
    try {
      fill(place, changesTable((await json('commit', { names, signal })).changes));
    } catch (error) {
      if (!signal.aborted) fill(place, problemText(error));
    }
  });
  return details;
}

/** Files and parameters that a transaction changed, or would have. */
export function changesTable({ files, params }) {
  const all = [
    ...files.map((file) => [file.change, file.kind === 'file' ? '' : `${file.kind} `, name(file.path), file.change === 'deleted' ? '' : [' ', bytes(file.size)]]),
    ...params.map((param) => [param.change, 'parameter ', name(param.name), '']),
  ];
  if (all.length === 0) return el('p', { class: 'note' }, 'Nothing.');
  const lines = all.slice(0, CHANGES_MAX).map(([change, kind, label, size]) => el('li', {}, badge(change), ' ', kind, label, size));
  const more = all.length > CHANGES_MAX ? el('p', { class: 'hint' }, `And ${number(all.length - CHANGES_MAX)} more.`) : null;
  return [el('ul', { class: 'plain' }, lines), more];
}

function revert(session, commit, signal) {
  return button('Revert', async () => {
    if (session.keyed) {
      say('This session is changed only with its newest session key, which this page does not have.');
      return;
    }
    const text = `Files and parameters become what they were at commit ${number(commit)}, as a new commit. It waits for its turn behind the session’s jobs. Later commits stay in the history while they are kept.`;
    if (!(await confirmed(`Revert to commit ${number(commit)}?`, text, 'Revert', signal))) return;
    await post('revert', { id: session.id }, { to: commit }, signal);
    say(`The session is as it was at commit ${number(commit)}.`);
  }, { class: 'quiet' });
}
