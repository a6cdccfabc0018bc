// Live curves. Asks for the points after its cursors and hands them to Plotly in place, so that zoom and hover survive.
const LIGHT = ["#0f766e", "#b45309", "#4f46e5", "#be185d", "#0369a1", "#4d7c0f", "#7c3aed", "#475569"];
const DARK = ["#2dd4bf", "#fbbf24", "#a5b4fc", "#f472b6", "#38bdf8", "#a3e635", "#c4b5fd", "#cbd5e1"];
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "2px,2px", "9px,3px,2px,3px"];
const SIGNS = { changed: "◆", warned: "▲", "rolled back": "↶" };
// Points appended since the server last thinned the curve; above it, the whole curve is asked for anew.
const MOST_APPENDED = 3000;
const LIVE = new Set(["running", "paused", "queued"]);

const catalog = new Map(props.metrics.map((metric) => [metric.key, metric]));
const legend = make("div", "curves-legend"), grid = make("div", "curves-grid"), story = make("section", "curves-story");
const more = make("details", "curves-more"), moreGrid = make("div", "curves-grid");
more.append(make("summary", "", "More curves"), moreGrid);
more.hidden = legend.hidden = story.hidden = true;
fill(root, legend, grid, more, story);

let Plotly = null, chosen = [], runs = [], cards = new Map(), held = new Map(), marks = [], zoom = null, answer = 0;

function loadPlotly() {
  window.labPlotly ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = `${window.lab.root()}/gradio_api/file=${props.plotly}`;
    script.onload = () => done(window.Plotly);
    script.onerror = () => failed(new Error("The plotting library could not be loaded from the app."));
    document.head.append(script);
  });
  return window.labPlotly;
}

// --- the look -------------------------------------------------------------------------------------------------------
const isDark = () => document.body.classList.contains("dark");
const css = (name) => getComputedStyle(document.querySelector(".gradio-container") ?? document.body).getPropertyValue(name).trim();
const colour = (index) => (isDark() ? DARK : LIGHT)[index % LIGHT.length];
// Plotly reads a little markup in labels: what people typed must not become any.
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

function layout(card) {
  const ink = css("--body-text-color-subdued"), line = css("--border-color-primary");
  const axis = { gridcolor: line, zeroline: false, linecolor: line, tickfont: { size: 11 }, automargin: true };
  const format = { share: { tickformat: ".3~%" }, seconds: { ticksuffix: " s" }, bytes: { tickformat: ".3~s", ticksuffix: "B" } };
  return {
    height: 168, margin: { l: 40, r: 8, t: 14, b: 24 }, showlegend: false, uirevision: "kept", hovermode: "x", dragmode: touch ? false : "zoom",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: 11, family: css("--font") || "sans-serif" },
    hoverlabel: { bgcolor: css("--background-fill-primary"), bordercolor: line, font: { color: css("--body-text-color"), size: 12 } },
    xaxis: { ...axis, showgrid: false, tickformat: "d", nticks: 6, ...(zoom ? { range: [...zoom], autorange: false } : { autorange: true }) },
    yaxis: { ...axis, nticks: 5, tickformat: ".3~g", fixedrange: true, ...format[card.metric.unit] },
    shapes: [], annotations: [],
  };
}
const touch = matchMedia("(pointer: coarse)").matches;

function traces(card) {
  const several = runs.length > 1, share = card.metric.unit === "share";
  const value = share ? "%{y:.3p}" : "%{y:.3~g}", unit = share || ["", "bytes"].includes(card.metric.unit) ? "" : ` ${plain(card.metric.unit)}`;
  return runs.flatMap((run, index) => {
    const line = { color: colour(index), width: 2.2, dash: several ? DASHES[index % DASHES.length] : "solid" };
    const name = several ? plain(run.title).replaceAll("%", "&#37;").slice(0, 40) : "";
    const text = `${name ? `${name}: ` : ""}${value}${unit}<extra></extra>`;
    return [
      { x: [], y: [], mode: "lines+markers", marker: { size: 4 }, visible: !several, opacity: 0.35, line: { ...line, width: 1 }, hovertemplate: `step %{x}: ${text}` },
      { x: [], y: [], mode: "lines", line, hovertemplate: several ? `step %{x}: ${text}` : undefined, hoverinfo: several ? undefined : "skip" },
    ];
  });
}

