/** What the wrangler file binds, and modules that are not code. */
interface Env {
  readonly ROOM: DurableObjectNamespace<import('./chat-room').ChatRoom>;
  /** The region that this code runs in, on homing; elsewhere there is none. */
  readonly HOMING_REGION?: string;
  readonly LIMITER: DurableObjectNamespace<import('./rate-limiter').RateLimiter>;
}

declare module '*.html' {
  const text: string;
  export default text;
}
