// The pages. State is what the gateway says; every change redraws only what it touches.

import { bands, overTime, spark, spectrum } from "./charts.js";
import { get, live, me, request } from "./api.js";

const main = document.getElementById("main");
const dialog = document.getElementById("dialog");
const known = { nodes: new Map(), gateway: null, health: null };
let page = { name: "", redraw() {}, event() {} };

// small tools

function make(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

const words = (text) => text.replaceAll("_", " ");
const say = (text) => { document.getElementById("announcement").textContent = text; };
const known_or = (value, unit = "", digits = null) => (value === null || value === undefined ? "–" : `${digits === null ? value : value.toFixed(digits)}${unit}`);

function when(text) {
  if (!text) return "–";
  const date = new Date(text);
  return make("time", { datetime: text }, date.toLocaleString([], { dateStyle: "short", timeStyle: "medium" }));
}

/** What a node is in one word, how grave it is, and its place in the order. */
function standing(node) {
  if (node.alarm?.shown) return { word: "alarm", kind: "alarm", order: 0, symbol: "▲" };
  if (node.alarm?.service) return { word: "in service", kind: "quiet", order: 4, symbol: "◌" };
  if (node.alarm?.shelved && node.alarm.active) return { word: "alarm, shelved", kind: "warning", order: 3, symbol: "◒" };
  if (!node.available) return { word: "offline", kind: "warning", order: 1, symbol: "✕" };
  const state = node.state?.state;
  if (!state) return { word: "not heard yet", kind: "quiet", order: 5, symbol: "○" };
  if (state === "sensor_fault" || state === "safe_mode" || state === "suspect") return { word: words(state), kind: "warning", order: 2, symbol: "◆" };
  if (state === "watching") return { word: node.state.change_unconfirmed ? "change to confirm" : "watching", kind: node.state.change_unconfirmed ? "warning" : "good", order: node.state.change_unconfirmed ? 2 : 7, symbol: node.state.change_unconfirmed ? "?" : "●" };
  return { word: words(state), kind: "quiet", order: 6, symbol: "◐" };
}

const where = (bands) => (bands ?? []).filter((band) => band.low_hz !== null)
  .map((band) => `${band.low_hz}–${band.high_hz} Hz` + (band.orders ? ` (${band.orders[0]}–${band.orders[1]} × shaft)` : "")).join(", ");

const badge = (found) => make("span", { class: `badge ${found.kind}` }, `${found.symbol} ${found.word}`);

// nodes at a glance

function nodesPage() {
  const count = make("p", { class: "soft", role: "status" });
  const list = make("ul", { class: "nodes" });
  const search = make("input", { type: "search", id: "search", placeholder: "name, location, EUI", oninput: () => arrange() });
  const show = make("select", { id: "show", onchange: () => arrange() },
    ...[["", "all"], ["alarm", "alarms"], ["warning", "to look at"]].map(([value, text]) => make("option", { value }, text)));
  const cards = new Map();

  function card(node) {
    const found = standing(node);
    const ratio = node.state?.score_ratio;
    return make("li", { class: `node is-${found.kind}`, "data-eui": node.eui },
      make("h2", {}, make("a", { href: `#/node/${node.eui}` }, node.name), badge(found)),
      make("p", { class: "soft" }, node.location || " "),
      spark(node.spark),
      make("p", {}, `score ${known_or(ratio, "", 2)} · RMS ${known_or(node.state?.rms_velocity_mm_s, " mm/s", 2)}`),
      make("p", { class: "soft" }, node.alarm?.last_event ? `last: ${words(node.alarm.last_event.type)}` : " "));
  }

  function arrange() {
    const text = search.value.toLowerCase();
    const fits = (node) => `${node.name} ${node.location} ${node.eui}`.toLowerCase().includes(text) &&
      (!show.value || standing(node).kind === "alarm" || (show.value === "warning" && standing(node).kind === "warning"));
    const wanted = [...known.nodes.values()].filter(fits)
      .sort((a, b) => standing(a).order - standing(b).order || a.name.localeCompare(b.name, undefined, { numeric: true }));
    const order = wanted.map((node) => {
      if (!cards.has(node.eui)) cards.set(node.eui, card(node));
      return cards.get(node.eui);
    });
    if (order.length !== list.children.length || order.some((one, i) => list.children[i] !== one)) {
      const focused = document.activeElement?.closest?.("li")?.dataset.eui;
      list.replaceChildren(...order);
      if (focused) cards.get(focused)?.querySelector("a")?.focus({ preventScroll: true });
    }
    const alarms = wanted.filter((node) => node.alarm?.shown).length;
    count.textContent = known.nodes.size
      ? `${wanted.length} of ${known.nodes.size} nodes, ${alarms} ${alarms === 1 ? "alarm" : "alarms"}`
      : "No nodes yet: `fieldelm provision` makes one.";
  }

  main.replaceChildren(
    make("div", { class: "row" }, make("h1", {}, "Nodes"),
      make("label", {}, "Find", search), make("label", {}, "Show", show)), count, list);
  arrange();
  return {
    name: "nodes",
    redraw(eui) {
      if (eui) {
        const node = known.nodes.get(eui);
        const old = cards.get(eui);
        cards.delete(eui);
        if (node && old?.isConnected) {
          const focused = old.contains(document.activeElement);
          const fresh = card(node);
          fresh.classList.add("changed");
          cards.set(eui, fresh);
          old.replaceWith(fresh);
          if (focused) fresh.querySelector("a").focus({ preventScroll: true });
        }
      } else cards.clear();
      arrange();
    },
    event() {},
  };
}

// one node

const SPANS = [[24, "a day"], [168, "a week"], [720, "30 days"], [8760, "a year"], [87600, "ten years"]];

function nodePage(eui) {
  const head = make("div");
  const charts = make("div", { class: "panels" });
  const explained = make("section", { class: "panel" });
  const traced = make("section", { class: "panel", hidden: true });
  const records = make("div");
  let hours = 24;
  let timer = 0;
  let unfolded = false;
  const span = make("select", { id: "span", onchange: () => { hours = Number(span.value); drawCharts(); } },
    ...SPANS.map(([value, text]) => make("option", { value }, text)));
  main.replaceChildren(head, make("div", { class: "row" }, make("label", {}, "Time", span)), charts,
    make("div", { class: "panels spectra" }, explained, traced), records);

  function drawHead() {
    const node = known.nodes.get(eui);
    if (!node) {
      head.replaceChildren(make("h1", {}, "There is no such node"), make("p", {}, make("a", { href: "#/" }, "All nodes")));
      return;
    }
    document.title = `${node.name} · Fieldelm`;
    const state = node.state ?? {};
    const facts = {
      "Score ÷ threshold": known_or(state.score_ratio, "", 2), "RMS velocity": known_or(state.rms_velocity_mm_s, " mm/s", 2),
      "RMS acceleration": known_or(state.rms_g, " g"), Mode: known_or(state.mode), Policy: state.policy ?? node.policy ?? "–",
      "Learned rows": known_or(state.learned_rows), Battery: known_or(state.battery_mv && state.battery_mv / 1000, " V", 2),
      Temperature: known_or(state.temperature_c, " °C"), RSSI: known_or(state.rssi, " dBm"), SNR: known_or(state.snr, " dB"),
      "Sensor fault": state.sensor_fault ? words(state.sensor_fault) : "none", "Shaft speed": known_or(node.shaft_hz && node.shaft_hz * 60, " rpm", 0),
      Heartbeat: known_or(node.heartbeat_s, " s"), Firmware: node.firmware ?? "–", EUI: eui, "Last status": when(state.received_time),
    };
    head.replaceChildren(
      make("div", { class: "row title" }, make("h1", {}, node.name), badge(standing(node))),
      make("p", { class: "soft" }, [node.location, `node ${node.node_id}`].filter(Boolean).join(" · ")),
      alarmBox(node),
      make("div", { class: "buttons", role: "group", "aria-label": "Commands" }, ...commandButtons(node, (one) => one.daily)),
      make("details", { class: "more", open: unfolded, ontoggle: (event) => { unfolded = event.target.open; } }, make("summary", {}, "More commands"),
        make("div", { class: "buttons", role: "group", "aria-label": "More commands" }, ...commandButtons(node, (one) => !one.daily))),
      make("h2", { class: "unseen" }, "Values"),
      make("dl", { class: "facts" }, ...Object.entries(facts).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))));
  }

  async function drawCharts() {
    const history = await get(`/api/nodes/${eui}/history?hours=${hours}`).catch(problem);
    if (!history || page.eui !== eui) return;
    const at = (name) => history.columns.indexOf(name);
    const one = (name) => history.points.map((point) => [point[0], point[at(name)]]);
    const common = { from: history.points.length ? Math.max(history.from, history.points[0][0] - 600e3) : history.from, to: history.to };
    if (hours === 24) common.from = history.from;
    const panel = (title, svg) => make("section", { class: "panel" }, make("h2", {}, title), svg);
    charts.replaceChildren(
      panel("Score against its threshold", overTime({ ...common, title: "Score divided by threshold", unit: "×", limit: 1, log: true, events: history.events,
        points: history.points.map((point) => [point[0], point[at("ratio_min")], point[at("ratio_mean")], point[at("ratio_max")]]) })),
      panel("RMS velocity", overTime({ ...common, title: "RMS velocity", unit: "mm/s", points: one("rms_velocity"), events: history.events.filter((event) => event.severity !== "info") })),
      panel("Battery", overTime({ ...common, title: "Battery", unit: "mV", zero: false, points: one("battery_mv") })),
      panel("Radio", overTime({ ...common, title: "RSSI", unit: "dBm", zero: false, points: one("rssi") })));
  }

  async function drawRecords() {
    const found = await get(`/api/nodes/${eui}`).catch(problem);
    if (!found || page.eui !== eui) return;
    const node = known.nodes.get(eui);
    const alarm = found.last_alarm;
    explained.replaceChildren(make("h2", {}, "What explains the last alarm"));
    const placed = (alarm?.bands ?? []).filter((band) => band.low_hz !== null);
    if (!alarm) explained.append(make("p", { class: "soft" }, "There was none."));
    else if (!placed.length || !node?.band_high_hz) explained.append(make("p", {}, "Its bands are not known in Hz."));
    else {
      explained.append(make("p", {}, when(alarm.event_time), ` · ${alarm.score_ratio.toFixed(2)} × threshold · `,
        where(placed)),
        bands({ low: node.band_low_hz, high: node.band_high_hz, bands: placed, shaft: node.shaft_hz }));
    }
    const trace = found.trace;
    traced.hidden = !trace;
    if (trace) {
      const what = trace.trace === "bands" ? "Its spectrum" : "How far each band is from normal";
      traced.replaceChildren(make("h2", {}, what), make("p", {}, when(trace.received_time), " · asked for with Trace"),
        spectrum({ title: what, values: trace.values, edges: trace.edges_hz, unit: trace.unit === "sigma" ? "σ" : trace.unit }));
    }
    const rows = found.commands.map((one) => make("tr", {}, make("td", {}, when(one.asked)), make("td", {}, words(one.command)),
      make("td", {}, one.state === "done" ? words(one.result) : one.state), make("td", { class: "number" }, String(one.attempts))));
    records.replaceChildren(
      make("section", { class: "panel" }, make("h2", {}, "Events and maintenance"), logTable(found.log, false)),
      make("section", { class: "panel" }, make("h2", {}, "Commands"), rows.length
        ? make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...["Asked", "Command", "Answer", "Sent"].map((text) => make("th", { scope: "col" }, text)))), make("tbody", {}, ...rows)))
        : make("p", { class: "soft" }, "None yet.")),
      make("section", { class: "panel" }, make("h2", {}, "Copies of what it has learned"), ...copies(found.models)));
  }

  function copies(models) {
    const hint = make("p", { class: "soft" }, `\`fieldelm node model fetch\` makes one; \`model put\` puts it onto a node that replaces this one.`);
    if (!models.length) return [make("p", { class: "soft" }, "None yet."), hint];
    const rows = models.map((one) => make("tr", {}, make("td", {}, when(one.begun)), make("td", {}, one.model),
      make("td", {}, one.bytes === one.total ? "whole" : `${one.bytes} of ${one.total} bytes`), make("td", { class: "number" }, `${(one.total / 1000).toFixed(1)} kB`)));
    return [make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {},
      ...["Begun", "Copy", "State", "Size"].map((text) => make("th", { scope: "col" }, text)))), make("tbody", {}, ...rows))), hint];
  }

  drawHead();
  queueMicrotask(() => { drawCharts(); drawRecords(); });
  const later = () => { clearTimeout(timer); timer = setTimeout(() => { drawCharts(); drawRecords(); }, 500); };
  return {
    name: "nodes", eui,
    redraw(changed, what) { if (what !== "health" && (!changed || changed === eui)) { const focused = document.activeElement; const keep = focused?.dataset?.command ? `[data-command="${focused.dataset.command}"]` : head.contains(focused) ? focused.localName : ""; drawHead(); if (keep) head.querySelector(keep)?.focus({ preventScroll: true }); later(); } },
    event(changed) { if (changed === eui) later(); },
  };
}

