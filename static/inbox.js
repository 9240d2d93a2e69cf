// What the store is known to hold, on its way to the screen. It comes by the socket, in the answers
// to own edits, or from a fresh load. Only the latest state of each item is kept, and it waits while
// the user has the row in hand or an edit of it is on its way. The client's stock handler is not
// used: it applies an event 50 ms after it came, over an edit that was begun in between.

import { arrange, exists, put, remove, shown } from "./plan.js";

const KIND = /^(add|update|delete|move)-(task|link)$/;
/** Events that come in one write of the server are drawn in one go. */
const TOGETHER = 10;

export class Inbox {
  #outbox;
  #fetchPlan;
  #reloaded;
  #latest = new Map(); // id → {entity, id, item}; item is null when it was deleted
  #deletedAt = new Map(); // id → when we heard of it, because an older answer may come later
  #rowInHand = false;
  #timer = 0;
  #repairing = null;
  #reloading = false;

  constructor({ outbox, fetchPlan, reloaded }) {
    this.#outbox = outbox;
    this.#fetchPlan = fetchPlan;
    this.#reloaded = reloaded;
    gantt.attachEvent("onRowDragStart", () => (this.#rowInHand = true));
    for (const event of ["onRowDragEnd", "onAfterTaskDrag", "onAfterLightbox"]) {
      gantt.attachEvent(event, () => this.#letGo());
    }
    for (const event of ["mouseup", "touchend", "touchcancel"]) addEventListener(event, () => this.#letGo());
  }

  /** An event's value, as the socket brings it. */
  receive(value) {
    if (value.type === "reload") return this.reload();
    const [, verb, entity] = KIND.exec(value.type) ?? [];
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

  /** Make the screen equal to the store: an edit was refused. */
  repair() {
    this.#repairing ??= this.#load().finally(() => (this.#repairing = null));
  }

  /** The same, and go on from there: the journal does not reach back, or is another than the one
   *  of which the screen is. Numbers of two journals do not compare, so what is known is forgotten,
   *  and what comes until the plan is there is only kept. */
  async reload() {
    if (this.#reloading) return;
    this.#reloading = true;
    this.#latest.clear();
    this.#deletedAt.clear();
    // What is being loaded just now may be of before.
    await this.#repairing;
    this.#repairing = this.#load(true).finally(() => (this.#repairing = null));
  }

  /** Draw what need not wait any longer. */
  flush() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    if (this.#reloading || this.#chartInHand()) return;
    const pending = new Set(this.#outbox.pending());
    const ready = (news) => this.#isReady(news, pending);
    const waiting = [...this.#latest.values()];
    if (!waiting.some(ready)) return;
    const draw = () => this.#draw(ready, pending);
    this.#outbox.quietly(waiting.length > 1 ? () => gantt.batchUpdate(draw) : draw);
  }

  #keep(entity, item) {
    const id = String(item.id);
    const known = this.#latest.get(id)?.item ?? (this.#reloading ? null : shown(entity, id));
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
        if (news.item === null) remove(news.entity, news.id);
        else put(news.entity, news.item);
        if (news.item && news.entity === "task") parents.add(String(news.item.parent || 0));
      }
    }
    for (const parent of parents) arrange(parent, (id) => pending.has(String(id)));
  }

  #isReady({ entity, id, item }, pending) {
    const open = gantt.getState().lightbox;
    if (pending.has(id) || open == id) return false;
    if (item === null) return entity === "link" || !open || !gantt.isChildOf(open, id);
    // It may be the row that we have just posted and whose id we do not know yet.
    if (this.#outbox.inserting && !exists(entity, id)) return false;
    if (entity === "link") return exists("task", item.source) && exists("task", item.target);
    // The parent may still be on its way, or on this screen hang below the row itself.
    return !Number(item.parent) || (exists("task", item.parent) && item.parent != id && !gantt.isChildOf(item.parent, id));
  }

  /** Whether a bar, a row or a link is being dragged: the chart must not be redrawn under the pointer. */
  #chartInHand() {
    const { drag_id, link_source_id } = gantt.getState();
    return this.#rowInHand || drag_id || link_source_id;
  }

  #letGo() {
    // The chart's own handlers of this moment first.
    setTimeout(() => {
      this.#rowInHand = false;
      this.flush();
    });
  }

  async #load(anew = false) {
    const started = performance.now();
    const plan = await this.#fetchPlan();
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
    const pending = new Set(this.#outbox.pending());
    const last = parseInt(plan.seq);
    const surplus = (item, isOld) => {
      if (stored.has(String(item.id))) return false;
      // A row without _rev was never stored: it is on its way, in the lightbox, or was refused.
      return item._rev === undefined ? !pending.has(String(item.id)) : isOld || item._rev <= last;
    };
    for (const { entity, item } of [...this.#latest.values()]) if (item && surplus(item)) this.#gone(entity, item.id);
    const isOld = (item) => this.#reloading && !this.#latest.has(String(item.id));
    for (const task of gantt.getTaskByTime()) if (surplus(task, isOld(task))) this.#gone("task", task.id);
    for (const link of gantt.getLinks()) if (surplus(link, isOld(link))) this.#gone("link", link.id);
    const listenAgain = this.#reloading;
    this.#reloading = false;
    this.flush();
    if (listenAgain) this.#reloaded(plan.seq);
  }
}
