// Bytes of the API as a file of the reader's, with the key in the request and not in an address.
// A browser is told that they are bytes of no kind it knows, so it opens none of them here.

import { ask } from './api.js';
import { button, say, shown } from './dom.js';
import { bytesText } from './format.js';

/** The last part of a path as a name that is safe to give a file. */
function fileName(path) {
  const last = path.split('/').at(-1);
  return shown(last).replace(/[\\/:*?"<>|\p{C}]/gu, '_').replace(/^\.+/, '_').slice(0, 150) || 'file';
}

async function save(path, address, options) {
  const name = fileName(path);
  say(`Downloading ${name} …`);
  const answer = await ask(address, options);
  const blob = new Blob([await answer.blob()], { type: 'application/octet-stream' });
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  say(`Downloaded ${name}, ${bytesText(blob.size)}.`);
}

/** A button that downloads what an address gives. */
export const saveButton = (text, path, address, options) => (
  button(text, () => save(path, address, options), { class: 'quiet' })
);
