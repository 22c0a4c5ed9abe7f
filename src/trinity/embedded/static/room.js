// A room: its deck, its group, its results, and what happens in it while it is open on the screen.

import { Problem, api, me, session } from './api.js';
import { card, draggable } from './card.js';
import { Group } from './group.js';
import { Live } from './live.js';
import { celebrate } from './match.js';
import { drawResults } from './results.js';
import { announce, button, calm, copy, el, icon, logo, plural, setOffline, toast } from './ui.js';
import { VoteQueue } from './votes.js';

const AHEAD = 10; // cards asked for at once
const LOW = 5; // cards left when more are asked for
const PAGE = 500; // events read at once
const POLL_MS = 1500;
const POLL_LIVE_MS = 20_000; // or when nobody looks: to be seen as here, and to miss nothing
const POLL_FAILING_MS = 15_000;
const ASLEEP_MS = 5 * 60_000; // whoever has not looked for so long is not here
const REDRAW_MS = 1000;

const KEYS = { ArrowLeft: 'no', ArrowRight: 'yes', ArrowUp: 'super', ArrowDown: 'veto', Backspace: 'undo', u: 'undo' };
const AWAY = { no: [-1.4, 0.1], yes: [1.4, 0.1], super: [0, -1.3], veto: [0, 1.3] };
const SAID = { no: 'No', yes: 'Yes', super: 'Super', veto: 'Veto' };

/**
 * Build the page of a room. Resolves to its view, a function that stops everything it started, and one that turns to
 * the part of the room that is in the address.
 */
export async function openRoom(room, go) {
  const page = new RoomPage(room, go);
  await page.begin();
  return { view: page.view, stop: () => page.close(), turn: () => page.turn() };
}

const onlineIn = (room) => new Set(room.members.filter((member) => member.online).map((member) => member.userId));

class RoomPage {
  constructor(room, go) {
    this.room = room;
    this.go = go;
    this.path = `/api/rooms/${room.id}`;
    this.me = me().id;
    this.stopped = new AbortController();
    this.cards = []; // what I see next, the first one on top
    this.past = []; // my votes of this visit, for undo
    this.voted = new Set(); // titles that /next may still show because a vote is on its way
    this.celebrated = new Set(room.matches.map((match) => match.titleId));
    this.exhausted = false;
    this.acts = 0; // votes and undos of this visit
    this.failures = 0;
    this.taking = Promise.resolve();
    this.celebrating = Promise.resolve();
    this.online = onlineIn(room);
    this.hiddenSince = Date.now();
    this.votes = new VoteQueue(this.me, room.id, {
      accepted: (matches) => this.matched(matches),
      refused: (problem, count) => this.refused(problem, count),
      changed: () => this.showWaiting(),
    });
    Object.entries(this.votes.waiting).forEach(([id, choice]) => { if (choice !== 'undo') this.voted.add(id); });
    this.progress = this.myMember.progress + this.voted.size;
    this.lobby = this.others.length === 0 && this.progress === 0 && room.state === 'open';
    this.build();
  }

  get myMember() { return this.room.members.find((member) => member.userId === this.me) ?? { progress: 0 }; }
  get present() { return this.room.members.filter((member) => member.active); }
  get others() { return this.present.filter((member) => member.userId !== this.me); }
  get open() { return this.room.state === 'open'; }

  async begin() {
    await this.catchUp();
    this.refreshRoom().catch(() => {});
    this.votes.flush();
    await this.fill().catch(() => {});
    addEventListener('keydown', (event) => this.key(event), { signal: this.stopped.signal });
    const { signal } = this.stopped;
    document.addEventListener('visibilitychange', () => { this.hiddenSince = Date.now(); this.look(); }, { signal });
    addEventListener('online', () => this.look(), { signal });
    addEventListener('offline', () => this.look(), { signal });
    addEventListener('pagehide', () => this.stepAway(), { signal });
    addEventListener('pageshow', () => this.look(), { signal });
    this.live = new Live(this.room.id, {
      up: () => this.look(), // something may have happened before it was
      event: (event) => this.heard(event),
      online: (ids) => this.showOnline(ids),
    });
    this.poll();
  }

