/**
 * Nothing in a simulation may look at the machine's time or dice: while one runs they throw, so that
 * a component that forgot its ports fails in every test and not by giving another run for one seed.
 */
type Restore = () => void;

/** From now until the returned function is called. */
export function forbidMachineTime(): Restore {
  const { now } = Date;
  const { random } = Math;
  const { setTimeout: timeout, setInterval: interval, setImmediate: immediate } = globalThis;
  const forbid = (name: string) => () => {
    throw new Error(`${name} was called in a simulation: use the ports`);
  };
  Date.now = forbid('Date.now');
  Math.random = forbid('Math.random');
  Object.assign(globalThis, {
    setTimeout: forbid('setTimeout'),
    setInterval: forbid('setInterval'),
    setImmediate: forbid('setImmediate'),
  });
  return () => {
    Date.now = now;
    Math.random = random;
    Object.assign(globalThis, {
      setTimeout: timeout,
      setInterval: interval,
      setImmediate: immediate,
    });
  };
}
