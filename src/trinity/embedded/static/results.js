// What the group agreed on, and what it thinks of the rest.

import { api } from './api.js';
import { art, facts } from './card.js';
import { button, el, listed, plural } from './ui.js';

/** Fetch and show the results. Called again whenever something happens while they are on the screen. */
export async function drawResults(page) {
  const { results: node } = page;
  if (!node.children.length) node.replaceChildren(el('p', { class: 'loading', text: 'Counting …' }));
  page.counting = (page.counting ?? 0) + 1;
  const mine = page.counting;
  try {
    const results = await api('GET', `${page.path}/results`, undefined, { signal: page.stopped.signal });
    if (mine !== page.counting) return;
    const seen = JSON.stringify([results, page.room.version]);
    if (seen === node.dataset.seen) return; // nothing new: what chance said stays
    node.dataset.seen = seen;
    node.replaceChildren(...parts(results, page).filter(Boolean));
  } catch (problem) {
    if (mine !== page.counting || page.stopped.signal.aborted) return;
    delete node.dataset.seen;
    node.replaceChildren(el('p', { class: 'hint', text: problem.message }), button('Try again', () => drawResults(page)));
  }
}

function parts({ matches, ranking, voted, members, complete }, page) {
  const { room } = page;
  const found = new Set(matches.map((match) => match.titleId));
  const others = ranking.filter((row) => !found.has(row.titleId));
  const best = !matches.length && complete ? others.find((row) => row.veto === 0 && row.score > 0) : null;
  return [
    matches.length > 0 && el('h2', { text: matches.length > 1 ? 'You agreed on these' : 'You agreed on this' }),
    matches.length > 0 && el('ul', { class: 'plain agreed-on' }, matches.map((match) => matchLine(match, page))),
    matches.length > 1 && chance(matches, page),
    best && el('h2', { text: 'No match, but a good compromise' }),
    best && el('ul', { class: 'plain agreed-on' }, big(best.title, best.reason)),
    !matches.length && complete && !best && el('div', { class: 'empty' }, el('h2', { text: 'Nothing found favour' }), el('p', { text: 'Everybody has seen every card, and nobody said yes. Open a room with another deck.' })),
    !matches.length && !complete && waiting(room, voted, members, page),
    others.length > (best ? 1 : 0) && el('h2', { text: 'The ranking' }),
    others.length > (best ? 1 : 0) && el('ol', { class: 'plain ranking', vars: { '--from': best ? 1 : 0 } }, others.filter((row) => row !== best).slice(0, 100).map((row) => rankLine(row, members))),
    voted > 0 && el('p', {}, el('a', { href: `/r/${encodeURIComponent(room.code)}#report`, text: 'How it went: who has voted how much, who agrees with whom' })),
    matches.length > 0 && !ranking.length && el('p', { class: 'hint', text: 'Votes are secret: the ranking appears when the room is decided or everybody is through.' }),
  ];
}

function waiting(room, voted, members, page) {
  const secret = room.secret && room.state === 'open';
  const who = `${voted} of ${plural(members, 'person has', 'people have')} voted so far.`;
  return el('div', { class: 'empty' },
    el('h2', { text: 'No match yet' }),
    el('p', { text: secret ? `${who} Votes are secret: the ranking appears when the room is decided or everybody is through.` : who }),
    room.state === 'open' && button('Keep swiping', () => page.select('swipe'), { kind: 'strong' }));
}

function big(title, text) {
  return el('li', { 'data-title': title.id }, el('div', { class: 'thumb' }, art(title)),
    el('div', { class: 'grow' }, el('h3', { text: title.title, dir: 'auto' }),
      facts(title).length > 0 && el('p', { class: 'facts' }, facts(title).map((fact) => el('span', { text: fact }))),
      el('p', { text })));
}

function matchLine(match, page) {
  const names = page.room.members.filter((member) => match.userIds.includes(member.userId)).map((member) => member.name);
  return big(match.title, names.length ? `${listed(names)} said yes.` : 'Agreed.');
}

/** Several matches are a new question; let chance answer it. */
function chance(matches, page) {
  const told = el('p', { class: 'hint', role: 'status' });
  const pick = () => {
    const match = matches[Math.floor(Math.random() * matches.length)];
    told.textContent = `Chance says: ${match.title.title}.`;
    page.results.querySelectorAll('[data-title]').forEach((node) => node.classList.toggle('picked', node.dataset.title === match.titleId));
  };
  return el('div', { class: 'row' }, button('Pick one for us', pick, { name: 'dice' }), told);
}

function rankLine(row, members) {
  const part = (kind) => row[kind] > 0 && el('span', { class: kind, vars: { '--part': row[kind] / members } });
  return el('li', {}, el('div', { class: 'thumb small' }, art(row.title)),
    el('div', { class: 'grow' },
      el('h3', {}, el('span', { text: row.title.title, dir: 'auto' }), row.title.year && el('span', { class: 'hint', text: ` ${row.title.year}` })),
      el('p', { class: 'tally', 'aria-hidden': 'true' }, part('super'), part('yes'), part('no'), part('veto')),
      el('p', { class: 'hint', text: row.reason })));
}
