/**
 * The compatibility switches in force in this thread. One executor runs one version of one worker,
 * so they are set once, before user code is loaded, and never change afterwards.
 */
let inForce: Readonly<Record<string, boolean>> = {};

/** Compat switches by flag name: true in force. Set once per thread. */
export function setCompatibility(flags: Readonly<Record<string, boolean>>): void {
  inForce = flags;
}

/** Whether the switch is in force; one that nobody set is off. */
export function compatibility(flag: string): boolean {
  return inForce[flag] === true;
}
