// Fails when the first load of the heaviest page is more JavaScript than the budget allows.
// Reads vite's manifest, so that it counts what a browser fetches: the entry and what it imports, plus each lazy chunk.
import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';

const budget = 300 * 1024; // bytes of gzip, first load of the pipeline page
const lazyBudget = 160 * 1024; // bytes of gzip, any one lazy chunk

const dist = new URL('../dist/', import.meta.url);
const manifest = JSON.parse(readFileSync(new URL('.vite/manifest.json', dist), 'utf8'));
const size = (file) => gzipSync(readFileSync(new URL(file, dist)), { level: 9 }).length;
const kB = (bytes) => `${(bytes / 1024).toFixed(1)} kB`;

/** Every JavaScript file that `key` needs before it runs. */
function closure(key, seen = new Set()) {
  const chunk = manifest[key];
  if (!chunk || seen.has(chunk.file)) return seen;
  seen.add(chunk.file);
  for (const each of chunk.imports ?? []) closure(each, seen);
  return seen;
}

const total = (files) => [...files].reduce((sum, file) => sum + size(file), 0);
const entryKey = Object.keys(manifest).find((key) => manifest[key].isEntry);
if (!entryKey) throw new Error('the manifest has no entry');
const entry = closure(entryKey);

let failed = false;
const check = (name, bytes, limit) => {
  const verdict = bytes <= limit ? 'ok' : 'TOO MUCH';
  if (bytes > limit) failed = true;
  console.log(`${name.padEnd(34)} ${kB(bytes).padStart(10)} of ${kB(limit).padStart(9)}  ${verdict}`);
};

check('first load', total(entry), budget);
for (const key of manifest[entryKey].dynamicImports ?? []) {
  const all = closure(key);
  const own = [...all].filter((file) => !entry.has(file));
  check(`  lazy ${key.split('/').at(-1)}`, total(own), lazyBudget);
  check(`  first load with it`, total(entry) + total(own), budget);
}
if (failed) process.exitCode = 1;
