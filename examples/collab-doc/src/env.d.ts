/** What the wrangler file binds, and modules that are not code. */
interface Env {
  readonly DOCUMENT: DurableObjectNamespace<import('./document').Document>;
}

declare module '*.html' {
  const text: string;
  export default text;
}