// --- cards ----------------------------------------------------------------------------------------------------------
function newCard(key) {
  const metric = catalog.get(key), node = make("section", "curve"), head = make("header", "curve-head");
  const title = make("h3", "curve-title", metric.title), value = make("b", "curve-value", "–"), note = make("span", "curve-note");
  const plot = make("div", "curve-plot"), said = make("span", "lab-unseen");
  title.id = newId("curve");
  node.setAttribute("aria-labelledby", title.id);
  plot.tabIndex = 0;
  plot.setAttribute("role", "img");
  said.setAttribute("aria-live", "polite");
  fill(head, title, help(metric.title, metric.meaning, range(metric), metric.source && `How it is measured: ${metric.source}.`), note, value);
  fill(node, head, plot, said);
  const card = { key, metric, node, plot, value, note, said, band: "", appended: 0, at: -1, ready: false };
  plot.addEventListener("keydown", (event) => walk(card, event));
  return card;
}

function range({ low, high, unit }) {
  if (low === null && high === null) return "";
  if (low === null) return `Healthy: at most ${number(high, unit)}.`;
  return high === null ? `Healthy: at least ${number(low, unit)}.` : `Healthy: ${number(low, unit).split(" ")[0]} to ${number(high, unit)}.`;
}

// Cards stand in the glossary's order, those shown by default in the open.
function place(card) {
  const holder = card.metric.shown ? grid : moreGrid, order = [...catalog.keys()];
  const after = [...holder.children].find((node) => order.indexOf(node.dataset.key) > order.indexOf(card.key));
  card.node.dataset.key = card.key;
  holder.insertBefore(card.node, after ?? null);
  more.hidden = !moreGrid.children.length;
}

async function draw(card) {
  await Plotly.newPlot(card.plot, traces(card), layout(card), { displayModeBar: false, doubleClick: "reset", responsive: false });
  card.plot.on("plotly_relayout", (change) => onZoom(card, change));
  card.ready = true;
}

// Arrow keys walk along the curve, so that values can be read without a mouse.
function walk(card, event) {
  const x = card.plot.data?.[0]?.x ?? [], move = { ArrowLeft: -1, ArrowRight: 1, Home: -x.length, End: x.length }[event.key];
  if (!move || !x.length) return;
  event.preventDefault();
  card.at = Math.min(x.length - 1, Math.max(0, (card.at < 0 ? x.length - 1 : card.at) + move));
  const shown = runs.map((_, index) => ({ curveNumber: 2 * index + (runs.length > 1 ? 1 : 0), pointNumber: card.at }));
  Plotly.Fx.hover(card.plot, shown.slice(0, 1));
  write(card.said, `Step ${x[card.at]}: ${number(card.plot.data[0].y[card.at], card.metric.unit)}`);
}

// --- what came from the server --------------------------------------------------------------------------------------
function wanted() {
  const open = more.open || chosen.length > 1;
  return props.metrics.filter((metric) => metric.shown || open || more.hidden).map((metric) => metric.key);
}

async function look() {
  const asked = ++answer;
  const have = Object.fromEntries([...held].map(([name, mine]) => [name, [mine.generation, mine.count, mine.marks]]));
  const found = await post("curves", { stage: props.stage, runs: chosen, keys: wanted(), have, window: zoom });
  if (asked !== answer) return 0;
  if (found.runs.map((run) => run.name).join() !== runs.map((run) => run.name).join()) {
    forget();
    runs = found.runs;
    if (held.size) return 0;
  }
  runs = found.runs;
  showLegend();
  for (const [index, run] of runs.entries()) await take(run, index);
  for (const card of cards.values()) await settle(card);
  root.dataset.steps = runs.map((run) => run.count).join();
  return runs.some((run) => LIVE.has(run.status)) ? 220 : 1500;
}

function forget() {
  for (const card of cards.values()) {
    if (card.ready) Plotly.purge(card.plot);
    card.node.remove();
  }
  cards = new Map();
  held = new Map();
  marks = [];
  more.hidden = true;
  fill(story);
  story.hidden = true;
}

