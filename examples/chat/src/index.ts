/**
 * A chat: one object a room. `GET /` is the page, `/api/room/<name>/websocket` joins a room.
 */
import page from './chat.html';

export { ChatRoom } from './chat-room';
export { RateLimiter } from './rate-limiter';

const roomNameMax = 64;

export default {
  async fetch(request, env): Promise<Response> {
    const url = new URL(request.url);
    if (url.pathname === '/') {
      return new Response(page, { headers: { 'content-type': 'text/html;charset=utf-8' } });
    }
    const [, name] = /^\/api\/room\/([^/]+)\/websocket$/.exec(url.pathname) ?? [];
    if (name === undefined) return new Response('not found\n', { status: 404 });
    if (name.length > roomNameMax) return new Response('room name too long\n', { status: 414 });
    if (request.headers.get('upgrade') !== 'websocket') {
      return new Response('expected a WebSocket\n', { status: 426 });
    }
    return env.ROOM.getByName(decodeURIComponent(name)).fetch(request);
  },
} satisfies ExportedHandler<Env>;
