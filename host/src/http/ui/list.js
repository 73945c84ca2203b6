// A list of the API as a table that keeps itself up to date, page by page.
// Rows that have not changed stay as they are, so what is open or focused in one stays so.

import { el, fill, problemText } from './dom.js';
import { every } from './poll.js';

const REFRESH_MS = 4_000;

/**
 * `load(cursor, signal)` gives a page of the API, `row(item)` the cells of an item in the order
 * of `columns`, `key(item)` what it is told apart by.
 */
export function list({ label, columns, load, row, key, empty, signal, refreshMs = REFRESH_MS }) {
  const body = el('tbody');
  const head = el('thead', {}, el('tr', {}, columns.map((title) => el('th', { scope: 'col' }, title))));
  const table = el('table', {}, el('caption', { class: 'unseen' }, label), head, body);
  const note = el('div', { class: 'note' }, 'Loading…');
  const back = el('button', { type: 'button', class: 'quiet' }, 'Previous page');
  const on = el('button', { type: 'button', class: 'quiet' }, 'Next page');
  const pager = el('nav', { class: 'pager', 'aria-label': `Pages of ${label}`, hidden: true }, back, on);
  const rows = new Map();
  const cursors = [null];
  let next = null;
  let turn = new AbortController();

  const show = (page) => {
    const items = page.items.map((item) => [key(item), item]);
    renew(body, rows, items, (item) => cells(columns, row(item)));
    next = page.next_cursor;
    table.hidden = items.length === 0;
    fill(note, items.length === 0 ? empty : null);
    back.disabled = cursors.length === 1;
    on.disabled = next === null;
    pager.hidden = back.disabled && on.disabled;
  };

  const start = () => {
    turn.abort();
    turn = new AbortController();
    const both = AbortSignal.any([signal, turn.signal]);
    every(refreshMs, both, async () => {
      const page = await load(cursors.at(-1), both);
      if (both.aborted) return;
      show(page);
    }, (error) => {
      if ([403, 404].includes(error.status)) table.hidden = pager.hidden = true;
      fill(note, problemText(error));
    });
  };

  back.addEventListener('click', () => {
    cursors.pop();
    start();
  });
  on.addEventListener('click', () => {
    cursors.push(next);
    start();
  });
  table.hidden = true;
  start();
  const node = el('div', { class: 'list' }, table, note, pager);
  return { node, reload: start };
}

/** A row of a table; each cell says what it is, for where there is no room for a head. */
export function cells(columns, values) {
  return el('tr', {}, values.map((value, at) => {
    const inner = el('div', {}, value ?? '–');
    return at === 0 ? el('th', { scope: 'row', 'data-label': columns[at] }, inner) : el('td', { 'data-label': columns[at] }, inner);
  }));
}

/** Brings the rows to what the items are now, with as few changes as that takes. */
function renew(body, rows, items, make) {
  const wanted = new Set(items.map(([id]) => id));
  for (const [id, { node }] of rows) {
    if (wanted.has(id)) continue;
    node.remove();
    rows.delete(id);
  }
  let before = null;
  for (const [id, item] of items) {
    const text = JSON.stringify(item);
    const known = rows.get(id);
    let node = known?.node;
    if (known?.text !== text) {
      node = make(item);
      if (known) replaceKeepingFocus(known.node, node);
      rows.set(id, { node, text });
    }
    const place = before ? before.nextSibling : body.firstChild;
    if (place !== node) body.insertBefore(node, place);
    before = node;
  }
}

function replaceKeepingFocus(old, node) {
  const within = (row) => [...row.querySelectorAll('a, button, summary')];
  const at = within(old).indexOf(document.activeElement);
  old.replaceWith(node);
  if (at >= 0) within(node)[at]?.focus();
}
