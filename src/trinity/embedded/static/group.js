// Who is in the room, how to get more people in, and what its host can do.

import { api } from './api.js';
import { ruleInputs, ruleText } from './forms.js';
import { avatar, button, confirm, el, field, form, icon, plural, toast, wrong } from './ui.js';
import { picturePicker } from './uploads.js';

export class Group {
  constructor(page) {
    this.page = page;
    this.cover = el('div', { class: 'frame' });
    this.people = el('ul', { class: 'plain people' });
    this.count = el('h2');
    this.rule = el('p', { class: 'hint' });
    this.invitation = el('section', { class: 'panel stack invitation' },
      el('h2', { text: 'Invite' }),
      el('p', { class: 'code-line' }, el('strong', { text: page.room.code }), el('span', { class: 'hint', text: page.link })),
      page.shareRow());
    this.host = el('section', { class: 'panel stack host', hidden: true });
    this.coverPicker = picturePicker({
      kind: 'cover', label: 'Cover of the room', className: 'wide', more: { roomId: page.room.id }, remove: `${page.path}/cover`,
      chosen: async () => { await page.refreshRoom(); toast('The room has a new cover.'); },
      removed: () => page.refreshRoom(),
    });
    this.node = el('aside', { class: 'group', 'aria-label': 'Group' },
      this.cover,
      el('section', { class: 'panel stack' }, this.count, this.people, this.rule),
      this.invitation, this.host,
      el('div', { class: 'row' }, button('Leave the room', () => this.leave(), { kind: 'quiet danger' })));
  }

  get isHost() { return this.page.room.hostId === this.page.me; }

  draw() {
    const { room, present } = this.page;
    const votes = room.secret ? 'Votes are secret.' : 'The ranking is open to all at any time.';
    const stop = room.stopAt === 'first' ? 'The room stops at the first match.' : room.stopAt === 'never' ? 'The room goes on after matches.' : `The room stops after ${plural(room.stopAt, 'match', 'matches')}.`;
    this.rule.textContent = `${ruleText(room.rule)}. ${stop} ${votes}`;
    this.lines = new Map();
    this.people.replaceChildren(...present.map((member) => this.line(member)));
    this.drawProgress();
    this.drawOnline();
    this.drawCover(room.coverUrl);
    this.coverPicker.draw(room.cover?.small);
    this.host.hidden = !this.isHost;
    // Built once for each state of the room, so that nothing is lost while the host types.
    const version = `${this.isHost} ${room.state === 'open'} ${JSON.stringify(room.rule)} ${room.name}`;
    if (this.isHost && version !== this.version) this.drawHost();
    this.version = version;
  }

  drawCover(url) {
    if (this.cover.firstChild?.getAttribute('src') === url) return;
    this.cover.replaceChildren(...(url ? [el('img', { class: 'cover', src: url, alt: '' })] : []));
  }

  indexOf(userId) {
    return Math.max(0, this.page.room.members.findIndex((member) => member.userId === userId));
  }

  line(member) {
    const { page } = this;
    const mine = member.userId === page.me;
    const bar = el('span', { class: 'track' });
    const seen = el('span', { class: 'hint' });
    const face = avatar(member, this.indexOf(member.userId));
    const here = el('span', { class: 'unseen', text: 'here now' });
    this.lines.set(member.userId, { bar, seen, face, here });
    return el('li', {}, face,
      el('span', { class: 'grow' },
        el('span', { class: 'who' }, el('strong', { class: 'clip', text: member.name, dir: 'auto' }), here,
          mine && el('span', { class: 'tag', text: 'you' }), member.role === 'host' && el('span', { class: 'tag', text: 'host' })),
        bar),
      seen,
      this.isHost && !mine && el('button', {
        type: 'button', class: 'button quiet remove', 'aria-label': `Remove ${member.name}`, title: 'Remove', on: { click: () => this.remove(member) },
      }, icon('no')));
  }

