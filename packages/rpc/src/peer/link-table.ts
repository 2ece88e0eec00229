/**
 * The standing links of a node, at most one for each peer and purpose, and who hears of them.
 *
 * Invariants: `up` comes before the first message of a link, `down` once after the last; a new link
 * takes the place of a standing one after `down` for that one. The handlers may call back into the
 * network: the table is right before each of them is called.
 */
import { assert, type LinkPurpose, type Logger, type NetworkHandler } from '@homing/base';
import type { Link } from './link.ts';

const purposes: readonly LinkPurpose[] = ['log', 'call'];

export class LinkTable {
  readonly #logger: Logger;
  readonly #links: Readonly<Record<LinkPurpose, Map<string, Link>>> = {
    log: new Map(),
    call: new Map(),
  };
  readonly #handlers = new Map<LinkPurpose, NetworkHandler>();
  #isClosed = false;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  serve(purpose: LinkPurpose, handler: NetworkHandler): void {
    assert(!this.#handlers.has(purpose), `network: ${purpose} is served already`);
    this.#handlers.set(purpose, handler);
  }

  handler(purpose: LinkPurpose): NetworkHandler | undefined {
    return this.#handlers.get(purpose);
  }

  get(node: string, purpose: LinkPurpose): Link | undefined {
    return this.#links[purpose].get(node);
  }

  *all(): Generator<Link> {
    for (const purpose of purposes) yield* this.#links[purpose].values();
  }

  /** Makes a link a standing one, or ends it where the network has closed. */
  adopt(link: Link): void {
    const { peer, purpose } = link;
    const { node, run } = peer;
    const handler = this.#handlers.get(purpose);
    assert(handler !== undefined, `network: a link for ${purpose}, which nobody serves`);
    const links = this.#links[purpose];
    links.get(node)?.end('a new link takes its place');
    if (this.#isClosed) link.end('this node closes');
    if (link.isOver) return;
    assert(!links.has(node), `network: two links with ${node} for ${purpose}`);
    links.set(node, link);
    link.start((reason) => {
      links.delete(node);
      this.#logger.info('peer: link down', { peer: node, purpose, run, reason });
      handler.down(peer);
    });
    this.#logger.info('peer: link up', { peer: node, purpose, run, ...link.details });
    handler.up(peer);
  }

  /** Ends the links that `filter` names. */
  end(reason: string, filter: (link: Link) => boolean = () => true): void {
    for (const link of [...this.all()]) if (filter(link)) link.end(reason);
  }

  close(): void {
    this.#isClosed = true;
    this.end('this node closes');
  }
}
