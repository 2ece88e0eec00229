/**
 * A device: what it should be doing is in storage, the thing itself is at the other end of a
 * WebSocket that hibernates, and a switch for later is an alarm, which survives restarts.
 */
import { DurableObject } from 'cloudflare:workers';
import type { DeviceState } from './house';

interface Schedule {
  readonly on: boolean;
  readonly at: number;
}

export class Device extends DurableObject<Env> {
  /** The device connects. It is told at once what it should be doing. */
  override async fetch(request: Request): Promise<Response> {
    if (request.headers.get('upgrade') !== 'websocket') {
      return new Response('expected a WebSocket\n', { status: 426 });
    }
    const { 0: client, 1: server } = new WebSocketPair();
    this.ctx.acceptWebSocket(server);
    server.send(JSON.stringify({ on: await this.#isOn() }));
    await this.#report();
    return new Response(null, { status: 101, webSocket: client });
  }

  async switch(on: boolean): Promise<DeviceState> {
    this.ctx.storage.put('on', on);
    // Leaves when the write is durable, not before.
    for (const socket of this.ctx.getWebSockets()) socket.send(JSON.stringify({ on }));
    return this.#report();
  }

  async switchLater(on: boolean, inMs: number): Promise<DeviceState> {
    const at = Date.now() + inMs;
    // One atomic group: the schedule and the alarm that carries it out.
    this.ctx.storage.put<Schedule>('schedule', { on, at });
    this.ctx.storage.setAlarm(at);
    return this.#report();
  }

  override async alarm(): Promise<void> {
    const schedule = await this.ctx.storage.get<Schedule>('schedule');
    if (schedule === undefined) return;
    this.ctx.storage.delete('schedule');
    await this.switch(schedule.on);
  }

  /** The device says that somebody pressed its button. */
  override async webSocketMessage(_socket: WebSocket, data: string | ArrayBuffer): Promise<void> {
    const { on } = JSON.parse(String(data)) as { on?: unknown };
    if (typeof on === 'boolean') await this.switch(on);
  }

  override async webSocketClose(): Promise<void> {
    await this.#report();
  }

  async #isOn(): Promise<boolean> {
    return (await this.ctx.storage.get<boolean>('on')) ?? false;
  }

  async #report(): Promise<DeviceState> {
    const schedule = await this.ctx.storage.get<Schedule>('schedule');
    const isOpen = (socket: WebSocket) => socket.readyState === WebSocket.OPEN;
    const state: DeviceState = {
      on: await this.#isOn(),
      online: this.ctx.getWebSockets().some(isOpen),
      scheduledAt: schedule?.at ?? null,
    };
    const [house = '', device = ''] = (this.ctx.id.name ?? '').split('/');
    await this.env.HOUSE.getByName(house).report(device, state);
    return state;
  }
}
