/** How fast one address may write: one object an address. Forgetting on restart is fine. */
import { DurableObject } from 'cloudflare:workers';

const perMessageMs = 500;
const burst = 10;

export class RateLimiter extends DurableObject<Env> {
  #nextMs = 0;

  /** 0 if a message may go out now, else the milliseconds to wait. */
  take(): number {
    const now = Date.now();
    const next = Math.max(this.#nextMs, now - burst * perMessageMs);
    if (next > now) return next - now;
    this.#nextMs = next + perMessageMs;
    return 0;
  }
}