function alarmBox(node) {
  const alarm = node.alarm;
  if (!alarm || !(alarm.active || alarm.service || alarm.comment)) return null;
  const lines = [];
  if (alarm.active) lines.push(make("p", {}, make("strong", {}, "Alarm"), " since ", when(alarm.since), alarm.score_ratio ? ` · ${alarm.score_ratio.toFixed(2)} × threshold` : "", where(alarm.bands) ? ` · most at ${where(alarm.bands)}` : ""));
  const mark = (text, one) => one && lines.push(make("p", {}, `${text} by ${one.by} `, when(one.time), one.until ? make("span", {}, " until ", when(one.until)) : "", one.comment ? `: “${one.comment}”` : ""));
  mark("Acknowledged", alarm.acknowledged);
  mark("Shelved", alarm.shelved);
  mark("In service", alarm.service);
  if (alarm.comment && alarm.comment.time !== alarm.acknowledged?.time && alarm.comment.time !== alarm.shelved?.time) mark("Comment", alarm.comment);
  return make("section", { class: `panel ${alarm.shown ? "alarm-box" : ""}`, "aria-label": "Alarm" }, ...lines);
}

// commands

const number = (name, label, value, low, high) => ({ name, label, kind: "number", value, low, high });
const text = (name, label, value = "") => ({ name, label, kind: "text", value });
const COMMANDS = {
  acknowledge: { daily: true, title: "Acknowledge", fields: () => [text("comment", "Comment")], when: (node) => node.alarm?.active, first: true },
  comment: { daily: true, title: "Comment", fields: () => [text("comment", "Comment")] },
  shelve: { daily: true, title: "Shelve", explain: "Hides the alarm for a time; 0 shows it again.", fields: () => [number("minutes", "Minutes", 480, 0, 43200), text("comment", "Why")] },
  service: { daily: true, title: "Service", explain: "Somebody works on the machine: the node rests, its alarm is hidden. 0 ends it.", fields: () => [number("minutes", "Minutes", 120, 0, 65535)] },
  confirm_change: { daily: true, title: "Confirm change", explain: "What changed is no fault: the node goes on with what it has learned, or learns it.", when: (node) => node.alarm?.active || node.state?.change_unconfirmed || node.state?.state === "suspect" },
  call_fault: { daily: true, title: "Call it a fault", explain: "What changed is a fault: the node alarms, and returns to what it knew before.", grave: true, when: (node) => node.state?.change_unconfirmed || node.state?.state === "suspect" },
  describe: { title: "Describe", fields: (node) => [text("name", "Name", node.name), text("location", "Location", node.location), { ...number("shaft_rpm", "Shaft speed, rpm", node.shaft_hz ? node.shaft_hz * 60 : "", 1, 600000), optional: true, step: "any" }] },
  retrain: { title: "Retrain", explain: "The node forgets what it knows and learns anew what is normal here.", grave: true },
  commission: { title: "Commission again", explain: "As after a repair: the node begins anew.", grave: true },
  policy: { title: "Policy", explain: "What the node does when its environment changes.", fields: (node) => [{ name: "policy", label: "Policy", kind: "choice", choices: ["auto", "ask", "never"], value: node.state?.policy ?? node.policy }] },
  interval: { title: "Interval", fields: (node) => [number("window_period_s", "Seconds from window to window", node.window_period_s ?? 60, 1, 65535), number("heartbeat_s", "Seconds from STATUS to STATUS", node.heartbeat_s ?? 900, 10, 65535)] },
  threshold: { title: "Threshold", explain: "More than 1: the node is less easily alarmed.", fields: (node) => [{ ...number("factor", "Times what it has learned, 0.25 to 4", node.threshold_factor ?? 1, 0.25, 4), step: "any" }] },
  trace: { title: "Trace", explain: "The node sends its newest spectrum, or how far each band is from normal.", fields: () => [{ name: "trace", label: "What", kind: "choice", choices: ["bands", "residuals"], value: "bands" }] },
  power: { title: "Power", explain: "It falls back to the configured power when it is not heard any more.", fields: (node) => [number("dbm", "Transmit power, dBm", node.output_power ?? 14, -9, 22)] },
  identify: { title: "Identify", explain: "Makes it blink.", fields: () => [number("seconds", "Seconds", 30, 1, 255)] },
  reboot: { title: "Restart", grave: true },
};

