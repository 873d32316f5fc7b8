// The numbers of the page: fetched once a second while the page is visible.
"use strict";

const POLL_MS = 1000, MAX_POLL_MS = 10000, TIMEOUT_MS = 5000;
const HISTORY_MINUTES = 60, CHART_WIDTH = 600, CHART_HEIGHT = 120, MAX_EVENTS = 12;
const UNKNOWN = "Unknown at the moment.";
const STAGES = {
  preprocess: "resize", detect: "detect faces", postprocess: "decode boxes", track: "track", crop: "crop faces",
  classify: "classify",
};

const $ = (id) => document.getElementById(id);
let run = null, newest = 0, events = [], failures = 0, paused = false, timer = 0, labels = [];

function element(tag, attributes = {}, ...children) {
  const node = tag === "rect" ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function setText(id, text) { // only if it changed, so that a screen reader does not repeat it
  if ($(id).textContent !== text) $(id).textContent = text;
}

const labelClass = (label) => "label-" + (labels.includes(label) ? labels.indexOf(label) % 5 : "unsure");

function formatNumber(value, digits = 0) {
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function formatDuration(seconds) {
  if (seconds < 1) return "less than a second";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

function formatBytes(count) { // [number, unit]
  const power = Math.min(4, Math.max(0, Math.floor(Math.log10(Math.max(1, count)) / 3)));
  const value = count / 1000 ** power;
  return [formatNumber(value, power && value < 10 ? 1 : 0), ["B", "kB", "MB", "GB", "TB"][power]];
}

function formatShare(part, total) {
  return total && part ? `${formatNumber(100 * part / total, part / total < 0.1 ? 1 : 0)} %` : "";
}

function formatTime(time) {
  const date = new Date(time);
  const clock = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return date.toDateString() === new Date().toDateString() ? clock
    : date.toLocaleDateString([], { day: "numeric", month: "short" }) + " " + clock;
}

// Sections of the page

function showStatus(kind, text, cover) {
  document.body.dataset.status = kind;
  setText("status", text);
  setText("cover", cover);
  $("cover").hidden = !cover;
}

function showFaces(faces, empty = "No face in view.") {
  const items = faces.map((face) => element("li", { class: labelClass(face.label) }, face.label + " ",
    element("small", {}, `${Math.round(100 * face.label_score)} %` + (face.track_id ? ` · face ${face.track_id}` : ""))));
  $("faces-now").replaceChildren(...(items.length ? items : [element("li", { class: "empty" }, empty)]));
}

function showFaults(faults) {
  const text = JSON.stringify(faults);
  if ($("faults").dataset.text === text) return;
  $("faults").dataset.text = text;
  $("faults").hidden = !Object.keys(faults).length;
  $("faults").replaceChildren(...Object.entries(faults).map(([name, detail]) =>
    element("p", {}, element("strong", {}, name), detail ? ": " + detail : "")));
}

function showNumbers(status) {
  const rows = [
    ["frames per second", formatNumber(status.fps, 1)],
    ["latency", formatNumber(status.latency_ms), "ms"],
    ["dropped frames", formatNumber(status.dropped), formatShare(status.dropped, status.frames + status.dropped)],
    ["uptime", formatDuration(status.uptime_s)],
  ];
  if (typeof status.temperature === "number") rows.splice(2, 0, ["temperature", formatNumber(status.temperature, 1), "°C"]);
  if (typeof status.disk_free === "number") rows.push(["free disk space", ...formatBytes(status.disk_free)]);
  if (typeof status.bytes_per_day === "number") rows.push(["log per day", ...formatBytes(status.bytes_per_day)]);
  for (const [task, model] of Object.entries(status.models || {})) rows.push([task, model]);
  if (status.queued) rows.push(["queued for the broker", formatNumber(status.queued)]);
  if (status.duty < 1) rows.push(["speed limit (temperature)", formatNumber(100 * status.duty), "%"]);
  $("numbers").replaceChildren(...rows.map(([name, value, unit]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value, unit ? " " : "", element("small", {}, unit || "")))));
}

function showStages(stages) {
  const total = stages.total || 0;
  const rows = Object.keys(STAGES).filter((stage) => stage in stages).map((stage) => {
    const bar = element("div", { class: "bar" });
    bar.style.width = `${Math.min(100, 100 * stages[stage] / (total || 1))}%`;
    return element("tr", {}, element("th", { scope: "row" }, STAGES[stage]), element("td", {}, bar),
      element("td", {}, formatNumber(stages[stage], 2) + " ms"));
  });
  rows.push(element("tr", { class: "total" }, element("th", { scope: "row" }, "total"), element("td"),
    element("td", {}, formatNumber(total, 2) + " ms")));
  $("stages").replaceChildren(...rows);
}

function showHistory(history, now) { // a bar for each minute, stacked by label
  const last = Math.floor(now / 60) * 60, allLabels = [...labels, "unsure"], totals = {};
  const minutes = history.filter(({ minute }) => minute > last - 60 * HISTORY_MINUTES && minute <= last);
  const sum = (seconds) => Object.values(seconds).reduce((a, b) => a + b, 0);
  const highest = Math.max(60, ...minutes.map(({ seconds }) => sum(seconds)));
  const barWidth = CHART_WIDTH / HISTORY_MINUTES, rects = [];
  for (const { minute, seconds } of minutes) {
    let y = CHART_HEIGHT;
    for (const label of allLabels) {
      const height = (seconds[label] || 0) / highest * (CHART_HEIGHT - 4);
      if (!height) continue;
      y -= height;
      totals[label] = (totals[label] || 0) + seconds[label];
      const x = CHART_WIDTH - (1 + (last - minute) / 60) * barWidth;
      rects.push(element("rect", { class: labelClass(label), x: x + 1, y, width: barWidth - 2, height }));
    }
  }
  $("history").replaceChildren(...rects);
  $("legend").replaceChildren(...allLabels.map((label) => element("li", {},
    element("span", { class: "swatch " + labelClass(label) }), `${label} ${totals[label] ? formatDuration(totals[label]) : "–"}`)));
}

function describeEvent(entry) {
  if (entry.kind === "fault") {
    const isOver = !entry.active && entry.duration_s !== undefined;
    return isOver ? `${entry.event} ended after ${formatDuration(entry.duration_s)}` : `${entry.event}: ${entry.detail}`;
  }
  if (entry.event === "appeared") return `Face ${entry.track_id} appeared: ${entry.label}`;
  if (entry.event === "changed") return `Face ${entry.track_id} changed from ${entry.previous} to ${entry.label}`;
  if (entry.event === "left") return `Face ${entry.track_id} left after ${formatDuration(entry.duration_s)}: ${entry.label}`;
  return entry.event;
}

function showEvents() {
  const items = events.map((entry) => element("li", { class: entry.kind },
    element("time", { datetime: entry.time }, formatTime(entry.time)), element("span", {}, describeEvent(entry))));
  $("events").replaceChildren(...(items.length ? items : [element("li", {}, "No events yet.")]));
}

function show(status) {
  labels = status.labels;
  const isStale = status.last_frame_age_s > 3 && !status.idle;
  if (!status.health.ok) showStatus("bad", "No image", status.health.reason);
  else if (isStale) showStatus("bad", "No image", `no frame for ${formatDuration(status.last_frame_age_s)}`);
  else if (status.idle) showStatus("idle", "Idle: nothing moves", "");
  else showStatus("live", paused ? "Live, image paused" : "Live", "");
  if (document.body.dataset.status === "bad") showFaces([], UNKNOWN);
  else showFaces(status.faces);
  showFaults(status.faults || {});
  showNumbers(status);
  showStages(status.stages_ms);
  showHistory(status.history, status.now);
  setText("run", status.run);
}

// Requests

async function fetchJson(path) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (response.status === 401) location.reload(); // to the sign-in page
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

async function fetchEvents(status) {
  if (status.run !== run) [run, newest, events] = [status.run, 0, []];
  if (status.newest === newest && newest) return;
  const body = await fetchJson(`api/events?since=${newest}`);
  newest = body.newest;
  events = [...body.events.reverse(), ...events].slice(0, MAX_EVENTS);
  showEvents();
}

async function refresh() {
  clearTimeout(timer);
  try {
    const status = await fetchJson("api/status");
    show(status);
    await fetchEvents(status);
    if (failures) startStream();
    failures = 0;
  } catch {
    failures += 1;
    if (failures > 1) {
      showStatus("bad", "Connection lost, reconnecting", "Connection lost");
      showFaces([], UNKNOWN);
    }
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(refresh, Math.min(MAX_POLL_MS, POLL_MS * 2 ** Math.min(failures, 5)));
}

// The live image

function startStream() {
  if (!document.hidden) $("image").src = (paused ? "snapshot.jpg?" : "stream.mjpg?") + Date.now();
}

$("pause").hidden = false;
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  startStream();
  refresh();
});
document.addEventListener("visibilitychange", () => { // a hidden page requests nothing
  if (document.hidden) {
    clearTimeout(timer);
    $("image").removeAttribute("src");
  } else {
    startStream();
    refresh();
  }
});
refresh();
