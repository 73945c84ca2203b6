// Modules: the latest of each, the versions of one with what they import, and an upload.
// A version is checked and compiled by the server; the page only shows how far that is.

import { ask, json } from './api.js';
import { badge, bytes, number, time } from './format.js';
import { button, code, el, name, say, shown } from './dom.js';
import { go, to } from './route.js';
import { list } from './list.js';
import { saveButton } from './save.js';

const moduleLink = (module) => el('a', { href: to(['modules', module.name]) }, name(module.name));

const state = (version) => [badge(version.state), version.reason ? [' ', el('bdi', {}, shown(version.reason))] : null];

export function modulesView({ signal }) {
  const modules = list({
    label: 'modules',
    columns: ['Module', 'Latest', 'State', 'Kind', 'Size', 'Uploaded', 'By'],
    empty: 'There are no modules.',
    key: (module) => module.name,
    load: (cursor, within) => json('modules', { query: { cursor }, signal: within }),
    row: (module) => [
      moduleLink(module), number(module.version), state(module), module.kind, bytes(module.size), time(module.created_at), name(module.created_by),
    ],
    signal,
  });
  return [el('h1', { tabindex: '-1' }, 'Modules'), upload(signal), modules.node];
}

export function moduleView({ parts: [, module], signal }) {
  const versions = list({
    label: 'versions',
    columns: ['Version', 'State', 'Kind', 'Size', 'Uploaded', 'By', 'Imports', 'Get'],
    empty: 'There are no versions.',
    key: (version) => version.version,
    load: (cursor, within) => json('versions', { names: { name: module }, query: { cursor }, signal: within }),
    row: (version) => [
      [number(version.version), el('div', { class: 'digest' }, code(version.digest))],
      state(version),
      version.kind,
      bytes(version.size),
      time(version.created_at),
      name(version.created_by),
      imports(version.imports),
      saveButton('Download', `${version.name}-${version.version}.wasm`, 'content', { names: { name: `${version.name}@${version.version}` }, signal }),
    ],
    signal,
  });
  const jobs = el('p', {}, el('a', { href: to(['jobs'], { module }) }, 'Jobs that ran it'));
  return [el('h1', { tabindex: '-1' }, 'Module ', name(module)), jobs, versions.node];
}

function imports(all) {
  if (all.length === 0) return 'none';
  return el('details', {}, el('summary', {}, `${number(all.length)} imports`), el('ul', { class: 'plain' }, all.map((one) => el('li', {}, code(one)))));
}

/** A file's name as the name of a module, as far as that goes. */
function moduleName(file) {
  return file.toLowerCase().replace(/\.wasm$/, '').replace(/[^a-z0-9._-]+/g, '-').replace(/^[._-]+|-+$/g, '').slice(0, 128);
}

function upload(signal) {
  const file = el('input', { type: 'file', accept: '.wasm,application/wasm', required: true });
  const title = el('input', { type: 'text', required: true, pattern: '[a-z0-9][a-z0-9._\\-]{0,127}', title: 'a-z, 0-9 and . _ -, beginning with a letter or digit', spellcheck: 'false', autocapitalize: 'off' });
  file.addEventListener('change', () => {
    if (file.files.length > 0 && title.value === '') title.value = moduleName(file.files[0].name);
  });
  const form = el('form', { class: 'filters' },
    el('label', {}, 'WebAssembly file', file),
    el('label', {}, 'Name', title));
  const send = button('Upload', async () => {
    if (!form.reportValidity()) return;
    say(`Uploading ${title.value} …`);
    const headers = { 'Content-Type': 'application/wasm', Prefer: 'respond-async' };
    const answer = await ask('upload', { names: { name: title.value }, headers, body: file.files[0], signal });
    const version = await answer.json();
    say(answer.status === 200 ? `Version ${version.version} has these bytes already.` : `Version ${version.version} is uploaded, and is ${version.state}.`);
    go(['modules', version.name]);
  });
  form.append(send);
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    send.click();
  });
  return el('details', { class: 'upload' }, el('summary', {}, 'Upload a module'),
    el('p', { class: 'hint' }, 'The file becomes a new version of the module of that name. Jobs that were accepted before run the version they named.'), form);
}
