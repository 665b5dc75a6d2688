// Charts as SVG: no library, readable without colour, described in words for those who do not see them.

const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function frame(width, height, words) {
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "img", "aria-label": words });
  return svg;
}

/** The last scores as one small line; the dashed line is the threshold. */
export function spark(values) {
  const svg = element("svg", { viewBox: "0 0 100 30", preserveAspectRatio: "none", class: "spark", "aria-hidden": "true" });
  if (!values.length) return svg;
  const top = Math.max(2, ...values);
  const y = (value) => (29 - (Math.log1p(value) / Math.log1p(top)) * 28).toFixed(1);
  const step = values.length > 1 ? 100 / (values.length - 1) : 0;
  svg.append(element("line", { x1: 0, x2: 100, y1: y(1), y2: y(1), class: "limit" }));
  const points = values.length > 1 ? values : [values[0], values[0]];
  const width = values.length > 1 ? step : 100;
  svg.append(element("path", { d: "M" + points.map((value, i) => `${(i * width).toFixed(1)} ${y(value)}`).join("L") }));
  return svg;
}

function ticks(low, high, wanted) {
  const rough = (high - low) / wanted || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) found.push(Number(value.toPrecision(12)));
  return found;
}

function timeTicks(from, to) {
  const hour = 3600e3;
  const steps = [hour / 12, hour / 4, hour, 3 * hour, 6 * hour, 24 * hour, 7 * 24 * hour, 30 * 24 * hour, 90 * 24 * hour, 365 * 24 * hour];
  const step = steps.find((one) => (to - from) / one <= 7) ?? 5 * steps.at(-1);
  const offset = new Date(from).getTimezoneOffset() * 60e3;
  const found = [];
  for (let at = Math.ceil((from - offset) / step) * step + offset; at <= to; at += step) found.push(at);
  const day = step >= 24 * hour;
  const text = (at) =>
    day ? new Date(at).toLocaleDateString([], { day: "numeric", month: "short", ...(step > 40 * 24 * hour ? { year: "2-digit" } : {}) })
      : new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return found.map((at) => [at, text(at)]);
}

