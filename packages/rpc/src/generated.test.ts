import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

function filesIn(dir: string): Record<string, string> {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const names = files.map((entry) => join(entry.parentPath, entry.name)).sort();
  return Object.fromEntries(
    names.map((name) => [name.slice(dir.length), readFileSync(name, 'utf8')]),
  );
}

test('the generated code is what the proto files give', () => {
  const out = mkdtempSync(join(tmpdir(), 'homing-proto-'));
  execFileSync('node', [fileURLToPath(new URL('../scripts/generate.js', import.meta.url)), out]);
  expect(filesIn(out)).toEqual(filesIn(fileURLToPath(new URL('./generated', import.meta.url))));
});
