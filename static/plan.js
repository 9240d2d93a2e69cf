// The items on the screen, changed to what the store holds. Nothing here is sent anywhere: call it
// inside Outbox.quietly().

export function exists(entity, id) {
  return entity === "task" ? gantt.isTaskExists(id) : gantt.isLinkExists(id);
}

/** The row or link as the chart has it, or null. */
export function shown(entity, id) {
  if (!exists(entity, id)) return null;
  return entity === "task" ? gantt.getTask(id) : gantt.getLink(id);
}

export function put(entity, item) {
  const row = shown(entity, item.id);
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

export function remove(entity, id) {
  if (!exists(entity, id)) return;
  if (entity === "task") gantt.deleteTask(id);
  else gantt.deleteLink(id);
}

/** Bring a branch into the store's order; rows for which `fixed` is true stay where they are. */
export function arrange(parent, fixed) {
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