function commandButtons(node, wanted) {
  return Object.entries(COMMANDS).filter(([, one]) => wanted(one) && (!one.when || one.when(node))).map(([name, one]) =>
    make("button", { type: "button", class: one.first ? "first" : one.grave ? "grave" : "", "data-command": name, onclick: () => ask(node, name, one) }, one.title));
}

function ask(node, command, one) {
  const fields = (one.fields?.(node) ?? []).map((field) => {
    const input = field.kind === "choice"
      ? make("select", { name: field.name }, ...field.choices.map((choice) => make("option", { value: choice, selected: choice === field.value }, choice)))
      : make("input", { name: field.name, type: field.kind, value: field.value, min: field.low ?? null, max: field.high ?? null, step: field.step ?? null, required: field.kind === "number" && !field.optional, maxlength: field.kind === "text" ? 500 : null });
    return { ...field, input };
  });
  const who = make("input", { name: "who", value: me.name, maxlength: 100, autocomplete: "name" });
  const token = make("input", { name: "token", type: "password", value: me.token, required: true, autocomplete: "off" });
  const message = make("p", { class: "message", role: "status" });
  const send = make("button", { type: "submit", class: one.grave ? "grave" : "first" }, one.title);
  const form = make("form", { method: "dialog", onsubmit: async (event) => {
    event.preventDefault();
    me.name = who.value.trim();
    me.token = token.value.trim();
    const given = { node: node.eui };
    for (const field of fields) {
      const value = field.input.value.trim();
      if (field.kind === "number") given[field.name] = value === "" ? null : Number(value);
      else if (value || command === "describe") given[field.name] = value;
    }
    send.disabled = true;
    const answer = await request(command, given).catch((error) => ({ status: "error", message: error.message }));
    send.disabled = false;
    message.classList.toggle("bad", answer.status === "error");
    message.textContent = answer.message;
    if (answer.status !== "error") {
      say(`${one.title}: ${answer.message}`);
      setTimeout(() => dialog.close(), answer.status === "ok" ? 700 : 1500);
      page.event(node.eui);
    }
  } },
    make("h2", { id: "dialog-title" }, `${one.title}: ${node.name}`),
    one.explain ? make("p", {}, one.explain) : null,
    ...fields.map((field) => make("label", {}, field.label, field.input)),
    make("label", {}, "Your name, for the log", who),
    make("label", {}, "Token (`fieldelm gateway token` shows it)", token),
    message,
    make("div", { class: "buttons" }, send, make("button", { type: "button", onclick: () => dialog.close() }, "Cancel")));
  dialog.replaceChildren(form);
  dialog.showModal();
  (fields[0]?.input ?? (me.token ? send : token)).focus();
}

