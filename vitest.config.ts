/**
 * Two projects. `unit` runs first. `process` holds the files named `*.process.test.ts`, which start
 * processes, browsers or servers of their own. Files run two at a time: most of the time of a
 * process test is waiting, and none may depend on how fast the machine is.
 */
import { defineConfig } from 'vitest/config';

const places = ['packages/*/{src,test}/**', 'examples/*/test/**', 'bench/**', 'scripts/**'];

export default defineConfig({
  test: {
    pool: 'forks',
    testTimeout: 180_000,
    hookTimeout: 180_000,
    exclude: ['**/node_modules/**', '**/dist/**'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: places.map((place) => `${place}/*.test.ts`),
          exclude: ['**/node_modules/**', '**/dist/**', '**/*.process.test.ts'],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'process',
          include: places.map((place) => `${place}/*.process.test.ts`),
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
