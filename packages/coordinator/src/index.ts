/** The adapters of the `Coordinator` port. */
export { type EmbeddedCoordinatorOptions, embeddedCoordinator } from './embedded-coordinator.ts';
