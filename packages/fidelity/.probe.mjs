// packages/fidelity/src/homing-runner.ts
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

// packages/fidelity/src/child.ts
import { spawn } from "node:child_process";

// packages/fidelity/src/runner.ts
var START_TIMEOUT_MS = 6e4;

// packages/fidelity/src/child.ts
var LOG_CHARS_MAX = 64 * 1024;
function startChild(options) {
  const process_ = spawn(options.command, [...options.args], {
    stdio: ["ignore", "pipe", "pipe", "pipe"],
    env: { ...process.env, ...options.env }
  });
  let log = "";
  const append = (chunk) => {
    log = (log + String(chunk)).slice(-LOG_CHARS_MAX);
  };
  process_.stdout?.on("data", append);
  process_.stderr?.on("data", append);
  const gone = new Promise((resolve2) => {
    process_.once("exit", () => resolve2());
    process_.once("error", (error) => {
      append(`${error.stack}
`);
      resolve2();
    });
  });
  const kill = async () => {
    process_.kill("SIGKILL");
    await gone;
  };
  return new Promise((resolve2, reject) => {
    const timer = setTimeout(() => {
      void kill();
      reject(new Error(`${options.command} did not serve within ${START_TIMEOUT_MS} ms:
${log}`));
    }, START_TIMEOUT_MS);
    void gone.then(() => {
      clearTimeout(timer);
      reject(new Error(`${options.command} ended before it served:
${log}`));
    });
    readLines(process_, options.readyFd, (line) => {
      const port = options.portOf(line);
      if (port === null) return;
      clearTimeout(timer);
      resolve2({ port, log: () => log, kill });
    });
  });
}
function readLines(child, fd, onLine) {
  const stream = child.stdio[fd];
  let rest = "";
  stream.on("data", (chunk) => {
    const lines = (rest + chunk.toString("utf8")).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) onLine(line);
  });
}

// packages/fidelity/src/homing-runner.ts
var HOMING = fileURLToPath(new URL("../../server/bin/homing.js", import.meta.url));
var homingRunner = {
  name: "homing",
  async start(projectDir) {
    const data = mkdtempSync(join(tmpdir(), "fidelity-homing-"));
    const serve = (port2) => startChild({
      command: process.execPath,
      args: [HOMING, "dev", projectDir, "--no-watch", "--data", data, ...ports(port2)],
      readyFd: 1,
      portOf: readyPort
    });
    let child;
    try {
      child = await serve(0);
    } catch (error) {
      rmSync(data, { recursive: true, force: true });
      throw error;
    }
    const { port } = child;
    return {
      url: `http://127.0.0.1:${port}`,
      log: () => child.log(),
      restart: async () => {
        await child.kill();
        child = await serve(port);
      },
      stop: async () => {
        await child.kill();
        rmSync(data, { recursive: true, force: true });
      }
    };
  }
};
function ports(http) {
  return ["--port", String(http), "--grpc-port", "0", "--admin-port", "0"];
}
function readyPort(line) {
  const match = /ready http:\/\/127\.0\.0\.1:(\d+)/.exec(line);
  return match === null ? null : Number(match[1]);
}

// packages/fidelity/src/workerd-runner.ts
import { copyFileSync, mkdirSync, mkdtempSync as mkdtempSync2, rmSync as rmSync2, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir as tmpdir2 } from "node:os";
import { join as join3 } from "node:path";

// packages/fidelity/src/project.ts
import { existsSync, readFileSync } from "node:fs";
import { basename, join as join2, relative, resolve } from "node:path";
import { runInNewContext } from "node:vm";
import { build } from "esbuild";
var DEFAULT_RULES = [
  { type: "Text", globs: ["**/*.txt", "**/*.html", "**/*.sql"] },
  { type: "Data", globs: ["**/*.bin"] },
  { type: "CompiledWasm", globs: ["**/*.wasm", "**/*.wasm?module"] }
];
function readWrangler(projectDir) {
  const path = ["wrangler.jsonc", "wrangler.json"].map((name) => join2(projectDir, name)).find(existsSync);
  if (path === void 0) throw new Error(`no wrangler.json or wrangler.jsonc in ${projectDir}`);
  return runInNewContext(`(${readFileSync(path, "utf8")})`);
}
async function loadProject(projectDir) {
  const wrangler = readWrangler(projectDir);
  const modules = /* @__PURE__ */ new Map();
  const result = await build({
    absWorkingDir: projectDir,
    entryPoints: [wrangler.main],
    bundle: true,
    write: false,
    format: "esm",
    target: "es2022",
    platform: "browser",
    conditions: ["workerd", "worker", "browser", "import"],
    external: ["cloudflare:*", "node:*"],
    keepNames: true,
    logLevel: "silent",
    plugins: [extraModules([...wrangler.rules ?? [], ...DEFAULT_RULES], modules, projectDir)]
  });
  const output = result.outputFiles[0];
  if (output === void 0) throw new Error(`esbuild wrote nothing for ${projectDir}`);
  return { wrangler, code: output.text, modules: [...modules.values()] };
}
function extraModules(rules, found, projectDir) {
  return {
    name: "extra-modules",
    setup({ onResolve }) {
      onResolve({ filter: /./ }, (args) => {
        if (args.kind === "entry-point") return void 0;
        const rule = rules.find(
          ({ globs }) => globs.some((glob) => globPattern(glob).test(args.path))
        );
        if (rule === void 0) return void 0;
        const path = resolve(args.resolveDir, args.path);
        const name = `./${relative(projectDir, path).replaceAll(/[^\w.-]/g, "_")}`;
        found.set(name, { name: basename(name), type: rule.type, path });
        return { path: name, external: true };
      });
    }
  };
}
function globPattern(glob) {
  const source = glob.replaceAll(/[.+^${}()|[\]\\?]/g, "\\$&").replaceAll("**/", "(?:.*/)?").replaceAll(/(?<![.)])\*/g, "[^/]*");
  return new RegExp(`^${source}$`);
}

