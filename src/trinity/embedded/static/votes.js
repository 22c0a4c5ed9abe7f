// Votes on their way to the server. They are kept in localStorage until the server has them, so a
// dead network, a reload or a closed tab loses none.

import { Problem, api } from './api.js';
import { keysOf, load, store } from './storage.js';

const PREFIX = 'trinity.votes.';
const BATCH = 50; // what the API takes at once
const LONGEST_WAIT_MS = 20_000;

export class VoteQueue {
  /** `tell`: accepted(matches), refused(problem, count), changed(). */
  constructor(userId, roomId, tell) {
    this.key = `${PREFIX}${userId}.${roomId}`;
    this.path = `/api/rooms/${roomId}/votes`;
    this.tell = tell;
    this.running = false;
    this.failures = 0;
    this.stopped = new AbortController();
    const retry = () => this.flush();
    addEventListener('online', retry, { signal: this.stopped.signal });
  }

  /** What is not confirmed yet: title → choice, or "undo". The newest wish for a title counts. */
  get waiting() {
    return load(this.key) ?? {};
  }

  get size() {
    return Object.keys(this.waiting).length;
  }

  put(titleId, choice) {
    const { [titleId]: _, ...others } = this.waiting;
    this.save({ ...others, [titleId]: choice });
    this.flush();
  }

  save(waiting) {
    const count = Object.keys(waiting).length;
    store(this.key, count ? waiting : null);
    this.tell.changed();
  }

  /** Forget what was sent, unless the wish has changed meanwhile. */
  done(sent) {
    this.save(Object.fromEntries(Object.entries(this.waiting).filter(([id, choice]) => sent[id] !== choice)));
  }

  /** Send until nothing waits. One request at a time: a vote and its undo never overtake each other. */
  async flush() {
    clearTimeout(this.timer);
    if (this.running) return;
    this.running = true;
    try {
      while (this.size && !this.stopped.signal.aborted) await this.sendSome();
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      this.failures += 1;
      this.tell.changed();
      const wait = Math.max(problem.retryAfter * 1000, Math.min(LONGEST_WAIT_MS, 500 * 2 ** this.failures));
      if (!this.stopped.signal.aborted && !problem.sessionOver) this.timer = setTimeout(() => this.flush(), wait);
    } finally {
      this.running = false;
    }
  }

  async sendSome() {
    const all = Object.entries(this.waiting);
    const undo = all.find(([, choice]) => choice === 'undo');
    const some = undo ? [undo] : all.slice(0, BATCH);
    const sent = Object.fromEntries(some);
    try {
      const answer = undo
        ? await api('DELETE', `${this.path}/${encodeURIComponent(undo[0])}`, undefined, { keepalive: true })
        : await api('POST', this.path, { votes: some.map(([titleId, choice]) => ({ titleId, choice })) }, { keepalive: true });
      this.failures = 0;
      this.done(sent);
      if (answer?.matches.length) this.tell.accepted(answer.matches);
    } catch (problem) {
      if (!(problem instanceof Problem) || problem.temporary || problem.sessionOver) throw problem;
      this.failures = 0;
      this.done(sent); // it will never be taken; say so instead of trying for ever
      this.tell.refused(problem, some.length);
    }
  }

  stop() {
    clearTimeout(this.timer);
    this.stopped.abort();
  }
}

/** Send what an earlier visit left behind in rooms that are not open on this page. */
export async function sendLeftovers(userId, { but } = {}) {
  const prefix = `${PREFIX}${userId}.`;
  const rooms = keysOf(prefix).map((key) => key.slice(prefix.length));
  const silent = { accepted() {}, refused() {}, changed() {} };
  for (const room of rooms.filter((id) => id !== but)) {
    const queue = new VoteQueue(userId, room, silent);
    await queue.flush();
    queue.stop();
  }
}
