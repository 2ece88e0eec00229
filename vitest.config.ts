/**
 * Two projects. `unit` runs files side by side. `process` holds the files named
 * `*.process.test.ts`, which start processes, browsers or servers: they run one after another, when
 * the others are done, so that they have the machine to themselves.
 */
import { defineConfig } from 'vitest/config';

const places = ['packages/*/{src,test}/**', 'examples/*/test/**', 'bench/**', 'scripts/**'];

export default defineConfig({
  test: {
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 60_000,
    exclude: ['**/node_modules/**', '**/dist/**'],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: places.map((place) => `${place}/*.test.ts`),
          exclude: ['**/node_modules/**', '**/dist/**', '**/*.process.test.ts'],
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'process',
          include: places.map((place) => `${place}/*.process.test.ts`),
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