  /** Leave the screen, and stay a member. */
  close() {
    if (this.stopped.signal.aborted) return;
    this.stepAway();
    this.stop();
  }

  stop() {
    this.stopped.abort();
    this.live?.stop();
    clearTimeout(this.redrawing);
    this.look();
    this.votes.stop();
    setOffline('');
    document.querySelector('dialog.match')?.close();
  }

  // ---- building

  build() {
    this.title = el('h1', { class: 'two-lines', tabindex: '-1', dir: 'auto' });
    this.code = el('button', { type: 'button', class: 'button code', on: { click: () => this.invite() } });
    this.group = new Group(this);
    this.tabs = {};
    const tab = (name, text) => {
      this.tabs[name] = el('button', { type: 'button', class: 'tab', 'data-tab': name, 'aria-pressed': 'false', on: { click: () => this.select(name) }, text });
      return this.tabs[name];
    };
    this.strip = el('div', { class: 'strip' });
    this.stack = el('div', { class: 'stack-of-cards' });
    this.choices = el('div', { class: 'choices-bar', role: 'group', 'aria-label': 'Your vote' },
      this.choice('undo', 'Undo'), this.choice('no', 'No'), this.choice('super', 'Super'), this.choice('yes', 'Yes'), this.choice('veto', 'Veto'));
    this.stage = el('section', { class: 'stage', 'aria-label': 'Cards' }, this.strip, this.stack, this.choices,
      el('p', { class: 'keys', 'aria-hidden': 'true' }, ['← no', '→ yes', '↑ super', '↓ veto', 'U undo'].map((text) => el('kbd', { text }))));
    this.results = el('section', { class: 'results', 'aria-label': 'Results' });
    this.view = el('div', { class: 'room' },
      el('header', { class: 'bar' },
        el('a', { class: 'home', href: '/', 'aria-label': 'Trinity, start page' }, logo()),
        this.title,
        this.code),
      el('nav', { class: 'tabs', 'aria-label': 'Parts of the room' }, tab('swipe', 'Swipe'), tab('group', 'Group'), tab('results', 'Results')),
      this.stage, this.results, this.group.node);
    this.drawRoom();
  }

  choice(name, text) {
    return el('button', {
      type: 'button', class: `vote ${name}`, 'data-choice': name, 'aria-keyshortcuts': Object.keys(KEYS).find((key) => KEYS[key] === name),
      on: { click: () => this.act(name) },
    }, el('span', { class: 'disc' }, icon(name)), el('span', { class: 'caption', text }));
  }

  /** Turn to a part of the room, in a way that Back takes back. */
  select(name) {
    if (name !== this.selected) history.pushState(null, '', `#${name}`);
    this.turn();
  }

  /** Turn to the part that the address names. Without a name it is the one to begin with, which stays the same then. */
  turn() {
    const named = location.hash.slice(1);
    const name = Object.hasOwn(this.tabs, named) ? named : history.state?.tab ?? (this.open ? 'swipe' : 'results');
    history.replaceState({ tab: name }, '');
    this.selected = name;
    this.view.dataset.tab = name;
    Object.entries(this.tabs).forEach(([key, tab]) => tab.setAttribute('aria-pressed', String(key === name)));
    if (name === 'results') drawResults(this);
    else this.drawStage();
  }

  drawRoom() {
    const { room } = this;
    this.title.textContent = room.name;
    document.title = `${room.name} · Trinity`;
    this.code.replaceChildren(icon('share'), el('span', { text: room.code }));
    this.code.setAttribute('aria-label', `Invite with the code ${[...room.code].join(' ')}`);
    this.tabs.results.textContent = room.matches.length ? `Results (${room.matches.length})` : 'Results';
    this.drawProgress();
    this.group.draw();
  }

  drawProgress() {
    const { deckSize } = this.room;
    // Vetoed titles are left out of what comes next, so this may be less than the deck suggests.
    const left = Math.max(0, this.left ?? deckSize - this.progress);
    this.strip.replaceChildren(
      this.group.faces(),
      el('span', { class: 'left', text: left ? `${left} of ${deckSize} left` : `All ${deckSize} seen` }));
    this.group.drawProgress();
  }

