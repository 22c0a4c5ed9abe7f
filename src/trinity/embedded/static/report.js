// How it went in a room, and what I vote for: numbers and plots, drawn from the reports of the API.

import { api } from './api.js';
import { button, el, logo, plural, svg, toast } from './ui.js';

const percent = (rate) => (rate === undefined ? '–' : `${Math.round(rate * 100)} %`);
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const date = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });

/** The page with the report of a room. */
export async function roomReport(room) {
  const path = `/api/rooms/${room.id}/report`;
  const report = await api('GET', path);
  return el('div', { class: 'page report' },
    el('header', { class: 'bar' },
      el('a', { class: 'home', href: '/', 'aria-label': 'Trinity, start page' }, logo()),
      el('a', { class: 'button', href: `/r/${encodeURIComponent(room.code)}`, text: 'Back to the room' })),
    el('div', { class: 'narrow stack sheet' },
      el('h1', { tabindex: '-1', text: report.name, dir: 'auto' }),
      el('p', { class: 'lead', text: summary(report) }),
      members(report),
      report.hidden && el('p', { class: 'panel hint', text: 'Votes are secret: who agrees with whom, and votes over time, show up here when the room is decided or closed, or everybody is through.' }),
      report.agreement.some((pair) => pair.titles) && agreement(report),
      report.overTime.length > 0 && overTime(report),
      el('div', { class: 'row' }, button('Download as CSV', () => download(path, room)))));
}

function summary({ votes, matches, msToFirstMatch, votesToFirstMatch, yesRate }) {
  if (!votes && !matches) return 'Nobody has voted yet. Votes show up here a few seconds after they were cast.';
  const parts = [`${plural(votes, 'vote')}${yesRate === undefined ? '' : `, ${percent(yesRate)} of them yes`}.`];
  if (msToFirstMatch === undefined) parts.push('No match yet.');
  else parts.push(`${plural(matches, 'match', 'matches')}; the first took ${took(msToFirstMatch)} and ${plural(votesToFirstMatch, 'vote')}.`);
  return parts.join(' ');
}

function took(ms) {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return plural(seconds, 'second');
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return plural(minutes, 'minute');
  const hours = Math.round(minutes / 60);
  return hours < 48 ? plural(hours, 'hour') : plural(Math.round(hours / 24), 'day');
}

function members({ members: people, deckSize }) {
  return el('section', { class: 'panel stack' },
    el('h2', { text: 'How far everybody is' }),
    el('ul', { class: 'plain shares' }, people.map((member) => share(
      member.name, member.participation,
      `${member.votes} of ${deckSize}${member.yesRate === undefined ? '' : `, ${percent(member.yesRate)} yes`}`))));
}

const share = (name, part, text) => el('li', {},
  el('span', { class: 'row spread' }, el('strong', { class: 'clip', text: name, dir: 'auto' }), el('span', { class: 'hint', text })),
  el('span', { class: 'track', vars: { '--share': part ?? 0 } }));

/** A table in which each cell is the lighter the less two people agree. */
function agreement({ agreement: pairs, members: people }) {
  const rates = new Map(pairs.flatMap(({ userIds: [one, other], titles, same, rate }) => {
    const cell = { titles, same, rate };
    return [[`${one} ${other}`, cell], [`${other} ${one}`, cell]];
  }));
  const head = (member, scope) => el('th', { scope }, el('span', { class: 'clip', text: member.name, dir: 'auto' }));
  const cell = (one, other) => {
    const found = rates.get(`${one.userId} ${other.userId}`);
    if (!found || found.rate === undefined) return el('td', { class: 'none', text: one === other ? '' : '–' });
    return el('td', { vars: { '--rate': found.rate }, title: `${found.same} of ${plural(found.titles, 'title')}`, text: percent(found.rate) });
  };
  return el('section', { class: 'panel stack' },
    el('h2', { text: 'Who agrees with whom' }),
    el('p', { class: 'hint', text: 'Share of the titles that both have voted on, on which both said yes or both said no.' }),
    el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Who agrees with whom' },
      el('table', { class: 'matrix' },
        el('thead', {}, el('tr', {}, el('td', { class: 'none' }), people.map((member) => head(member, 'col')))),
        el('tbody', {}, people.map((one) => el('tr', {}, head(one, 'row'), people.map((other) => cell(one, other))))))));
}

