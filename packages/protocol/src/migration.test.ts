import { describe, expect, it } from 'vitest';
import { Migration, type MigrationInput } from './migration.ts';

const type = (name: Exclude<MigrationInput['type'], 'failed'>): MigrationInput => ({ type: name });
const failed: MigrationInput = { type: 'failed', why: 'it broke' };

/** What each input leads to, in short. */
function run(inputs: readonly MigrationInput[], isFrozen = false): string {
  const migration = new Migration({ isFrozen });
  const lines = inputs.map((input) =>
    migration
      .step(input)
      .map((effect) => (effect.type === 'end' ? `end:${effect.outcome}` : effect.type))
      .join('+'),
  );
  return lines.join(' ');
}

describe('a move', () => {
  it('copies, freezes, settles, switches and leaves', () => {
    const inputs = [type('near'), type('frozen'), type('settled'), type('switched')];
    expect(run(inputs)).toBe('freeze settle switch leave+end:moved');
  });

  it('of an object that was never used is frozen from the beginning', () => {
    expect(run([type('near'), type('settled'), type('switched')], true)).toBe(
      'settle switch leave+end:moved',
    );
    expect(run([failed], true)).toBe('unstage+thaw+end:stayed');
  });

  it('is called off by whatever goes wrong before the switch, and thaws what it froze', () => {
    expect(run([failed])).toBe('unstage+end:stayed');
    expect(run([type('near'), type('busy')])).toBe('freeze unstage+end:stayed');
    expect(run([type('near'), failed])).toBe('freeze unstage+end:stayed');
    expect(run([type('near'), type('frozen'), failed])).toBe(
      'freeze settle unstage+thaw+end:stayed',
    );
  });

  it('thaws after the switch was asked for only when it surely did not happen', () => {
    const before = [type('near'), type('frozen'), type('settled')];
    expect(run([...before, failed, type('not-switched')])).toBe(
      'freeze settle switch  unstage+thaw+end:stayed',
    );
    expect(run([...before, type('switch-unknown')])).toBe(
      'freeze settle switch let-go+end:unknown',
    );
  });

  it('ends once', () => {
    expect(run([failed, type('near'), failed, type('switched')])).toBe('unstage+end:stayed   ');
  });
});
