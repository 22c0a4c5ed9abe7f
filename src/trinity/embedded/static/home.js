// Everything before a room: the start page, opening one, the account.

import { api, keep, me, newKey, renameMe, session } from './api.js';
import { choices, deckInputs, number, roomCode, ruleInputs, whole } from './forms.js';
import { myReport } from './report.js';
import { button, confirm, el, field, form, icon, logo, plural, svg, toast, wrong } from './ui.js';
import { picturePicker } from './uploads.js';

const nameInput = (value = '') =>
  el('input', { name: 'name', value, required: true, maxlength: 40, autocomplete: 'nickname', placeholder: 'e.g. Ana' });

const hello = () => el('p', { class: 'hello', text: `Hello, ${me().name}.` });

/** Make sure that there is a session, as a guest of the name in this input of a form if there is none. */
async function comeIn(node, name = 'name') {
  if (session()) return;
  const input = node.elements.namedItem(name);
  if (!input.value.trim()) throw wrong('Say your name first, so that the others know you.', name);
  keep(await about(name, api('POST', '/api/auth/guest', { name: input.value }, { bare: true })));
  // Whatever comes next may fail, and this page stay: it says who is here from now on.
  input.closest('.field').replaceWith(hello());
  node.closest('.page').querySelector('.bar').replaceWith(bar());
}

/** Let what is refused be told beside this field. */
async function about(field, request) {
  try {
    return await request;
  } catch (problem) {
    throw problem.temporary ? problem : Object.assign(problem, { field });
  }
}

function bar() {
  const user = me();
  return el('header', { class: 'bar' },
    el('a', { class: 'home', href: '/', 'aria-label': 'Trinity, start page' }, logo(), el('span', { text: 'Trinity' })),
    el('div', { class: 'row' },
      el('a', { class: 'button quiet', href: '/#account' }, user?.avatarUrl ? el('img', { class: 'icon round', src: user.avatarUrl, alt: '' }) : icon('user'), el('span', { class: 'clip', text: user ? user.name : 'Sign in' }))));
}

// ---- start page

export function start(go) {
  const user = me();
  const code = el('input', { name: 'code', autocomplete: 'off', autocapitalize: 'characters', spellcheck: 'false', maxlength: 80, placeholder: 'e.g. K7QM2X', class: 'code-input' });
  const begin = form({ class: 'panel stack begin' }, async (data, what, node) => {
    const target = what === 'join' ? roomCode(data.code) : null;
    if (what === 'join' && !target) throw wrong('A code has six letters and digits, without 0, O, 1, I and L.', 'code');
    await comeIn(node);
    if (target) await about('code', api('POST', '/api/rooms/join', { code: target }));
    go(target ? `/r/${target}` : '/#new');
  },
  user ? hello() : field('Your name', nameInput()),
  el('button', { class: 'button strong wide', value: 'open' }, 'Open a room'),
  el('p', { class: 'or', text: 'or join one' }),
  el('div', { class: 'join' }, field('Room code', code), el('button', { class: 'button', value: 'join', text: 'Join' })));
  // Enter in the code field means "join", not the first button of the form.
  code.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    begin.requestSubmit(begin.querySelector('[value=join]'));
  });
  return el('div', { class: 'page' }, bar(),
    el('div', { class: `hero ${user ? 'known' : ''}` },
      el('div', { class: 'pitch' },
        el('h1', { tabindex: '-1', text: 'Find the film everyone says yes to' }),
        !user && el('p', { class: 'lead', text: 'Open a room, share its code, and swipe through the same deck on your own phones. The moment you all agree, everybody sees it.' })),
      !user && lights(),
      begin,
      user && myRooms())); // whoever has been here before came for the rooms, not for the picture
}

