// A title as a card. Where there is no poster, one is drawn: ground and shapes follow from the genre
// and the name, so a film looks the same to everybody in the room.

import { el, svg } from './ui.js';

// ground, two shape colours, ink for text on the ground (at least 4.5 : 1)
const PALETTES = {
  Action: ['#b1201f', '#ff9a3d', '#4d0b10', '#fff3ea'],
  Adventure: ['#0b6247', '#f5c548', '#06392a', '#f4fbf3'],
  Animation: ['#ffce33', '#ff4f79', '#3246f0', '#1b1530'],
  Comedy: ['#f79cc0', '#ffde59', '#d92b5e', '#2a0b1b'],
  Crime: ['#1f232b', '#eab53a', '#59616f', '#f5f3ed'],
  Documentary: ['#d8dde3', '#e4532a', '#23272e', '#15181c'],
  Drama: ['#1c3458', '#ee8062', '#4a83a8', '#f2f6fb'],
  Family: ['#10695f', '#ffd261', '#07433e', '#f2fffc'],
  Fantasy: ['#46277e', '#ca86ff', '#ffd166', '#f7f0ff'],
  History: ['#633c22', '#dda963', '#3a2312', '#fff5e8'],
  Horror: ['#101014', '#d1141f', '#47090f', '#f6eeee'],
  Music: ['#b43a0a', '#ffe066', '#5a1a00', '#fff6ec'],
  Mystery: ['#15303d', '#93c2b0', '#2d5566', '#edf6f4'],
  Romance: ['#8a1947', '#ffa3b6', '#560d2b', '#fff0f4'],
  'Science Fiction': ['#0f1848', '#37dcff', '#6c4dff', '#edf3ff'],
  Thriller: ['#2a2c41', '#f0283f', '#8f9bb0', '#f4f5fa'],
  War: ['#454a31', '#cfba5c', '#2a2d1d', '#f7f6eb'],
  Western: ['#d58f40', '#7c2d10', '#f8dfaa', '#291105'],
};
const PLAIN = Object.values(PALETTES);