// events

function logTable(lines, named) {
  if (!lines.length) return make("p", { class: "soft" }, "Nothing.");
  const symbols = { alarm: "▲", warning: "◆", info: "●" };
  const rows = lines.map((line) => {
    const detail = [];
    if (line.kind === "event") {
      if (line.document.score_ratio) detail.push(`${line.document.score_ratio.toFixed(2)} × threshold`);
      for (const band of line.document.bands) if (band.low_hz !== null) detail.push(`${band.low_hz}–${band.high_hz} Hz`);
      if (line.document.delayed) detail.push("delayed");
      if (line.document.clock === "unsynced") detail.push("clock not set");
    } else detail.push(`by ${line.document.by}`, ...Object.entries(line.document.detail ?? {}).map(([key, value]) => `${words(key)}: ${value}`));
    return make("tr", {}, make("td", {}, when(line.time)),
      named ? make("td", {}, make("a", { href: `#/node/${line.eui}` }, line.document.name ?? line.eui), line.document.location ? make("span", { class: "soft" }, ` ${line.document.location}`) : null) : null,
      make("td", {}, make("span", { class: `badge ${line.severity === "info" ? "" : line.severity ?? ""}` }, `${line.kind === "event" ? symbols[line.severity] : "✎"} ${words(line.type)}`)),
      make("td", {}, detail.join(" · ")));
  });
  const heads = ["Time", ...(named ? ["Node"] : []), "What", "Detail"];
  return make("div", { class: "scroll" }, make("table", { class: "stack" },
    make("thead", {}, make("tr", {}, ...heads.map((one) => make("th", { scope: "col" }, one)))), make("tbody", {}, ...rows)));
}

