// gantt-live: puts a chart of DHTMLX Gantt on a plan that several people work on, see docs/client.md.
// Connection hears the server, Inbox brings it to the screen, Outbox brings the user's edits to the
// server, Edits keeps them in the browser until they are answered, Undo takes them back.

const TEXTS = {
  unloaded: "The plan could not be loaded.",
  unsaved: "The change was not saved: the server answered {1}.",
  errors: {},
};

const METHODS = { create: "POST", update: "PUT", delete: "DELETE" };
const VERBS = { inserted: "create", deleted: "delete" };
/** Milliseconds. */
const RETRY = 2000;
const LONGEST_PAUSE = 8000;
const REFUSED_PAUSE = 30000;
const LONGEST_REQUEST = 30000;
const LONGEST_LOAD = 300000;
const TOGETHER = 10;
const LATER = new Set([429, 502, 503, 504]);
const EVENT = /^(add|update|delete|move)-(task|link)$/;

export async function connect(gantt, options = {}) {
  options.signal?.throwIfAborted();
  const live = new Live(gantt, options);
  try {
    await live._begin();
  } catch (error) {
    live.close();
    throw error;
  }
  return live;
}

// Rows hold text as HTML that is drawn as just what somebody wrote.

export function read(told) {
  return (told ?? "").replaceAll("&lt;", "<").replaceAll("&amp;", "&");
}

