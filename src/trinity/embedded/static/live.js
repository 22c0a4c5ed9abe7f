// What happens in a room, the moment it happens: AppSync's WebSocket, as docs/clients.md shows it.
// Nothing rests on it but how soon: the log tells everything, too, and is asked in any case.

import { api, session } from './api.js';

const EVENTS = 'subscription ($room: ID!) { onRoomEvent(roomId: $room) { cursor type actorId data } }';
const PRESENCE = 'subscription ($room: ID!) { onPresence(roomId: $room) { online } }';
const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 60_000;
const SILENCE_MS = 130_000; // the server says something every minute

// AppSync wants to be called by its own name in what authorizes, and behind CloudFront the page has another.
let asked = null;
const graphqlHost = () => (asked ??= api('GET', '/config.json', undefined, { bare: true })
  .then((config) => config.graphqlHost ?? location.host)
  .catch(() => { asked = null; }));

export class Live {
  /** `tell`: event(event), online(userIds), up(isUp). */
  constructor(roomId, tell) {
    this.roomId = roomId;
    this.tell = tell;
    this.isUp = false;
    this.failures = 0;
    this.stopped = new AbortController();
    const { signal } = this.stopped;
    const retry = () => {
      if (document.hidden) return;
      this.resting = false;
      this.connect();
    };
    addEventListener('online', retry, { signal });
    addEventListener('offline', () => this.socket?.close(), { signal });
    document.addEventListener('visibilitychange', retry, { signal });
    this.connect();
  }

  async connect() {
    const host = await graphqlHost();
    clearTimeout(this.timer);
    if (this.socket || this.resting || this.stopped.signal.aborted || !session()) return;
    if (!host) { this.lost(); return; }
    const authorization = { host, Authorization: session().accessToken };
    const header = btoa(JSON.stringify(authorization)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
    const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/graphql/realtime`, ['graphql-ws', `header-${header}`]);
    this.socket = socket;
    const start = (id, query) => {
      const data = JSON.stringify({ query, variables: { room: this.roomId } });
      socket.send(JSON.stringify({ type: 'start', id, payload: { data, extensions: { authorization } } }));
    };
    socket.onopen = () => { start('events', EVENTS); start('presence', PRESENCE); };
    socket.onmessage = ({ data }) => { if (this.socket === socket) this.heard(JSON.parse(data)); };
    socket.onclose = () => { if (this.socket === socket) this.lost(); };
    this.listen();
  }

  heard({ type, id, payload }) {
    this.listen();
    if (type === 'start_ack' && id === 'events') {
      this.failures = 0;
      this.isUp = true;
      this.tell.up();
    } else if (type === 'data' && id === 'events') {
      const event = payload.data.onRoomEvent;
      this.tell.event({ ...event, data: JSON.parse(event.data) });
    } else if (type === 'data') {
      this.tell.online(payload.data.onPresence.online);
    } else if (type === 'error' || type === 'complete') {
      this.socket.close(); // the token has expired, or this member is none any more: the log will say
    }
  }

  /** A connection that says nothing is none. */
  listen() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.socket?.close(), SILENCE_MS);
  }

  lost() {
    clearTimeout(this.silence);
    this.socket = null;
    this.isUp = false;
    this.failures += 1;
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.failures);
    this.timer = setTimeout(() => this.connect(), wait * (0.5 + Math.random() / 2));
  }

  /** Hang up until somebody looks at the page again. */
  rest() {
    this.resting = true;
    this.socket?.close();
  }

  stop() {
    this.stopped.abort();
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    this.socket?.close();
    this.socket = null;
  }
}