function eventsPage() {
  const found = make("div", {});
  const more = make("button", { type: "button", onclick: () => load(false) }, "Older");
  const severity = make("select", { id: "severity", onchange: () => load(true) }, ...[["", "all"], "alarm", "warning", "info"].map((one) => Array.isArray(one) ? make("option", { value: one[0] }, one[1]) : make("option", { value: one }, one)));
  const node = make("select", { id: "node", onchange: () => load(true) }, make("option", { value: "" }, "all"),
    ...[...known.nodes.values()].sort((a, b) => a.name.localeCompare(b.name)).map((one) => make("option", { value: one.eui }, one.name)));
  const search = make("input", { type: "search", id: "text", oninput: () => { clearTimeout(timer); timer = setTimeout(() => load(true), 250); } });
  const csv = make("a", { class: "button", download: "fieldelm-events.csv" }, "CSV");
  let lines = [];
  let timer = 0;

  async function load(anew) {
    const query = new URLSearchParams({ severity: severity.value, node: node.value, text: search.value });
    csv.href = `/api/log.csv?${query}`;
    if (!anew && lines.length) query.set("before", lines.at(-1).at_ms);
    const answer = await get(`/api/log?${query}`).catch(problem);
    if (!answer || page.name !== "events") return;
    lines = anew ? answer.lines : [...lines, ...answer.lines];
    found.replaceChildren(logTable(lines, true));
    more.hidden = answer.lines.length < 100;
  }

  main.replaceChildren(make("div", { class: "row" }, make("h1", {}, "Events"), make("label", {}, "Severity", severity), make("label", {}, "Node", node),
    make("label", {}, "Contains", search), csv), make("section", { class: "panel", "aria-label": "Event log" }, found, more));
  queueMicrotask(() => load(true));
  return { name: "events", redraw() {}, event() { clearTimeout(timer); timer = setTimeout(() => { if (lines.length <= 100) load(true); }, 300); } };
}

