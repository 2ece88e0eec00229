/**
 * A house and its devices: one object a house, one a device.
 *
 *     GET  /<house>                                 all devices and their state
 *     GET  /<house>/<device>/connect                the device's WebSocket
 *     POST /<house>/<device>        {"on": true}    switch it now
 *     POST /<house>/<device>/at     {"on": true, "inMs": 5000}   switch it later
 */
export { Device } from './device';
export { House } from './house';

export default {
  async fetch(request, env): Promise<Response> {
    const [, house, device, action] = new URL(request.url).pathname.split('/');
    if (!house) return new Response('GET /<house>, POST /<house>/<device> {"on": true}\n');
    if (!device) return Response.json(await env.HOUSE.getByName(house).devices());
    const target = env.DEVICE.getByName(`${house}/${device}`);
    if (action === 'connect') return target.fetch(request);
    if (request.method !== 'POST') return new Response('use POST\n', { status: 405 });
    const { on, inMs } = (await request.json()) as { on?: unknown; inMs?: unknown };
    if (typeof on !== 'boolean')
      return new Response('"on" must be true or false\n', { status: 400 });
    if (action === 'at') return Response.json(await target.switchLater(on, Number(inMs) || 0));
    return Response.json(await target.switch(on));
  },
} satisfies ExportedHandler<Env>;