async function take(run, index) {
  const mine = held.get(run.name), fresh = !mine || mine.generation !== run.generation || run.from !== mine.count;
  if (fresh) marks = marks.filter((mark) => mark.run !== run.name);
  for (const [key, curve] of Object.entries(run.curves)) {
    if (!curve.x.length && !cards.has(key)) continue;
    if (!cards.has(key)) {
      const card = newCard(key);
      cards.set(key, card);
      place(card);
      await draw(card);
    }
    const card = cards.get(key), smoothX = curve.smooth_x.length ? curve.smooth_x : curve.x;
    if (fresh) await replace(card, index, curve, smoothX);
    else if (curve.x.length) {
      await Plotly.extendTraces(card.plot, { x: [curve.x, smoothX], y: [curve.y, curve.smooth] }, [2 * index, 2 * index + 1]);
      card.appended += curve.x.length;
    }
    if (curve.x.length) card.last = curve.y.at(-1);
  }
  if (run.marks.length || fresh) {
    marks.push(...run.marks.map((mark) => ({ ...mark, run: run.name })));
    for (const card of cards.values()) card.band = "";
    tellStory();
  }
  const tooMany = [...cards.values()].some((card) => card.appended > MOST_APPENDED);
  held.set(run.name, { generation: tooMany ? -1 : run.generation, count: run.count, marks: run.marks_count, thinned: run.thinned || mine?.thinned });
}

async function replace(card, index, curve, smoothX) {
  const data = card.plot.data;
  Object.assign(data[2 * index], { x: curve.x, y: curve.y });
  Object.assign(data[2 * index + 1], { x: [...smoothX], y: curve.smooth });
  card.appended = 0;
  card.at = -1;
  await Plotly.react(card.plot, data, card.plot.layout);
}

// The band and the marks hang on what can be seen of the axis; a band beyond it would stretch the axis and flatten the curve.
async function settle(card) {
  if (!card.ready) return;
  const [low, high] = card.plot.layout.yaxis.range, few = card.plot.data[0].x.length < 25;
  const state = [low, high, marks.length, few, isDark()].join();
  if (state !== card.band) {
    card.band = state;
    if ((card.plot.data[0].mode === "lines") === few) await Plotly.restyle(card.plot, { mode: few ? "lines+markers" : "lines" }, runs.map((_, i) => 2 * i));
    await Plotly.relayout(card.plot, { shapes: [...bandShape(card, low, high), ...marks.map(markShape)], annotations: signs() });
  }
  label(card);
}

function bandShape({ metric }, bottom, top) {
  if (metric.low === null && metric.high === null) return [];
  const inset = (top - bottom) * 1e-6;
  const y0 = Math.max(metric.low ?? bottom, bottom + inset), y1 = Math.min(metric.high ?? top, top - inset);
  if (y1 <= y0) return [];
  const fillcolor = isDark() ? "rgba(45,212,191,0.10)" : "rgba(15,118,110,0.08)";
  return [{ type: "rect", layer: "below", xref: "paper", x0: 0, x1: 1, y0, y1, fillcolor, line: { width: 0 } }];
}

function markShape(mark) {
  const warned = mark.kind === "warned";
  const line = { width: 1, color: warned ? (isDark() ? "#fbbf24" : "#b45309") : css("--body-text-color-subdued"), dash: warned ? "solid" : "dot" };
  return { type: "line", xref: "x", yref: "paper", x0: mark.step, x1: mark.step, y0: 0, y1: 1, line };
}

function signs() {
  const at = Map.groupBy(marks, (mark) => mark.step);
  return [...at].map(([step, there]) => ({
    x: step, y: 1, yref: "paper", yanchor: "bottom", showarrow: false, text: [...new Set(there.map((mark) => SIGNS[mark.kind]))].join(""),
    font: { size: 10, color: css("--body-text-color") }, hovertext: there.map((mark) => plain(words(mark)).slice(0, 160)).join("<br>"),
  }));
}

const words = (mark) => (mark.kind === "changed" ? `${mark.by || "Somebody"} moved ${mark.words}` : mark.words);

function label(card) {
  const { metric, last } = card, single = runs.length === 1;
  const low = single && metric.low !== null && last < metric.low, high = single && metric.high !== null && last > metric.high;
  write(card.value, single ? number(last, metric.unit) : "");
  write(card.note, low ? "below healthy" : high ? "above healthy" : "");
  card.node.classList.toggle("is-off", low || high);
  const about = `${metric.title}: ${single ? `${number(last, metric.unit)} at step ${runs[0].step}` : `${runs.length} runs`}. ${range(metric)} Arrow keys read the points.`;
  if (card.plot.getAttribute("aria-label") !== about) card.plot.setAttribute("aria-label", about);
}

