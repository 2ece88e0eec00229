/** The automatic answer of hibernatable sockets: exactly this text is answered with that one. */
// biome-ignore-all lint/complexity/noArguments: a missing argument is not an undefined one
const className = 'WebSocketRequestResponsePair';

/** The limits are the actor's to check: the platform checks them where the pair is set. */
export class WebSocketRequestResponsePair {
  readonly #request: string;
  readonly #response: string;

  constructor(request: string, response: string) {
    if (arguments.length < 2) {
      throw new TypeError(
        `Failed to construct '${className}': constructor parameter ${arguments.length + 1} is not of type 'string'.`,
      );
    }
    this.#request = `${request}`;
    this.#response = `${response}`;
  }

  get request(): string {
    return this.#request;
  }

  get response(): string {
    return this.#response;
  }

  get [Symbol.toStringTag](): string {
    return className;
  }
}
