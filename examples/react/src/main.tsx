import "dhtmlx-gantt/codebase/dhtmlxgantt.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Plan } from "./Plan";

const url = import.meta.env.VITE_PLAN ?? "http://localhost:8888";

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Plan url={url} token="token" />
  </StrictMode>,
);
