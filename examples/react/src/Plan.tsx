// A plan as one component. Two of them on a page are two charts.

import { Gantt } from "dhtmlx-gantt";
import { type Live, type State, connect } from "gantt-live";
import { useEffect, useRef, useState } from "react";

export function Plan({ url, token }: { url: string; token: string }) {
  const chart = useRef<HTMLDivElement>(null);
  const [live, setLive] = useState<Live>();
  const [now, setNow] = useState<State>();
  const [message, setMessage] = useState("");

  useEffect(() => {
    const gantt = Gantt.getGanttInstance();
    gantt.config.date_format = "%Y-%m-%d %H:%i";
    gantt.init(chart.current!);
    const unmount = new AbortController();
    const { signal } = unmount;
    const on = {
      state: setNow,
      error: (error: { message: string }) => setMessage(error.message),
      left: (left: { message: string }[]) => setMessage(left[0].message),
    };
    connect(gantt, { url, token, signal, on }).then(setLive, (error) => signal.aborted || setMessage(error.message));
    return () => {
      unmount.abort();
      gantt.destructor();
    };
  }, [url, token]);

  return (
    <section>
      <header>
        <button disabled={!now?.undo} onClick={() => live?.undo()}>
          Undo
        </button>
        <button disabled={!now?.redo} onClick={() => live?.redo()}>
          Redo
        </button>
        <span role="status">{now?.state}</span> <span role="alert">{message}</span>
      </header>
      <div ref={chart} style={{ height: "80vh" }} />
    </section>
  );
}
