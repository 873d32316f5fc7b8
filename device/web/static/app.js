// The numbers beside the picture. Asks once a second while somebody looks, and says when nobody answers.
"use strict";

const EVERY = 1000, LONGEST = 10000, PATIENCE = 5000; // milliseconds
const MINUTES = 60, HEIGHT = 120, SHOWN = 12;
const UNKNOWN = "Not known at the moment.";
const STAGES = {
  fit: "resize", detect: "find faces", decode: "read boxes", track: "follow", crop: "cut out", classify: "classify",
};

const $ = (id) => document.getElementById(id);
let run = null, newest = 0, events = [], failures = 0, paused = false, timer = 0, labels = [];

function element(tag, attributes = {}, ...children) {
  const made = tag === "rect" ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function say(id, text) { // only what is new, so that a screen reader is not made to repeat itself
  if ($(id).textContent !== text) $(id).textContent = text;
}

const tone = (label) => "tone-" + (labels.includes(label) ? labels.indexOf(label) % 5 : "unsure");
const number = (value, digits = 0) => value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });

function span(seconds) {
  if (seconds < 1) return "less than a second";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

function bytes(count) {
  const power = Math.min(4, Math.max(0, Math.floor(Math.log10(Math.max(1, count)) / 3)));
  return [number(count / 1000 ** power, power && count / 1000 ** power < 10 ? 1 : 0), ["B", "kB", "MB", "GB", "TB"][power]];
}

// What is shown

function showMood(mood, text, cover) {
  document.body.dataset.mood = mood;
  say("status", text);
  say("cover", cover);
  $("cover").hidden = !cover;
}

function showFaces(faces, none = "Nobody is in view.") {
  const made = faces.map((face) => element("li", { class: tone(face.sentiment) }, face.sentiment + " ",
    element("small", {}, `${Math.round(100 * face.sentiment_score)} %` + (face.track ? ` · face ${face.track}` : ""))));
  $("faces-now").replaceChildren(...(made.length ? made : [element("li", { class: "nobody" }, none)]));
}

function showFaults(faults) {
  const text = JSON.stringify(faults);
  if ($("faults").dataset.shown === text) return;
  $("faults").dataset.shown = text;
  $("faults").hidden = !Object.keys(faults).length;
  $("faults").replaceChildren(...Object.entries(faults).map(([name, detail]) =>
    element("p", {}, element("strong", {}, name), detail ? ": " + detail : "")));
}

function showNumbers(state) {
  const rows = [
    ["frames a second", number(state.fps, 1)],
    ["old when logged", number(state.age), "ms"],
    ["frames dropped", number(state.dropped), share(state.dropped, state.frames + state.dropped)],
    ["running for", span(state.uptime)],
  ];
  if (typeof state.temperature === "number") rows.splice(2, 0, ["temperature", number(state.temperature, 1), "°C"]);
  if (typeof state.disk_free === "number") rows.push(["free on the disk", ...bytes(state.disk_free)]);
  if (typeof state.bytes_a_day === "number") rows.push(["logged a day", ...bytes(state.bytes_a_day)]);
  if (state.waiting) rows.push(["wait for the broker", number(state.waiting)]);
  if (state.slowed < 1) rows.push(["slowed to stay cool", number(100 * state.slowed), "%"]);
  $("numbers").replaceChildren(...rows.map(([name, value, unit]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value, unit ? " " : "", element("small", {}, unit || "")))));
}

function share(part, whole) {
  return whole && part ? `${number(100 * part / whole, part / whole < 0.1 ? 1 : 0)} %` : "";
}

function showStages(ms) {
  const whole = ms.whole || 0;
  const rows = Object.keys(STAGES).filter((name) => name in ms).map((name) => {
    const bar = element("div", { class: "bar" });
    bar.style.width = `${Math.min(100, 100 * ms[name] / (whole || 1))}%`;
    return element("tr", {}, element("th", { scope: "row" }, STAGES[name]), element("td", {}, bar),
      element("td", {}, number(ms[name], 2) + " ms"));
  });
  rows.push(element("tr", { class: "whole" }, element("th", { scope: "row" }, "whole"), element("td"),
    element("td", {}, number(whole, 2) + " ms")));
  $("stages").replaceChildren(...rows);
}

