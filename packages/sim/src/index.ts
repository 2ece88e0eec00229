/** The seeded simulator. */
export { Disk, type DiskFaults } from './disk.ts';
export { type NetworkFaults, SimNetwork } from './network.ts';
export { SeededRandom } from './random.ts';
export { Process, World } from './world.ts';
