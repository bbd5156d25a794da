// Writes a content security policy into each page of the export, after `next build`.
//
// The pages are plain files, for any web server: so the policy stands in the pages. It can't be a
// header written once, because it holds the hashes of the inline scripts, which change with each build.
// What a page can't say about itself, `frame-ancestors`, is left to the web server.

import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import nextEnv from "@next/env";

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const MARK = '<meta http-equiv="Content-Security-Policy"';
const SCRIPT = /<script\b([^>]*)>([\s\S]*?)<\/script>/gi;
// The one place that is before all scripts, and that every page has.
const HEAD = /<head\b[^>]*>(?:<meta charset="[^"]*"\/?>)?/i;

/**
 * Returns the origins that the page connects to, beside its own.
 *
 * A socket's origin is listed in both of its forms: where no socket gets through, the page asks the same
 * relay over HTTP. A `ws:` or `http:` origin covers `wss:` and `https:` as well (CSP 3 §6.7.2.8), which
 * is what becomes of it on a page that came over https. For the page's own origin, `'self'` covers
 * sockets, in all browsers that have what the page's code needs (Safari learnt both in 2022).
 *
 * @param {{ NEXT_PUBLIC_WS_URL?: string, NEXT_PUBLIC_TOKEN_URL?: string }} settings
 * @returns {string[]}
 */
export function connectOrigins({ NEXT_PUBLIC_WS_URL: relay, NEXT_PUBLIC_TOKEN_URL: tokens }) {
  const origins = new Set();
  for (const text of [relay?.trim(), tokens?.trim()]) {
    // Relative, or nothing of use: the page itself says so.
    if (!text || !URL.canParse(text)) continue;
    const { protocol, host } = new URL(text);
    const secure = protocol === "wss:" || protocol === "https:";
    const web = secure ? "https:" : "http:";
    if (text === tokens?.trim()) origins.add(`${web}//${host}`);
    else for (const scheme of [secure ? "wss:" : "ws:", web]) origins.add(`${scheme}//${host}`);
  }
  return [...origins];
}

/**
 * Returns the policy for a page.
 *
 * @param {string} html
 * @param {readonly string[]} origins
 * @returns {string}
 */
export function policyFor(html, origins) {
  const hashes = new Set();
  for (const [, attributes, code] of html.matchAll(SCRIPT)) {
    if (/\bsrc=/.test(attributes)) continue;
    hashes.add(`'sha256-${createHash("sha256").update(code).digest("base64")}'`);
  }
  return [
    ["default-src", "'self'"],
    ["script-src", "'self'", ...hashes],
    // Styles come in files. What React and the virtual list set goes through the CSSOM, which is allowed.
    ["style-src", "'self'"],
    ["connect-src", "'self'", ...origins],
    ["base-uri", "'none'"],
    ["object-src", "'none'"],
    ["form-action", "'self'"],
  ]
    .map((directive) => directive.join(" "))
    .join("; ");
}

/**
 * Returns the page with its policy; one that has a policy already gets another in its place.
 *
 * @param {string} html
 * @param {readonly string[]} origins
 * @returns {string}
 */
export function withPolicy(html, origins) {
  const bare = html.replace(new RegExp(`${MARK}[^>]*>`, "g"), "");
  const head = HEAD.exec(bare);
  if (head === null) throw new Error("a page without a head can't have a policy");
  // A string in the place of the match would have its `$` read as a pattern.
  return bare.replace(HEAD, () => `${head[0]}${MARK} content="${policyFor(bare, origins)}"/>`);
}

async function main() {
  // As `next build` reads them, which has inlined them into the page.
  nextEnv.loadEnvConfig(ROOT, false, { info: () => {}, error: (...words) => warn(words) });
  const out = path.join(ROOT, "out");
  const origins = connectOrigins(process.env);
  const files = await readdir(out, { recursive: true });
  const pages = files.filter((file) => file.endsWith(".html"));
  if (pages.length === 0) throw new Error(`there are no pages in ${out}`);
  for (const page of pages) {
    const file = path.join(out, page);
    await writeFile(file, withPolicy(await readFile(file, "utf8"), origins));
  }
  process.stdout.write(`Content security policy: written into ${pages.length} pages.\n`);
}

function warn(words) {
  process.stderr.write(`${words.join(" ")}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
