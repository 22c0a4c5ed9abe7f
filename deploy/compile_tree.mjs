// Runs compile_tree.py on the CPython that the package pyodide brings, whatever Python this machine
// has: `node compile_tree.mjs VERSION FOLDER PLACE [FOLDER PLACE]...`. Bytecode depends on the
// version alone, not on the platform.
import { readFile } from "node:fs/promises";
import { loadPyodide } from "pyodide";

const [version, ...trees] = process.argv.slice(2);
const script = await readFile(new URL("compile_tree.py", import.meta.url), "utf8");
const python = await loadPyodide({ env: { PYTHONHASHSEED: "0", PYTHONNODEBUGRANGES: "1" } });
const found = python.runPython(`import sys; ".".join(map(str, sys.version_info[:2]))`);
if (found !== version) {
  throw new Error(`pyodide brings Python ${found}, not ${version}: change deploy/package.json`);
}
python.globals.set("__name__", "compile_tree");
python.runPython(script);
const compileTree = python.globals.get("compile_tree");
for (let i = 0; i < trees.length; i += 2) {
  python.mountNodeFS(`/tree${i}`, trees[i]);
  compileTree(`/tree${i}`, trees[i + 1]);
}
