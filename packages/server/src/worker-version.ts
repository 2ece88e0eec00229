/** One version of the worker: what the node runs of a project and its bundle. */
import type { WorkerProject } from '@homing/config';
import type { WorkerDescription } from '@homing/executor';

export function describeWorker(project: WorkerProject): WorkerDescription {
  const { name, vars, classes, objectBindings, serviceBindings, compatibility } = project;
  return { name, vars, classes, objectBindings, serviceBindings, compatibility };
}

/** A namespace as people call it: its binding's name, else its class. */
export class Namespaces {
  #project: WorkerProject;

  constructor(project: WorkerProject) {
    this.#project = project;
  }

  set project(project: WorkerProject) {
    this.#project = project;
  }

  /** By the binding's name or the class; undefined for neither. */
  keyOf(name: string): string | undefined {
    return this.list().find((entry) => entry.name === name || entry.className === name)?.key;
  }

  /** For metrics and logs. */
  nameOf(key: string): string {
    return this.list().find((entry) => entry.key === key)?.name ?? key;
  }

  list(): { readonly name: string; readonly className: string; readonly key: string }[] {
    const { classes, objectBindings } = this.#project;
    return classes.map(({ className, namespace }) => {
      const binding = objectBindings.find((entry) => entry.className === className);
      return { name: binding?.name ?? className, className, key: namespace };
    });
  }
}
