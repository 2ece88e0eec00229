/**
 * Rounds of a log's owner to its replicas: whether a majority, asked after something was read, still holds
 * its epoch for the newest. No fsync, and no promise: an answer counts for the round that it names.
 *
 * Invariant: each round ends once: by a majority, in time, or with the log.
 *
 * Made by `ReplicatedLog`, which asks the stores and passes on what they answer.
 */
import { HomingError, type Timers } from '@homing/base';

export interface ConfirmRoundsOptions {
  readonly timers: Timers;
  readonly timeoutMs: number;
  /** Asks all stores, for the round of that number. */
  readonly ask: (round: number) => void;
  /** Whether those that `counts` accepts are a quorum of the set. */
  readonly isQuorum: (counts: (store: string) => boolean) => boolean;
}

interface Round {
  readonly confirmed: Set<string>;
  resolve(): void;
  reject(error: HomingError): void;
}

export class ConfirmRounds {
  readonly #options: ConfirmRoundsOptions;
  readonly #rounds = new Map<number, Round>();
  #next = 1;

  constructor(options: ConfirmRoundsOptions) {
    this.#options = options;
  }

  /** Resolves when a majority has answered; rejects with `unavailable` when it does not in time. */
  begin(): Promise<void> {
    const { timers, timeoutMs, ask } = this.#options;
    const number = this.#next++;
    return new Promise((resolve, reject) => {
      const timer = timers.after(timeoutMs, () => {
        this.#rounds.delete(number);
        // What waits for this has run: a write may be among it.
        const message = 'no majority confirms who owns the object';
        reject(new HomingError('unavailable', message, { executed: 'maybe' }));
      });
      const end = () => {
        timer.cancel();
        this.#rounds.delete(number);
      };
      this.#rounds.set(number, {
        confirmed: new Set(),
        resolve: () => {
          end();
          resolve();
        },
        reject: (error) => {
          end();
          reject(error);
        },
      });
      ask(number);
    });
  }

  confirmed(store: string, number: number): void {
    const round = this.#rounds.get(number);
    if (round === undefined) return;
    round.confirmed.add(store);
    if (this.#options.isQuorum((member) => round.confirmed.has(member))) round.resolve();
  }

  /** What was confirmed under an old set says nothing about the new one. */
  forgetAnswers(): void {
    for (const { confirmed } of this.#rounds.values()) confirmed.clear();
  }

  askAgain(): void {
    for (const number of [...this.#rounds.keys()]) this.#options.ask(number);
  }

  /** The log is over. */
  end(error: HomingError): void {
    for (const round of [...this.#rounds.values()]) round.reject(error);
  }
}
