// What a job prints, as text in a <pre> that keeps only its end.
// Bytes that are no text become the replacement mark; the download has them as they are.

import { el, section, shownLines } from './dom.js';
import { bytes, bytesText, number } from './format.js';
import { saveButton } from './save.js';

/** What is kept on the page of each stream; in characters, which for plain text is bytes. */
const KEPT_MAX = 1 << 20;
const PIECE_MAX = 16 << 10;
const FLUSH_MS = 100;

/** One stream of a job. */
export class Output {
  constructor(stream, id, signal) {
    this.pre = el('pre', { class: 'output', tabindex: '0', 'aria-label': stream });
    this.note = el('p', { class: 'hint' });
    this.node = section(stream, this.note, this.pre, saveButton(`Download ${stream}`, `${id}.${stream}.txt`, stream, { names: { id }, signal }));
    this.truncated = this.isOver = false;
    this.clear();
  }

  /** Begins anew, as another attempt does. */
  clear() {
    this.decoder = new TextDecoder();
    this.pending = '';
    this.kept = 0;
    this.end = 0;
    this.cut = false;
    this.pre.replaceChildren();
    this.tell();
  }

  /** Adds what an event says was printed; what was there already is passed over. */
  add({ offset, text, base64 }) {
    const piece = text === undefined ? Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)) : new TextEncoder().encode(text);
    if (offset < this.end) return;
    this.end = offset + piece.length;
    this.pending += this.decoder.decode(piece, { stream: true });
    if (this.pending.length > KEPT_MAX) {
      this.pending = this.pending.slice(-KEPT_MAX);
      this.cut = true;
    }
    this.timer ??= setTimeout(() => this.flush(), FLUSH_MS);
  }

  flush() {
    clearTimeout(this.timer);
    this.timer = undefined;
    // First, since what is hidden has no end to scroll to.
    this.tell();
    const text = shownLines(this.pending);
    this.pending = '';
    const follows = this.pre.scrollTop + this.pre.clientHeight >= this.pre.scrollHeight - 4;
    this.append(text);
    while (this.kept > KEPT_MAX && this.pre.childNodes.length > 1) {
      this.kept -= this.pre.firstChild.length;
      this.pre.firstChild.remove();
      this.cut = true;
    }
    if (follows) this.pre.scrollTop = this.pre.scrollHeight;
    this.tell();
  }

  /** In pieces of one size, so that the oldest can go one by one. */
  append(text) {
    for (let at = 0; at < text.length;) {
      if (!this.pre.lastChild || this.pre.lastChild.length >= PIECE_MAX) this.pre.append('');
      let end = at + PIECE_MAX - this.pre.lastChild.length;
      // No character is cut in two.
      if (text.codePointAt(end - 1) > 0xffff) end += 1;
      this.pre.lastChild.appendData(text.slice(at, end));
      at = end;
    }
    this.kept += text.length;
  }

  /** The job is over, and so much was printed. */
  finish(count, truncated) {
    this.truncated = truncated;
    this.isOver = true;
    this.flush();
    this.end = Math.max(this.end, count);
    this.tell();
  }

  tell() {
    const parts = this.end === 0 ? [this.isOver ? 'Nothing.' : 'Nothing so far.'] : [bytes(this.end), '.'];
    if (this.cut) parts.push(` Only the last ${bytesText(KEPT_MAX)} are shown here; the download has all.`);
    if (this.truncated) parts.push(' It printed more than it may, and the rest was not kept.');
    const isUnkept = this.isOver && this.end > 0 && this.kept === 0;
    if (isUnkept) parts.push(' They went to whoever ran it as a stream, and are not kept.');
    this.pre.hidden = this.end === 0 || isUnkept;
    this.note.replaceChildren(...parts);
    this.note.title = `${number(this.end)} bytes`;
  }
}
