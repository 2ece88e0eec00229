/**
 * Generates `src/generated` (or the folder given) from `proto/` with the pinned tools: the messages
 * and service by ts-proto, and the descriptors that reflection serves.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const out = resolve(process.argv[2] ?? join(root, 'packages/rpc/src/generated'));
const buf = join(root, 'node_modules/.bin/buf');

/** @param {string[]} args */
function run(args) {
  return execFileSync(buf, args, { cwd: join(root, 'proto'), maxBuffer: 1 << 26 });
}

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const template = {
  version: 'v2',
  inputs: [{ directory: '.' }],
  plugins: [
    {
      local: ['node', join(root, 'node_modules/.bin/protoc-gen-ts_proto')],
      out,
      include_wkt: true,
      include_imports: true,
      opt: [
        'outputServices=grpc-js',
        'outputClientImpl=false',
        'esModuleInterop=true',
        'importSuffix=.ts',
        'forceLong=bigint',
        'env=node',
        'enumsAsLiterals=true',
        'oneof=unions-value',
        'useExactTypes=false',
        'outputJsonMethods=false',
        'outputPartialMethods=false',
      ],
    },
  ],
};
run(['generate', '--template', JSON.stringify(template)]);
const descriptors = run(['build', '--as-file-descriptor-set', '-o', '-#format=binpb']);
writeFileSync(
  join(out, 'descriptors.ts'),
  `/* Generated: the FileDescriptorSet of proto/. */\nexport const descriptors =\n  '${descriptors.toString('base64')}';\n`,
);
