// The moment everybody waits for: the lights meet on one title.

import { art, facts } from './card.js';
import { LIGHTS, avatar, el, listed } from './ui.js';

/** Show a match to this member. Resolves when it is put away. */
export function celebrate(match, page) {
  return new Promise((resolve) => {
    const { room } = page;
    const mine = (member) => member.userId === page.me;
    const agreed = room.members.filter((member) => match.userIds.includes(member.userId))
      .sort((one, other) => mine(other) - mine(one)); // me first, then in the order of joining
    const names = agreed.map((member) => (mine(member) ? 'you' : member.name));
    const all = agreed.length >= page.present.length;
    const dialog = el('dialog', { class: 'match', 'aria-labelledby': 'match-title', 'aria-describedby': 'match-who' },
      el('div', { class: 'beams', 'aria-hidden': 'true' }, LIGHTS.slice(0, 3).map((light) => el('span', { class: light }))),
      el('form', { method: 'dialog', class: 'match-body' },
        el('p', { class: 'shout', text: 'It’s a match' }),
        el('div', { class: 'screen' }, art(match.title)),
        el('h2', { id: 'match-title', text: match.title.title, dir: 'auto' }),
        facts(match.title).length > 0 && el('p', { class: 'facts' }, facts(match.title).map((text) => el('span', { text }))),
        el('p', { id: 'match-who', class: 'agreed' },
          el('span', { class: 'faces' }, agreed.slice(0, 6).map((member) => avatar(member, page.group.indexOf(member.userId)))),
          el('span', { text: all ? `All of you said yes: ${listed(names)}.` : `${listed(names)} said yes.`.replace(/^y/, 'Y') })),
        el('div', { class: 'row center' },
          page.open && el('button', { class: 'button strong', value: 'on', text: 'Keep swiping' }),
          el('button', { class: page.open ? 'button' : 'button strong', value: 'results', text: 'See the results' }))));
    dialog.addEventListener('close', () => {
      const results = dialog.returnValue === 'results' || !page.open;
      dialog.remove();
      if (!page.stopped.signal.aborted) page.select(results ? 'results' : 'swipe');
      resolve();
    });
    document.body.append(dialog);
    dialog.showModal();
    navigator.vibrate?.([30, 40, 60]);
  });
}
