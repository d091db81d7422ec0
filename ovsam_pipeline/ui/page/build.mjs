// Bundles src/ into ../static/: ovsam.js, ovsam.css and NOTICE.txt, which are committed.
// The first line of each has the hash of all sources (the same rule: tests/ovsam_pipeline/ui/test_bundle.py).
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const page = dirname(fileURLToPath(import.meta.url));
const target = join(page, "..", "static");

function listSources(folder) {
  return readdirSync(join(page, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    return entry.isDirectory() ? listSources(path) : [path];
  });
}

function hashSources() {
  const sources = [...listSources("src"), "build.mjs", "package-lock.json", "tsconfig.json"].sort();
  const hash = createHash("sha256");
  for (const path of sources) hash.update(`${path}\0`).update(readFileSync(join(page, path))).update("\0");
  return hash.digest("hex");
}

// The licences of packages whose code ends up in the bundle; tools that only build it need none.
function writeNotice(inputs) {
  const packages = new Set();
  for (const path of inputs) {
    const inside = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path);
    if (inside) packages.add(inside[1]);
  }
  const texts = [...packages].sort().map((folder) => {
    const about = JSON.parse(readFileSync(join(page, folder, "package.json"), "utf8"));
    const name = readdirSync(join(page, folder)).find((file) => /^licen[cs]e/i.test(file));
    if (!name) throw new Error(`${about.name} has no licence file: do not bundle it`);
    const text = readFileSync(join(page, folder, name), "utf8").trim();
    return `${about.name} ${about.version} (${about.license})\n\n${text}`;
  });
  const own = "ovsam.js and ovsam.css are part of ovsam, under the Apache License 2.0: see LICENSE of ovsam.";
  const others = texts.length ? texts.join("\n\n----\n\n") : "They contain no code of others.";
  return `${own}\n${others}\n`;
}

if (process.argv.includes("--hash")) {
  console.log(hashSources());
  process.exit();
}
const esbuild = await import("esbuild");
const hash = hashSources();
const common = {
  absWorkingDir: page,
  bundle: true,
  charset: "ascii",
  legalComments: "inline",
  logLevel: "warning",
  metafile: true,
  target: ["es2022", "chrome109", "firefox115", "safari16"],
};
mkdirSync(target, { recursive: true });
const built = [
  await esbuild.build({
    ...common,
    banner: { js: `// ovsam page, made by page/build.mjs from sources sha256:${hash}` },
    entryPoints: ["src/main.ts"],
    format: "iife",
    outfile: join(target, "ovsam.js"),
  }),
  await esbuild.build({
    ...common,
    banner: { css: `/* ovsam page, made by page/build.mjs from sources sha256:${hash} */` },
    entryPoints: ["src/main.css"],
    outfile: join(target, "ovsam.css"),
  }),
];
const inputs = built.flatMap((result) => Object.keys(result.metafile.inputs));
writeFileSync(join(target, "NOTICE.txt"), writeNotice(inputs));
for (const name of ["ovsam.js", "ovsam.css", "NOTICE.txt"]) {
  const file = join(target, name);
  if (!existsSync(file)) throw new Error(`${relative(page, file)} was not written`);
  console.log(`${relative(page, file)}: ${(readFileSync(file).length / 1000).toFixed(1)} kB`);
}
