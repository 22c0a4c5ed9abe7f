// What describes a room: its deck, and when its group agrees.

import { api } from './api.js';
import { button, el, field, plural, wrong } from './ui.js';
import { listInput } from './uploads.js';

const CODE = /^[23456789ABCDEFGHJKMNPQRSTUVWXYZ]{6}$/;

/** The code that somebody typed or pasted, also as a whole link; null if it cannot be one. */
export function roomCode(typed) {
  const tail = typed.trim().split('/').pop();
  const code = tail.replace(/[\s-]/g, '').toUpperCase();
  return CODE.test(code) ? code : null;
}

export function ruleText(rule) {
  switch (rule.kind) {
    case 'atLeast': return `${plural(rule.count, 'person has', 'people have')} to say yes`;
    case 'share': return `${rule.percent} % have to say yes`;
    case 'easing': return `Everybody, later all but one or two (after ${rule.after.join(' and ')} votes each)`;
    default: return 'Everybody has to say yes';
  }
}

export const number = (name, value, min, max, more = {}) =>
  el('input', { type: 'number', inputmode: 'numeric', name, value, min, max, ...more });

/** A row of choices of which one is taken; `change` hears of it. */
export function choices(legend, name, options, chosen, change = () => {}) {
  return el('fieldset', { class: 'choices' },
    el('legend', { class: 'label', text: legend }),
    el('div', { class: 'segments' }, options.map(([value, text]) => el('label', { class: 'segment' },
      el('input', { type: 'radio', name, value, checked: value === chosen, on: { change: () => change(value) } }),
      el('span', { text })))));
}

/** The whole number that somebody typed, or a complaint about the input of this name. */
export const whole = (text, least, most, name, what) => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < least || value > most) {
    throw wrong(`${what} must be a whole number from ${least} to ${most}.`, name);
  }
  return value;
};

/** The inputs of a rule. `read(data)` turns what was sent into the rule. */
export function ruleInputs(rule = { kind: 'unanimous' }) {
  const details = {
    unanimous: el('p', { class: 'hint', text: 'A title matches when nobody is missing. A veto by one person excludes a title.' }),
    atLeast: field('How many people', number('count', rule.count ?? 2, 1, 100)),
    share: field('Percent of those present', number('percent', rule.percent ?? 60, 1, 100)),
    easing: field('Ease after so many votes each', el('input', { name: 'after', value: (rule.after ?? [15, 25]).join(', '), inputmode: 'text' }),
      'First everybody must agree. After the first number all but one, after the second all but two.'),
  };
  const box = el('div', { class: 'stack' }, Object.values(details));
  const show = (kind) => Object.entries(details).forEach(([key, node]) => { node.hidden = key !== kind; });
  show(rule.kind);
  const node = el('div', { class: 'stack' },
    choices('Who has to say yes', 'rule', [['unanimous', 'Everybody'], ['atLeast', 'At least …'], ['share', 'A share'], ['easing', 'Easing']], rule.kind, show),
    box);
  const read = (data) => {
    switch (data.rule) {
      case 'atLeast': return { kind: 'atLeast', count: whole(data.count, 1, 100, 'count', 'The number of people') };
      case 'share': return { kind: 'share', percent: whole(data.percent, 1, 100, 'percent', 'The share') };
      case 'easing': {
        const after = data.after.split(/[\s,;]+/).filter(Boolean).map((text) => whole(text, 1, 500, 'after', 'Each number of votes'));
        if (!after.length || after.length > 5) throw wrong('Give one to five numbers of votes, such as 15, 25.', 'after');
        return { kind: 'easing', after };
      }
      default: return { kind: 'unanimous' };
    }
  };
  return { node, read };
}

/** The inputs of a deck. `read(data)` resolves what was sent to the deck; a file is sent for that. */
export function deckInputs() {
  const picked = new Map();
  const file = listInput();
  const parts = { catalogue: fromCatalogue(), titles: fromTitles(picked), list: fromList(), upload: file.node };
  const show = (source) => Object.entries(parts).forEach(([key, node]) => { node.hidden = key !== source; });
  show('catalogue');
  const node = el('div', { class: 'stack' },
    choices('Vote on', 'source', [['catalogue', 'Films by taste'], ['titles', 'Picked films'], ['list', 'Own list'], ['upload', 'From a file']], 'catalogue', show),
    Object.values(parts));
  const read = async (data, form) => {
    if (data.source === 'upload') return file.read(data.listSize && whole(data.listSize, 1, 500, 'listSize', 'The number of cards'));
    if (data.source === 'list') {
      const items = data.entries.split('\n').map((line) => line.trim()).filter(Boolean).map((title) => ({ title }));
      if (!items.length) throw wrong('Write at least one entry, one on each line.', 'entries');
      if (items.length > 500) throw wrong('A deck has at most 500 entries.', 'entries');
      const long = items.findIndex(({ title }) => title.length > 200);
      if (long >= 0) throw wrong(`Entry ${long + 1} is longer than 200 characters.`, 'entries');
      return { source: 'list', items };
    }
    if (data.source === 'titles') {
      if (!picked.size) throw wrong('Search for films and add at least one.', 'q');
      return { source: 'titles', titleIds: [...picked.keys()] };
    }
    const genres = [...form.querySelectorAll('input[name=genre]:checked')].map((input) => input.value);
    const deck = { source: 'catalogue', size: whole(data.size, 1, 500, 'size', 'The number of films') };
    if (genres.length) deck.genres = genres;
    if (data.yearFrom) deck.yearFrom = whole(data.yearFrom, 1870, 2100, 'yearFrom', 'The first year');
    if (data.yearTo) deck.yearTo = whole(data.yearTo, 1870, 2100, 'yearTo', 'The last year');
    if (deck.yearFrom > deck.yearTo) throw wrong('The first year is after the last one.', 'yearFrom');
    if (Number(data.minRating) > 0) deck.minRating = Number(data.minRating);
    return deck;
  };
  return { node, read };
}

