// How the chart looks and answers: scales, columns, the form of a task, keys.

import { read } from "./gantt-live.js";
import * as skin from "./skin.js";

const NARROW = matchMedia("(max-width: 640px)");

const LEVELS = [
  {
    name: "day",
    min_column_width: 40,
    scales: [
      { unit: "month", format: "%F %Y" },
      { unit: "day", format: "%j", css: (date) => dayClass(date) },
    ],
  },
  {
    name: "week",
    min_column_width: 64,
    scales: [
      { unit: "month", format: "%F %Y" },
      { unit: "week", format: "%j %M" },
    ],
  },
  {
    name: "month",
    min_column_width: 80,
    scales: [
      { unit: "year", format: "%Y" },
      { unit: "month", format: "%M" },
    ],
  },
];

const KINDS = { task: "Task", project: "Phase", milestone: "Milestone" };

export function setUp() {
  gantt.plugins({ keyboard_navigation: true, tooltip: true });
  // It would hide the rows between which one is dropped.
  gantt.attachEvent("onRowDragStart", () => gantt.ext.tooltips.tooltip.hide() || true);
  Object.assign(gantt.config, {
    date_format: "%Y-%m-%d %H:%i",
    date_grid: "%j %M",
    duration_unit: "day",
    auto_types: false,
    // The server deletes what hangs below; with this the client would ask for each by itself.
    cascade_delete: false,
    order_branch: "marker",
    order_branch_free: true,
    fit_tasks: true,
    row_height: 38,
    bar_height: 24,
    scale_height: 56,
    grid_resize: true,
    round_dnd_dates: false, // to whole weeks or months, where the scale shows those
  });
  gantt.attachEvent("onBeforeTaskChanged", snapToDays);
  gantt.attachEvent("onError", (message) => {
    console.error(message);
    return false; // the client would show it to people
  });
  setUpColumns();
  setUpTemplates();
  setUpForm();
  gantt.ext.zoom.init({ levels: LEVELS, activeLevelIndex: 1 });
  skin.follow();
  gantt.init("chart");
  setUpToday();
  setUpKeys();
  setUpTools();
  NARROW.addEventListener("change", () => {
    setUpColumns();
    gantt.init("chart");
  });
}

/** Whether the user may change the plan; the server refuses it in any case. */
export function allowEdits(may) {
  document.getElementById("add").hidden = !may;
  if (gantt.config.readonly === !may) return;
  gantt.config.readonly = !may;
  setUpColumns();
  gantt.render();
}

/** A dragged bar moves by whole days; its time of day stays, also over a change to summer time. */
function snapToDays(id, mode, before) {
  const task = gantt.getTask(id);
  const snap = (edge) => {
    const days = Math.round((task[edge] - before[edge]) / 86400000);
    task[edge] = gantt.date.add(before[edge], days, "day");
  };
  if (mode === "move") {
    snap("start_date");
    task.end_date = gantt.calculateEndDate(task);
  } else if (mode === "resize") {
    snap("start_date");
    snap("end_date");
    if (task.start_date >= task.end_date) Object.assign(task, { start_date: before.start_date, end_date: before.end_date });
  }
  return true;
}

function setUpColumns() {
  const text = { name: "text", label: "Task", tree: true, width: "*", min_width: 120, resize: true };
  const start = { name: "start_date", label: "Start", align: "center", width: 80 };
  const days = { name: "duration", label: "Days", align: "center", width: 60, template: (task) => (task.type === "milestone" ? "–" : task.duration) };
  const add = gantt.config.readonly ? [] : [{ name: "add", width: 44 }];
  gantt.config.columns = NARROW.matches ? [text, ...add] : [text, start, days, ...add];
  gantt.config.grid_width = NARROW.matches ? 190 : 440;
}

const isToday = (date) => date.toDateString() === new Date().toDateString();

function dayClass(date) {
  if (isToday(date)) return "is-today";
  return [0, 6].includes(date.getDay()) ? "is-weekend" : "";
}

function setUpTemplates() {
  const day = gantt.date.date_to_str("%j %M %Y");
  const lastDay = (task) => new Date(task.end_date - 60000);
  // Beside the bar where it does not fit in: on a phone, and for short tasks in a wide scale.
  const fits = ({ start_date, end_date, text, type }) =>
    type !== "milestone" && gantt.posFromDate(end_date) - gantt.posFromDate(start_date) > read(text).length * 7.5;
  Object.assign(gantt.templates, {
    grid_row_class: (_start, _end, task) => (task.type === "project" ? "phase" : ""),
    timeline_cell_class: (_task, date) => (gantt.getScale().unit === "day" ? dayClass(date) : ""),
    task_text: (_start, _end, task) => (fits(task) ? task.text : ""),
    rightside_text: (_start, _end, task) => (fits(task) ? "" : task.text),
    tooltip_text: (start, end, task) => {
      if (task.type === "milestone") return `<b>${task.text}</b>${day(start)}`;
      const days = `${task.duration} ${task.duration === 1 ? "day" : "days"}`;
      return `<b>${task.text}</b>${day(start)} – ${day(lastDay(task))} (${days})<br>${percent(task)} done`;
    },
  });
}

const percent = (task) => `${Math.round((task.progress || 0) * 100)} %`;