/** Three lights, one overlap: what this is about, in one picture. */
function lights() {
  const label = (x, y, text, kind) => {
    const node = svg('text', { x, y, class: kind });
    node.textContent = text;
    return node;
  };
  return svg('svg', { class: 'lights', viewBox: '0 0 400 360', 'aria-hidden': 'true' },
    svg('g', { class: 'discs' },
      svg('circle', { cx: 200, cy: 122, r: 112, class: 'l1' }),
      svg('circle', { cx: 132, cy: 236, r: 112, class: 'l2' }),
      svg('circle', { cx: 268, cy: 236, r: 112, class: 'l3' })),
    label(200, 68, 'Ana', 'who'), label(82, 292, 'Ben', 'who'), label(318, 292, 'Cleo', 'who'),
    label(200, 206, 'Tonight', 'what'));
}

function myRooms() {
  const list = el('ul', { class: 'plain rooms' });
  const more = el('div');
  const section = el('section', { class: 'mine', 'aria-labelledby': 'mine' }, el('h2', { id: 'mine', text: 'Your rooms' }), list, more);
  const load = async (cursor) => {
    try {
      const page = await api('GET', `/api/rooms?limit=12${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ''}`);
      list.append(...page.items.map(roomLine));
      more.replaceChildren();
      if (page.cursor) more.append(button('Show older rooms', () => load(page.cursor)));
      else if (!list.children.length) more.append(el('p', { class: 'hint', text: 'None yet. The rooms that you open or join appear here.' }));
    } catch (problem) {
      more.replaceChildren(el('p', { class: 'hint', text: `Your rooms could not be loaded. ${problem.message}` }), button('Try again', () => load(cursor)));
    }
  };
  load();
  return section;
}

const STATES = { open: 'Open', decided: 'Decided', closed: 'Closed', expired: 'Expired' };

function roomLine(room) {
  const what = room.latestMatch
    ? `${room.latestMatch.title}${room.matchCount > 1 ? ` and ${room.matchCount - 1} more` : ''}`
    : `${plural(room.memberCount, 'person', 'people')}, ${plural(room.deckSize, 'card')}, no match yet`;
  return el('li', {}, el('a', { class: 'line room-line', href: `/r/${room.code}` },
    room.coverUrl && el('img', { class: 'cover-thumb', src: room.coverUrl, alt: '', loading: 'lazy' }),
    el('span', { class: 'grow' },
      el('strong', { class: 'two-lines', text: room.name, dir: 'auto' }),
      el('span', { class: 'hint two-lines' }, el('span', { class: `state ${room.state}`, text: STATES[room.state] }), ' · ', el('bdi', { text: what }))),
    icon('next')));
}

/** Somebody followed a link and has no name yet. */
export function invited(code, go, again) {
  return el('div', { class: 'page' }, bar(),
    el('div', { class: 'narrow stack' },
      el('h1', { tabindex: '-1', text: 'You are invited' }),
      el('p', { class: 'lead', text: `Say your name and you are in room ${code}.` }),
      form({ class: 'panel stack' }, async (_, __, node) => { await comeIn(node); again(); },
        field('Your name', nameInput()),
        el('button', { class: 'button strong wide', text: 'Join the room' }))));
}

/** A page that says what happened and where to go on. */
export function stuck(title, text, ...actions) {
  return el('div', { class: 'page' }, bar(),
    el('div', { class: 'narrow stack' }, el('h1', { tabindex: '-1', text: title }), el('p', { class: 'lead', text }),
      el('div', { class: 'row' }, actions, el('a', { class: 'button', href: '/', text: 'To the start page' }))));
}

// ---- opening a room