function showHour(minutes, now) {
  const last = Math.floor(now / 60) * 60, all = [...labels, "unsure"], total = {};
  const bars = minutes.filter(({ minute }) => minute > last - 60 * MINUTES && minute <= last);
  const sum = (seconds) => Object.values(seconds).reduce((a, b) => a + b, 0);
  const most = Math.max(60, ...bars.map(({ seconds }) => sum(seconds)));
  const rects = [];
  for (const { minute, seconds } of bars) {
    let y = HEIGHT;
    for (const label of all) {
      const height = (seconds[label] || 0) / most * (HEIGHT - 4);
      if (!height) continue;
      y -= height;
      total[label] = (total[label] || 0) + seconds[label];
      const x = 600 - (1 + (last - minute) / 60) * (600 / MINUTES);
      rects.push(element("rect", { class: tone(label), x: x + 1, y, width: 600 / MINUTES - 2, height }));
    }
  }
  $("hour").replaceChildren(...rects);
  $("legend").replaceChildren(...all.map((label) => element("li", {}, element("span", { class: "swatch " + tone(label) }),
    `${label} ${total[label] ? span(total[label]) : "–"}`)));
}

function told(event) {
  if (event.kind === "fault") return event.begun ? `${event.what}: ${event.detail}`
    : event.seconds === undefined ? `${event.what}: ${event.detail}` : `${event.what} is over after ${span(event.seconds)}`;
  if (event.what === "appeared") return `Face ${event.track} appeared: ${event.sentiment}`;
  if (event.what === "changed") return `Face ${event.track} changed from ${event.was} to ${event.sentiment}`;
  if (event.what === "left") return `Face ${event.track} left after ${span(event.seconds)}: ${event.sentiment}`;
  return event.what;
}

function when(time) {
  const date = new Date(time);
  const clock = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return date.toDateString() === new Date().toDateString() ? clock
    : date.toLocaleDateString([], { day: "numeric", month: "short" }) + " " + clock;
}

function showEvents() {
  const rows = events.map((event) => element("li", { class: event.kind },
    element("time", { datetime: event.time }, when(event.time)), element("span", {}, told(event))));
  $("events").replaceChildren(...(rows.length ? rows : [element("li", {}, "Nothing yet.")]));
}

function show(state) {
  labels = state.labels;
  const old = state.last_frame > 3 && !state.resting;
  if (!state.health.ok) showMood("bad", "No picture", state.health.why);
  else if (old) showMood("bad", "No picture", `no frame for ${span(state.last_frame)}`);
  else if (state.resting) showMood("resting", "Resting, nothing moves", "");
  else showMood("live", paused ? "Live, picture paused" : "Live", "");
  if (document.body.dataset.mood === "bad") showFaces([], UNKNOWN);
  else showFaces(state.faces);
  showFaults(state.faults || {});
  showNumbers(state);
  showStages(state.ms);
  showHour(state.minutes, state.now);
  say("run", state.run);
}

// Asking

async function ask(path) {
  const answer = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
  if (answer.status === 401) location.reload(); // to the page that asks for the token
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

async function askEvents(state) {
  if (state.run !== run) [run, newest, events] = [state.run, 0, []];
  if (state.newest === newest && newest) return;
  const found = await ask(`/api/events?since=${newest}`);
  newest = found.newest;
  events = [...found.events.reverse(), ...events].slice(0, SHOWN);
  showEvents();
}

async function round() {
  clearTimeout(timer);
  try {
    const state = await ask("/api/state");
    show(state);
    await askEvents(state);
    if (failures) startPicture();
    failures = 0;
  } catch {
    failures += 1;
    if (failures > 1) {
      showMood("bad", "Connection lost, trying again", "Connection lost");
      showFaces([], UNKNOWN);
    }
  }
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(round, Math.min(LONGEST, EVERY * 2 ** Math.min(failures, 5)));
}

// The picture

function startPicture() {
  if (!document.hidden) $("picture").src = (paused ? "/snapshot.jpg?" : "/stream.mjpg?") + Date.now();
}

$("pause").hidden = false;
$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  startPicture();
  round();
});
document.addEventListener("visibilitychange", () => { // nobody looks: let the board rest
  if (document.hidden) {
    clearTimeout(timer);
    $("picture").removeAttribute("src");
  } else {
    startPicture();
    round();
  }
});
round();
