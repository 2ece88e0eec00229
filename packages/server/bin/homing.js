#!/usr/bin/env -S node --no-parallel-scavenge --min-semi-space-size=16 --max-semi-space-size=32
// The flags are those of src/heap.ts: what the main thread takes at its start only.
import { main } from '../dist/cli.js';

process.exitCode = await main(process.argv.slice(2));