// packages/fidelity/src/workerd-runner.ts
function workerdBinary() {
  return createRequire(import.meta.url)("workerd").default;
}
var workerdRunner = {
  name: "workerd",
  async start(projectDir) {
    const project = await loadProject(projectDir);
    const dir = mkdtempSync2(join3(tmpdir2(), "fidelity-workerd-"));
    mkdirSync(join3(dir, "storage"));
    writeFileSync(join3(dir, "main.js"), project.code);
    for (const module of project.modules) copyFileSync(module.path, join3(dir, module.name));
    const configPath = join3(dir, "config.capnp");
    writeFileSync(configPath, capnpConfig(project, join3(dir, "storage")));
    const serve = (port2) => startChild({
      command: workerdBinary(),
      args: ["serve", configPath, "--control-fd=3", `--socket-addr=http=127.0.0.1:${port2}`],
      readyFd: 3,
      portOf: listenPort
    });
    let child;
    try {
      child = await serve(0);
    } catch (error) {
      rmSync2(dir, { recursive: true, force: true });
      throw error;
    }
    const { port } = child;
    return {
      url: `http://127.0.0.1:${port}`,
      log: () => child.log(),
      restart: async () => {
        await child.kill();
        child = await serve(port);
      },
      stop: async () => {
        await child.kill();
        rmSync2(dir, { recursive: true, force: true });
      }
    };
  }
};
function listenPort(line) {
  const event = JSON.parse(line);
  return event.event === "listen" && event.socket === "http" ? event.port ?? null : null;
}
var CAPNP_MODULE_FIELD = { Text: "text", Data: "data", CompiledWasm: "wasm" };
function capnpConfig({ wrangler, modules }, storagePath) {
  const extra = modules.map(
    ({ name, type }) => `(name = ${text(name)}, ${CAPNP_MODULE_FIELD[type]} = embed ${text(name)}),`
  );
  const flags = (wrangler.compatibility_flags ?? []).map(text).join(", ");
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "internet", network = (allow = ["public", "private"])),
    (name = "disk", disk = (path = ${text(storagePath)}, writable = true)),
  ],
  sockets = [(name = "http", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [(name = "main.js", esModule = embed "main.js"), ${extra.join(" ")}],
  compatibilityDate = ${text(wrangler.compatibility_date)},
  compatibilityFlags = [${flags}],
  bindings = [${capnpBindings(wrangler).join(", ")}],
  durableObjectNamespaces = [${capnpNamespaces(wrangler).join(", ")}],
  durableObjectStorage = (localDisk = "disk"),
);
`;
}
function capnpBindings(wrangler) {
  const objects = (wrangler.durable_objects?.bindings ?? []).map(
    ({ name, class_name }) => `(name = ${text(name)}, durableObjectNamespace = (className = ${text(class_name)}))`
  );
  const vars = Object.entries(wrangler.vars ?? {}).map(
    ([name, value]) => typeof value === "string" ? `(name = ${text(name)}, text = ${text(value)})` : `(name = ${text(name)}, json = ${text(JSON.stringify(value))})`
  );
  const services = (wrangler.services ?? []).map(({ binding, entrypoint }) => {
    const target = entrypoint === void 0 ? '"main"' : `(name = "main", entrypoint = ${text(entrypoint)})`;
    return `(name = ${text(binding)}, service = ${target})`;
  });
  return [...objects, ...vars, ...services];
}
function capnpNamespaces(wrangler) {
  const namespace = (className, sqlite) => `(className = ${text(className)}, uniqueKey = ${text(`${wrangler.name}-${className}`)}, enableSql = ${sqlite})`;
  return (wrangler.migrations ?? []).flatMap((migration) => [
    ...(migration.new_classes ?? []).map((name) => namespace(name, false)),
    ...(migration.new_sqlite_classes ?? []).map((name) => namespace(name, true))
  ]);
}
function text(value) {
  return JSON.stringify(value);
}

// ../../tmp/probe.mts
for (const r of [workerdRunner, homingRunner]) {
  const t = Date.now();
  const s = await r.start("/work/main/packages/fidelity/fixtures/api");
  const t1 = Date.now();
  const res = await fetch(s.url);
  const j = await res.json();
  console.log(r.name, s.url, t1 - t, Date.now() - t1, res.status, [...res.headers.keys()].join(), Object.keys(j).length, s.log().slice(0, 600));
  console.log(JSON.stringify(j["sqlite: unique ids"]), JSON.stringify(j["sqlite: kv iterators"]), JSON.stringify(j["classic: transactionSync"]));
  await s.stop();
}