/** A curve over time: points are [ms, low, value, high] or [ms, value]; `limit` is drawn as a dashed line, events as marks. */
export function overTime({ points, from, to, unit, title, limit = null, events = [], log = false, zero = true }) {
  const [width, height, left, right, top, bottom] = [720, 240, 48, 10, 18, 24];
  const values = points.flatMap((point) => point.slice(1)).filter((value) => value !== null);
  const margin = (Math.max(...values) - Math.min(...values)) * 0.2 + 20;
  const highest = zero ? Math.max(...values, limit === null ? 0 : limit * 1.5, 1e-9) * 1.08 : Math.max(...values) + margin;
  const lowest = log ? Math.max(Math.min(...values, limit ?? Infinity, highest / 20) * 0.9, highest / 1e4, 1e-6) : zero ? Math.min(0, ...values) : Math.min(...values) - margin;
  const scale = log ? Math.log : (value) => value;
  const x = (at) => left + ((at - from) / (to - from || 1)) * (width - left - right);
  const y = (value) => height - bottom - ((scale(Math.max(value, lowest)) - scale(lowest)) / (scale(highest) - scale(lowest) || 1)) * (height - top - bottom);
  const last = points.at(-1);
  const middle = (point) => (point.length > 2 ? point[2] : point[1]);
  const known = points.map(middle).filter((value) => value !== null);
  const words = points.length
    ? `${title}: ${points.length} points, from ${Math.min(...known)} to ${Math.max(...known)}, last ${middle(last)} ${unit}` +
      (limit === null ? "" : `; threshold ${limit}`) + (events.length ? `; ${events.length} events` : "")
    : `${title}: nothing yet`;
  const svg = frame(width, height, words);
  if (!values.length) {
    svg.append(element("text", { x: width / 2, y: height / 2, "text-anchor": "middle" }, "nothing yet"));
    return svg;
  }
  const levels = log ? [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200].filter((v) => v >= lowest && v <= highest) : ticks(lowest, highest, 4);
  for (const level of levels) {
    svg.append(element("line", { x1: left, x2: width - right, y1: y(level), y2: y(level), class: "grid" }));
    svg.append(element("text", { x: left - 6, y: y(level) + 4, "text-anchor": "end" }, String(level)));
  }
  for (const [at, text] of timeTicks(from, to)) {
    svg.append(element("text", { x: Math.min(x(at), width - right), y: height - 6, "text-anchor": x(at) > width - 40 ? "end" : "middle" }, text));
  }
  svg.append(element("text", { x: left, y: 12 }, unit));
  const gaps = points.slice(1).map((point, i) => point[0] - points[i][0]).sort((a, b) => a - b);
  const longest = (gaps[Math.floor(gaps.length / 2)] ?? 0) * 4 + 1;
  const runs = [];
  for (const point of points) {
    if (middle(point) === null) continue;
    const run = runs.at(-1);
    if (run && point[0] - run.at(-1)[0] <= longest) run.push(point);
    else runs.push([point]);
  }
  for (const run of runs) {
    if (run[0].length > 2) {
      const upper = run.map((point) => `${x(point[0]).toFixed(1)} ${y(point[3]).toFixed(1)}`);
      const lower = run.map((point) => `${x(point[0]).toFixed(1)} ${y(point[1]).toFixed(1)}`).reverse();
      svg.append(element("path", { d: `M${[...upper, ...lower].join("L")}Z`, class: "area" }));
    }
    const curve = run.map((point) => `${x(point[0]).toFixed(1)} ${y(middle(point)).toFixed(1)}`);
    if (curve.length === 1) svg.append(element("circle", { cx: x(run[0][0]), cy: y(middle(run[0])), r: 2.5, class: "curve" }));
    else svg.append(element("path", { d: `M${curve.join("L")}`, class: "curve" }));
  }
  if (limit !== null) {
    svg.append(element("line", { x1: left, x2: width - right, y1: y(limit), y2: y(limit), class: "limit" }));
    svg.append(element("text", { x: width - right, y: y(limit) - 5, "text-anchor": "end", class: "limit-text" }, "threshold"));
  }
  for (const event of events) {
    const at = x(event.time);
    if (at < left) continue;
    const mark = element("g", { class: `mark ${event.severity}` });
    mark.append(element("line", { x1: at, x2: at, y1: top, y2: height - bottom, "stroke-opacity": event.severity === "info" ? 0.25 : 0.6 }));
    const shape = { alarm: `M${at} ${top - 12}l6 11h-12z`, warning: `M${at} ${top - 12}l6 6l-6 6l-6-6z`, info: `M${at - 4} ${top - 9}h8v8h-8z` };
    mark.append(element("path", { d: shape[event.severity], stroke: "none" }));
    mark.append(element("title", {}, `${event.type.replaceAll("_", " ")}, ${new Date(event.time).toLocaleString()}`));
    svg.append(mark);
  }
  return svg;
}