  progressOf(member) {
    return Math.min(this.room.deckSize, member.userId === this.me ? this.progress : member.progress);
  }

  // ---- the deck

  /** Ask for what to see next. The card on top and the one below stay; behind them order may change. */
  async fill() {
    if (!this.open || this.filling || this.exhausted) return;
    this.filling = true;
    const { acts } = this;
    try {
      const { items, remaining } = await api('GET', `${this.path}/next?count=${AHEAD + Math.min(40, this.votes.size)}`, undefined, { signal: this.stopped.signal });
      const shown = this.cards.slice(0, 2);
      const known = new Set(shown.map((title) => title.id));
      const fresh = items.filter((title) => !known.has(title.id) && !this.voted.has(title.id));
      this.cards = [...shown, ...fresh];
      // What I did meanwhile, the answer may count or not: our own count is right until it is quiet.
      const quiet = acts === this.acts && !this.votes.size;
      if (quiet || this.left === undefined) this.left = remaining - items.filter((title) => this.voted.has(title.id)).length;
      this.exhausted = !fresh.length && !this.votes.size;
      if (this.exhausted && !this.cards.length) {
        this.left = 0;
        this.complete = (await api('GET', `${this.path}/results`, undefined, { signal: this.stopped.signal })).complete;
      }
    } finally {
      this.filling = false;
    }
    this.drawStage();
    this.drawProgress();
  }

  async fillOrExplain() {
    try {
      await this.fill();
    } catch (problem) {
      if (this.cards.length || this.stopped.signal.aborted) return;
      this.note('No more cards just now', problem.message, button('Try again', () => this.fillOrExplain(), { kind: 'strong' }));
    }
  }

  drawStage() {
    const swiping = this.open && !this.lobby && this.cards.length > 0;
    this.view.dataset.stage = swiping ? 'cards' : !this.open ? 'over' : this.lobby ? 'lobby' : 'note';
    this.choices.querySelectorAll('button').forEach((node) => {
      node.disabled = node.dataset.choice === 'undo' ? !this.past.length || !this.open : !swiping;
    });
    if (swiping) this.drawCards();
    else if (!this.open) this.drawOver();
    else if (this.lobby) this.drawLobby();
    else if (this.exhausted) this.drawEnd();
    else this.note('One moment', 'The next cards are on their way.');
  }

  /** Keep the card elements that stay on the table; add and remove the others. */
  drawCards() {
    const wanted = this.cards.slice(0, 2);
    const at = new Map([...this.stack.querySelectorAll('.card:not(.gone)')].map((node) => [node.dataset.id, node]));
    [...this.stack.children].forEach((node) => {
      if (!node.classList.contains('gone') && !wanted.some((title) => at.get(title.id) === node)) node.remove();
    });
    wanted.forEach((title, depth) => {
      let node = at.get(title.id);
      if (!node) {
        node = card(title);
        node.dataset.id = title.id;
        draggable(node, (choice) => this.act(choice));
        this.stack.prepend(node);
      }
      node.classList.toggle('top', depth === 0);
      node.toggleAttribute('inert', depth > 0);
    });
    const top = wanted[0];
    if (this.spoken !== top.id) announce([top.title, top.year].filter(Boolean).join(', '));
    this.spoken = top.id;
  }

  note(title, text, ...actions) {
    this.spoken = null;
    const now = `${title} ${text}`;
    if (this.stack.querySelector('.note')?.dataset.says === now) return; // keep the focus where it is
    this.stack.querySelectorAll(':scope > :not(.gone)').forEach((node) => node.remove());
    this.stack.append(el('div', { class: 'note', 'data-says': now }, el('h2', { text: title }), el('p', { text }), el('div', { class: 'row' }, actions)));
    announce(`${title}. ${text}`);
  }

