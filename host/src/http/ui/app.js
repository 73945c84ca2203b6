// The dashboard's beginning: takes a key, finds out what it may see, and shows what the address names.
// A view ends when another begins: its signal ends its requests.

import { ask, hasKey, useKey, whenKeyIsRefused } from './api.js';
import { el, fill, problemText, say } from './dom.js';
import { jobsView } from './jobs.js';
import { jobView } from './job.js';
import { modulesView, moduleView } from './modules.js';
import { numbersView } from './numbers.js';
import { read, to } from './route.js';
import { sessionsView } from './sessions.js';
import { sessionView } from './session.js';
import { tenantsView, tenantView } from './tenants.js';

/** Each part: its address, its name, whether a key may see it, its list, and the page of one thing. */
const PARTS = [
  { at: 'jobs', title: 'Jobs', may: (access) => access.jobs, all: jobsView, one: jobView },
  { at: 'sessions', title: 'Sessions', may: (access) => access.jobs || access.admin, all: sessionsView, one: sessionView },
  { at: 'modules', title: 'Modules', may: (access) => access.modules, all: modulesView, one: moduleView },
  { at: 'tenants', title: 'Tenants', may: (access) => access.root || access.admin, all: tenantsView, one: tenantView },
  { at: 'numbers', title: 'Server', may: (access) => access.numbers, all: numbersView },
];

const place = (id) => document.getElementById(id);

let access = null;
let turn = new AbortController();

/** Shows what the address names. */
function show() {
  turn.abort();
  turn = new AbortController();
  if (!hasKey() || access === null) return;
  const { parts, query } = read(location.hash);
  const seen = PARTS.filter((part) => part.may(access));
  const [at, ...names] = parts.length === 0 ? [seen[0]?.at] : parts;
  for (const link of place('nav').children) {
    if (link.dataset.at === at) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  const part = PARTS.find((known) => known.at === at);
  const view = names.length === 0 ? part?.all : (names.length === 1 ? part?.one : undefined);
  document.title = ['Sessile', part?.title, names[0]].filter(Boolean).join(' · ').slice(0, 200);
  const isHidden = part && !part.may(access);
  fill(place('view'), isHidden ? hidden(part) : view ? view({ parts, query, access, signal: turn.signal }) : nothing());
  place('view').querySelector('h1')?.focus();
}

const hidden = (part) => [el('h1', { tabindex: '-1' }, part.title), el('p', { class: 'note' }, 'This key may not see this part.')];

const nothing = () => [el('h1', { tabindex: '-1' }, 'Nothing is here'), el('p', {}, el('a', { href: to(['jobs']) }, 'To the jobs'))];

/** Asks a little of each part: what is not forbidden may be seen. */
async function probe() {
  const may = async (address, query) => {
    try {
      await ask(address, { query });
      return true;
    } catch (error) {
      if (error.status === 401 || error.status === 0) throw error;
      return error.status !== 403;
    }
  };
  const asked = [may('jobs', { limit: 1 }), may('modules', { limit: 1 }), may('sessions', { owner: 'x', limit: 1 }), may('tenants', { limit: 1 }), may('metrics')];
  const [jobs, modules, admin, root, numbers] = await Promise.all(asked);
  return { jobs, modules, admin, root, numbers };
}

function showNav() {
  const seen = PARTS.filter((part) => part.may(access));
  fill(place('nav'), seen.map((part) => el('a', { href: to([part.at]), 'data-at': part.at }, part.title)));
  const unseen = PARTS.filter((part) => !part.may(access)).map((part) => part.title);
  if (unseen.length > 0) say(`This key may not see: ${unseen.join(', ')}.`);
}

/** Asks for a key, and says why. */
function askForKey(why) {
  useKey(null);
  access = null;
  turn.abort();
  fill(place('view'));
  fill(place('nav'));
  document.title = 'Sessile';
  place('nav').hidden = place('forget').hidden = place('view').hidden = true;
  place('key-form').hidden = false;
  fill(place('key-why'), why);
  place('key').value = '';
  place('key').focus();
}

async function open(event) {
  event.preventDefault();
  useKey(place('key').value.trim());
  const button = place('key-form').querySelector('button');
  button.disabled = true;
  try {
    access = await probe();
  } catch (error) {
    if (error.status !== 401) {
      useKey(null);
      fill(place('key-why'), problemText(error));
    }
    return;
  } finally {
    button.disabled = false;
  }
  place('key').value = '';
  place('key-form').hidden = true;
  place('nav').hidden = place('forget').hidden = place('view').hidden = false;
  fill(place('key-why'));
  showNav();
  show();
}

whenKeyIsRefused(() => askForKey('The server does not know this key, or no longer.'));
place('key-form').addEventListener('submit', open);
place('forget').addEventListener('click', () => {
  askForKey(null);
  say('The key is forgotten.');
});
window.addEventListener('hashchange', show);
askForKey(null);
