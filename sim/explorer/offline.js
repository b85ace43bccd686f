"use strict";
// Moves between the runs of a sweep. The address behind '#' holds the setting, so a link or a reload restores it.
const data = JSON.parse(document.getElementById("data").textContent);
const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#8a5a00", "#56B4E9", "#222222"];
const DASHES = ["", "8 5", "10 4 2 4", "2 4"];
const byId = (id) => document.getElementById(id);
const here = { at: data.keys.map((key) => Math.floor((key.values.length - 1) / 2)), playbook: 0 };
let held = null;

function element(name, attributes, text) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function cell(setting) {
  return data.cells[[...setting.at, setting.playbook].join(",")];
}

function named(setting) {
  const parts = data.keys.map((key, k) => `${key.name} ${key.values[setting.at[k]]}`);
  return [...(data.playbooks.length > 1 ? [`'${data.playbooks[setting.playbook]}'`] : []), ...parts].join(", ");
}

function build() {
  const form = byId("settings");
  data.keys.forEach((key, k) => {
    const box = element("div");
    box.append(element("label", { for: `key-${k}` }, key.name), element("output", { id: `value-${k}`, for: `key-${k}` }));
    const slider = element("input", { type: "range", id: `key-${k}`, min: 0, max: key.values.length - 1, step: 1 });
    slider.addEventListener("input", () => { here.at[k] = Number(slider.value); changed(); });
    box.append(slider);
    form.append(box);
    byId("axis").append(element("option", { value: k }, key.name));
  });
  const box = element("div"), select = element("select", { id: "playbook" });
  data.playbooks.forEach((name, n) => select.append(element("option", { value: n }, name)));
  select.addEventListener("change", () => { here.playbook = Number(select.value); changed(); });
  box.append(element("label", { for: "playbook" }, "playbook"), select);
  form.append(box);
  form.addEventListener("submit", (event) => event.preventDefault());
  data.figures.forEach((figure, f) => byId("figure").append(element("option", { value: f }, figure.title)));
  for (const id of ["figure", "axis"]) byId(id).addEventListener("change", draw);
  byId("hold").addEventListener("click", () => { held = { at: [...here.at], playbook: here.playbook }; show(); });
  byId("drop").addEventListener("click", () => { held = null; show(); });
}

function changed() {
  const parts = data.keys.map((key, k) => `${encodeURIComponent(key.name)}=${encodeURIComponent(key.values[here.at[k]])}`);
  parts.push(`playbook=${encodeURIComponent(data.playbooks[here.playbook])}`);
  history.replaceState(null, "", `#${parts.join("&")}`);
  show();
}

function decoded(text) {
  try { return decodeURIComponent(text.replace(/\+/g, " ")); } catch { return text; }
}

function restore() {
  const problems = [];
  for (const part of location.hash.slice(1).split("&").filter(Boolean)) {
    const cut = part.indexOf("="), name = decoded(cut < 0 ? part : part.slice(0, cut)), value = cut < 0 ? "" : decoded(part.slice(cut + 1));
    const k = data.keys.findIndex((key) => key.name === name);
    const values = k >= 0 ? data.keys[k].values : name === "playbook" ? data.playbooks : null;
    if (values === null) { problems.push(`'${name}' in the address is no setting of this page.`); continue; }
    const place = values.indexOf(value);
    if (place < 0) problems.push(`${name} '${value}' in the address was not simulated; there are ${values.join(", ")}.`);
    else if (k >= 0) here.at[k] = place;
    else here.playbook = place;
  }
  byId("problems").replaceChildren(...problems.map((text) => element("p", {}, text)));
  byId("problems").hidden = problems.length === 0;
  show();
}

function said(setting) {
  const found = cell(setting);
  if (!found) return "This setting was not simulated: the sweep was interrupted before it.";
  const place = data.figures.findIndex((figure) => figure.column === "attainment");
  const inTime = place < 0 ? "" : ` ${found[place + 1][1]} of all requests get an image in time.`;
  const [alive, of] = found[0].split(" of ").map(Number);
  const life = of === 1 ? (alive ? "ALIVE" : "NOT ALIVE") : alive === of ? `ALIVE in all ${of} runs` : alive ? `ALIVE in ${found[0]} runs` : `NOT ALIVE in any of ${of} runs`;
  return `${life} under ${named(setting)}.${inTime}`;
}