  drawLobby() {
    if (this.stack.querySelector('.lobby')) return;
    this.stack.replaceChildren(el('div', { class: 'note lobby' },
      el('h2', { text: 'Get the others in' }),
      el('p', { text: 'They open the link, or type this code on the start page.' }),
      el('p', { class: 'big-code', 'aria-label': `Code ${[...this.room.code].join(' ')}` }, [...this.room.code].map((char) => el('span', { text: char, 'aria-hidden': 'true' }))),
      this.shareRow(),
      button('Start swiping', () => this.leaveLobby(), { kind: 'strong wide' })));
  }

  leaveLobby() {
    this.lobby = false;
    this.drawStage();
    this.title.focus({ preventScroll: true }); // the button that had the focus is gone
  }

  drawEnd() {
    const behind = this.complete ? [] : this.others.filter((member) => member.progress < this.room.deckSize).map((member) => member.name);
    const results = button('See the results', () => this.select('results'), { kind: 'strong' });
    if (this.present.length < 2) this.note('You have seen every card', 'Nobody else is here yet. Invite the others: their votes meet yours.', button('Invite', () => this.invite(), { kind: 'strong', name: 'share' }));
    else if (behind.length) this.note('You have seen every card', `Still swiping: ${behind.join(', ')}. A match shows up here the moment it happens.`, results);
    else this.note('Everybody has seen every card', 'The results show what you agreed on, or the best compromise.', results);
  }

  drawOver() {
    const { isHost } = this.group;
    const again = isHost ? 'Open it again' : 'The host can open it again';
    const [title, text] = {
      decided: ['You have decided', `This room stopped at its match. ${again} for more.`],
      closed: ['This room is closed', isHost ? 'You can open it again; its results stay.' : 'The host closed it; its results stay.'],
      expired: ['This room has expired', `It took votes for a week; its results stay. ${again} to go on.`],
    }[this.room.state];
    this.note(title, text, button('See the results', () => this.select('results'), { kind: 'strong' }), ...(isHost ? [this.group.again()] : []));
  }

  // ---- voting

  act(choice) {
    if (choice === 'undo') return this.undo();
    const title = this.cards[0];
    if (!title || !this.open || this.lobby) return undefined;
    this.cards.shift();
    this.past.push(title);
    this.voted.add(title.id);
    this.progress += 1;
    this.left -= 1;
    this.acts += 1;
    this.throwAway(choice);
    announce(`${SAID[choice]}: ${title.title}`);
    this.votes.put(title.id, choice);
    this.drawStage();
    this.drawProgress();
    if (this.cards.length < LOW) this.fillOrExplain();
    return undefined;
  }

  undo() {
    const title = this.past.pop();
    if (!title || !this.open) return;
    this.voted.delete(title.id);
    this.progress -= 1;
    this.left += 1;
    this.acts += 1;
    this.exhausted = false;
    this.cards = [title, ...this.cards.filter((other) => other.id !== title.id)];
    this.votes.put(title.id, 'undo');
    if (this.selected !== 'swipe') this.select('swipe');
    this.drawStage();
    this.drawProgress();
    this.stack.querySelector('.card.top')?.classList.add('back');
  }

  /** The next card is there at once; the old one leaves on its own time. */
  throwAway(choice) {
    const node = this.stack.querySelector('.card.top');
    if (!node) return;
    if (calm()) {
      node.remove();
      return;
    }
    node.classList.add('gone');
    node.classList.remove('top');
    node.dataset.lean = choice;
    node.setAttribute('inert', '');
    const [x, y] = AWAY[choice];
    const from = getComputedStyle(node).transform;
    node.style.setProperty('--force', 1);
    node.animate(
      [{ transform: from, opacity: 1 }, { transform: `translate(${x * 110}%, ${y * 80}%) rotate(${x * 14}deg)`, opacity: 0 }],
      { duration: 320, easing: 'cubic-bezier(.3,.1,.6,1)', fill: 'forwards' },
    ).finished.then(() => node.remove(), () => node.remove());
  }

  key(event) {
    const choice = KEYS[event.key];
    const busy = event.target.closest?.('input, textarea, select, [contenteditable]') || document.querySelector('dialog[open]');
    if (!choice || busy || event.repeat || event.ctrlKey || event.metaKey || event.altKey || !this.stage.offsetParent) return;
    if (this.view.dataset.stage !== 'cards' && choice !== 'undo') return;
    event.preventDefault();
    this.act(choice);
  }