function showLegend() {
  legend.hidden = runs.length < 2;
  const key = legend.hidden ? "" : runs.map((run) => run.name + run.title).join() + isDark();
  if (legend.dataset.key === key) return;
  legend.dataset.key = key;
  fill(legend, legend.hidden ? [] : runs.map((run, index) => {
    const line = document.createElementNS("http://www.w3.org/2000/svg", "svg"), path = document.createElementNS("http://www.w3.org/2000/svg", "line");
    const gaps = { solid: "", dash: "8 5", dot: "2 4", dashdot: "8 4 2 4", longdash: "14 5", longdashdot: "14 4 2 4" };
    for (const [name, set] of Object.entries({ x1: 0, y1: 6, x2: 44, y2: 6, stroke: colour(index), "stroke-width": 2.5 })) path.setAttribute(name, set);
    path.setAttribute("stroke-dasharray", gaps[DASHES[index % 8]] ?? DASHES[index % 8].replaceAll("px", "").replaceAll(",", " "));
    line.setAttribute("width", 44);
    line.setAttribute("height", 12);
    line.setAttribute("aria-hidden", "true");
    line.append(path);
    return fill(make("span", "curves-run"), line, make("span", "", run.title));
  }));
}

// The marks once more as a list: for the keyboard, for screen readers, and for whoever wants to know who did what.
function tellStory() {
  story.hidden = !marks.length;
  if (story.hidden) return;
  const rows = [...marks].sort((a, b) => b.step - a.step).slice(0, 40).map((mark) => {
    const sign = make("span", "curves-sign", SIGNS[mark.kind]);
    sign.setAttribute("aria-hidden", "true");
    return fill(make("li", `is-${mark.kind.split(" ")[0]}`), sign, make("span", "curves-step", `step ${mark.step}`), make("span", "", words(mark)));
  });
  const list = fill(make("ol", ""), rows);
  fill(story, make("h3", "", "Marks on the curves"), list);
}

// --- zoom: one range for all cards, and finer points inside it when the curve had been thinned ------------------------
function onZoom(card, change) {
  const reset = change["xaxis.autorange"], from = change["xaxis.range[0]"] ?? change["xaxis.range"]?.[0];
  if (!reset && from === undefined) return;
  const range = reset ? null : [...card.plot.layout.xaxis.range];
  if (String(range) === String(zoom)) return;
  zoom = range;
  for (const other of cards.values()) {
    if (other !== card && other.ready) Plotly.relayout(other.plot, zoom ? { "xaxis.range": [...zoom] } : { "xaxis.autorange": true });
  }
  if ([...held.values()].some((mine) => mine.thinned)) {
    for (const mine of held.values()) mine.generation = -1;
    round?.();
  }
}

function repaintAll() {
  legend.dataset.key = "?";
  showLegend();
  for (const card of cards.values()) {
    if (!card.ready) continue;
    const fresh = layout(card);
    const paint = traces(card).map((trace) => trace.line.color);
    Plotly.restyle(card.plot, { "line.color": paint });
    Plotly.relayout(card.plot, { font: fresh.font, hoverlabel: fresh.hoverlabel, "xaxis.linecolor": fresh.xaxis.linecolor, "yaxis.linecolor": fresh.yaxis.linecolor, "yaxis.gridcolor": fresh.yaxis.gridcolor });
    card.band = "";
    settle(card);
  }
}

let round = null;
onChoice(props.page, (names) => {
  if (names.join() === chosen.join()) return;
  chosen = names;
  zoom = null;
  answer += 1;
  held = new Map();
  round?.();
});
more.addEventListener("toggle", () => {
  for (const mine of held.values()) mine.generation = -1;
  round?.();
});
loadPlotly().then((loaded) => {
  Plotly = loaded;
  round = poll(look);
  new ResizeObserver(() => cards.forEach((card) => card.ready && card.plot.offsetWidth && Plotly.Plots.resize(card.plot))).observe(root);
  new MutationObserver(repaintAll).observe(document.body, { attributes: true, attributeFilter: ["class"] });
}, (error) => fill(root, make("p", "lab-told is-bad", error.message)));