/** Numbers that look random and depend on the text alone (FNV-1a, then xorshift). */
function numbers(text) {
  let state = 2166136261;
  for (const char of text) state = Math.imul(state ^ char.codePointAt(0), 16777619);
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

const circle = (cx, cy, r, fill, more = {}) => svg('circle', { cx, cy, r, fill, ...more });
const path = (d, fill, more = {}) => svg('path', { d, fill, ...more });

// Each composition fills 300 × 300 and fades into the ground below.
const COMPOSITIONS = [
  function lights(a, b, ink, next) {
    const r = 74 + next() * 22;
    const turn = next() * Math.PI;
    return [a, b, ink].map((fill, n) => {
      const angle = turn + (n * 2 * Math.PI) / 3;
      return circle(150 + 54 * Math.cos(angle), 152 + 54 * Math.sin(angle), r, fill, { opacity: n === 2 ? 0.9 : 0.92, class: 'blend' });
    });
  },
  function beam(a, b, ink, next) {
    const x = 40 + next() * 220;
    const aim = 60 + next() * 180;
    return [
      path(`M${x} 34L${aim - 150} 330H${aim + 20}Z`, b),
      path(`M${x} 34L${aim - 20} 330H${aim + 150}Z`, a, { opacity: 0.94 }),
      circle(x, 34, 22, ink),
    ];
  },
  function ripples(a, b, ink, next) {
    const x = next() < 0.5 ? 0 : 300;
    return [300, 246, 192, 138, 84].map((r, n) => circle(x, 300, r, [b, a, b, a, ink][n]));
  },
  function skyline(a, b, ink, next) {
    const bars = Array.from({ length: 7 }, (_, n) => {
      const height = 50 + next() * 190;
      return svg('rect', { x: n * 43, y: 300 - height, width: 43.5, height, fill: n % 2 ? a : b });
    });
    return [circle(60 + next() * 180, 70, 36, ink), ...bars];
  },
  function horizon(a, b, ink, next) {
    const x = 80 + next() * 140;
    const lines = Array.from({ length: 6 }, (_, n) =>
      svg('rect', { x: 0, y: 168 + n * 24, width: 300, height: 4 + n * 3, fill: b }));
    return [circle(x, 150, 96, a), ...lines, circle(x + 70, 60, 11, ink)];
  },
  function tiles(a, b, ink, next) {
    const made = [];
    for (let row = 0; row < 3; row += 1) {
      for (let column = 0; column < 3; column += 1) {
        const [x, y] = [column * 100, row * 100];
        const fill = [a, b, ink, a, b][Math.floor(next() * 5)];
        const corner = Math.floor(next() * 5);
        made.push(corner === 4 ? circle(x + 50, y + 50, 38, fill) : path([
          `M${x} ${y}h100a100 100 0 01-100 100z`, `M${x + 100} ${y}v100a100 100 0 01-100-100z`,
          `M${x + 100} ${y + 100}h-100a100 100 0 01100-100z`, `M${x} ${y + 100}v-100a100 100 0 01100 100z`,
        ][corner], fill, { stroke: fill, 'stroke-width': 0.6 })); // without it seams show
      }
    }
    return made;
  },
];

const palette = (title, next) => PALETTES[title.genres?.[0]] ?? PLAIN[Math.floor(next() * PLAIN.length)];

/** The poster of a title, or a drawing in its place. Decoration: the text says it all. */
export function art(title) {
  const next = numbers(title.title + (title.year ?? ''));
  for (let n = 0; n < 4; n += 1) next(); // the first numbers of similar names are similar
  const [ground, a, b, ink] = palette(title, next);
  const compose = COMPOSITIONS[Math.floor(next() * COMPOSITIONS.length)];
  const drawing = svg('svg', { viewBox: '0 0 300 300', preserveAspectRatio: `xMid${compose.name === 'beam' ? 'YMin' : 'YMid'} slice`, 'aria-hidden': 'true' },
    svg('rect', { width: 300, height: 300, fill: ground }), ...compose(a, b, ink, next));
  const frame = el('div', { class: 'art', vars: { '--ground': ground, '--ink': ink, '--tint': a } }, drawing);
  creditTmdb(title);
  if (title.posterUrl) {
    const image = el('img', { src: title.posterUrl, alt: '', draggable: 'false', referrerpolicy: 'no-referrer', decoding: 'async' });
    image.addEventListener('error', () => image.remove()); // the drawing is behind it
    image.addEventListener('load', () => drawing.remove());
    frame.append(image);
  }
  return frame;
}

function creditTmdb(title) {
  if (title.id.startsWith('tmdb') || title.posterUrl?.includes('tmdb.org')) document.getElementById('tmdb').hidden = false;
}

export function facts(title) {
  const minutes = title.runtimeMinutes;
  const length = minutes && (minutes >= 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60 || ''}${minutes % 60 ? ' min' : ''}`.trim() : `${minutes} min`);
  return [title.year, length, title.rating && `★ ${title.rating.toFixed(1)}`].filter(Boolean).map(String);
}

export function card(title) {
  const frame = art(title);
  const long = Math.max(title.title.length / 2, ...title.title.split(/\s/).map((word) => word.length * 1.6));
  const size = long > 34 ? 'xs' : long > 22 ? 's' : long > 14 ? 'm' : 'l';
  const bare = !title.overview && !title.cast?.length && !title.directors?.length;
  const node = el('article', { class: `card ${title.posterUrl ? 'photo' : 'drawn'} ${bare ? 'bare' : ''}`, 'aria-label': title.title },
    frame,
    el('div', { class: 'words' },
      el('h2', { class: `name ${size}`, text: title.title, dir: 'auto' }),
      title.subtitle && el('p', { class: 'subtitle', text: title.subtitle, dir: 'auto' }),
      facts(title).length > 0 && el('p', { class: 'facts' }, facts(title).map((text) => el('span', { text }))),
      title.genres?.length > 0 && el('p', { class: 'genres', text: title.genres.slice(0, 4).join(' · ') }),
      title.overview && el('p', { class: 'overview', text: title.overview, dir: 'auto' }),
      title.directors?.length > 0 && credit('By', title.directors.slice(0, 2)),
      title.cast?.length > 0 && credit('With', title.cast.slice(0, 4)),
      title.providers?.length > 0 && credit('On', [`${title.providers.join(', ')} (JustWatch)`]),
      /^https:\/\//.test(title.trailerUrl ?? '') && el('a', { class: 'trailer', href: title.trailerUrl, target: '_blank', rel: 'noopener noreferrer', text: 'Watch the trailer' })),
    ['yes', 'no', 'super', 'veto'].map((choice) => el('span', { class: `stamp ${choice}`, 'aria-hidden': 'true', text: choice })));
  for (const name of ['--ground', '--ink', '--tint']) node.style.setProperty(name, frame.style.getPropertyValue(name));
  return node;
}

const credit = (label, names) =>
  el('p', { class: 'credit' }, el('span', { class: 'by', text: label }), ` ${names.join(', ')}`);

const FAR = 96; // pixels after which letting go is a vote
const FAST = 0.55; // pixels a millisecond, a flick

/** Let a card be dragged: right is yes, left is no, up is super. */
export function draggable(node, vote) {
  let start = null;
  const pull = (x, y) => {
    node.style.setProperty('--x', `${x}px`);
    node.style.setProperty('--y', `${y}px`);
    node.style.setProperty('--turn', `${x * 0.04}deg`);
    const [choice, force] = leaning(x, y);
    node.dataset.lean = force > 0.15 ? choice : '';
    node.style.setProperty('--force', Math.min(1, force));
  };
  const settle = () => {
    start = null;
    node.classList.remove('dragged');
    pull(0, 0);
  };
  node.addEventListener('pointerdown', (event) => {
    if (event.button !== 0 || event.target.closest('a')) return;
    start = { x: event.clientX, y: event.clientY, at: event.timeStamp, id: event.pointerId };
  });
  node.addEventListener('pointermove', (event) => {
    if (!start || event.pointerId !== start.id) return;
    const [x, y] = [event.clientX - start.x, event.clientY - start.y];
    if (!node.classList.contains('dragged')) {
      if (Math.hypot(x, y) < 8) return;
      node.classList.add('dragged');
      node.setPointerCapture(event.pointerId);
    }
    pull(x, Math.min(y, 24));
  });
  node.addEventListener('pointerup', (event) => {
    if (!start || event.pointerId !== start.id) return;
    const [x, y] = [event.clientX - start.x, event.clientY - start.y];
    const [choice, force] = leaning(x, y);
    const speed = Math.hypot(x, y) / Math.max(1, event.timeStamp - start.at);
    const meant = node.classList.contains('dragged') && choice && (force >= 1 || (speed > FAST && force > 0.3));
    if (meant) vote(choice);
    else settle();
  });
  node.addEventListener('pointercancel', settle);
}

function leaning(x, y) {
  if (-y > Math.abs(x)) return ['super', -y / FAR];
  return [x > 0 ? 'yes' : 'no', Math.abs(x) / FAR];
}