export function create(go) {
  const deck = deckInputs();
  const rule = ruleInputs();
  const count = field('Number of matches', number('stopCount', 3, 1, 500));
  count.hidden = true;
  const key = newKey();
  let tries = 0;
  return el('div', { class: 'page' }, bar(),
    form({ class: 'narrow stack sheet' }, async (data, _, node) => {
      await comeIn(node, 'host');
      const body = { rule: rule.read(data), secret: data.secret === 'on' };
      if (data.name.trim()) body.name = data.name.trim();
      body.stopAt = data.stopAt === 'count' ? whole(data.stopCount, 1, 500, 'stopCount', 'The number of matches') : data.stopAt;
      body.capacity = whole(data.capacity, 2, 100, 'capacity', 'The number of seats');
      body.deck = await deck.read(data, node); // last: it may send a file
      let room;
      try {
        room = await api('POST', '/api/rooms', body, { headers: { 'idempotency-key': `${key}-${tries}` } });
      } catch (problem) {
        if (!problem.temporary) tries += 1; // a changed form is a new request; a retry is the same one
        throw problem;
      }
      go(`/r/${room.code}`);
    },
    el('h1', { tabindex: '-1', text: 'Open a room' }),
    !session() && field('Your name', el('input', { name: 'host', maxlength: 40, autocomplete: 'nickname' })),
    el('section', { class: 'panel stack' }, el('h2', { text: 'The deck' }), deck.node),
    el('section', { class: 'panel stack' }, el('h2', { text: 'The agreement' }), rule.node,
      choices('The room stops', 'stopAt', [['first', 'At the first match'], ['count', 'After some'], ['never', 'Never']], 'first',
        (value) => { count.hidden = value !== 'count'; }),
      count),
    el('section', { class: 'panel stack' }, el('h2', { text: 'The room' }),
      el('div', { class: 'columns wide-first' },
        field('Name (optional)', el('input', { name: 'name', maxlength: 80, placeholder: 'e.g. Friday night' })),
        field('Seats', number('capacity', 20, 2, 100))),
      el('label', { class: 'check' }, el('input', { type: 'checkbox', name: 'secret', checked: true }),
        el('span', {}, 'Secret votes', el('span', { class: 'hint', text: 'Who said yes is shown on a match only; the ranking waits until the end.' })))),
    el('div', { class: 'send' }, el('button', { class: 'button strong wide', text: 'Open the room' }))));
}

// ---- account

const email = () => el('input', { type: 'email', name: 'email', autocomplete: 'email', required: true });
const SHORTEST = 8;

function longEnough(text) {
  if (text.length < SHORTEST) throw wrong(`A password needs at least ${SHORTEST} characters.`, 'password');
  return text;
}

const password = (autocomplete, name = 'password') => el('input', { type: 'password', name, autocomplete, required: true });

export function account(go) {
  const user = me();
  return el('div', { class: 'page' }, bar(), el('div', { class: 'narrow stack sheet' },
    el('h1', { tabindex: '-1', text: user ? 'Your account' : 'Sign in' }),
    user && portrait(go, user),
    user && profile(go, user),
    !user && signIn(go),
    (!user || user.guest) && register(go, user),
    user && myReport(),
    user?.guest && el('details', { class: 'panel' }, el('summary', { text: 'Sign in to another account' }), signIn(go)),
    user && leaving(go, user)));
}

function portrait(go, user) {
  const keepMe = async () => { renameMe(await api('GET', '/api/me')); go('/#account'); };
  const { node, draw } = picturePicker({
    kind: 'avatar', label: 'Your picture', className: 'round', remove: '/api/me/avatar',
    chosen: async () => { await keepMe(); toast('Everybody in your rooms sees your picture now.'); },
    removed: keepMe,
  });
  draw(user.avatarUrl);
  return el('section', { class: 'panel' }, node);
}

function profile(go, user) {
  return form({ class: 'panel stack' }, async (data) => {
    renameMe(await api('PATCH', '/api/me', { name: data.name }));
    toast('Your name is changed.');
    go('/#account');
  },
  el('p', { class: 'hint', text: user.guest ? 'You are a guest on this device.' : user.email }),
  field('Your name', nameInput(user.name)),
  el('div', { class: 'row' }, el('button', { class: 'button', text: 'Save' })));
}

