// JSX is compiled by Vite itself; gantt-live is the file that the server has too.

import { fileURLToPath } from "node:url";

export default {
  base: "./",
  resolve: {
    alias: { "gantt-live": fileURLToPath(new URL("../../static/gantt-live.js", import.meta.url)) },
  },
  server: { fs: { allow: ["../.."] } },
  build: { target: "es2022" },
};