  drawProgress() {
    const { room } = this.page;
    for (const member of this.page.present) {
      const parts = this.lines?.get(member.userId);
      const done = this.page.progressOf(member);
      parts?.bar.style.setProperty('--share', done / room.deckSize);
      if (parts) parts.seen.textContent = `${done}/${room.deckSize}`;
    }
  }

  /** Who is looking at the room just now: a dot, and words for those who do not see it. */
  drawOnline() {
    const { online, present } = this.page;
    const away = present.filter((member) => !online.has(member.userId)).length;
    const here = present.length - away;
    this.count.textContent = plural(present.length, 'person', 'people') + (away && here ? `, ${here} here now` : '');
    this.lines?.forEach(({ face, here: words }, userId) => {
      face.classList.toggle('here', online.has(userId));
      words.hidden = !online.has(userId);
    });
  }

  /** The faces above the cards, each in a ring of its progress. */
  faces() {
    const { room, present, online } = this.page;
    const shown = present.slice(0, 6);
    const done = (member) => this.page.progressOf(member);
    const here = (member) => (online.has(member.userId) ? ', here now' : '');
    return el('div', { class: 'faces', role: 'img', 'aria-label': present.map((member) => `${member.name}: ${done(member)} of ${room.deckSize}${here(member)}`).join('; ') },
      shown.map((member) => avatar(member, this.indexOf(member.userId), done(member) / room.deckSize, online.has(member.userId))),
      present.length > shown.length && el('span', { class: 'hint', text: `+${present.length - shown.length}` }));
  }

  drawHost() {
    const { room } = this.page;
    const rule = ruleInputs(room.rule);
    const open = room.state === 'open';
    this.host.replaceChildren(
      el('h2', { text: 'Host' }),
      form({ class: 'inline' }, async (data) => {
        if (!data.name.trim()) throw wrong('A room needs a name.', 'name');
        await this.patch({ name: data.name }); toast('The room has a new name.');
      },
        field('Name of the room', el('input', { name: 'name', value: room.name, maxlength: 80 })),
        el('button', { class: 'button', text: 'Rename' })),
      this.coverPicker.node,
      el('details', {}, el('summary', { text: 'Change the rule' }),
        form({ class: 'stack' }, async (data) => { await this.patch({ rule: rule.read(data) }); toast('The rule is changed.'); },
          rule.node, el('div', { class: 'row' }, el('button', { class: 'button', text: 'Change the rule' })))),
      el('div', { class: 'row' },
        open ? button('Close the room', () => this.quietly(() => this.patch({ state: 'closed' }))) : this.again(),
        button('Delete', () => this.erase(), { kind: 'quiet danger' })));
  }

  again() {
    return button('Open it again', () => this.quietly(() => this.patch({ state: 'open' })));
  }

  async patch(change) {
    this.page.room = await api('PATCH', this.page.path, change);
    await this.page.refreshRoom();
    if (change.state === 'open') this.page.select('swipe');
  }

  async quietly(work) {
    try {
      await work();
    } catch (problem) {
      toast(problem.message, 'bad');
    }
  }

  async remove(member) {
    if (!(await confirm(`Remove ${member.name}?`, 'They cannot come back to this room, and their votes no longer count.', 'Remove'))) return;
    await this.quietly(async () => {
      await api('DELETE', `${this.page.path}/members/${member.userId}`);
      await this.page.refreshRoom();
    });
  }

  async leave() {
    const after = this.page.others.length ? (this.isHost ? 'The longest-standing member becomes the host.' : 'Your votes no longer count.') : 'Nobody is left then, so the room closes.';
    if (!(await confirm('Leave this room?', after, 'Leave'))) return;
    await this.quietly(async () => {
      await api('POST', `${this.page.path}/leave`);
      this.page.stop();
      this.page.go('/');
    });
  }

  async erase() {
    if (!(await confirm('Delete this room?', 'Its votes and results are gone for everybody.', 'Delete'))) return;
    await this.quietly(async () => {
      await api('DELETE', this.page.path);
      this.page.stop();
      this.page.go('/');
      toast('The room is deleted.');
    });
  }
}