// health

function healthPage() {
  function draw() {
    const health = known.health;
    if (!health) return main.replaceChildren(make("h1", {}, "Health"), make("p", {}, "Nothing yet."));
    const good = (fine, yes, no) => make("span", { class: `badge ${fine ? "good" : "alarm"}` }, fine ? `● ${yes}` : `▲ ${no}`);
    const table = (title, pairs) => make("section", { class: "panel" }, make("h2", {}, title), make("table", {}, make("tbody", {},
      ...pairs.map(([name, value]) => make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "number" }, value instanceof Node ? value : String(value ?? "–")))))));
    main.replaceChildren(make("h1", {}, "Health"), make("div", { class: "panels" },
      table("Gateway", [["Name", known.gateway?.name], ["Version", known.gateway?.version], ["Time", when(health.time)], ["Clock", good(health.clock === "synced", "synchronised", "not set")],
        ["Up for", `${Math.floor(health.uptime_s / 3600)} h ${Math.floor(health.uptime_s / 60) % 60} min`], ["Nodes online", `${health.nodes.online} of ${health.nodes.known}`], ["Commands waiting", health.nodes.commands_waiting]]),
      table("Broker", [["Connection", good(health.mqtt.connected, "connected", "away")], ["Problem", health.mqtt.problem ?? "none"], ["Events waiting", health.queue.events], ["Other messages waiting", health.queue.rest],
        ["Outbox", good(!health.queue.full, "has room", "full: frames are not acknowledged")], ["Published", health.mqtt.published], ["STATUS dropped", health.status_dropped], ["Too long for the broker", health.mqtt.too_long]]),
      ...health.radios.map((radio) => table(`Radio ${radio.name}`, [["Listens", good(radio.listening, "yes", "no")], ["Problem", radio.problem ?? "none"], ["Frames", radio.uplinks], ["Damaged", radio.crc_errors],
        ["Answers", radio.answers], ["Airtime of the last hour", `${radio.airtime_last_hour_ms} ms of ${radio.airtime_limit_ms ?? "unlimited"}`]])),
      table("Frames", Object.entries(health.frames).map(([name, count]) => [words(name), count])),
      table("Dropped", [...Object.entries(health.drops).map(([name, count]) => [words(name), count]), ["database failures", health.database_failures]])));
  }
  draw();
  return { name: "health", redraw(eui, what) { if (what === "health") draw(); }, event() {} };
}

