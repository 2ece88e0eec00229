/**
 * Migrations: the history of a worker's object classes, from which follows which classes there are
 * now and where the objects of each are kept.
 *
 * Invariants: two classes never share a namespace, not even one that was deleted or renamed away
 * and made again; the namespace of a class depends on the migrations up to the one that made it
 * and on nothing later, so appending a migration never moves existing objects.
 */
import type { Migration } from './schema.ts';

export interface ObjectClass {
  readonly className: string;
  /** `<worker>/<class it was first made as>`; made again after that: `<worker>/<class>~2` … */
  readonly namespace: string;
  readonly storage: 'kv' | 'sqlite';
}

export interface MigratedClasses {
  readonly classes: readonly ObjectClass[];
  /** Without the file's name; each begins with the key. */
  readonly problems: readonly string[];
}

export function applyMigrations(worker: string, migrations: readonly Migration[]): MigratedClasses {
  const history = new History(worker);
  for (const [index, migration] of migrations.entries()) history.apply(index, migration);
  return { classes: [...history.classes.values()], problems: history.problems };
}

class History {
  readonly classes = new Map<string, ObjectClass>();
  readonly problems: string[] = [];
  readonly #worker: string;
  readonly #tags = new Set<string>();
  readonly #timesMade = new Map<string, number>();

  constructor(worker: string) {
    this.#worker = worker;
  }

  apply(index: number, migration: Migration): void {
    const at = `migrations[${index}]`;
    if (this.#tags.has(migration.tag)) {
      this.problems.push(`${at}.tag: expected a tag of its own, "${migration.tag}" came before`);
    }
    this.#tags.add(migration.tag);
    for (const name of migration.new_classes) this.#make(`${at}.new_classes`, name, 'kv');
    for (const name of migration.new_sqlite_classes) {
      this.#make(`${at}.new_sqlite_classes`, name, 'sqlite');
    }
    for (const { from, to } of migration.renamed_classes) {
      this.#rename(`${at}.renamed_classes`, from, to);
    }
    for (const { from, from_script, to } of migration.transferred_classes) {
      this.#add(`${at}.transferred_classes`, {
        className: to,
        namespace: `${from_script}/${from}`,
        storage: 'sqlite',
      });
    }
    for (const name of migration.deleted_classes) {
      this.#take(`${at}.deleted_classes`, name);
    }
  }

  #make(key: string, className: string, storage: 'kv' | 'sqlite'): void {
    const times = (this.#timesMade.get(className) ?? 0) + 1;
    this.#timesMade.set(className, times);
    const again = times === 1 ? '' : `~${times}`;
    this.#add(key, { className, namespace: `${this.#worker}/${className}${again}`, storage });
  }

  #add(key: string, made: ObjectClass): void {
    if (this.classes.has(made.className)) {
      this.problems.push(`${key}: expected a new name, the class ${made.className} exists already`);
      return;
    }
    this.classes.set(made.className, made);
  }

  #rename(key: string, from: string, to: string): void {
    const renamed = this.#take(key, from);
    if (renamed !== undefined) this.#add(key, { ...renamed, className: to });
  }

  #take(key: string, name: string): ObjectClass | undefined {
    const found = this.classes.get(name);
    if (found === undefined) {
      this.problems.push(`${key}: expected a class that an earlier migration made, not ${name}`);
    }
    this.classes.delete(name);
    return found;
  }
}
