// Elements out of words: text is only ever text here, whoever wrote it.
// What could steer a reader's eye (control and direction marks) is shown as its number.

/** An element. Attributes are named in our own code; a link leads to this page and nowhere else. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'on') {
      for (const [event, act] of Object.entries(value)) node.addEventListener(event, act);
    } else if (name === 'href' && !String(value).startsWith('#/')) {
      throw new Error('a link leads into the dashboard');
    } else if (value === true) {
      node.setAttribute(name, '');
    } else if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(name, value);
    }
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** Puts children in the place of those that an element has. */
export function fill(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const STEERING = /[\p{Cc}\p{Cs}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

const numbered = (mark) => `\\u{${mark.codePointAt(0).toString(16)}}`;

/** Any text as it may be shown on one line. */
export const shown = (text) => String(text).replace(STEERING, numbered);

/** Text of many lines: breaks and tabs stay. */
export const shownLines = (text) => String(text).replaceAll('\r\n', '\n')
  .replace(STEERING, (mark) => (mark === '\n' || mark === '\t' ? mark : numbered(mark)));

/** A name or value that somebody else chose, kept apart from the text around it. */
export const name = (text) => el('bdi', { class: 'name' }, shown(text));

/** The same as code. */
export const code = (text) => el('code', {}, name(text));

export const problemText = (error) => el('p', { class: 'problem' }, shown(error.message));

/** A button that does one thing at a time, and says so if that fails. */
export function button(text, act, attributes = {}) {
  const node = el('button', { type: 'button', ...attributes }, text);
  node.addEventListener('click', async () => {
    node.disabled = true;
    try {
      await act(node);
    } catch (error) {
      if (error.name !== 'AbortError') say(error.message);
    } finally {
      node.disabled = false;
    }
  });
  return node;
}

const SAID_MS = 15_000;
let silence;

/** Tells the reader something, also one who hears the page; it goes away by itself. */
export function say(text) {
  const place = document.getElementById('said');
  place.textContent = shown(text);
  clearTimeout(silence);
  silence = setTimeout(() => place.replaceChildren(), SAID_MS);
}

/** Asks before something that cannot be taken back; the text says what will happen. */
export function confirmed(title, text, yes, signal) {
  const dialog = document.getElementById('ask');
  const part = (id) => document.getElementById(id);
  fill(part('ask-title'), title);
  fill(part('ask-text'), text);
  part('ask-yes').textContent = yes;
  return new Promise((settle) => {
    const over = new AbortController();
    const end = (answer) => {
      over.abort();
      dialog.close();
      settle(answer);
    };
    const options = { signal: over.signal };
    part('ask-yes').addEventListener('click', () => end(true), options);
    part('ask-no').addEventListener('click', () => end(false), options);
    dialog.addEventListener('cancel', () => end(false), options);
    signal.addEventListener('abort', () => end(false), options);
    dialog.showModal();
    part('ask-no').focus();
  });
}

/** Terms and what they are; a term without a value is left out. */
export function facts(pairs) {
  const told = pairs.filter(([, value]) => value !== null && value !== undefined);
  return el('dl', { class: 'facts' }, told.map(([term, value]) => el('div', {}, el('dt', {}, term), el('dd', {}, value))));
}

export const section = (title, ...children) => el('section', {}, el('h2', {}, title), children);
