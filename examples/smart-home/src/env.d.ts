/** What the wrangler file binds. */
interface Env {
  readonly HOUSE: DurableObjectNamespace<import('./house').House>;
  readonly DEVICE: DurableObjectNamespace<import('./device').Device>;
}
