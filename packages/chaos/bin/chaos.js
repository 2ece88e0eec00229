#!/usr/bin/env node
import { main } from '../dist/cli.js';

// Not by way of `exitCode`: where connections were cut, Node 20 may wait for their handles for ever.
process.exit(await main(process.argv.slice(2)));
