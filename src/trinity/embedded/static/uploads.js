// Files: a form is asked for, the file is posted with it, and what becomes of it is waited for.

import { Problem, api } from './api.js';
import { button, el, plural, toast, wrong } from './ui.js';

const PICTURES = ['image/jpeg', 'image/png', 'image/webp', 'image/gif'];
const LISTS = { csv: 'text/csv', tsv: 'text/tab-separated-values', txt: 'text/plain' };
const LARGEST_MIB = { avatar: 10, cover: 10, list: 4 };
const LOOK_EVERY_MS = 300;
const PATIENCE_MS = 120_000;

/**
 * Send a file. Resolves to what became of it; throws what to tell people.
 * `tell` hears how it goes: a text and the share that is done, if that is known.
 */
async function send(kind, file, tell, more = {}) {
  const largest = LARGEST_MIB[kind];
  if (!file.size) throw new Error('This file is empty.');
  if (file.size > largest * 1024 * 1024) throw new Error(`This file is too large: ${largest} MB are the most.`);
  tell('Sending …', 0);
  const ask = { kind, contentType: typeOf(kind, file), size: file.size, ...more };
  const form = await api('POST', '/api/uploads', ask);
  await post(form, file, (share) => tell('Sending …', share));
  tell(kind === 'list' ? 'Reading the list …' : 'Getting the picture ready …');
  return outcome(form.uploadId);
}

function typeOf(kind, file) {
  if (kind === 'list') {
    const type = LISTS[file.name.split('.').pop().toLowerCase()];
    if (!type) throw new Error('Save the list as CSV or as plain text, and choose that file.');
    return type;
  }
  if (!PICTURES.includes(file.type)) throw new Error('Choose a picture: JPEG, PNG, WebP or GIF.');
  return file.type;
}

/** Post a form. (fetch cannot tell how much of a file has left.) */
function post({ url, fields }, file, sent) {
  return new Promise((resolve, reject) => {
    const data = new FormData();
    Object.entries(fields).forEach(([name, value]) => data.append(name, value));
    data.append('file', file); // the last one: what follows it does not count
    const request = new XMLHttpRequest();
    request.upload.addEventListener('progress', (event) => sent(event.loaded / event.total));
    request.addEventListener('error', () => reject(new Problem(0)));
    request.addEventListener('load', () => {
      if (request.status < 300) resolve();
      else reject(new Error('The file could not be sent. Choose it again.'));
    });
    request.open('POST', url);
    request.send(data);
  });
}

async function outcome(id) {
  const until = Date.now() + PATIENCE_MS;
  while (Date.now() < until) {
    const upload = await api('GET', `/api/uploads/${id}`);
    if (upload.state === 'ready') return upload;
    if (upload.state === 'rejected') throw Object.assign(new Error(upload.reason), { lines: upload.errors });
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
  throw new Error('This takes longer than usual. Look again in a few minutes.');
}

/** Where one sees how far a file is. */
function progress() {
  const bar = el('progress', { max: 1, hidden: true });
  const text = el('p', { class: 'hint', role: 'status' });
  const tell = (words, share) => {
    text.textContent = words;
    bar.hidden = !words;
    if (share === undefined) bar.removeAttribute('value');
    else bar.value = share;
  };
  return { nodes: [bar, text], tell };
}

/**
 * A picture that can be chosen and taken away. `draw(url)` shows another one.
 * `chosen` and `removed` are called when that is done.
 */
export function picturePicker({ kind, label, className, more = {}, remove, chosen, removed }) {
  const { nodes, tell } = progress();
  const alert = el('p', { class: 'problem', role: 'alert' });
  const frame = el('div', { class: 'frame' });
  const input = el('input', { type: 'file', class: 'unseen', accept: PICTURES.join(','), on: { change: () => pick() } });
  const words = el('span');
  const away = button('Remove', () => busy(async () => {
    await api('DELETE', remove);
    await removed();
  }), { kind: 'quiet' });
  const node = el('div', { class: 'picker' }, frame, el('div', { class: 'stack grow' },
    el('span', { class: 'label', text: label }),
    el('div', { class: 'row' }, el('label', { class: 'button' }, input, words), away),
    nodes, alert));

  const draw = (url) => {
    frame.replaceChildren(...(url ? [el('img', { class: `preview ${className}`, src: url, alt: '' })] : []));
    away.hidden = !url;
    words.textContent = url ? 'Choose another' : 'Choose a picture';
  };

  async function busy(work) {
    alert.textContent = '';
    node.setAttribute('aria-busy', 'true');
    input.disabled = away.disabled = true;
    try {
      await work();
    } catch (problem) {
      alert.textContent = problem.message;
    } finally {
      tell('');
      input.value = ''; // so that the same file can be chosen again
      input.disabled = away.disabled = false;
      node.removeAttribute('aria-busy');
    }
  }

  function pick() {
    const [file] = input.files;
    if (file) busy(async () => chosen(await send(kind, file, tell, more)));
  }

  return { node, draw };
}

/** The input of a list from a file. `read(size)` sends it and resolves to the deck. */
export function listInput() {
  const { nodes, tell } = progress();
  const wrongLines = el('ul', { class: 'plain wrong-lines' });
  const input = el('input', { type: 'file', name: 'file', accept: '.csv,.tsv,.txt', on: { change: () => wrongLines.replaceChildren() } });
  const count = el('input', { type: 'number', inputmode: 'numeric', name: 'listSize', min: 1, max: 500, placeholder: 'all, up to 500' });
  let known = null; // the file that was sent last, and its upload
  const node = el('div', { class: 'stack' },
    el('label', { class: 'field' }, el('span', { class: 'label', text: 'List' }), input,
      el('span', { class: 'hint', text: 'A text with one entry on each line, or a table saved as CSV with a column “Title”: from a spreadsheet, Letterboxd, IMDb, Goodreads …' })),
    nodes, wrongLines,
    el('label', { class: 'field' }, el('span', { class: 'label', text: 'Cards' }), count,
      el('span', { class: 'hint', text: 'Of a longer list, so many are drawn by chance.' })));

  const read = async (size) => {
    const [file] = input.files;
    if (!file) throw wrong('Choose a file first.', 'file');
    wrongLines.replaceChildren();
    try {
      if (known?.file !== file) known = { file, upload: await send('list', file, tell) };
    } catch (problem) {
      wrongLines.replaceChildren(...(problem.lines ?? []).slice(1).map( // the first is in the reason
        ({ line, message }) => el('li', { text: `Line ${line} ${message}.` })));
      throw problem.temporary ? problem : wrong(problem.message, 'file');
    } finally {
      tell('');
    }
    toast(`${plural(known.upload.entries, 'entry', 'entries')} in the list.`);
    return { source: 'upload', uploadId: known.upload.uploadId, ...(size && { size }) };
  };
  return { node, read };
}
