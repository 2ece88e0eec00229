/** A worker project turned into one module. */
export { type BundleOptions, type BundleResult, bundleProject } from './bundle.ts';
export { type WatchOptions, watchProject } from './watch.ts';
