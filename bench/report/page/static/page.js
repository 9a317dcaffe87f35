"use strict";
// Everything from a record is text: it is set as textContent, never as markup.

// All of a text can be seen: marks of direction and other controls are written as their numbers.
const visible = (text) => text.replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu, (c) => c === "\n" ? c : `\\u{${c.codePointAt(0).toString(16)}}`);

const darkness = matchMedia("(prefers-color-scheme: dark)");
const shade = () => document.documentElement.classList.toggle("dark", darkness.matches); // what DataTables looks at
shade();
const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
}

function script(source) {
  return new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = source;
    element.onload = resolve;
    element.onerror = () => reject(new Error(`${source} cannot be loaded`));
    document.head.append(element);
  });
}

// Packed files call this with what they hold.
const packed = {};
window.distillbench = (name, text) => { packed[name] = text; };

let library;
function plotly() {
  library ??= (async () => {
    await script("assets/plotly.packed.js");
    const source = await (await unpacked(packed.plotly)).blob();
    await script(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
    return window.Plotly;
  })();
  return library;
}

async function draw(figure) {
  const place = figure.querySelector(".plot");
  const { data, layout } = JSON.parse(figure.querySelector("script").textContent);
  const ink = style("--ink"), line = style("--line");
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line };
  for (const trace of data) {
    if (darkness.matches && trace.name === "teacher") {
      for (const part of ["line", "marker", "error_x", "error_y"]) if (trace[part]) trace[part].color = "#fff";
    }
  }
  const whole = {
    ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: 12 },
    xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
    legend: { orientation: "h", y: -0.25 },
  };
  const Plotly = await plotly();
  place.replaceChildren();
  await Plotly.newPlot(place, data, whole, { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] });
}

const visibility = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    visibility.unobserve(entry.target);
    draw(entry.target);
  }
}, { rootMargin: "400px" });
for (const figure of document.querySelectorAll("figure.chart")) visibility.observe(figure);
darkness.addEventListener("change", () => {
  shade();
  for (const figure of document.querySelectorAll("figure.chart:has(.js-plotly-plot)")) draw(figure);
});

for (const table of document.querySelectorAll("table.sortable")) {
  const long = table.tBodies[0].rows.length > 25;
  const sections = table.tHead.rows[0].cells[0].hidden; // the first column numbers them: rows are sorted within theirs
  const shown = new window.distillbenchTables.default(table, {
    paging: long, info: long, searching: true, order: [], autoWidth: false, pageLength: 25,
    ...(sections ? { columnDefs: [{ targets: 0, visible: false, searchable: false }], orderFixed: { pre: [[0, "asc"]] } } : {}),
    layout: { topStart: "search", topEnd: long ? "pageLength" : null }, // the end of a wide table may be out of sight
    language: { search: "Search" },
  });
  // DataTables would tell the direction of the first column, which is fixed.
  if (sections) shown.on("draw", () => {
    const direction = shown.order()[0]?.[1] === "desc" ? "descending" : "ascending";
    for (const heading of table.tHead.querySelectorAll("[aria-sort]")) heading.setAttribute("aria-sort", direction);
  });
  filters(table, shown);
}

// A choice for each column that asks for one: its heading has data-filter.
function filters(table, shown) {
  const bar = element("div");
  bar.className = "filters";
  for (const heading of table.tHead.querySelectorAll("[data-filter]")) {
    const column = shown.column(heading);
    const texts = column.nodes().toArray().map((cell) => cell.textContent); // nothing is sorted yet: by row
    const values = [...new Set(texts)].sort();
    if (values.length < 2) continue;
    const select = element("select", undefined, element("option", "all"), ...values.map((value) => element("option", value)));
    select.options[0].value = "";
    select.addEventListener("change", () => {
      const choice = values[select.selectedIndex - 1];
      column.search.fixed("choice", choice === undefined ? null : (text, row, index) => texts[index] === choice);
      shown.draw();
    });
    bar.append(element("label", `${heading.textContent} `, select));
  }
  if (bar.children.length) table.closest(".dt-container").before(bar);
}

function element(name, text, ...children) {
  const created = document.createElement(name);
  if (text !== undefined) created.textContent = visible(text);
  created.append(...children);
  return created;
}

function pairsTable(caption, entries) {
  const table = element("table");
  const body = table.createTBody();
  for (const [name, value] of entries) {
    const row = body.insertRow();
    const head = element("th", name);
    head.scope = "row";
    row.append(head, element("td", value));
  }
  return element("section", undefined, element("h2", caption), table);
}

function flat(value, path = "") {
  if (value === null || typeof value !== "object") return [[path, String(value)]];
  if (Array.isArray(value) && value.every((v) => v === null || typeof v !== "object")) return [[path, value.join(", ")]];
  return Object.entries(value).flatMap(([key, inner]) => flat(inner, path ? `${path}.${key}` : key));
}

function saved(name, text) {
  const link = element("a", name);
  link.href = URL.createObjectURL(new Blob([text], { type: "application/octet-stream" }));
  link.download = name;
  return element("p", undefined, link);
}

const over = (intervals, metric, m) => Object.hasOwn(intervals, metric) ? ` ± ${intervals[metric].toFixed(m.decimals)}` : "";

async function cell(place) {
  const name = decodeURIComponent(location.hash.slice(1));
  const files = JSON.parse(place.dataset.files);
  const [, file] = Object.entries(files).find(([group]) => name.startsWith(`${group}/`)) ?? [];
  document.getElementById("cell-name").textContent = visible(name) || "A cell";
  if (file !== undefined && !(file in packed)) await script(`data/${file}.js`);
  const cells = file === undefined ? {} : await (await unpacked(packed[file])).json();
  if (!Object.hasOwn(cells, name)) return place.replaceChildren(element("p", "This page has no such cell."));
  const { record, suite, intervals } = cells[name];
  const parts = [];
  const metrics = Object.entries(record.metrics).map(([metric, m]) =>
    [metric.replaceAll("_", " "), `${m.value.toFixed(m.decimals)}${over(intervals, metric, m)} ${m.unit} (${m.direction} is better)`]);
  if (record.failure) parts.push(element("p", `failed: ${record.failure.reason}`));
  if (metrics.length) parts.push(pairsTable("Metrics", metrics), element("p", `This seed alone; ±: 95% interval over its ${record.example_names.length} test examples, for metrics with per-example results.`));
  if (record.training) parts.push(pairsTable("Training", flat(record.training)));
  if (record.size) parts.push(pairsTable("Size of the deployed network", flat(record.size)));
  parts.push(
    pairsTable("Configuration", flat(record.config)), pairsTable("Environment", flat(record.environment)),
    element("h2", "Record"), saved(`${name.replaceAll("/", "--")}.json`, `${JSON.stringify(record, null, 1)}\n`),
    element("h2", "Reproduce"), element("pre", "distillbench run again.toml --out again"), saved("again.toml", suite),
    element("pre", suite),
  );
  place.replaceChildren(...parts);
}

const place = document.getElementById("cell");
if (place) {
  cell(place);
  addEventListener("hashchange", () => cell(place));
}
