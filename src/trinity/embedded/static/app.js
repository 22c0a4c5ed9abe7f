// Which page to show for an address, and moving between them without loading anew.

import { api, me, onSession, session } from './api.js';
import { account, create, invited, reset, start, stuck } from './home.js';
import { roomReport } from './report.js';
import { openRoom } from './room.js';
import { button, el } from './ui.js';
import { sendLeftovers } from './votes.js';

const main = document.getElementById('main');
let leave = () => {};
let inside = null; // the room on the screen: its path, and what turns it to the part that the address names
let turn = 0;

function show(view, title) {
  document.title = title ? `${title} · Trinity` : 'Trinity';
  main.replaceChildren(view);
  scrollTo(0, 0);
}

/** Move to another address of this page. */
function go(address, { replace = false } = {}) {
  history[replace ? 'replaceState' : 'pushState'](null, '', address);
  route({ moved: true });
}

/** What the address says. */
function address() {
  const hash = new URLSearchParams(location.hash.slice(1));
  const code = location.pathname.match(/^\/r\/([^/]+)$/)?.[1];
  return { hash, code, report: Boolean(code) && hash.has('report') };
}

async function route({ moved = false } = {}) {
  leave();
  leave = () => {};
  inside = null;
  turn += 1;
  const mine = turn;
  const { hash, code, report } = address();
  document.body.classList.toggle('in-room', Boolean(code) && !report);
  if (code) await room(decodeURIComponent(code), mine, report);
  else if (hash.get('reset')) show(reset(hash.get('reset'), go), 'New password');
  else if (hash.has('new')) show(create(go), 'Open a room');
  else if (hash.has('account')) show(account(go), 'Account');
  else show(start(go));
  // Whoever moved here with a screen reader hears where here is.
  if (moved && mine === turn) main.querySelector('h1')?.focus({ preventScroll: true });
}

async function room(code, mine, report) {
  const invitation = () => show(invited(code, go, () => go(location.pathname + location.hash, { replace: true })), 'Invitation');
  if (!session()) return invitation();
  show(el('p', { class: 'loading', role: 'status', text: 'Opening the room …' }), code);
  try {
    const joined = await api('POST', '/api/rooms/join', { code });
    if (mine !== turn) return undefined;
    if (report) {
      const page = await roomReport(joined);
      return mine === turn ? show(page, `${joined.name}: how it went`) : undefined;
    }
    const page = await openRoom(joined, go);
    if (mine !== turn) return page.stop();
    leave = page.stop;
    inside = { path: location.pathname, turn: page.turn };
    page.turn();
    return show(page.view, joined.name);
  } catch (problem) {
    if (mine !== turn) return undefined;
    if (problem.sessionOver) return invitation();
    return show(stuck('This room did not open', problem.message,
      problem.temporary && button('Try again', () => route(), { kind: 'strong' })), 'Room');
  }
}

document.addEventListener('click', (event) => {
  const link = event.target.closest('a[href^="/"]');
  if (!link || event.defaultPrevented || event.ctrlKey || event.metaKey || event.shiftKey || link.target) return;
  event.preventDefault();
  go(link.getAttribute('href'));
});
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault(); // the address says which page this is
  main.focus();
});
addEventListener('popstate', () => {
  document.querySelector('dialog[open]')?.close(); // Back puts away what lies over the page
  if (location.pathname !== inside?.path || address().report) {
    route();
    return;
  }
  inside.turn();
  main.querySelector('.tab[aria-pressed=true]').focus({ preventScroll: true }); // what had the focus may be hidden now
});

// Signed out in another tab, or the session ended: start over where we are.
let known = me()?.id;
onSession(() => {
  if (known && !session()) queueMicrotask(() => route());
  known = me()?.id;
});

route();
if (me()) sendLeftovers(me().id).catch(() => {}); // whatever stays is kept for the next visit