function fromCatalogue() {
  const chips = el('div', { class: 'chips', 'aria-busy': 'true' }, Array.from({ length: 18 }, () => el('span', { class: 'chip ghost' })));
  const fill = async () => {
    try {
      const { items } = await api('GET', '/api/catalogue/genres');
      chips.replaceChildren(...items.map((genre) => el('label', { class: 'chip' },
        el('input', { type: 'checkbox', name: 'genre', value: genre.id }), el('span', { text: genre.name }))));
    } catch (problem) {
      chips.replaceChildren(el('p', { class: 'hint', text: `The genres could not be loaded. ${problem.message}` }), button('Try again', fill));
    }
    chips.removeAttribute('aria-busy');
  };
  fill();
  const shown = el('output', { text: 'any' });
  const rating = el('input', { type: 'range', name: 'minRating', min: 0, max: 9, step: 0.5, value: 0 });
  rating.addEventListener('input', () => { shown.textContent = Number(rating.value) ? `${Number(rating.value).toFixed(1)} or better` : 'any'; });
  return el('div', { class: 'stack' },
    el('fieldset', { class: 'choices' }, el('legend', { class: 'label', text: 'Genres (none: all)' }), chips),
    el('div', { class: 'columns' },
      field('From year', number('yearFrom', '', 1870, 2100, { placeholder: 'any' })),
      field('To year', number('yearTo', '', 1870, 2100, { placeholder: 'any' })),
      field('Number of films', number('size', 50, 1, 500))),
    el('label', { class: 'field' }, el('span', { class: 'label' }, 'Critics’ rating: ', shown), rating));
}

function fromTitles(picked) {
  const results = el('ul', { class: 'plain found', 'aria-label': 'Films found' });
  const chosen = el('div', { class: 'chips' });
  const status = el('p', { class: 'hint', role: 'status', text: 'Type a name; add the films you would watch.' });
  const drawChosen = () => chosen.replaceChildren(...[...picked.values()].map((title) =>
    el('button', { type: 'button', class: 'chip picked', 'aria-label': `Take out ${title.title}`, text: `${title.title} ×`,
      on: { click: () => { picked.delete(title.id); drawChosen(); } } })));
  const input = el('input', { type: 'search', name: 'q', autocomplete: 'off', placeholder: 'e.g. Casablanca' });
  let timer;
  const search = async () => {
    const text = input.value.trim();
    if (!text) return results.replaceChildren();
    try {
      const { items } = await api('GET', `/api/catalogue/titles?limit=8&q=${encodeURIComponent(text)}`);
      if (text !== input.value.trim()) return undefined; // a newer search is on its way
      status.textContent = items.length ? `${plural(items.length, 'film')} found.` : 'Nothing found. Try another spelling.';
      results.replaceChildren(...items.map((title) => el('li', {}, el('button', {
        type: 'button', class: 'line',
        on: { click: () => { picked.set(title.id, title); drawChosen(); status.textContent = `${title.title} is in the deck.`; } },
      }, el('span', { text: title.title }), el('span', { class: 'hint', text: [title.year, title.directors?.[0]].filter(Boolean).join(', ') })))));
    } catch (problem) {
      status.textContent = problem.message;
    }
    return undefined;
  };
  input.addEventListener('input', () => { clearTimeout(timer); timer = setTimeout(search, 250); });
  input.addEventListener('keydown', (event) => { if (event.key === 'Enter') { event.preventDefault(); search(); } });
  return el('div', { class: 'stack' }, field('Search films', input), status, results, chosen);
}

function fromList() {
  const count = el('span', { class: 'hint', text: 'One entry on each line: films, restaurants, games, names …' });
  const area = el('textarea', { name: 'entries', rows: 7, placeholder: 'Pizza\nRamen\nTacos' });
  area.addEventListener('input', () => {
    const lines = new Set(area.value.split('\n').map((line) => line.trim()).filter(Boolean));
    count.textContent = `${plural(lines.size, 'entry', 'entries')}, one on each line.`;
  });
  return el('label', { class: 'field' }, el('span', { class: 'label', text: 'Entries' }), area, count);
}
