// One session: its terms, parameters, files and history, and the two ways to undo it.
// The record is read again and again; the rest only when a commit or the address changed.

import { ask, json } from './api.js';
import { badge, bytes, duration, number, time, yesNo } from './format.js';
import { button, confirmed, el, facts, fill, name, problemText, say, section, shown, shownLines } from './dom.js';
import { cells } from './list.js';
import { every } from './poll.js';
import { files } from './files.js';
import { go, to } from './route.js';
import { history } from './history.js';
import { jobLink } from './jobs.js';
import { saveButton } from './save.js';

const REFRESH_MS = 3_000;

export function sessionView({ parts: [, id], query, signal }) {
  const state = el('span', {});
  const about = el('div', {}, el('p', { class: 'note' }, 'Loading…'));
  const inside = el('div', {});
  const names = { id };
  // Of another's session an admin sees the record, and may drop it.
  const others = query.owner ? { owner: query.owner } : {};
  let last = null;
  let contents = null;
  every(REFRESH_MS, signal, async () => {
    const session = await json('session', { names, query: others, signal });
    if (last?.state !== session.state) fill(state, badge(session.state));
    if (JSON.stringify(session) !== JSON.stringify(last)) fill(about, record(session, !query.owner));
    const isNews = last !== null && last.commit !== session.commit;
    last = session;
    if (query.owner) return;
    if (contents === null) {
      contents = new Contents(session, query, () => last, signal);
      fill(inside, contents.node);
    } else if (isNews) {
      contents.reload(query);
    }
  }, (error) => {
    fill(about, problemText(error));
    if (error.status === 404) fill(inside);
  });
  const drop = button('Drop session', () => dropped(id, query, last, signal), { class: 'danger' });
  const title = el('div', { class: 'title' }, el('h1', { tabindex: '-1' }, 'Session ', name(id)), state, drop);
  const note = query.owner ? el('p', { class: 'hint' }, 'This session is another principal’s. Its files and history are for its owner alone.') : null;
  return [title, note, about, inside];
}

async function dropped(id, query, session, signal) {
  const running = session?.running_job ? ' The job that runs in it is cancelled.' : '';
  const waiting = session?.queued ? ' Jobs that wait in it run without a session.' : '';
  const text = `Its files, parameters and history are deleted for good.${running}${waiting}`;
  if (!(await confirmed('Drop this session?', text, 'Drop the session', signal))) return;
  // A keyed session is dropped by its newest key, which this page has not, or by an admin who says whose it is.
  const owner = query.owner ?? (session?.keyed ? session.owner : undefined);
  const answer = await ask('drop', { names: { id }, query: { owner }, signal });
  say(answer.status === 202 ? 'The session goes as soon as its job has stopped.' : 'The session is dropped.');
  go(['sessions'], { owner: query.owner });
}

function record(session, isOwn) {
  const terms = session.transaction === 'explicit' ? 'gathers changes until a commit or a rollback' : 'each job is one';
  return section('Record', facts([
    ['Owner', name(session.owner)],
    ['Commit', number(session.commit)],
    ['Holds', [bytes(session.bytes), ' in ', number(session.files), ' files; at most ', bytes(session.limits.bytes), ' in ', number(session.limits.files)]],
    ['On disk', [bytes(session.stored_bytes), ', earlier commits included']],
    ['Waiting', number(session.queued)],
    ['Running job', session.running_job ? jobLink(session.running_job) : 'none'],
    ['Transaction', terms],
    ['Uncommitted', session.transaction === 'explicit' ? yesNo(session.uncommitted) : null],
    ['When it is busy', session.queue === 'wait' ? 'requests wait' : 'requests are refused'],
    ['Session keys', session.keyed ? 'each change needs the newest' : 'none'],
    ['Made', time(session.created_at)],
    ['Last used', time(session.last_used_at)],
    ['Expires', time(session.expires_at) ?? 'never'],
    ['Idle timeout', duration(session.idle_timeout_s === null ? null : session.idle_timeout_s * 1000)],
    ['Lifetime', duration(session.lifetime_s === null ? null : session.lifetime_s * 1000)],
    ['Keeps', [`the last ${number(session.history.commits)} commits`, session.history.age_s === null ? '' : [', for ', duration(session.history.age_s * 1000)]]],
    ['Jobs', isOwn ? el('a', { href: to(['jobs'], { session: session.id }) }, 'those that named it') : null],
  ]));
}

/** What is in it as of a commit: the one in the address, or the last. */
class Contents {
  constructor(session, query, now, signal) {
    const commit = query.commit;
    const names = { id: session.id };
    const then = commit === undefined ? null : el('p', { class: 'banner' },
      `Parameters and files are shown as of commit ${shown(commit)}. `, el('a', { href: to(['sessions', session.id]) }, 'Show them as they are now'));
    const archive = saveButton('Download all as tar', `${session.id}.tar`, 'archive', { names, query: { commit }, signal });
    this.params = new Params(names, commit, signal);
    this.files = files(session, query, signal);
    this.history = history(session.id, now, signal);
    this.node = [
      then,
      section('Parameters', this.params.node),
      section('Files', archive, this.files.node),
      section('History', this.history.node),
    ];
  }

  /** There is a new commit. What is shown of an earlier one stays as it was. */
  reload({ commit }) {
    this.history.reload();
    if (commit !== undefined) return;
    this.params.reload();
    this.files.reload();
  }
}

class Params {
  constructor(names, commit, signal) {
    Object.assign(this, { names, commit, signal });
    this.node = el('div', {}, el('p', { class: 'note' }, 'Loading…'));
    this.reload();
  }

  async reload() {
    const { names, commit, signal } = this;
    try {
      fill(this.node, table(await json('params', { names, query: { commit }, signal })));
    } catch (error) {
      if (!signal.aborted) fill(this.node, problemText(error));
    }
  }
}

function table(values) {
  const pairs = Object.entries(values).sort(([one], [other]) => (one < other ? -1 : 1));
  if (pairs.length === 0) return el('p', { class: 'note' }, 'There are none.');
  const columns = ['Name', 'Value'];
  const rows = pairs.map(([key, value]) => cells(columns, [name(key), el('bdi', { class: 'value' }, shownLines(value))]));
  const head = el('thead', {}, el('tr', {}, columns.map((title) => el('th', { scope: 'col' }, title))));
  return el('table', {}, el('caption', { class: 'unseen' }, 'parameters'), head, el('tbody', {}, rows));
}
