// Compares the digests that the module finds with those of another build: lines of a digest and a name, from stdin.
//
//   node check.mjs tickwire_wasm_digest.wasm < native.txt

import { readFileSync } from "node:fs";

const [path] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(path), {});
const { parts, digest_of } = instance.exports;
const lines = readFileSync(0, "utf8").split("\n").filter((line) => line !== "");

let differing = 0;
if (lines.length !== parts() || lines.length === 0) {
    console.error(`the other build tells of ${lines.length} parts, wasm32 has ${parts()}`);
    process.exit(1);
}
for (const [part, line] of lines.entries()) {
    const native = line.slice(0, 16);
    const found = BigInt.asUintN(64, digest_of(part)).toString(16).padStart(16, "0");
    const verdict = found === native ? "same" : `DIFFERENT: wasm32 has ${found},`;
    console.log(`${verdict} ${line}`);
    differing += found === native ? 0 : 1;
}
if (differing > 0) {
    console.error(`${differing} of ${lines.length} digests differ`);
    process.exit(1);
}
