// One job: what it is, how far it is, how it ended and why, and what it prints, as it happens.
// It is followed by its events; the record is read again when one of them says it changed.

import { json, post } from './api.js';
import { badge, bytes, duration, number, time, yesNo } from './format.js';
import { button, code, confirmed, el, facts, fill, name, problemText, say, section, shownLines } from './dom.js';
import { changesTable } from './history.js';
import { follow } from './follow.js';
import { isOver, moduleLink, sessionLink } from './jobs.js';
import { Output } from './output.js';

const RESULT_MAX = 256 << 10;

export function jobView({ parts: [, id], signal }) {
  const view = new JobPage(id, signal);
  view.open();
  return view.node;
}

class JobPage {
  constructor(id, signal) {
    Object.assign(this, { id, signal, job: null, attempt: null });
    this.stdout = new Output('stdout', id, signal);
    this.stderr = new Output('stderr', id, signal);
    this.state = el('span', {});
    this.progress = el('div', { class: 'progress' });
    this.link = el('p', { class: 'hint' });
    this.why = el('div', {}, el('p', { class: 'note' }, 'Loading…'));
    this.about = el('div', {});
    this.cancel = button('Cancel job', () => this.stop(), { class: 'danger', hidden: true });
    this.printed = el('div', { class: 'columns', hidden: true }, this.stdout.node, this.stderr.node);
    this.node = [
      el('div', { class: 'title' }, el('h1', { tabindex: '-1' }, 'Job ', name(id)), this.state, this.cancel),
      this.progress, this.link, this.why, this.printed, this.about,
    ];
  }

  async open() {
    try {
      await this.reload();
      this.printed.hidden = false;
      await follow(this.id, this.signal, {
        attempt: (attempt) => this.began(attempt),
        state: (event) => this.entered(event),
        progress: (event) => this.advanced(event),
        stdout: (event) => this.stdout.add(event),
        stderr: (event) => this.stderr.add(event),
        end: (job) => this.ended(job),
      }, {
        joined: () => fill(this.link),
        broken: (error) => fill(this.link, error.message, ' Trying again; nothing is missed.'),
      });
    } catch (error) {
      if (this.signal.aborted) return;
      fill(this.job ? this.link : this.why, problemText(error));
    }
  }

  async reload() {
    this.show(await json('job', { names: { id: this.id }, signal: this.signal }));
  }

  /** What an attempt that failed had printed is gone. */
  began(attempt) {
    if (this.attempt === attempt) return;
    this.attempt = attempt;
    [this.stdout, this.stderr].forEach((output) => output.clear());
    fill(this.progress);
  }

  async entered({ state, attempt }) {
    if (this.job && (this.job.state !== state || this.job.attempt !== attempt)) {
      say(`The job is ${state}.`);
      await this.reload().catch((error) => !this.signal.aborted && fill(this.link, problemText(error)));
    }
  }

  advanced({ fraction, message }) {
    const bar = el('progress', { max: 1, value: fraction, 'aria-label': 'Progress' });
    fill(this.progress, bar, el('span', {}, `${number(Math.round(fraction * 100))} % `, name(message)));
  }

  ended(job) {
    const news = this.job && !isOver(this.job);
    this.show(job);
    this.stdout.finish(job.stdout_bytes, job.stdout_truncated);
    this.stderr.finish(job.stderr_bytes, job.stderr_truncated);
    if (news) say(`The job has ended: ${job.state}.`);
  }

  show(job) {
    // An answer that was on its way when the job ended is old.
    if (this.job && isOver(this.job) && !isOver(job)) return;
    this.job = job;
    fill(this.state, badge(job.state));
    this.cancel.hidden = isOver(job);
    if (job.progress) this.advanced(job.progress);
    if (isOver(job)) fill(this.progress);
    fill(this.why, outcome(job), lastFailure(job));
    fill(this.about, result(job), changes(job), record(job));
  }

  async stop() {
    const text = this.job.state === 'queued'
      ? 'It waits and has done nothing yet. It will not run.'
      : 'It is stopped at once. What it did to its session is undone, but for what it has committed itself.';
    if (!(await confirmed('Cancel this job?', text, 'Cancel the job', this.signal))) return;
    const answer = await post('cancel', { id: this.id }, {}, this.signal);
    const job = await answer.json();
    this.show(job);
    say(job.state === 'cancelled' ? 'The job is cancelled.' : `The job was over before: ${job.state}.`);
  }
}

function told(outcome) {
  return [
    facts([
      ['Reason', outcome.reason ?? null],
      ['Exit code', outcome.exit_code ?? null],
    ]),
    outcome.detail ? el('pre', { class: 'output', tabindex: '0', 'aria-label': 'Detail' }, shownLines(outcome.detail)) : null,
  ];
}

function outcome(job) {
  if (!job.outcome || job.state === 'succeeded') return null;
  return section(job.state === 'cancelled' ? 'Why it was cancelled' : 'Why it failed', told(job.outcome));
}

const lastFailure = (job) => (job.last_failure && !isOver(job) ? section('How the last attempt failed', told(job.last_failure)) : null);

function result(job) {
  if (job.result === undefined) return null;
  const text = shownLines(JSON.stringify(job.result, null, 2));
  return section('Result',
    el('pre', { class: 'output', tabindex: '0', 'aria-label': 'Result' }, text.slice(0, RESULT_MAX)),
    text.length > RESULT_MAX ? el('p', { class: 'hint' }, 'Only its beginning is shown here.') : null);
}

const changes = (job) => (job.changes ? section('What it would have changed', changesTable(job.changes)) : null);

function record(job) {
  // These are counted when it ends.
  const atEnd = (value, as) => (isOver(job) && job.started_at ? as(value) : null);
  const labels = Object.entries(job.labels).map(([label, value]) => el('li', {}, code(`${label}=${value}`)));
  return section('Record', facts([
    ['Module', moduleLink(job)],
    ['Digest', code(job.digest)],
    ['Session', job.session ? [sessionLink(job.session.id), job.session.active ? null : ' (it ran outside: there was no such session)'] : 'none'],
    ['Accepted', time(job.created_at)],
    ['Not before', time(job.not_before)],
    ['Started', time(job.started_at)],
    ['Ended', time(job.ended_at)],
    ['Waited', duration(job.queue_ms)],
    ['Ran', atEnd(job.wall_ms, duration)],
    ['Processor time', atEnd(job.cpu_ms, duration)],
    ['Memory at most', atEnd(job.memory_peak_bytes, bytes)],
    ['Attempt', `${number(job.attempt)}${job.retries > 0 ? `, with up to ${number(job.retries)} retries` : ''}`],
    ['Priority', number(job.priority)],
    ['Dry run', yesNo(!job.commit)],
    ['Printed', isOver(job) ? [bytes(job.stdout_bytes), ' to stdout, ', bytes(job.stderr_bytes), ' to stderr'] : null],
    ['Cut short', job.stdout_truncated || job.stderr_truncated ? 'yes, it printed more than it may' : null],
    ['Limits', [duration(job.limits.wall_ms), ' of time, ', duration(job.limits.cpu_ms), ' of processor, ', bytes(job.limits.memory_bytes), ' of memory, ', bytes(job.limits.output_bytes), ' of output']],
    ['Labels', labels.length > 0 ? el('ul', { class: 'plain' }, labels) : null],
  ]));
}