// which page, and what happens

function problem(error) { say(error.message); return null; }

function route() {
  const [, name, eui] = location.hash.split("/");
  document.title = "Fieldelm";
  page = { name: "", redraw() {}, event() {} };
  page = name === "node" ? nodePage(eui) : name === "events" ? eventsPage() : name === "health" ? healthPage() : nodesPage();
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.page === page.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

let waiting = null; // what happens while everything is asked for, and may be newer

async function load() {
  waiting ??= [];
  const found = await get("/api/nodes").catch(problem);
  const happened = waiting ?? [];
  waiting = null;
  if (!found) return;
  known.gateway = found.gateway;
  known.health = found.health;
  known.nodes = new Map(found.nodes.map((node) => [node.eui, node]));
  document.getElementById("gateway-name").textContent = [found.gateway?.name, found.gateway?.location].filter(Boolean).join(", ");
  for (const one of happened) take(...one);
}

function take(topic, payload) {
  if (waiting) { waiting.push([topic, payload]); return; }
  const [kind, eui, what] = topic.split("/");
  if (topic === "health") { known.health = payload; page.redraw("", "health"); return; }
  if (topic === "nodes") { cards(payload.nodes); return; }
  if (kind !== "node") return;
  const node = known.nodes.get(eui);
  if (!node) return;
  if (what === "availability") node.available = payload === "online";
  else if (what === "state") {
    node.state = payload || null;
    if (payload) node.spark = [...node.spark.slice(-95), payload.score_ratio];
  } else if (what === "alarm") {
    const before = node.alarm?.shown;
    node.alarm = payload || null;
    if (!before && payload?.shown) say(`Alarm: ${node.name}`);
  } else { page.event(eui); return; }
  page.redraw(eui);
}

function cards(list) {
  const before = known.nodes;
  known.nodes = new Map(list.map((card) => [card.eui, { available: false, state: null, alarm: null, spark: [], ...before.get(card.eui), ...card }]));
  const same = before.size === known.nodes.size && list.every((card) => before.has(card.eui));
  if (same) for (const card of list) { const old = before.get(card.eui); if (Object.keys(card).some((key) => old[key] !== card[key])) page.redraw(card.eui); }
  else load().then(() => page.redraw(""));
}

addEventListener("hashchange", () => { route(); main.focus(); scrollTo(0, 0); });
// whatever happens after the connection stands is told by it, so everything is asked for then, and again after every loss
live(take, async (connected) => {
  const line = document.getElementById("connection");
  if (connected) { await load(); route(); }
  line.textContent = connected ? "live" : "the gateway does not answer; trying again …";
  line.classList.toggle("lost", !connected);
});