function setUpForm() {
  Object.assign(gantt.form_blocks, { when: whenBlock, progress: progressBlock });
  Object.assign(gantt.locale.labels, {
    section_description: "Name",
    section_type: "Kind",
    section_when: "When",
    section_progress: "Done",
    type_task: KINDS.task,
    type_project: KINDS.project,
    type_milestone: KINDS.milestone,
    confirm_deleting: "Delete this task and everything below it?",
    confirm_deleting_title: "Delete",
  });
  const name = { name: "description", type: "textarea", map_to: "text", height: 56, focus: true };
  const kind = { name: "type", type: "typeselect", map_to: "type", height: 36 };
  const when = { name: "when", type: "when", map_to: { start_date: "start_date", end_date: "end_date", duration: "duration" } };
  const progress = { name: "progress", type: "progress", map_to: "progress" };
  gantt.config.lightbox.sections = [name, kind, when, progress];
  gantt.config.lightbox.milestone_sections = [name, kind, { ...when, single: true }];
  // A phase is as long as what it holds.
  gantt.config.lightbox.project_sections = [name, kind, progress];
  gantt.templates.lightbox_header = (_start, _end, task) => KINDS[task.type] ?? KINDS.task;
}

const pad = (number) => String(number).padStart(2, "0");
const toField = (date) => `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`;

// The browser's own date field instead of the client's three lists: keyboard, phone, screen reader.
const whenBlock = {
  render: ({ single }) => `<div class="gantt_cal_ltext form-when">
      <label>${single ? "On" : "Start"} <input type="date" name="start" required></label>
      <label ${single ? "hidden" : ""}>Days <input type="number" name="days" min="1" max="9999" step="1"></label>
    </div>`,
  set_value(node, _value, task) {
    node.querySelector("[name=start]").value = toField(task.start_date);
    node.querySelector("[name=days]").value = task.duration || 1;
  },
  get_value(node, task, { single }) {
    const { start_date, end_date, duration } = task;
    const date = node.querySelector("[name=start]").value || toField(start_date);
    const days = single ? 0 : Math.max(1, Math.round(node.querySelector("[name=days]").value) || 1);
    // Untouched dates go back as they are: hours and part days are not lost by a change of name.
    if (date === toField(start_date) && days === (single ? 0 : duration || 1)) return { start_date, end_date, duration };
    const [year, month, dayOfMonth] = date.split("-").map(Number);
    const start = new Date(year, month - 1, dayOfMonth, start_date.getHours(), start_date.getMinutes());
    const end = single ? start : gantt.calculateEndDate({ start_date: start, duration: days, task });
    return { start_date: start, end_date: end, duration: days };
  },
  focus: (node) => node.querySelector("input").focus(),
};

const progressBlock = {
  render: () => `<div class="gantt_cal_ltext form-progress">
      <input type="range" min="0" max="100" step="5" aria-label="Done, in per cent"><output></output>
    </div>`,
  set_value(node, value) {
    const [range, output] = node.children;
    const show = () => (output.textContent = `${range.value} %`);
    range.value = Math.round((value || 0) * 100);
    range.oninput = show;
    show();
  },
  get_value(node, task) {
    const range = node.children[0];
    const untouched = Number(range.value) === Math.round((task.progress || 0) * 20) * 5;
    return untouched ? task.progress : range.value / 100;
  },
  focus: (node) => node.children[0].focus(),
};

// The marker extension is not part of the free edition.
function setUpToday() {
  const line = document.createElement("div");
  line.className = "today-line";
  const place = () => {
    const now = new Date();
    const { min_date, max_date } = gantt.getState();
    line.hidden = now < min_date || now > max_date;
    line.style.left = `${gantt.posFromDate(now)}px`;
    gantt.$task_bg?.after(line); // above the rows, below the bars
  };
  gantt.attachEvent("onGanttRender", place);
  place();
}

export function showToday() {
  const date = new Date();
  const { min_date, max_date } = gantt.getState();
  if (min_date <= date && date <= max_date) gantt.showDate(gantt.date.add(date, -1, "day"));
}

// Dragging needs a pointer; these do the same from the keyboard. Indent and outdent (Shift and
// an arrow to the side) are the client's.
function setUpKeys() {
  const move = (by) => () => {
    const id = gantt.getSelectedId() ?? gantt.$keyboardNavigation?.dispatcher.activeNode?.taskId;
    if (!id || !gantt.isTaskExists(id)) return;
    const index = gantt.getTaskIndex(id) + by;
    const parent = gantt.getParent(id);
    if (index < 0 || index >= gantt.getChildren(parent).length) return;
    gantt.moveTask(id, index, parent);
    gantt.updateTask(id);
  };
  gantt.addShortcut("ctrl+up", move(-1), "taskRow");
  gantt.addShortcut("ctrl+down", move(+1), "taskRow");
}

function setUpTools() {
  const on = (id, action) => document.getElementById(id).addEventListener("click", action);
  const openAll = (open) => () => {
    gantt.eachTask((task) => (task.$open = open));
    gantt.render();
  };
  on("add", addTask);
  on("today", showToday);
  on("expand", openAll(true));
  on("collapse", openAll(false));
  const zooms = [...document.querySelectorAll("[data-zoom]")];
  const mark = () => {
    const level = LEVELS[gantt.ext.zoom.getCurrentLevel()].name;
    for (const button of zooms) button.setAttribute("aria-pressed", button.dataset.zoom === level);
  };
  for (const button of zooms) {
    button.addEventListener("click", () => {
      gantt.ext.zoom.setLevel(button.dataset.zoom);
      mark();
    });
  }
  mark();
}

/** Beside the selected row, or into it where it is a phase. */
function addTask() {
  const selected = gantt.getSelectedId();
  const row = selected && gantt.isTaskExists(selected) ? gantt.getTask(selected) : null;
  const parent = row?.type === "project" ? row.id : (row?.parent ?? 0);
  const today = gantt.date.day_start(new Date());
  gantt.createTask({ text: "New task", type: "task", start_date: row?.start_date ?? today, duration: 1 }, parent);
}
