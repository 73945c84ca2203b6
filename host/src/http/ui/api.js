// The way to the server: every address that the dashboard asks, the key, and what a refusal says.
// Here alone names are put into addresses, and each part of a path is encoded by itself.

const ADDRESSES = {
  jobs: 'GET /v1/jobs',
  job: 'GET /v1/jobs/{id}',
  stdout: 'GET /v1/jobs/{id}/stdout',
  stderr: 'GET /v1/jobs/{id}/stderr',
  events: 'GET /v1/jobs/{id}/events',
  cancel: 'POST /v1/jobs/{id}/cancel',
  sessions: 'GET /v1/sessions',
  session: 'GET /v1/sessions/{id}',
  drop: 'DELETE /v1/sessions/{id}',
  params: 'GET /v1/sessions/{id}/params',
  files: 'GET /v1/sessions/{id}/files',
  file: 'GET /v1/sessions/{id}/files/{*path}',
  archive: 'GET /v1/sessions/{id}/archive',
  commits: 'GET /v1/sessions/{id}/commits',
  commit: 'GET /v1/sessions/{id}/commits/{number}',
  revert: 'POST /v1/sessions/{id}/revert',
  modules: 'GET /v1/modules',
  module: 'GET /v1/modules/{name}',
  versions: 'GET /v1/modules/{name}/versions',
  content: 'GET /v1/modules/{name}/content',
  upload: 'PUT /v1/modules/{name}',
  tenants: 'GET /v1/admin/tenants',
  quota: 'GET /v1/admin/tenants/{tenant}/quota',
  keys: 'GET /v1/admin/tenants/{tenant}/keys',
  metrics: 'GET /metrics',
};

// In memory and nowhere else: a cookie would be sent by other sites' pages, and what a browser
// stores for a tab it may write to its disk.
let key = null;
let onRefusedKey = () => {};

export const hasKey = () => key !== null;

/** Takes a key; `null` forgets it. */
export function useKey(text) {
  key = text;
}

/** Who is told that the server refused the key. */
export function whenKeyIsRefused(told) {
  onRefusedKey = told;
}

/** A refusal of the server, or its silence (status 0). */
class Problem extends Error {
  constructor(status, detail, retryAfterS = 0) {
    super(detail);
    this.status = status;
    this.retryAfterS = retryAfterS;
  }
}

/** Asks, and gives the answer if it is good; throws a Problem if not. */
export async function ask(address, { names = {}, query = {}, headers = {}, body, signal } = {}) {
  const [method, template] = ADDRESSES[address].split(' ');
  const wanted = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const asked = wanted.length > 0 ? `?${new URLSearchParams(wanted)}` : '';
  // Relative to the page, so that it works behind a proxy that puts both under a path.
  const url = `.${filled(template, names)}${asked}`;
  const shown = key;
  let answer;
  try {
    answer = await fetch(url, {
      method, body, signal,
      headers: { ...headers, Authorization: `Bearer ${shown}` },
      credentials: 'omit', cache: 'no-store', redirect: 'error', referrerPolicy: 'no-referrer',
    });
  } catch (error) {
    if (signal?.aborted || error.name === 'AbortError') throw error;
    throw new Problem(0, 'The server does not answer.');
  }
  if (answer.ok) return answer;
  const problem = await refusal(answer);
  if (answer.status === 401 && shown === key) onRefusedKey();
  throw problem;
}

export const json = async (address, options) => (await ask(address, options)).json();

export const post = (address, names, form, signal) => ask(address, {
  names, signal, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(form),
});

async function refusal(answer) {
  let detail = `The server answered ${answer.status}.`;
  try {
    detail = sentence((await answer.json()).detail);
  } catch {
    // No problem of ours: something on the way said this.
  }
  return new Problem(answer.status, detail, Number(answer.headers.get('Retry-After')) || 0);
}

function sentence(detail) {
  const text = String(detail);
  return text.slice(0, 1).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? '' : '.');
}

function filled(template, names) {
  return template.replace(/\{(\*?)(\w+)\}/g, (_, many, name) => {
    const text = String(names[name]);
    return (many ? text.split('/') : [text]).map(part).join('/');
  });
}

/** A part that a browser would take for a step up is no name of anything here. */
function part(text) {
  if (['', '.', '..'].includes(text)) throw new Problem(404, 'Nothing has such a name.');
  try {
    return encodeURIComponent(text);
  } catch {
    throw new Problem(404, 'That name is no text.');
  }
}