/** Where in the spectrum the last alarm was: the bands that deviated most, and multiples of the shaft speed. */
export function bands({ low, high, bands, shaft }) {
  const [width, height, left, right, top, bottom] = [720, 170, 16, 16, 30, 40];
  const x = (hz) => left + ((hz - low) / (high - low || 1)) * (width - left - right);
  const told = bands.map((band) => `${band.low_hz} to ${band.high_hz} Hz` + (band.orders ? `, ${band.orders[0]} to ${band.orders[1]} times the shaft speed` : ""));
  const svg = frame(width, height, `Bands that deviated most: ${told.join("; ") || "not known"}`);
  svg.append(element("line", { x1: left, x2: width - right, y1: height - bottom, y2: height - bottom, class: "grid" }));
  for (const hz of ticks(low, high, 8)) {
    svg.append(element("line", { x1: x(hz), x2: x(hz), y1: height - bottom, y2: height - bottom + 5, class: "grid" }));
    svg.append(element("text", { x: x(hz), y: height - bottom + 18, "text-anchor": "middle" }, String(hz)));
  }
  svg.append(element("text", { x: width - right, y: height - 4, "text-anchor": "end" }, "Hz"));
  if (shaft) {
    const every = Math.max(1, Math.ceil((high - low) / shaft / 12));
    let last = -Infinity;
    for (let n = 1; n * shaft <= high; n += 1) {
      if (n * shaft < low || (n > 3 && n % every) || x(n * shaft) - last < 24) continue;
      last = x(n * shaft);
      svg.append(element("line", { x1: last, x2: last, y1: top, y2: height - bottom, class: "order" }));
      svg.append(element("text", { x: last, y: top - 16, "text-anchor": "middle" }, `${n}×`));
    }
  }
  bands.forEach((band, i) => {
    const wide = Math.max(x(band.high_hz) - x(band.low_hz), 3);
    const tall = (height - top - bottom) * (i ? 0.6 : 0.95);
    svg.append(element("rect", { x: x(band.low_hz), y: height - bottom - tall, width: wide, height: tall, class: i ? "bar second" : "bar" }));
    const end = x(band.low_hz) > width / 2;
    svg.append(element("text", { x: end ? x(band.low_hz) - 4 : x(band.high_hz) + 4, y: height - bottom - tall + 12, "text-anchor": end ? "end" : "start" },
      `${i + 1}: ${band.low_hz}–${band.high_hz} Hz`));
  });
  return svg;
}

/** One value a band, over frequency where the bands are known in Hz, else over their numbers. */
export function spectrum({ title, values, edges, unit }) {
  const [width, height, left, right, top, bottom] = [720, 200, 44, 16, 24, 40];
  const at = edges ?? values.map((_, i) => i).concat(values.length);
  const x = (place) => left + ((place - at[0]) / (at.at(-1) - at[0] || 1)) * (width - left - right);
  const low = unit === "dB" ? Math.min(...values) - 3 : Math.min(0, ...values), high = Math.max(unit === "dB" ? -Infinity : 0, ...values);
  const y = (value) => height - bottom - ((value - low) / (high - low || 1)) * (height - top - bottom);
  const most = values.indexOf(Math.max(...values));
  const svg = frame(width, height, `${title}: ${values.length} bands from ${at[0]} to ${at.at(-1)}${edges ? " Hz" : ""}, ` +
    `most ${values[most]} ${unit} at ${at[most]} to ${at[most + 1]}${edges ? " Hz" : ""}`);
  for (const value of ticks(low, high, 4)) {
    svg.append(element("line", { x1: left, x2: width - right, y1: y(value), y2: y(value), class: "grid" }));
    svg.append(element("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, String(value)));
  }
  svg.append(element("text", { x: left, y: 12, "text-anchor": "start" }, unit));
  for (const place of ticks(at[0], at.at(-1), 8)) svg.append(element("text", { x: x(place), y: height - bottom + 18, "text-anchor": "middle" }, String(place)));
  svg.append(element("text", { x: width - right, y: height - 4, "text-anchor": "end" }, edges ? "Hz" : "band"));
  const foot = unit === "dB" ? low : 0;
  values.forEach((value, i) => {
    const bar = element("rect", { x: x(at[i]), y: Math.min(y(value), y(foot)), width: Math.max(x(at[i + 1]) - x(at[i]) - 1, 1),
      height: Math.max(Math.abs(y(value) - y(foot)), 0.5), class: "value" });
    bar.append(element("title", {}, `${at[i]}–${at[i + 1]}${edges ? " Hz" : ""}: ${value} ${unit}`));
    svg.append(bar);
  });
  return svg;
}