const WIDTH = 480;
const HEIGHT = 140;

function overTime({ overTime: slices, sliceMinutes, firstMatchAt }) {
  const most = Math.max(...slices.map((slice) => slice.votes));
  const step = WIDTH / slices.length;
  const wide = Math.min(step * 0.8, 48);
  const box = (slice, n, count, below, kind) => svg('rect', {
    class: kind, x: n * step + (step - wide) / 2, width: wide, y: HEIGHT - ((below + count) / most) * HEIGHT, height: (count / most) * HEIGHT,
  });
  const bars = slices.flatMap((slice, n) => [
    box(slice, n, slice.yes, 0, 'yes'),
    box(slice, n, slice.votes - slice.yes, slice.yes, 'other'),
  ]);
  const start = Date.parse(slices[0].at);
  const end = start + slices.length * sliceMinutes * 60_000;
  const matched = firstMatchAt ? (Date.parse(firstMatchAt) - start) / (end - start) : -1;
  if (matched >= 0 && matched <= 1) bars.push(svg('line', { class: 'matched', x1: matched * WIDTH, x2: matched * WIDTH, y1: 0, y2: HEIGHT }));
  const time = sliceMinutes * slices.length < 24 * 60 ? clock : date;
  const total = slices.reduce((sum, slice) => sum + slice.votes, 0);
  return el('section', { class: 'panel stack' },
    el('h2', { text: 'Votes over time' }),
    svg('svg', {
      class: 'bars', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img',
      'aria-label': `${plural(total, 'vote')} from ${date.format(start)} to ${date.format(end)}, at most ${most} in ${plural(sliceMinutes, 'minute')}`,
    }, ...bars),
    el('p', { class: 'row spread hint', 'aria-hidden': 'true' }, el('span', { text: time.format(start) }), el('span', { text: time.format(end) })),
    el('p', { class: 'row legend hint' },
      el('span', { class: 'yes', text: 'yes' }), el('span', { class: 'other', text: 'no' }),
      matched >= 0 && matched <= 1 && el('span', { class: 'matched', text: 'first match' }),
      el('span', { text: `a bar is ${length(sliceMinutes)}, the highest ${plural(most, 'vote')}` })));
}

function length(minutes) {
  if (minutes < 60) return plural(minutes, 'minute');
  return minutes < 24 * 60 ? plural(minutes / 60, 'hour') : plural(minutes / 24 / 60, 'day');
}

async function download(path, room) {
  try {
    const text = await api('GET', path, undefined, { headers: { accept: 'text/csv' } });
    const address = URL.createObjectURL(new Blob([text], { type: 'text/csv' }));
    el('a', { href: address, download: `trinity-${room.code}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  } catch (problem) {
    toast(problem.message, 'bad');
  }
}

// ---- what I vote for

/** Part of the page of an account; it fills itself, and stays away where there is nothing to tell. */
export function myReport() {
  const node = el('section', { class: 'panel stack', hidden: true });
  api('GET', '/api/me/report').then((report) => {
    if (!report.votes) return;
    const tastes = (title, some) => some.length > 0 && el('div', { class: 'stack' }, el('h3', { text: title }),
      el('ul', { class: 'plain shares' }, some.slice(0, 8).map((taste) => share(taste.name, taste.rate, `yes to ${percent(taste.rate)} of ${taste.votes}`))));
    node.replaceChildren(...[
      el('h2', { text: 'What you vote for' }),
      el('p', { class: 'hint', text: `${plural(report.votes, 'vote')} in ${plural(report.rooms, 'room')}, ${percent(report.yesRate)} of them yes.` }),
      tastes('Genres', report.genres),
      tastes('Decades', report.decades.map((taste) => ({ ...taste, name: `${taste.name}s` }))),
      report.agreement.length > 0 && el('div', { class: 'stack' }, el('h3', { text: 'Whom you agree with' }),
        el('ul', { class: 'plain shares' }, report.agreement.slice(0, 8).map((peer) => share(peer.name, peer.rate, `${percent(peer.rate)} of ${plural(peer.titles, 'title')}`)))),
    ].filter(Boolean));
    node.hidden = false;
  }).catch(() => {}); // the account can be seen to without
  return node;
}