/** The server knows each name after "&" that HTML would read. */
export function tell(text) {
  return text.replace(/&(?=[#a-z])/gi, "&amp;").replaceAll("<", "&lt;");
}

class Live {
  #base;
  #askToken;
  #isConstant;
  #token = "";
  #texts;
  #handlers = new Map();
  #attached = [];
  #closing = new AbortController();
  #undoing = [];
  #pauses = new Set();
  #page; // what its parts share
  #user = null;
  #knowsUser = false; // whose token it is; until then nothing is sent in their name
  #loaded = false;

  constructor(gantt, { url = ".", token = "", texts, language, html = false, keep = true, on = {}, signal }) {
    if (gantt._dp) throw new Error("This chart has a dataProcessor already.");
    this.#base = new URL(url, document.baseURI);
    this.#base.search = this.#base.hash = "";
    if (!this.#base.pathname.endsWith("/")) this.#base.pathname += "/";
    this.#isConstant = typeof token !== "function";
    this.#askToken = this.#isConstant ? () => token : token;
    this.#texts = { ...TEXTS, ...texts };
    if (language) gantt.i18n.setLocale(language);
    for (const part of ["labels", "date"]) Object.assign(gantt.locale[part], texts?.[part]);
    for (const [name, handler] of Object.entries(on)) this.#handlersOf(name).add(handler);
    signal?.addEventListener("abort", () => this.close(), { signal: this.#closing.signal });
    if (!html) this.#undoing.push(readsText(gantt));

    const page = (this.#page = {
      gantt,
      // Not crypto.randomUUID(): on plain http it exists for localhost only.
      device: Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join(""),
      closing: this.#closing.signal,
      at: (path) => new URL(path, this.#base),
      token: () => this.#token,
      fetch: (...request) => this.#fetch(...request),
      attach: (event, handler) => this.#attached.push(gantt.attachEvent(event, handler)),
      listen: (event, handler) => addEventListener(event, handler, { signal: this.#closing.signal }),
      pause: (ms) => this.#pause(ms),
      retry: () => this.#retry(),
      fetchPlan: () => this.#fetchPlan(),
      knowsUser: () => this.#knowsUser,
      isExpired: () => this.#isExpired(),
      greet: (user) => this.#greet(user),
      emit: (name, value) => this.#emit(name, value),
      said: (answer) => this.#said(answer),
      fail: (answer) => this.#fail(answer),
      changed: () => this.#show(),
    });
    page.chart = new Chart(page);
    page.undo = new Undo(page);
    page.edits = new Edits(page, keep);
    page.outbox = new Outbox(page);
    page.inbox = new Inbox(page);
    page.connection = new Connection(page);
    page.listen("online", page.retry);
    for (const name of this.#handlers.keys()) this.#hear(name);
  }

  async _begin() {
    this.#token = await this.#ask();
    const plan = await this.#fetchPlan();
    this.#page.outbox.quietly(() => this.#page.gantt.parse({ tasks: plan.tasks, links: plan.links }));
    this.#loaded = true;
    this.#page.connection.open(plan.seq);
  }

  get state() {
    return this.#closing.signal.aborted ? "closed" : this.#page.connection.state;
  }

  get user() {
    return this.#user;
  }

  pending() {
    return [...new Set([...this.#page.outbox.pending(), ...this.#page.edits.adopted()])];
  }

  on(name, handler) {
    this.#handlersOf(name).add(handler);
    this.#hear(name);
    if (name === "state") this.#call(handler, this.#snapshot());
    return () => this.#handlersOf(name).delete(handler);
  }

  async flush() {
    this.#retry();
    await this.#page.edits.adopt();
    await this.#page.outbox.settled(() => !this.pending().length);
  }

  async discard() {
    this.#page.outbox.abandon();
    await this.#page.edits.discard();
    this.#page.inbox.repair();
  }

  undo() {
    return this.#page.undo.undo();
  }

  redo() {
    return this.#page.undo.redo();
  }

  async history(asked = {}) {
    const response = await this.#fetch(`data/history?${new URLSearchParams(asked)}`);
    const answer = parse(await response.text());
    if (!response.ok) throw Object.assign(new Error(this.#said({ ...answer, status: response.status })), answer);
    return answer.history.map((change) => ({ ...change, at: new Date(change.at) }));
  }

  call(name, ...args) {
    return this.#page.connection.call(name, args);
  }

  close() {
    if (this.#closing.signal.aborted) return;
    this.#closing.abort();
    this.#retry();
    this.#page?.connection.close();
    this.#page?.inbox.close();
    this.#page?.outbox.close();
    this.#page?.edits.close();
    for (const id of this.#attached) this.#page.gantt.detachEvent(id);
    for (const undo of this.#undoing) undo();
    this.#show();
    this.#handlers.clear();
  }

  async #ask(refusal = null) {
    this.#knowsUser = false;
    return (await this.#askToken(refusal)) ?? "";
  }

  #greet(user) {
    const before = this.#user;
    this.#user = user;
    if (before && user && before.name !== user.name) {
      // What the one before has not saved waits in the browser for them.
      this.#page.outbox.abandon();
      this.#page.undo.forget();
      this.#page.inbox.repair();
    }
    this.#knowsUser = Boolean(user);
    if (user) this.#page.edits.belongTo(`${this.#base} ${user.name}`);
    this.#show();
  }

  /** Whether a write was refused because the token counts no more. */
  async #isExpired() {
    if (!this.#knowsUser) return true;
    try {
      const { status } = await this.#fetch("data", { method: "HEAD" });
      if (status !== 403) return false;
    } catch {
      return true;
    }
    this.#knowsUser = false;
    this.#page.inbox.reload();
    return true;
  }

  async #fetchPlan() {
    for (;;) {
      const answer = await this.#attemptPlan();
      if (answer.tasks) return answer;
      const isRefused = answer.status === 403;
      if (isRefused && !this.#isConstant) {
        const before = this.#token;
        this.#token = await this.#ask(answer);
        if (this.#token !== before) continue;
      } else {
        const error = new Error(`${this.#texts.unloaded} ${this.#said(answer)}`);
        if (!this.#loaded && (isRefused || answer.status === 404)) throw Object.assign(error, { ...answer, message: error.message });
        if (answer.status) this.#fail({ ...answer, message: error.message });
      }
      this.#page.connection.missing();
      await this.#pause(isRefused && this.#isConstant ? REFUSED_PAUSE : RETRY);
    }
  }

  async #attemptPlan() {
    try {
      const response = await this.#fetch("data", { cache: "no-cache", ms: LONGEST_LOAD });
      return { ...(await response.json()), status: response.status };
    } catch (error) {
      if (this.#closing.signal.aborted) throw error;
      return {};
    }
  }

  #pause(ms) {
    return new Promise((resolve) => {
      const proceed = () => {
        clearTimeout(timer);
        this.#pauses.delete(proceed);
        resolve();
      };
      const timer = setTimeout(proceed, ms);
      this.#pauses.add(proceed);
    });
  }

  #retry() {
    for (const proceed of this.#pauses) proceed();
  }

  #fetch(path, { headers, ms = LONGEST_REQUEST, ...request } = {}) {
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(ms)]);
    const token = this.#token ? { "Remote-Token": this.#token } : {};
    return fetch(new URL(path, this.#base), { ...request, headers: { ...token, ...headers }, signal });
  }

  #handlersOf(name) {
    if (!this.#handlers.has(name)) this.#handlers.set(name, new Set());
    return this.#handlers.get(name);
  }

  #hear(name) {
    if (!["state", "error", "left"].includes(name)) this.#page.connection.subscribe(name);
  }

  #emit(name, value) {
    for (const handler of this.#handlers.get(name) ?? []) this.#call(handler, value);
  }

  #call(handler, value) {
    try {
      handler(value);
    } catch (error) {
      console.error(error);
    }
  }

  #snapshot() {
    const waiting = this.#page.outbox.isStalled || this.#page.edits.adopted().length ? this.pending().length : 0;
    return { state: this.state, waiting, user: this.#user, kept: this.#page.edits.isKept, ...this.#page.undo.depth() };
  }

  #show() {
    if (this.#page?.connection) this.#emit("state", this.#snapshot());
  }

  #fail(answer) {
    const { code = "", status, entity, id } = answer;
    this.#emit("error", { message: this.#said(answer), code, status, entity, id });
  }

  #said({ message, code, status }) {
    const { errors, unsaved } = this.#texts;
    for (const [known, text] of Object.entries(errors)) {
      const parts = known.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
      const found = new RegExp(`^${parts.join("(.*)")}$`, "s").exec(message);
      if (found) return filled(text, found);
    }
    return errors[code] ?? message ?? filled(unsaved, ["", status]);
  }
}

const filled = (text, values) => text.replace(/\{(\d)\}/g, (_, at) => values[at] ?? "");

/** The client's form would put what is typed into the row as HTML, and run it. */
function readsText(gantt) {
  const { textarea } = gantt.form_blocks;
  const block = Object.assign(Object.create(textarea), {
    set_value: (node, value, ...rest) => textarea.set_value(node, read(value), ...rest),
    get_value(node, task, section) {
      const typed = textarea.get_value(node, task, section);
      const told = task[section.map_to] ?? "";
      return typed === read(told) ? told : tell(typed);
    },
  });
  gantt.form_blocks.textarea = block;
  return () => (gantt.form_blocks.textarea = textarea);
}

// The items on the screen, changed to what the store holds, inside Outbox.quietly().

class Chart {
  #gantt;

  constructor({ gantt }) {
    this.#gantt = gantt;
  }

  exists(entity, id) {
    if (entity === "link") return this.#gantt.isLinkExists(id);
    return entity !== "task" || this.#gantt.isTaskExists(id);
  }

  shown(entity, id) {
    if (!this.exists(entity, id)) return null;
    return entity === "link" ? this.#gantt.getLink(id) : this.#gantt.getTask(id);
  }

  put(entity, item) {
    const gantt = this.#gantt;
    const row = this.shown(entity, item.id);
    if (entity === "link") {
      if (!row) return gantt.addLink({ ...item });
      replace(row, { ...item });
      return gantt.updateLink(item.id);
    }
    if (!row) return gantt.addTask({ ...item }, item.parent || 0);
    // The chart's reading of an item starts its lists of links and its open state afresh.
    const { $source, $target, $open } = row;
    const fresh = gantt.getDatastore("task").$initItem({ ...item });
    if (row.parent != fresh.parent) gantt.setParent(row, fresh.parent);
    replace(row, { ...fresh, $source, $target, $open });
    // Left by an own drag that is long saved; the client would send it with the next edit.
    delete row.$drop_target;
    gantt.updateTask(row.id);
  }

  remove(entity, id) {
    if (!this.exists(entity, id)) return;
    if (entity === "link") this.#gantt.deleteLink(id);
    else this.#gantt.deleteTask(id);
  }

  /** Bring a branch into the store's order; rows for which `fixed` is true stay where they are. */
  arrange(parent, fixed) {
    const gantt = this.#gantt;
    const now = gantt.getChildren(parent).map((id) => gantt.getTask(id));
    const stays = (task) => task.sortorder === undefined || fixed(task.id);
    const sorted = now.filter((task) => !stays(task)).sort(byRank);
    const wanted = now.map((task) => (stays(task) ? task : sorted.shift()));
    if (wanted.every((task, index) => task === now[index])) return;
    const place = new Map(wanted.map((task, index) => [task.id, index]));
    // sort() goes down the whole branch; what is not in this list keeps its place.
    gantt.sort((a, b) => (place.has(a.id) && place.has(b.id) ? place.get(a.id) - place.get(b.id) : 0), false, parent, true);
    gantt.refreshData();
  }
}

/** The keys are made for plain comparison, not for a dictionary's. */
function byRank(a, b) {
  if (a.sortorder === b.sortorder) return a.id - b.id;
  return a.sortorder < b.sortorder ? -1 : 1;
}

function replace(row, item) {
  for (const field of Object.keys(row)) {
    if (!field.startsWith("$") && !(field in item)) delete row[field];
  }
  Object.assign(row, item);
}

// The latest known state of each item, on its way to the screen. It waits while the user has the row in
// hand or an edit of it is on its way: the client's own handler would draw it over what was begun.

class Inbox {
  #page;
  #gantt;
  #latest = new Map(); // id → {entity, id, item}; item is null when it was deleted
  #deletedAt = new Map(); // id → when we heard of it, because an older answer may come later
  #rowInHand = false;
  #timer = 0;
  #repairing = null;
  #reloading = false;

  constructor(page) {
    const { gantt, attach, listen } = page;
    this.#page = page;
    this.#gantt = gantt;
    attach("onRowDragStart", () => (this.#rowInHand = true));
    for (const event of ["onRowDragEnd", "onAfterTaskDrag", "onAfterLightbox"]) attach(event, () => this.#letGo());
    for (const event of ["mouseup", "touchend", "touchcancel"]) listen(event, () => this.#letGo());
  }

  close() {
    clearTimeout(this.#timer);
  }

  receive(value) {
    if (value.type === "reload") return this.reload();
    const [, verb, entity] = EVENT.exec(value.type) ?? [];
    // A move needs nothing of its own: the item came before it, and its sortorder says all.
    if (!verb || verb === "move") return;
    const item = value[entity] ?? value.event;
    if (verb === "delete") return this.#gone(entity, item.id);
    this.#deletedAt.delete(String(item.id));
    this.#keep(entity, item);
  }

  /** An answer to an own edit. It may come after the news that somebody deleted the item. */
  learn(entity, item) {
    if (!this.#deletedAt.has(String(item.id))) this.#keep(entity, item);
  }

  repair() {
    this.#repairing ??= this.#load().finally(() => (this.#repairing = null));
  }

  /** The same, and go on from there: the journal does not reach back, or is another one. Numbers of
   *  two journals do not compare, so what is known is forgotten. */
  async reload() {
    if (this.#reloading) return;
    this.#reloading = true;
    this.#latest.clear();
    this.#deletedAt.clear();
    await this.#repairing;
    this.#repairing = this.#load(true).finally(() => (this.#repairing = null));
  }

  flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (this.#reloading || this.#page.closing.aborted || this.#chartInHand()) return;
    const pending = new Set(this.#page.outbox.pending());
    const ready = (news) => this.#isReady(news, pending);
    const waiting = [...this.#latest.values()];
    if (!waiting.some(ready)) return;
    const draw = () => this.#draw(ready, pending);
    this.#page.outbox.quietly(waiting.length > 1 ? () => this.#gantt.batchUpdate(draw) : draw);
  }

  #keep(entity, item) {
    const id = String(item.id);
    const known = this.#latest.get(id)?.item ?? (this.#reloading ? null : this.#page.chart.shown(entity, id));
    if (known?._rev > item._rev) return;
    this.#latest.set(id, { entity, id, item });
    this.#timer ||= setTimeout(() => this.flush(), TOGETHER);
  }

  #gone(entity, id) {
    this.#deletedAt.set(String(id), performance.now());
    this.#latest.set(String(id), { entity, id: String(id), item: null });
    this.#timer ||= setTimeout(() => this.flush(), TOGETHER);
  }

  #draw(ready, pending) {
    const parents = new Set();
    // What is drawn may be what others wait for: a parent, the ends of a link.
    for (let before = Infinity; this.#latest.size < before; ) {
      before = this.#latest.size;
      for (const news of [...this.#latest.values()]) {
        if (!ready(news)) continue;
        this.#latest.delete(news.id);
        if (news.item === null) this.#page.chart.remove(news.entity, news.id);
        else this.#page.chart.put(news.entity, news.item);
        if (news.item && news.entity === "task") parents.add(String(news.item.parent || 0));
      }
    }
    for (const parent of parents) this.#page.chart.arrange(parent, (id) => pending.has(String(id)));
  }

  #isReady({ entity, id, item }, pending) {
    const { chart } = this.#page;
    const open = this.#gantt.getState().lightbox;
    if (pending.has(id) || open == id) return false;
    if (item === null) return entity === "link" || !open || !this.#gantt.isChildOf(open, id);
    // It may be the row that was just posted.
    if (this.#page.outbox.isInserting && !chart.exists(entity, id)) return false;
    if (entity === "link") return chart.exists("task", item.source) && chart.exists("task", item.target);
    // The parent may hang below the row itself on this screen.
    return !Number(item.parent) || (chart.exists("task", item.parent) && item.parent != id && !this.#gantt.isChildOf(item.parent, id));
  }

  #chartInHand() {
    const { drag_id, link_source_id } = this.#gantt.getState();
    return this.#rowInHand || drag_id || link_source_id;
  }

  #letGo() {
    setTimeout(() => {
      this.#rowInHand = false;
      this.flush();
    });
  }

  async #load(anew = false) {
    const started = performance.now();
    const plan = await this.#page.fetchPlan().catch(() => null);
    if (this.#page.closing.aborted || !plan) return;
    if (anew || !this.#reloading) this.#take(plan, started);
  }

  #take(plan, started) {
    const stored = new Set();
    for (const entity of ["task", "link"]) {
      for (const item of plan[`${entity}s`]) {
        const id = String(item.id);
        stored.add(id);
        if (!(this.#deletedAt.get(id) > started)) this.#keep(entity, item);
      }
    }
    const pending = new Set(this.#page.outbox.pending());
    const last = parseInt(plan.seq);
    const surplus = (item, isOld) => {
      if (stored.has(String(item.id))) return false;
      // A row without _rev was never stored: it is on its way, in the lightbox, or was refused.
      return item._rev === undefined ? !pending.has(String(item.id)) : isOld || item._rev <= last;
    };
    for (const { entity, item } of [...this.#latest.values()]) if (item && surplus(item)) this.#gone(entity, item.id);
    const isOld = (item) => this.#reloading && !this.#latest.has(String(item.id));
    for (const task of this.#gantt.getTaskByTime()) if (surplus(task, isOld(task))) this.#gone("task", task.id);
    for (const link of this.#gantt.getLinks()) if (surplus(link, isOld(link))) this.#gone("link", link.id);
    const listenAgain = this.#reloading;
    this.#reloading = false;
    this.flush();
    if (listenAgain) this.#page.connection.open(plan.seq);
  }
}

// The client's dataProcessor says what changed and keeps a row's later edits until the earlier one is
// answered; this brings each to the server, however long it takes.

class Outbox {
  #page;
  #gantt;
  #dp;
  #noted = new Map(); // id → the edit of that row that the dataProcessor has not sent yet
  #creating = new Map(); // temporary id → the edit that adds it, until it is answered
  #realIds = new Map(); // temporary id → promise of the real one, null when refused
  #stalled = 0;
  #undos = 0;
  #waiting = new Set(); // to be called whenever something is answered
  #turn = 0; // with each user another

  constructor(page) {
    const { gantt, attach } = page;
    this.#page = page;
    this.#gantt = gantt;
    this.#dp = gantt.createDataProcessor((entity, action, data, id) => this.#send(entity, action, data, id));
    this.#dp.attachEvent("onRowMark", (id, isChanged, action, isInvalid) => {
      if (isChanged && !isInvalid) this.#note(id, action);
      return true;
    });
    this.#dp.attachEvent("onAfterUpdate", (id, _action, _tid, answer) => this.#answered(id, answer));
    for (const event of ["onAfterTaskDelete", "onAfterLinkDelete"]) attach(event, () => this.#forgetUnborn());
  }

  close() {
    this.wake();
    this.#dp.destructor();
  }

  get isStalled() {
    return this.#stalled > 0;
  }

  get isInserting() {
    return this.#creating.size > 0;
  }

  pending() {
    return [...new Set(this.#marked().map(([, id]) => id))];
  }

  #marked() {
    const modes = Object.entries(this.#dp.modes ?? {});
    return modes.flatMap(([entity, { updatedRows, _in_progress }]) => [...updatedRows, ...Object.keys(_in_progress)].map((id) => [entity, String(id)]));
  }

  async settled(isSo = () => !this.pending().length) {
    while (!isSo() && !this.#page.closing.aborted) await new Promise((resolve) => this.#waiting.add(resolve));
  }

  quietly(change) {
    // ignore() stays silent for good when its callback throws.
    this.#dp.ignore(() => {
      try {
        change();
      } catch (error) {
        console.error(error);
      }
    });
  }

  abandon() {
    this.#turn++;
    this.#noted.clear();
    this.#page.edits.abandon();
    for (const row of this.#marked()) this.#forget(...row);
    this.#page.retry();
    this.wake();
  }

  undo(change) {
    return this.#request(`undo/${change}`, { method: "POST", key: `undo-${++this.#undos}` });
  }

  /** Send what a tab that is gone has left; `ids` has the real ids of its new rows. Returns whether
   *  the server has answered. */
  async resend(edit, ids) {
    const { entity, id, verb, body, isGone } = edit;
    const answer = await this.#deliver(edit, JSON.parse(body), ids, () => isGone);
    if (answer.isAbandoned) return false;
    if (verb === "create") ids.set(id, answer.tid ?? null);
    if (answer.action === "error") this.#refused({ ...answer, entity, id });
    this.wake();
    return true;
  }

  /** The dataProcessor may send it much later. */
  #note(id, action) {
    const entity = this.#dp.getGanttMode();
    id = String(id);
    const isNew = action === "inserted" && !this.#creating.has(id);
    const verb = action === "inserted" && !isNew ? "update" : (VERBS[action] ?? "update");
    if (!this.#noted.has(id)) this.#noted.set(id, this.#page.edits.add(entity, id));
    const { id: _, "!nativeeditor_status": __, ...fields } = this.#dp._getRowData(id);
    this.#page.edits.write(this.#noted.get(id), { verb, body: verb === "delete" ? "{}" : JSON.stringify(fields) });
  }

  /** The dataProcessor says nothing of new rows that are deleted before their answer. */
  #forgetUnborn() {
    if (this.#dp._silent_mode) return;
    for (const [id, edit] of this.#creating) {
      if (edit.isGone || this.#page.chart.exists(edit.entity, id)) continue;
      this.#page.edits.write(edit, { isGone: true });
      this.#drop(id);
    }
    for (const [id, edit] of this.#noted) if (edit.verb === "create" && !this.#page.chart.exists(edit.entity, id)) this.#drop(id);
  }

  #drop(id) {
    const edit = this.#noted.get(id);
    this.#noted.delete(id);
    if (edit) this.#page.edits.done(edit);
  }

  async #send(entity, verb, data, id) {
    id = String(id);
    const turn = this.#turn;
    const edit = this.#noted.get(id) ?? this.#page.edits.add(entity, id);
    this.#noted.delete(id);
    const { id: _, ...fields } = data;
    this.#page.edits.write(edit, { verb, body: JSON.stringify(verb === "delete" ? {} : fields) });
    const step = this.#page.undo.begin();
    const isGone = () => !this.#page.chart.exists(entity, id);
    // The dataProcessor sends an edit that was waiting, also of a new row that is gone by then.
    const isUnborn = verb === "create" && isGone();
    const delivered = isUnborn ? Promise.resolve({ action: "deleted" }) : this.#deliver(edit, fields, this.#realIds, isGone);
    if (verb === "create") {
      this.#creating.set(id, edit);
      this.#realIds.set(id, delivered.then(({ tid }) => tid ?? null));
    }
    const answer = await delivered;
    this.#creating.delete(id);
    if (turn === this.#turn && !answer.isAbandoned) {
      const later = this.#noted.get(id);
      if (verb === "create" && answer.tid && later) {
        // An edit of the new row that has waited for this goes on under the real id.
        this.#noted.delete(id);
        this.#noted.set(String(answer.tid), later);
        this.#page.edits.write(later, { id: String(answer.tid) });
      }
      this.#page.edits.done(edit);
      this.#page.undo.made(step, answer.change);
    }
    return { ...answer, entity };
  }

  async #deliver({ entity, id, verb, n, device }, fields, ids, isGone) {
    const isNew = verb === "create";
    if (!isNew) id = (await ids.get(id)) ?? (ids.has(id) ? null : id);
    for (const field of ["parent", "source", "target"]) {
      // The temporary id of a row that is still on its way; null where that was refused.
      const [, next = "", pointed] = /^(next:)?(.*)$/s.exec(fields[field] ?? "");
      if (!ids.has(pointed)) continue;
      const real = await ids.get(pointed);
      if (real === null) id = null;
      fields[field] = next + real;
    }
    if (id === null) return { action: "error", quiet: true };
    const save = (verb, id, path = `${entity}/${id}`) =>
      this.#request(path, {
        method: METHODS[verb],
        body: verb === "delete" ? undefined : JSON.stringify(fields),
        // An answer can be lost on its way; the same edit sent again is the same edit.
        key: isNew && verb === "create" ? id : n,
        device,
      });
    const answer = await (isNew ? save(verb, id, entity) : save(verb, id));
    if (isNew && answer.tid && isGone()) {
      // Deleted here while it was on its way. The dataProcessor would fail to rename it.
      await save("delete", answer.tid);
      return { action: "deleted" };
    }
    // Nobody misses what the user has deleted since; a row that was refused has its say.
    if (answer.action === "error" && verb !== "delete" && isGone()) answer.quiet = true;
    return answer;
  }

  async #request(path, { method, body, key, device = this.#page.device }) {
    const turn = this.#turn;
    const headers = { "Content-Type": "application/json", "Remote-Device": device, "Idempotency-Key": `${device}:${key}` };
    const attempt = () => this.#attempt(`data/${path}`, { method, body, headers });
    let answer = await attempt();
    if (answer) return answer;
    this.#stalled++;
    for (let wait = 1000; !answer; wait = Math.min(wait * 2, LONGEST_PAUSE)) {
      this.#page.changed();
      this.#page.connection.check();
      await this.#page.pause(wait);
      const isOver = turn !== this.#turn || this.#page.closing.aborted;
      answer = isOver ? { action: "error", quiet: true, isAbandoned: true } : await attempt();
    }
    this.#stalled--;
    return answer;
  }

  async #attempt(path, request) {
    if (!this.#page.knowsUser()) return null;
    try {
      const response = await this.#page.fetch(path, request);
      const { status } = response;
      if (LATER.has(status)) return null;
      const answer = parse(await response.text());
      if (status === 403 && (await this.#page.isExpired())) return null;
      return answer?.action ? { ...answer, status } : { action: "error", status };
    } catch {
      return null;
    }
  }

  #answered(id, answer) {
    const { entity, action, item, isAbandoned } = answer;
    const waits = this.#dp.modes[entity]._in_progress[id]; // a later edit of the same row is on its way
    if (isAbandoned) {
      if (!this.#page.closing.aborted) this.#forget(entity, id);
    } else if (action === "error" && !waits) {
      this.#forget(entity, id);
      this.#refused({ ...answer, id });
    } else if (action === "deleted") {
      this.#forget(entity, id);
    } else if (item) {
      this.#page.inbox.learn(entity, item);
    }
    this.wake();
    this.#page.inbox.flush();
  }

  #refused(answer) {
    if (!answer.quiet) this.#page.fail(answer);
    if (answer.reload) this.#page.inbox.reload();
    else this.#page.inbox.repair();
  }

  wake() {
    this.#page.changed();
    for (const proceed of this.#waiting) proceed();
    this.#waiting.clear();
  }

  /** The dataProcessor keeps a refused row marked, and sends it again with the next batch. */
  #forget(entity, id) {
    const { updatedRows, _in_progress, _invalid } = this.#dp.modes[entity];
    const at = updatedRows.findIndex((row) => row == id);
    if (at >= 0) updatedRows.splice(at, 1);
    delete _in_progress[id];
    delete _invalid[id];
    this.#gantt.setUserData(id, this.#dp.action_param, "", entity);
    if (entity === "task" && this.#gantt.isTaskExists(id)) {
      this.#gantt.getTask(id).$dataprocessor_class = "";
      this.#gantt.refreshTask(id);
    }
  }
}

// The edits without an answer, in IndexedDB. A tab holds a Web Lock on its device; when it is gone,
// another of the same user gets the lock and sends what it has left. Plain http has no locks: two may
// send the same, and its key makes it one.

class Edits {
  #page;
  #count = 0;
  #open = new Map(); // n → an own edit without an answer
  #adopted = new Map(); // device → the edits of it that are being sent
  #known = new Map(); // device → resolves when it is known what it has left
  #owner = null;
  #database = null;
  #work = Promise.resolve();
  #release = () => {};
  isKept = false;

  constructor(page, isUsed) {
    this.#page = page;
    if (isUsed) this.#database = opened().catch(() => null);
  }

  close() {
    this.#release();
    this.#do((store) => store.transaction.db.close());
  }

  async belongTo(owner) {
    if (owner === this.#owner) return;
    this.#owner = owner;
    if (!(await this.#database) || this.#page.closing.aborted) return;
    this.isKept = true;
    this.#release();
    lock(`${owner} ${this.#page.device}`, {}, () => this.#page.closing.aborted || new Promise((resolve) => (this.#release = resolve)));
    for (const edit of this.#open.values()) this.#put(edit);
  }

  add(entity, id) {
    const edit = { n: ++this.#count, entity, id };
    this.#open.set(edit.n, edit);
    return edit;
  }

  write(edit, what) {
    if (Object.entries(what).every(([name, value]) => edit[name] === value)) return;
    Object.assign(edit, what);
    if (this.#owner) this.#put(edit);
  }

  /** What adds a row stays until no edit is left that may name it by its temporary id: sent again, it
   *  tells the real one. */
  done(edit) {
    if (!this.#open.delete(edit.n) || !this.#owner) return;
    const own = [this.#owner, this.#page.device];
    if (!this.#open.size) this.#do((store) => store.delete(below(own)));
    else if (edit.verb !== "create") this.#do((store) => store.delete([...own, edit.n]));
  }

  adopted() {
    return [...this.#adopted.values()].flat().map(({ id }) => id);
  }

  abandon() {
    this.#open.clear();
  }

  discard() {
    const devices = [this.#page.device, ...this.#adopted.keys()];
    this.#adopted.clear();
    return this.#do((store) => devices.map((device) => store.delete(below([this.#owner, device]))));
  }

  #put(edit) {
    const record = { ...edit, owner: this.#owner, device: this.#page.device };
    this.#do((store) => store.put(record));
  }

  /** Send what tabs of this user have left that are gone, or will be. Resolves when it is known. */
  async adopt() {
    if (!this.#owner) return;
    const keys = (await this.#do((store) => store.getAllKeys(below([this.#owner])))) ?? [];
    const devices = new Set(keys.map((key) => key[1]));
    devices.delete(this.#page.device);
    for (const device of devices) {
      if (!this.#known.has(device)) this.#known.set(device, new Promise((resolve) => this.#takeOver(device, resolve)));
    }
    await Promise.all(this.#known.values());
  }

  async #takeOver(device, known) {
    const owner = this.#owner;
    const send = (isOurs) => isOurs && this.#sendAll(owner, device, known).then(() => true);
    this.#adopted.set(device, []);
    const isDone = await lock(`${owner} ${device}`, { ifAvailable: true }, send);
    known();
    if (!isDone) await lock(`${owner} ${device}`, { signal: this.#page.closing }, send);
    this.#adopted.delete(device);
    this.#known.delete(device);
    this.#page.outbox.wake();
  }

  async #sendAll(owner, device, known) {
    const left = (await this.#do((store) => store.getAll(below([owner, device])))) ?? [];
    const all = IDBKeyRange.bound([owner, device], [owner, device, left.at(-1)?.n ?? 0]);
    const ids = new Map();
    while (left.length && owner === this.#owner && this.#adopted.has(device)) {
      this.#adopted.set(device, left);
      known();
      if (!(await this.#page.outbox.resend(left[0], ids))) return;
      const { verb, n } = left.shift();
      if (!left.length) await this.#do((store) => store.delete(all));
      else if (verb !== "create") this.#do((store) => store.delete([owner, device, n]));
    }
  }

  #do(ask) {
    const work = this.#work.then(async () => {
      const database = await this.#database;
      if (!database) return null;
      const transaction = database.transaction("edits", "readwrite");
      const request = ask(transaction.objectStore("edits"));
      await new Promise((resolve, reject) => {
        transaction.oncomplete = resolve;
        transaction.onabort = () => reject(transaction.error);
        if (!request) resolve();
      });
      return request?.result;
    });
    this.#work = work.catch((error) => {
      // A full disk, a private window: the page works on, but no edit outlives it.
      this.isKept = false;
      console.warn(error);
    });
    return this.#work;
  }
}

const below = (key) => IDBKeyRange.bound(key, [...key, []]);

function opened() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("gantt-live", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("edits", { keyPath: ["owner", "device", "n"] });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function lock(name, options, work) {
  if (!navigator.locks) return work(true);
  return navigator.locks.request(`gantt-live ${name}`, options, work).catch(() => null);
}

class Connection {
  #page;
  #channels = new Set(["tasks", "links"]);
  #query = "";
  #socket = null;
  #timer = 0;
  #turn = 0;
  #phase = "connecting";
  #checking = false;
  #calls = new Map(); // id → [resolve, reject]
  #count = 0;

  constructor(page) {
    this.#page = page;
    page.listen("online", () => this.#timer && this.#listen());
    page.listen("offline", () => this.check());
  }

  close() {
    this.#turn++;
    this.#drop();
  }

  get state() {
    return this.#phase === "reconnecting" && !navigator.onLine ? "offline" : this.#phase;
  }

  missing() {
    if (this.#phase === "connecting") this.#set("reconnecting");
  }

  subscribe(channel) {
    if (this.#channels.has(channel)) return;
    this.#channels.add(channel);
    if (this.#phase === "live") this.#join(channel);
  }

  call(name, args) {
    return new Promise((resolve, reject) => {
      const id = String(++this.#count);
      this.#calls.set(id, [resolve, reject]);
      if (this.#phase === "live") this.#say("call", { body: [{ id, name, args }] });
      else this.#end({ id, error: this.#phase });
    });
  }

  #end({ id, data, error }) {
    const [resolve, reject] = this.#calls.get(id) ?? [];
    this.#calls.delete(id);
    if (error) reject?.(new Error(error));
    else resolve?.(data);
  }

  async open(since) {
    const turn = ++this.#turn;
    this.#drop();
    this.#query = `api/v1?since=${encodeURIComponent(since)}&tab=${this.#page.device}&reload=1`;
    while (turn === this.#turn) {
      const user = await this.#greet();
      if (turn !== this.#turn) return;
      if (user !== undefined) this.#page.greet(user);
      if (user) return this.#listen();
      this.#set(user === null ? "refused" : "reconnecting");
      await this.#page.pause(user === null ? REFUSED_PAUSE : RETRY);
    }
  }

  /** The server could not be reached. A socket whose line is cut says nothing for minutes: ask. */
  async check() {
    const socket = this.#socket;
    if (this.#checking || !socket) return;
    this.#checking = true;
    try {
      await this.#page.fetch("api/v1", { ms: 5000 });
    } catch {
      this.#lost(socket, 0);
    } finally {
      this.#checking = false;
      this.#page.changed();
    }
  }

  /** Who listens: null for nobody that may, undefined where there is no answer. */
  async #greet() {
    try {
      const response = await this.#page.fetch(this.#query);
      if (response.status === 403) return null;
      return response.ok ? (await response.json()).data.user : undefined;
    } catch {
      return undefined;
    }
  }

  #listen() {
    this.#drop();
    const url = this.#page.at(`${this.#query}&token=${encodeURIComponent(this.#page.token())}&ws=1`);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = (this.#socket = new WebSocket(url));
    socket.onmessage = ({ data }) => {
      if (socket !== this.#socket) return;
      const { action, body } = JSON.parse(data);
      if (action === "event") this.#heard(body);
      if (action === "result") body.forEach((result) => this.#end(result));
      if (action !== "start") return;
      // It says that the token was accepted; an open socket alone does not.
      for (const channel of this.#channels) this.#join(channel);
      this.#set("live");
      this.#page.retry();
      this.#page.edits.adopt();
    };
    socket.onclose = ({ code }) => this.#lost(socket, code);
  }

  #heard({ name, value }) {
    if (name === "tasks" || name === "links") this.#page.inbox.receive(value);
    this.#page.emit(name, value);
  }

  #join(name) {
    this.#say("subscribe", { name });
  }

  #say(action, what) {
    this.#socket.send(JSON.stringify({ action, ...what }));
  }

  #lost(socket, code) {
    if (socket !== this.#socket) return;
    const wasLive = this.#phase === "live";
    this.#drop();
    this.#set(code === 1008 ? "refused" : "reconnecting");
    // The token has expired, or was revoked: the load asks for another.
    const next = code === 1008 ? () => this.#page.inbox.reload() : () => this.#listen();
    this.#timer = setTimeout(next, code === 1008 && wasLive ? 0 : RETRY);
  }

  #drop() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
    for (const id of this.#calls.keys()) this.#end({ id, error: "closed" });
  }

  #set(phase) {
    this.#phase = phase;
    this.#page.changed();
  }
}

// What the user has changed in this session, by the numbers in the answers, in steps: what was done in
// one go is taken back in one go.

class Undo {
  #page;
  #done = [];
  #undone = [];
  #step = null;
  #work = Promise.resolve();

  constructor(page) {
    this.#page = page;
  }

  depth() {
    return { undo: this.#done.length, redo: this.#undone.length };
  }

  begin() {
    if (!this.#step) {
      this.#step = [];
      setTimeout(() => (this.#step = null));
    }
    return this.#step;
  }

  made(step, change) {
    if (!change) return;
    if (!step.length) {
      this.#done.push(step);
      this.#undone = [];
    }
    step.push(change);
  }

  forget() {
    this.#done = [];
    this.#undone = [];
  }

  undo() {
    return this.#inTurn(() => this.#revert(this.#done, this.#undone));
  }

  redo() {
    return this.#inTurn(() => this.#revert(this.#undone, this.#done));
  }

  #inTurn(work) {
    const result = this.#work.then(async () => {
      await this.#page.outbox.settled();
      return work();
    });
    this.#work = result.catch(() => {});
    return result;
  }

  async #revert(from, to) {
    const made = [];
    const left = [];
    for (const change of (from.pop() ?? []).reverse()) {
      const answer = await this.#page.outbox.undo(change);
      if (answer.change) made.push(answer.change);
      for (const each of answer.left ?? [answer]) left.push({ ...each, message: this.#page.said(each) });
    }
    if (made.length) to.push(made);
    if (left.length) this.#page.emit("left", left);
    this.#page.changed();
    return { done: made.length > 0, left };
  }
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