function show() {
  data.keys.forEach((key, k) => {
    const slider = byId(`key-${k}`);
    slider.value = here.at[k];
    slider.setAttribute("aria-valuetext", key.values[here.at[k]]);
    byId(`value-${k}`).textContent = ` ${key.values[here.at[k]]}`;
  });
  byId("playbook").value = here.playbook;
  byId("said").replaceChildren(element("p", {}, said(here)), ...(held ? [element("p", {}, `Held: ${said(held)}`)] : []));
  byId("drop").hidden = held === null;
  const head = element("tr"), body = element("tbody"), mine = cell(here), theirs = held && cell(held);
  for (const name of ["figure", "this setting", ...(held ? ["held", "difference"] : [])]) head.append(element("th", { scope: "col", class: name === "figure" ? "" : "n" }, name));
  data.figures.forEach((figure, f) => {
    const row = element("tr");
    row.append(element("th", { scope: "row" }, figure.title));
    for (const found of [mine, ...(held ? [theirs] : [])]) {
      const [, text, bounds] = found ? found[f + 1] : [null, "not simulated", ""];
      row.append(element("td", { class: "n" }, bounds ? `${text}\n(${bounds})` : text));
    }
    if (held) row.append(element("td", { class: "n" }, difference(figure, mine && mine[f + 1][0], theirs && theirs[f + 1][0])));
    body.append(row);
  });
  const top = element("thead");
  top.append(head);
  byId("table").replaceChildren(top, body);
  const intervals = Object.values(data.cells).some((found) => found.slice(1).some((one) => one[2]));
  byId("note").textContent = (intervals ? "In brackets: 95 % intervals over seeds, which cover chance alone. " : "") + (held ? `Held: ${named(held)}. Both settings have the same seeds, so the same people where they have the same demand.` : "");
  draw();
}

function difference(figure, mine, theirs) {
  if (mine === null || theirs === null || mine === undefined || theirs === undefined) return "not known";
  const gap = mine - theirs;
  if (gap === 0) return "same";
  if (figure.unit === "share") return `${signed(100 * gap)} points`;
  if (figure.unit === "seconds") {
    const [size, unit] = [[86400, "days"], [3600, "h"], [60, "min"], [0, "s"]].find((one) => Math.abs(gap) >= 2 * one[0]);
    return `${signed(gap / (size || 1))} ${unit}`;
  }
  return figure.unit === "dollars" ? `${gap < 0 ? "-" : "+"}$${short(Math.abs(gap))}` : signed(gap);
}

const signed = (number) => (number > 0 ? "+" : "-") + short(Math.abs(number));

function short(number) {
  for (const [size, suffix] of [[1e9, " bn"], [1e6, " M"], [1e3, " k"]]) if (number >= size) return three(number / size) + suffix;
  return three(number);
}

const three = (number) => String(Number(number.toPrecision(3)));

function ticks(low, high) {
  const size = 10 ** Math.floor(Math.log10((high - low) / 4 || 1));
  const step = [1, 2, 5, 10].map((times) => times * size).find((one) => (high - low) / one <= 5);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high + step / 1e6; at += 1) found.push(at * step);
  return found;
}

function svg(name, attributes, text) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

