// Builds what the page serves into ../static: names with hashes, and manifest.json from plain names to those.
//
//   node build.mjs [OUTPUT]
//
// The result is the same bytes for the same sources and the same package-lock.json, which a test checks.
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const output = resolve(process.argv[2] ?? join(here, "..", "static"));

const common = {
  absWorkingDir: here,
  preserveSymlinks: true, // paths go into the hashes of chunks, and packages lie elsewhere on every machine
  bundle: true,
  minify: true,
  legalComments: "none",
  target: ["chrome120", "firefox121", "safari17"],
  charset: "utf8",
  write: false,
  metafile: true,
  logLevel: "warning",
};

const files = new Map(); // name in static → bytes
const manifest = {};

function keep(name, bytes) {
  const dot = name.lastIndexOf(".");
  const hash = createHash("sha256").update(bytes).digest("hex").slice(0, 10);
  const hashed = `${name.slice(0, dot)}-${hash}${name.slice(dot)}`;
  files.set(hashed, bytes);
  manifest[name] = hashed;
  return hashed;
}

// A shared worker must be one file of its own. app.js asks for it by the name it was given here.
const worker = await esbuild.build({ ...common, entryPoints: ["src/live-worker.ts"], format: "iife", outdir: "out" });
const workerName = keep("live-worker.js", worker.outputFiles[0].contents);

// What few pages need is loaded when they ask for it: esbuild writes it into chunks, hashed by itself.
const app = await esbuild.build({
  ...common,
  entryPoints: ["src/app.ts"],
  format: "esm",
  splitting: true,
  outdir: "out",
  entryNames: "[name]",
  chunkNames: "[name]-[hash]",
  define: { LIVE_WORKER: JSON.stringify(`/static/${workerName}`) },
});
for (const file of app.outputFiles) {
  const name = basename(file.path);
  if (name === "app.js") keep(name, file.contents);
  else files.set(name, file.contents);
}

const style = await esbuild.build({ ...common, entryPoints: ["styles/app.css"], outdir: "out" });
keep("app.css", style.outputFiles[0].contents);

// One file for all icons: <svg><use href="…#name"/></svg>.
const symbols = readdirSync(join(here, "icons"))
  .filter((name) => name.endsWith(".svg"))
  .sort()
  .map((name) => {
    const source = readFileSync(join(here, "icons", name), "utf8");
    const body = source.replace(/^[\s\S]*?<svg[^>]*>/, "").replace(/<\/svg>\s*$/, "").replace(/\s+/g, " ").trim();
    return `<symbol id="${name.slice(0, -4)}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round">${body}</symbol>`;
  });
keep("icons.svg", Buffer.from(`<svg xmlns="http://www.w3.org/2000/svg">${symbols.join("")}</svg>\n`));
keep("mark.svg", readFileSync(join(here, "mark.svg")));

rmSync(output, { recursive: true, force: true });
mkdirSync(output, { recursive: true });
for (const [name, bytes] of files) writeFileSync(join(output, name), bytes);
const sorted = Object.fromEntries(Object.entries(manifest).sort(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(join(output, "manifest.json"), `${JSON.stringify(sorted, null, 2)}\n`);
