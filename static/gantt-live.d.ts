/** The types of gantt-live.js; docs/client.md says how to use it. */

/**
 * Load a plan into a chart, listen to what others do, and save what the user does.
 *
 * Resolves when the plan is on the screen. Without an answer of the server it goes on trying.
 *
 * @param gantt a chart after `gantt.init()`: the global one, or one of `Gantt.getGanttInstance()`. It
 *   must not have a dataProcessor; the date format must be the server's.
 * @throws {LiveError} the server refuses the plan: a `token` that is a constant is not known (403),
 *   there is no such project (404).
 * @throws {DOMException} `signal` was aborted.
 */
export function connect(gantt: any, options?: Options): Promise<Live>;

/** What is written in a row's text, which is HTML: `&lt;` and `&amp;` become letters. */
export function read(told: string | null | undefined): string;

/** Text as it stands in a row. */
export function tell(text: string): string;

export interface Options {
  /** Where the project is: "/p/house", "https://plans.example/p/house"; the page's own folder if missing. */
  url?: string | URL;
  /** The token, or a function that gives it and is asked again when it is refused. */
  token?: string | null | ((refusal: Refusal | null) => Token | Promise<Token>);
  /** A locale of the client, for `gantt.i18n.setLocale()`. */
  language?: string;
  /** What is said to people, see docs/client.md; what is missing stays English. */
  texts?: Partial<Texts>;
  /** Whether edits outlive the tab until they are saved; true if missing. */
  keep?: boolean;
  /** Whether texts are markup, on a server with `html = "clean"`: then the form shows it as it is. */
  html?: boolean;
  /** Handlers that are there from the beginning; names as in {@link Live.on}. */
  on?: Handlers;
  /** Ends it all when it is aborted, also before the plan is there. */
  signal?: AbortSignal;
}

type Token = string | null | undefined;

/** Why another token is asked for. */
export interface Refusal {
  status: number;
  code: string;
  message: string;
}

export interface LiveError extends Error {
  status: number;
  code?: string;
}

export interface Live {
  readonly state: Phase;
  /** Who is signed in, as the server has it; null for nobody. */
  readonly user: User | null;
  /** The ids of what is not saved yet, also of what earlier tabs of this user left. */
  pending(): string[];
  /**
   * Call `handler` with each event. `state` comes at once too. Any name but `state`, `error` and
   * `left` is a channel of the server, such as `presence` or one of your application's.
   * Returns a function that ends it.
   */
  on<Name extends keyof Handlers>(name: Name, handler: NonNullable<Handlers[Name]>): () => void;
  /** Resolves when everything is saved. */
  flush(): Promise<void>;
  /** Forget what is not saved, and show what is. */
  discard(): Promise<void>;
  /** Take back the last own edit of this session, as soon as all are saved. */
  undo(): Promise<Undone>;
  /** Do again what was taken back last. */
  redo(): Promise<Undone>;
  /** Changes of all items or of one, newest first. Their texts are to the letter: no HTML. */
  history(asked?: { item?: number | string; before?: number; limit?: number }): Promise<Change[]>;
  /** A remote call on the socket: `call("weather.today", "Lisbon")`. Rejects while there is none. */
  call(name: string, ...args: unknown[]): Promise<any>;
  /** End it. What is not saved stays in the browser until this user is here again. */
  close(): void;
}

/** `offline`: no network at all; `refused`: the token counts no more, or never did. */
export type Phase = "connecting" | "live" | "reconnecting" | "offline" | "refused" | "closed";

export interface State {
  state: Phase;
  /** How many rows and links wait for a server that cannot be reached, 0 while all goes well. */
  waiting: number;
  user: User | null;
  kept: boolean;
  /** How many steps can be taken back, and done again. */
  undo: number;
  redo: number;
}

export interface User {
  name: string;
  role: "viewer" | "editor" | "admin";
  display: string;
  color: string;
}

export interface Handlers {
  state?: (state: State) => void;
  error?: (error: Failure) => void;
  left?: (left: Left[]) => void;
  [channel: string]: ((value: any) => void) | undefined;
}

/** Something was refused, and is taken back on the screen. */
export interface Failure {
  /** For people, in the page's language where `texts` has it. */
  message: string;
  code: string;
  status?: number;
  entity?: string;
  id?: string;
}

/** What an undo left as it is, because others have changed it since. */
export interface Left {
  message: string;
  entity?: string;
  id?: number;
  user?: string;
}

export interface Undone {
  /** Whether anything was changed. */
  done: boolean;
  left: Left[];
}

export interface Change {
  seq: number;
  group: number;
  entity: string;
  id: number;
  action: "add" | "update" | "delete";
  user: string;
  at: Date;
  /** field → [old, new] */
  fields: Record<string, [unknown, unknown]>;
  dropped?: Record<string, unknown>;
}

export interface Texts {
  unloaded: string;
  /** {1} is the status. */
  unsaved: string;
  /** A message of the server, or its code → text. `*` stands for anything, {1}, {2} repeat it. */
  errors: Record<string, string>;
  /** Put over `gantt.locale.labels`. */
  labels: Record<string, string>;
  /** Put over `gantt.locale.date`. */
  date: Record<string, string[]>;
}