  refused(problem, count) {
    this.progress -= count;
    if (problem.code === 'room_closed') toast(`${plural(count, 'vote')} came too late: the room had ended.`);
    else toast(`${plural(count, 'vote')} did not count. ${problem.message}`, 'bad');
    this.refreshRoom().catch(() => {});
    if (problem.code === 'not_a_member' || problem.code === 'room_not_found') this.out(problem);
  }

  showWaiting() {
    const count = this.votes.size;
    const kept = count ? ` ${plural(count, 'vote')} kept here until it is back.` : '';
    const cut = (count && this.votes.failures > 0) || this.failures > 1;
    setOffline(cut ? `No connection.${kept}` : '');
    if (cut) this.showOnline([]); // nobody can say who is here
    else if (this.cut) this.look();
    this.cut = cut;
    if (!cut && !count && !this.cards.length && !this.exhausted) this.fillOrExplain();
  }

  // ---- what happens in the room

  /** Read the log to its end; what is in it has happened before we came. */
  async catchUp() {
    this.cursor = 0;
    for (;;) {
      const { items, cursor, online } = await api('GET', `${this.path}/events?limit=${PAGE}&after=${this.cursor}`);
      this.cursor = Number(cursor);
      if (items.length < PAGE) return this.showOnline(online);
    }
  }

  async poll() {
    const { signal } = this.stopped;
    while (!signal.aborted) {
      await this.pause();
      if (signal.aborted) return;
      try {
        this.unrest = false;
        const { items, online } = await api('GET', `${this.path}/events?limit=${PAGE}&after=${this.cursor}`, undefined, { signal });
        if (this.failures) {
          this.failures = 0;
          this.votes.flush();
          this.showWaiting();
        }
        if (items.length === PAGE) this.look(); // there is more
        this.showOnline(online);
        await this.take(items);
      } catch (problem) {
        if (signal.aborted) return;
        if (!(problem instanceof Problem)) throw problem;
        if (['not_a_member', 'room_not_found'].includes(problem.code)) return void this.out(problem);
        if (problem.sessionOver) return;
        this.failures += 1;
        this.showWaiting();
      }
    }
  }

  /** Wait until it is time to look again, or until something wakes us. */
  pause() {
    const failing = this.failures ? Math.min(POLL_FAILING_MS, POLL_MS * 2 ** this.failures) : POLL_MS;
    const patient = document.hidden || (this.live.isUp && !this.failures);
    const asleep = document.hidden && Date.now() - this.hiddenSince > ASLEEP_MS;
    if (asleep) this.live.rest();
    return new Promise((resolve) => {
      const timer = !asleep && setTimeout(resolve, patient ? Math.max(POLL_LIVE_MS, failing) : failing);
      this.wake = () => { clearTimeout(timer); resolve(); };
      if (this.unrest) this.wake();
    });
  }

  /** Read the log now, or once more if that is being done. */
  look() {
    this.unrest = true;
    this.wake?.();
  }

  /** An event came by itself. Whichever number it skips is in the log. */
  heard(event) {
    if (Number(event.cursor) === this.cursor + 1) this.take([event]).catch(() => this.look());
    else if (Number(event.cursor) > this.cursor) this.look();
  }

  /** Take in events, each once and in order, whichever way they came. */
  take(events) {
    const fresh = events.filter((event) => Number(event.cursor) > this.cursor);
    if (fresh.length) this.cursor = Number(fresh.at(-1).cursor);
    this.taking = this.taking.catch(() => {}).then(() => this.happened(fresh));
    return this.taking;
  }