function draw() {
  const f = Number(byId("figure").value), k = Number(byId("axis").value), figure = data.figures[f], key = data.keys[k];
  const narrow = window.innerWidth < 640, wide = 800, high = narrow ? 560 : 380, left = narrow ? 110 : 80, bottom = high - (narrow ? 75 : 50);
  const percent = figure.unit === "share" ? 100 : 1, known = data.numbers[k].length > 0;
  const x = known ? data.numbers[k] : key.values.map((_, n) => n);
  const lines = data.playbooks.map((name, playbook) => ({
    name,
    points: key.values.map((_, n) => {
      const found = cell({ at: here.at.map((at, other) => (other === k ? n : at)), playbook });
      return found && found[f + 1][0] !== null ? [x[n], percent * found[f + 1][0]] : null;
    }),
  }));
  const values = lines.flatMap((line) => line.points.filter(Boolean).map((point) => point[1]));
  if (!values.length) {
    byId("curve").replaceChildren(element("p", { class: "soft" }, "This figure is not known along this setting."));
    byId("caption").textContent = "";
    return;
  }
  const low = Math.min(0, ...values), top = percent === 100 && figure.column !== "margin" ? 100 : Math.max(...values, low + 1e-9) * 1.05;
  const [first, last] = [Math.min(...x), Math.max(...x)];
  const right = wide - 20, px = (value) => left + (last > first ? (value - first) / (last - first) : 0.5) * (right - left);
  const py = (value) => bottom - ((value - low) / (top - low)) * (bottom - 20);
  const drawn = svg("svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-labelledby": "caption" });
  for (const value of ticks(low, top)) {
    drawn.append(svg("line", { x1: left, x2: right, y1: py(value), y2: py(value), stroke: "#dde1e6" }));
    const text = (value < 0 ? "-" : "") + (figure.unit === "dollars" ? "$" : "") + short(Math.abs(value)) + (percent === 100 ? " %" : figure.unit === "seconds" ? " s" : "");
    drawn.append(svg("text", { x: left - 8, y: py(value) + 5, "text-anchor": "end" }, text));
  }
  const most = narrow ? 4 : 8, step = Math.ceil(x.length / most);
  key.values.forEach((value, n) => { if (n % step === 0) drawn.append(svg("text", { x: px(x[n]), y: bottom + 24, "text-anchor": "middle" }, value)); });
  drawn.append(svg("text", { x: (left + right) / 2, y: high - 6, "text-anchor": "middle" }, key.name));
  drawn.append(svg("line", { x1: px(x[here.at[k]]), x2: px(x[here.at[k]]), y1: 20, y2: bottom, stroke: "#5b6570", "stroke-dasharray": "3 3" }));
  lines.forEach((line, n) => {
    const chosen = n === here.playbook, colour = COLOURS[n % COLOURS.length];
    const runs = line.points.reduce((found, point) => { if (point) found[found.length - 1].push(point); else found.push([]); return found; }, [[]]);
    for (const run of runs) {
      const path = run.map((point, i) => `${i ? "L" : "M"}${px(point[0]).toFixed(1)} ${py(point[1]).toFixed(1)}`).join(" ");
      if (path) drawn.append(svg("path", { d: path, fill: "none", stroke: colour, "stroke-width": chosen ? 3.5 : 1.5, "stroke-dasharray": DASHES[n % DASHES.length] }));
      for (const point of run) drawn.append(svg("circle", { cx: px(point[0]), cy: py(point[1]), r: chosen ? 4.5 : 2.5, fill: colour }));
    }
  });
  byId("curve").replaceChildren(drawn, legend());
  byId("caption").textContent = `${figure.title} along ${key.name}, everything else as set above; each dot was simulated, and lines only lead the eye. The dashed vertical is the setting above.`;
}

function legend() {
  const list = element("div", { class: "bar soft" });
  data.playbooks.forEach((name, n) => {
    const mark = svg("svg", { width: 34, height: 10, "aria-hidden": "true" });
    mark.append(svg("line", { x1: 0, x2: 34, y1: 5, y2: 5, stroke: COLOURS[n % COLOURS.length], "stroke-width": n === here.playbook ? 3.5 : 1.5, "stroke-dasharray": DASHES[n % DASHES.length] }));
    const entry = element("span");
    mark.setAttribute("style", "width: 34px; display: inline-block; vertical-align: middle; margin-right: .35rem");
    entry.append(mark, n === here.playbook ? element("strong", {}, name) : name);
    list.append(entry);
  });
  return list;
}

build();
restore();
window.addEventListener("hashchange", restore);
window.addEventListener("resize", draw);
