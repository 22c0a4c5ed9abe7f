// The session, and requests to the API that carry it.

import { load, store } from './storage.js';

const KEY = 'trinity.session';
const REFRESH_AHEAD_MS = 30_000;
const TIMEOUT_MS = 15_000;

/** A refusal of the API (RFC 9457), or a failure to reach it (status 0). */
export class Problem extends Error {
  constructor(status, body = {}, retryAfter = 0) {
    super(sentence(status, body));
    this.status = status;
    this.code = body.code ?? (status ? 'unknown' : 'offline');
    this.errors = body.errors ?? [];
    this.retryAfter = retryAfter;
  }

  /** Whether the same request may well succeed in a moment. */
  get temporary() {
    return this.status === 0 || this.status === 429 || this.status >= 500 || this.code === 'conflict';
  }

  get sessionOver() {
    return ['unauthenticated', 'invalid_token', 'token_reused'].includes(this.code);
  }
}

function sentence(status, body) {
  if (!status) return 'There is no connection right now. Check your network and try again.';
  const [first] = body.errors ?? [];
  if (first) {
    // "/deck/items/3/title" + "must not be empty" → "Title must not be empty."
    const field = first.pointer.split('/').pop().replace(/([A-Z])/g, ' $1').toLowerCase();
    if (field && Number.isNaN(Number(field))) {
      return `${field[0].toUpperCase()}${field.slice(1)} ${first.message}.`;
    }
  }
  return body.detail || 'That did not work. Try again in a moment.';
}

// ---- the session, shared by all tabs through localStorage

let cached = load(KEY);
const listeners = new Set();

export const session = () => cached;
export const me = () => cached?.user ?? null;
export const onSession = (listener) => listeners.add(listener);

export function keep(answer) {
  cached = answer && {
    user: answer.user,
    accessToken: answer.accessToken,
    refreshToken: answer.refreshToken,
    expiresAt: Date.now() + answer.expiresIn * 1000,
  };
  store(KEY, cached);
  listeners.forEach((listener) => listener(cached));
}

export function renameMe(user) {
  cached = { ...load(KEY), user };
  store(KEY, cached);
}

addEventListener('storage', (event) => {
  if (event.key !== KEY) return;
  cached = load(KEY);
  listeners.forEach((listener) => listener(cached));
});

// ---- refreshing: each refresh token works once, so only one refresh may run, over all tabs

let refreshing = null;

function refresh(staleToken) {
  refreshing ??= locked(async () => {
    cached = load(KEY);
    if (!cached) throw new Problem(401, { code: 'unauthenticated', detail: 'You are signed out.' });
    if (cached.accessToken !== staleToken) return; // another tab was faster
    try {
      keep(await send('POST', '/api/auth/refresh', { refreshToken: cached.refreshToken }));
    } catch (problem) {
      if (problem.sessionOver) keep(null);
      throw problem;
    }
  }).finally(() => { refreshing = null; });
  return refreshing;
}

// navigator.locks exists in secure contexts only; over plain HTTP in a home network one tab is usual.
const locked = (work) => (navigator.locks ? navigator.locks.request('trinity.refresh', work) : work());

// ---- requests

/** Ask the API, with the session if there is one, unless `bare`. Throws a Problem. */
export async function api(method, path, body, { bare = false, ...options } = {}) {
  if (bare) return send(method, path, body, options);
  if (cached && cached.expiresAt - Date.now() < REFRESH_AHEAD_MS) await refresh(cached.accessToken);
  const token = cached?.accessToken;
  try {
    return await send(method, path, body, { ...options, token });
  } catch (problem) {
    if (problem.status !== 401 || problem.code !== 'unauthenticated' || !token) throw problem;
    await refresh(token);
    return send(method, path, body, { ...options, token: cached.accessToken });
  }
}

async function send(method, path, body, { token, headers = {}, keepalive = false, signal } = {}) {
  const all = { accept: 'application/json', ...headers };
  if (body !== undefined) all['content-type'] = 'application/json';
  if (token) all.authorization = `Bearer ${token}`;
  const patience = AbortSignal.timeout?.(TIMEOUT_MS);
  let response;
  let answer = null;
  try {
    response = await fetch(path, {
      method, headers: all, keepalive,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: signal && patience && AbortSignal.any ? AbortSignal.any([signal, patience]) : signal ?? patience,
    });
    const text = await response.text();
    const kind = response.headers.get('content-type') ?? '';
    answer = text && kind.includes('json') ? JSON.parse(text) : kind.startsWith('text/csv') ? text : null;
  } catch {
    throw new Problem(0);
  }
  if (response.ok) return answer;
  throw new Problem(response.status, answer ?? {}, Number(response.headers.get('retry-after')) || 0);
}

/** A key that makes a create safe to repeat. (crypto.randomUUID needs a secure context.) */
export const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('');