  async happened(events) {
    if (this.stopped.signal.aborted) return;
    const names = new Map(this.room.members.map((member) => [member.userId, member.name]));
    for (const { type, actorId, data } of events) {
      if (type === 'progress') this.progressed(data.progress);
      else this.stale = true;
      if (type === 'memberJoined' && data.userId !== this.me) toast(`${data.name} is here.`);
      if (type === 'memberLeft' && data.userId !== this.me) {
        toast(`${names.get(data.userId) ?? 'Somebody'} ${data.removed ? 'was removed' : 'left'}.`);
      }
      if (type === 'roomClosed' && actorId !== this.me) toast('The host closed the room.');
      if (type === 'roomUpdated' && data.rule && this.room.hostId !== this.me) toast('The host changed the rule.');
      if (type === 'roomUpdated' && data.eased) toast('The rule was eased: fewer of you have to agree now.');
    }
    if (this.stale) await this.refreshRoom();
    const matches = events.filter((event) => event.type === 'matchFound').map((event) => event.data);
    if (matches.length) this.matched(matches, { looked: true });
    if (events.length) this.redrawing ??= setTimeout(() => this.redraw(), REDRAW_MS);
  }

  /** Ask anew for what others' votes may have changed: now and then, however fast they swipe. */
  redraw() {
    this.redrawing = null;
    if (this.selected === 'results') drawResults(this);
    else if (this.view.dataset.stage === 'note') {
      this.exhausted = false; // a veto that was taken back brings a card back
      this.fillOrExplain();
    }
  }

  progressed(counts) {
    this.room.members.forEach((member) => { member.progress = counts[member.userId] ?? member.progress; });
    if (!this.votes.size) this.progress = Math.max(this.progress, this.myMember.progress); // another device of mine
    this.drawProgress();
  }

  async refreshRoom() {
    const wasOpen = this.open;
    this.stale = false;
    try {
      this.room = await api('GET', this.path, undefined, { signal: this.stopped.signal });
    } catch (problem) {
      this.stale = true;
      throw problem;
    }
    this.online = onlineIn(this.room);
    if (this.lobby && this.others.length) this.lobby = false;
    if (!wasOpen && this.open) this.exhausted = false;
    this.drawRoom();
    if (this.selected) this.drawStage();
    if (!wasOpen && this.open) this.fillOrExplain();
  }

  /** Show matches, each once and one at a time: the next comes when the one before is put away. */
  matched(matches, { looked = false } = {}) {
    const fresh = matches.filter((match) => !this.celebrated.has(match.titleId));
    fresh.forEach((match) => this.celebrated.add(match.titleId));
    if (!fresh.length) return;
    const known = looked ? undefined : this.refreshRoom().catch(() => {}); // is the room decided now?
    this.celebrating = this.celebrating.catch(() => {}).then(async () => {
      await known;
      for (const match of fresh) {
        if (this.stopped.signal.aborted) return;
        await celebrate(match, this);
      }
    });
  }

  // ---- people

  showOnline(ids) {
    const online = new Set(ids);
    if (online.size === this.online.size && ids.every((id) => this.online.has(id))) return;
    this.online = online;
    this.group.drawOnline();
    this.drawProgress();
  }

  stepAway() {
    if (session()) api('POST', `${this.path}/away`, undefined, { keepalive: true }).catch(() => {}); // it ends by itself
  }

  get link() { return this.room.joinUrl; }

  shareRow() {
    return el('div', { class: 'row share' },
      button('Copy the link', async () => {
        toast(await copy(this.link) ? 'The link is copied.' : `Copy it by hand: ${this.link}`);
      }, { name: 'copy' }),
      navigator.share && button('Share', () => this.shareNatively(), { name: 'share' }));
  }

  async shareNatively() {
    try {
      await navigator.share({ title: this.room.name, text: `Join me in Trinity, code ${this.room.code}`, url: this.link });
    } catch (error) {
      if (error.name !== 'AbortError') toast(await copy(this.link) ? 'The link is copied.' : this.link);
    }
  }

  async invite() {
    if (navigator.share) return this.shareNatively();
    toast(await copy(this.link) ? 'The link is copied: send it to the others.' : `Send this link to the others: ${this.link}`);
    return undefined;
  }

  /** No member any more: say why, and go. */
  out(problem) {
    if (this.stopped.signal.aborted) return;
    this.stop();
    toast(problem.code === 'not_a_member' ? 'You are not in this room any more.' : 'The host deleted this room.', 'bad');
    this.go('/');
  }
}
