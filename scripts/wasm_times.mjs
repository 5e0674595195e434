// SPDX-License-Identifier: Apache-2.0
// Runs a WASI command, module and arguments as given, where none of what it imports besides is ever called.
import { readFileSync } from 'node:fs';
import { WASI } from 'node:wasi';

const [, , path, ...args] = process.argv;
const module = await WebAssembly.compile(readFileSync(path));
const wasi = new WASI({ version: 'preview1', args: [path, ...args] });
const imports = wasi.getImportObject();
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  imports[from] ??= {};
  imports[from][name] ??= () => {
    throw new Error(`${name} was called, and there is no host`);
  };
}
const { memory, _start } = (await WebAssembly.instantiate(module, imports)).exports;
// The module is a filter too, which node would not take for a command.
wasi.start({ exports: { memory, _start } });
