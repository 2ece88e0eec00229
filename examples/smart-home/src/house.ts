/** A house knows its devices: each tells it what it is doing. */
import { DurableObject } from 'cloudflare:workers';

export interface DeviceState {
  readonly on: boolean;
  readonly online: boolean;
  /** When it will be switched next, in milliseconds since 1970, or null. */
  readonly scheduledAt: number | null;
}

export class House extends DurableObject<Env> {
  async report(device: string, state: DeviceState): Promise<void> {
    await this.ctx.storage.put(`device:${device}`, state);
  }

  async devices(): Promise<Record<string, DeviceState>> {
    const found = await this.ctx.storage.list<DeviceState>({ prefix: 'device:' });
    return Object.fromEntries(
      [...found].map(([key, state]) => [key.slice('device:'.length), state]),
    );
  }
}
