// What lies in a session's directory, one directory at a time or all below it.
// Paths are data: shown as text, encoded part by part, and saved as bytes.

import { bytes, time } from './format.js';
import { el, name } from './dom.js';
import { go, to } from './route.js';
import { json } from './api.js';
import { list } from './list.js';
import { saveButton } from './save.js';

// Nothing changes in a commit; a new one makes the page ask anew.
const REFRESH_MS = 600_000;

export function files(session, query, signal) {
  const { prefix = '', commit } = query;
  const recursive = query.recursive === 'true';
  const names = { id: session.id };
  const look = (more) => to(['sessions', session.id], { prefix, commit, recursive, ...more });
  const below = prefix === '' ? 0 : prefix.length + 1;
  const listing = list({
    label: 'files',
    columns: ['Path', 'Kind', 'Size', 'Changed', 'Get'],
    empty: prefix === '' ? 'There are none.' : 'Nothing lies there.',
    key: (file) => file.path,
    load: (cursor, within) => json('files', { names, query: { prefix, commit, recursive: recursive || null, cursor }, signal: within }),
    row: (file) => {
      const label = name(file.path.slice(below));
      const isDirectory = file.kind === 'directory';
      const download = () => saveButton('Download', file.path, 'file', { names: { ...names, path: file.path }, query: { commit }, signal });
      return [
        isDirectory ? el('a', { href: look({ prefix: file.path }) }, label, '/') : label,
        file.kind,
        isDirectory ? null : bytes(file.size),
        time(file.modified_at),
        file.kind === 'file' ? download() : null,
      ];
    },
    signal,
    refreshMs: REFRESH_MS,
  });
  const all = el('input', { type: 'checkbox', checked: recursive, on: { change: () => go(['sessions', session.id], { prefix, commit, recursive: all.checked }) } });
  const check = el('label', { class: 'check' }, all, 'With everything below');
  return { node: [crumbs(prefix, look), check, listing.node], reload: listing.reload };
}

function crumbs(prefix, look) {
  const parts = prefix === '' ? [] : prefix.split('/');
  const steps = parts.map((part, at) => [' / ', el('a', { href: look({ prefix: parts.slice(0, at + 1).join('/') }) }, name(part))]);
  return el('p', { class: 'crumbs' }, el('a', { href: look({ prefix: '' }) }, 'All files'), steps);
}
