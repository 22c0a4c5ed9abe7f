// Small helpers to build the page. Data becomes text, never markup.

/** Make an element. `on` adds listeners, `vars` sets CSS properties, other names are attributes. */
export function el(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'on') Object.entries(value).forEach(([type, listener]) => node.addEventListener(type, listener));
    else if (name === 'vars') Object.entries(value).forEach(([key, v]) => node.style.setProperty(key, v));
    else if (name === 'text') node.textContent = value;
    else if (name === 'value') node.value = value;
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const SVG = 'http://www.w3.org/2000/svg';

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
  node.append(...children);
  return node;
}

export const icon = (name) =>
  svg('svg', { class: 'icon', 'aria-hidden': 'true' }, svg('use', { href: `#i-${name}` }));

export const button = (label, click, { kind = '', name, ...rest } = {}) =>
  el('button', { type: 'button', class: `button ${kind}`, on: { click }, ...rest }, name && icon(name), label);

export const field = (label, input, hint) =>
  el('label', { class: 'field' }, el('span', { class: 'label', text: label }), input, hint && el('span', { class: 'hint', text: hint }));

export const plural = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`;

export function listed(names) {
  if (names.length < 2) return names.join('');
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1)}`;
}

export const calm = () => matchMedia('(prefers-reduced-motion: reduce)').matches;

// ---- telling people things

export function toast(text, kind = '') {
  const note = el('p', { class: `toast ${kind}`, text });
  const list = document.getElementById('toasts');
  list.append(note);
  while (list.children.length > 3) list.firstChild.remove();
  setTimeout(() => note.remove(), kind === 'bad' ? 8000 : 4500);
}

export function announce(text) {
  document.getElementById('announce').textContent = text;
}

const banner = document.getElementById('offline');
// It may take two lines: what fills the screen below it has to know.
new ResizeObserver(() => document.body.style.setProperty('--banner', `${banner.offsetHeight}px`)).observe(banner);

export function setOffline(text) {
  if (banner.textContent !== text) banner.textContent = text;
  banner.hidden = !text;
}

/** Ask before something that cannot be undone. Resolves to true or false. */
export function confirm(question, explanation, action) {
  return new Promise((resolve) => {
    const dialog = el('dialog', { class: 'ask', 'aria-labelledby': 'ask' },
      el('h2', { id: 'ask', text: question }),
      el('p', { text: explanation }),
      el('form', { method: 'dialog', class: 'row end' },
        el('button', { class: 'button', value: 'no', text: 'Cancel', autofocus: true }),
        el('button', { class: 'button danger', value: 'yes', text: action })));
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

// ---- forms

/** Make a form that shows its own errors and cannot be sent twice at once. */
export function form(props, submit, ...children) {
  forms += 1;
  const alert = el('p', { class: 'problem', role: 'alert', id: `problem-${forms}` });
  const node = el('form', { novalidate: true, ...props }, children);
  node.append(alert);
  node.addEventListener('input', () => clear(node, alert));
  node.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (node.getAttribute('aria-busy') === 'true') return;
    clear(node, alert);
    node.setAttribute('aria-busy', 'true');
    try {
      await submit(Object.fromEntries(new FormData(node)), event.submitter?.value, node);
    } catch (problem) {
      complain(node, alert, problem);
    } finally {
      node.removeAttribute('aria-busy');
    }
  });
  return node;
}

let forms = 0;

function clear(node, alert) {
  alert.textContent = '';
  node.querySelectorAll('[aria-invalid]').forEach((input) => {
    input.removeAttribute('aria-invalid');
    input.removeAttribute('aria-describedby');
  });
}

/** Say what is wrong beside the input that it is about, or else where the form is sent. */
function complain(node, alert, problem) {
  const named = problem.field ?? problem.errors?.[0]?.pointer.split('/').pop();
  const input = named && node.elements.namedItem(named);
  const known = input instanceof HTMLElement && !input.closest('[hidden]');
  const bar = node.querySelector('.send'); // stays in sight
  if (known) input.closest('.field').after(alert);
  else if (bar) bar.prepend(alert);
  else node.append(alert);
  alert.textContent = problem.message; // put in last: what appears is read out
  if (known) {
    input.setAttribute('aria-invalid', 'true');
    input.setAttribute('aria-describedby', alert.id);
    input.focus();
  }
  alert.scrollIntoView({ block: 'nearest' });
}

/** What a form says before it bothers the server. */
export function wrong(message, name) {
  return Object.assign(new Error(message), { field: name });
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Over plain HTTP there is no clipboard API; the old way still works.
    const area = el('textarea', { class: 'unseen', readonly: true, value: text });
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

// ---- people: everybody is one of three lights

export const LIGHTS = ['red', 'green', 'blue', 'amber', 'violet', 'cyan'];
const segments = globalThis.Intl?.Segmenter ? new Intl.Segmenter() : null;

/** The first letters of a name; of any script, and of emoji made of several code points. */
export function initials(name) {
  const first = (word) => (segments ? [...segments.segment(word)][0]?.segment : [...word][0]) ?? '';
  const words = name.split(' ');
  return (first(words[0]) + (words.length > 1 ? first(words.at(-1)) : '')).toLocaleUpperCase();
}

export function avatar(member, index, share, online = false) {
  return el('span', {
    class: `avatar ${LIGHTS[index % LIGHTS.length]}${online ? ' here' : ''}`, title: member.name, 'aria-hidden': 'true',
    vars: share === undefined ? {} : { '--share': share },
  }, face(member));
}

/** The picture of somebody, or the initials where there is none. */
function face(member) {
  const letters = el('span', { text: initials(member.name) });
  if (!member.avatarUrl) return letters;
  const picture = el('img', { src: member.avatarUrl, alt: '', on: { error: () => picture.replaceWith(letters) } });
  return picture;
}

export const logo = () =>
  svg('svg', { class: 'logo', viewBox: '0 0 40 40', 'aria-hidden': 'true' },
    svg('circle', { cx: 20, cy: 13.5, r: 11, class: 'l1' }),
    svg('circle', { cx: 13, cy: 25.5, r: 11, class: 'l2' }),
    svg('circle', { cx: 27, cy: 25.5, r: 11, class: 'l3' }));
