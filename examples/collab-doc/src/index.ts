/** A document that several people edit at once: `GET /<name>` is its page. */
import page from './page.html';

export { Document } from './document';

export default {
  async fetch(request, env): Promise<Response> {
    const [, name, action] = new URL(request.url).pathname.split('/');
    if (!name) return Response.redirect(new URL('/notes', request.url).href);
    if (action === 'edit') return env.DOCUMENT.getByName(decodeURIComponent(name)).fetch(request);
    return new Response(page, { headers: { 'content-type': 'text/html;charset=utf-8' } });
  },
} satisfies ExportedHandler<Env>;