async function askForMail({ email: address }) {
  if (!address) throw wrong('Write your e-mail address first.', 'email');
  await api('POST', '/api/auth/password/forgot', { email: address }, { bare: true });
  toast('If there is an account with this address, a mail is on its way.');
}

function signIn(go) {
  const node = form({ class: 'panel stack' }, async (data, what) => {
    if (what === 'forgot') {
      await askForMail(data);
      return;
    }
    keep(await api('POST', '/api/auth/login', { email: data.email, password: data.password }, { bare: true }));
    go('/');
  },
  el('h2', { text: 'Sign in' }),
  field('E-mail address', email()), field('Password', password('current-password')),
  el('div', { class: 'row' },
    el('button', { class: 'button strong', value: 'login', text: 'Sign in' }),
    el('button', { class: 'button quiet', value: 'forgot', text: 'Forgot password' })));
  return node;
}

function register(go, user) {
  return form({ class: 'panel stack' }, async (data) => {
    keep(await api('POST', '/api/auth/register', { email: data.email, password: longEnough(data.password), name: user?.name ?? data.name }));
    toast('Your account is ready.');
    go('/');
  },
  el('h2', { text: user ? 'Keep your rooms and votes' : 'New here' }),
  el('p', { class: 'hint', text: 'With an address and a password you can come back on any device. To swipe along, a name is enough.' }),
  !user && field('Your name', nameInput()), field('E-mail address', email()),
  field('Password', password('new-password'), 'At least 8 characters.'),
  el('div', { class: 'row' }, el('button', { class: 'button', text: 'Create the account' })));
}

function leaving(go, user) {
  const signOut = async () => {
    if (user.guest && !(await confirm('Sign out as a guest?', 'Guests have no password: nobody can come back to this guest’s rooms and votes.', 'Sign out'))) return;
    const { refreshToken } = session();
    await api('POST', '/api/auth/logout', { refreshToken }, { bare: true }).catch(() => {}); // gone from here in any case
    keep(null);
    go('/');
  };
  const remove = async () => {
    if (!(await confirm('Delete your account?', 'Your account, your memberships and your votes are removed for good.', 'Delete for good'))) return;
    try {
      await api('DELETE', '/api/me');
      keep(null);
      go('/');
      toast('Your account is deleted.');
    } catch (problem) {
      toast(problem.message, 'bad');
    }
  };
  return el('div', { class: 'row spread' }, button('Sign out', signOut), button('Delete account', remove, { kind: 'danger quiet' }));
}

export function reset(token, go) {
  const sheet = el('div', { class: 'narrow stack sheet' },
    el('h1', { tabindex: '-1', text: 'Set a new password' }),
    form({ class: 'panel stack' }, async (data) => {
      try {
        await api('POST', '/api/auth/password/reset', { token, password: longEnough(data.password) }, { bare: true });
      } catch (problem) {
        if (problem.code !== 'invalid_token') throw problem;
        sheet.replaceChildren(...usedUp());
        sheet.querySelector('h1').focus();
        return;
      }
      keep(null); // the reset ended every session of the account
      toast('Your new password is set. Sign in with it.');
      go('/#account', { replace: true }); // the token is used up: leave it out of the history
    },
    field('New password', password('new-password'), 'At least 8 characters.'),
    el('div', { class: 'row' }, el('button', { class: 'button strong', text: 'Set the password' }))));
  return el('div', { class: 'page' }, bar(), sheet);
}

const usedUp = () => [
  el('h1', { tabindex: '-1', text: 'This link does not work any more' }),
  el('p', { class: 'lead', text: 'It has expired, or it was used already. Ask for a new one: it comes by mail.' }),
  form({ class: 'panel stack' }, askForMail,
    field('E-mail address', email()),
    el('div', { class: 'row' }, el('button', { class: 'button strong', text: 'Send a new link' }))),
];
