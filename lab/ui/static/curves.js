// Live curves. Asks for the points after its cursors and hands them to Plotly in place, so that zoom and hover survive.
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "2px,2px", "9px,3px,2px,3px"];
const SIGNS = { changed: "◆", followed: "★", warned: "▲", "rolled back": "↶" };
// A warning that comes back within so many steps is the same one: marked where it began, counted in the list.
const NEAR = 15;
// Points appended since the server last thinned the curve; above it, the whole curve is asked for anew.
const MOST_APPENDED = 3000;
const MEAN = "The number is where the bold line ends: the mean of about the last six steps. The thin line is each step by itself.";
const LIVE = new Set(["running", "paused", "queued"]);

const catalog = new Map(props.metrics.map((metric) => [metric.key, metric]));
const legend = make("div", "curves-legend"), grid = make("div", "curves-grid"), story = make("section", "curves-story");
const more = make("details", "curves-more"), moreGrid = make("div", "curves-grid");
more.append(make("summary", "", "More curves"), moreGrid);
more.hidden = legend.hidden = story.hidden = true;
fill(root, legend, grid, more, story);

let Plotly = null, chosen = [], runs = [], cards = new Map(), held = new Map(), marks = [], zoom = null, answer = 0;

// --- the look -------------------------------------------------------------------------------------------------------
const touch = matchMedia("(pointer: coarse)").matches;
// As many digits as tell the ticks apart, which Plotly knows where it is given no format; of a share it is told enough. Memory hardly
// moves: from nothing up, or three digits would name five ticks alike.
const FORMATS = { share: { tickformat: ".5~%" }, seconds: { ticksuffix: " s" }, bytes: { tickformat: ".3~s", ticksuffix: "B", rangemode: "tozero" } };

function layout(card) {
  const made = baseLayout(168);
  Object.assign(made, { uirevision: "kept", dragmode: touch ? false : "zoom" });
  Object.assign(made.xaxis, { tickformat: "d", nticks: 6, ...(zoom ? { range: [...zoom], autorange: false } : { autorange: true }) });
  Object.assign(made.yaxis, { nticks: 5, separatethousands: true, exponentformat: "none", fixedrange: true, ...FORMATS[card.metric.unit] });
  return made;
}

function traces(card) {
  const several = runs.length > 1, share = card.metric.unit === "share";
  const value = share ? "%{y:.3p}" : "%{y:,.3~r}", unit = share || ["", "bytes"].includes(card.metric.unit) ? "" : ` ${plain(card.metric.unit)}`;
  return runs.flatMap((run, index) => {
    const line = { color: colour(index), width: 2.2, dash: several ? DASHES[index % DASHES.length] : "solid" };
    const name = several ? plain(run.title).replaceAll("%", "&#37;") : "";
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
  fill(head, title, help(metric.title, metric.meaning, range(metric), metric.source && `How it is measured: ${metric.source}.`, !metric.exact && MEAN), note, value);
  fill(node, head, plot, said);
  const card = { key, metric, node, plot, value, note, said, extents: [], appended: 0, at: -1 };
  plot.addEventListener("keydown", (event) => walk(card, event));
  return card;
}

function range({ low, high, unit }) {
  if (low === null && high === null) return "";
  if (low === null) return `Healthy: at most ${number(high, unit)}.`;
  return high === null ? `Healthy: at least ${number(low, unit)}.` : `Healthy: ${number(low, unit).split(" ")[0]} to ${number(high, unit)}.`;
}

const drawnCards = () => [...cards.values()].filter((card) => card.plot.data);

// Cards stand in the glossary's order, those shown by default in the open.
function place(card) {
  const holder = card.metric.shown ? grid : moreGrid, order = [...catalog.keys()];
  const after = [...holder.children].find((node) => order.indexOf(node.dataset.key) > order.indexOf(card.key));
  card.node.dataset.key = card.key;
  cards.set(card.key, card);
  holder.insertBefore(card.node, after ?? null);
}

// Each card is watched by itself: a new card in the row makes its neighbours narrower while the page stays as wide.
const sized = new ResizeObserver((seen) => seen.forEach(({ target }) => {
  const card = cards.get(target.dataset.key);
  if (card?.plot.offsetWidth && card.plot.data) Plotly.Plots.resize(card.plot);
}));

async function draw(card, data) {
  const first = layout(card);
  decorate(card, first, data);
  await Plotly.newPlot(card.plot, data, first, { displayModeBar: false, doubleClick: "reset", responsive: false });
  card.plot.on("plotly_relayout", (change) => onZoom(card, change));
  sized.observe(card.node);
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
  return props.metrics.filter((metric) => metric.shown || more.open).map((metric) => metric.key);
}

async function look() {
  const asked = ++answer;
  const have = Object.fromEntries([...held].map(([name, mine]) => [name, [mine.generation, mine.count, mine.marks]]));
  const found = await post("curves", { stage: props.stage, runs: chosen, keys: wanted(), have, window: zoom });
  if (asked !== answer) return 0;
  if (found.runs.map((run) => run.name).join() !== runs.map((run) => run.name).join()) {
    const had = held.size;
    forget();
    runs = found.runs;
    if (had) return 0;
  }
  runs = found.runs;
  more.hidden = !runs.some((run) => run.measured.some((key) => catalog.has(key) && !catalog.get(key).shown));
  showLegend();
  const fresh = runs.map(isFresh), newMarks = takeMarks(fresh), there = wanted().filter((key) => cards.has(key) || runs.some((run) => run.curves[key]?.x.length));
  // All cards stand before the first is drawn: a card that came later would make those beside it narrower than their plots.
  for (const key of there.filter((key) => !cards.has(key))) place(newCard(key));
  for (const key of there) await update(key, fresh, newMarks);
  // While this answer was on its way, more was asked for than it holds: the next one brings the whole.
  if (asked !== answer) return 0;
  remember();
  root.dataset.steps = runs.map((run) => run.count).join();
  return runs.some((run) => LIVE.has(run.status)) ? 220 : 1500;
}

function forget() {
  for (const card of cards.values()) {
    Plotly.purge(card.plot);
    card.node.remove();
  }
  cards = new Map();
  held = new Map();
  marks = [];
  tellStory();
}

// Whether the answer holds the whole curve, or goes on where the page stands.
function isFresh(run) {
  const mine = held.get(run.name);
  return !mine || mine.generation !== run.generation || run.from !== mine.count;
}

function takeMarks(fresh) {
  if (!fresh.includes(true) && !runs.some((run) => run.marks.length)) return false;
  runs.forEach((run, index) => {
    if (fresh[index]) marks = marks.filter((mark) => mark.run !== run.name);
    marks.push(...run.marks.map((mark) => ({ ...mark, run: run.name })));
  });
  tellStory();
  return true;
}

function remember() {
  const tooMany = [...cards.values()].some((card) => card.appended > MOST_APPENDED);
  for (const run of runs) {
    const thinned = run.thinned || (!isFresh(run) && held.get(run.name).thinned);
    held.set(run.name, { generation: tooMany ? -1 : run.generation, count: run.count, marks: run.marks_count, thinned });
  }
}

// One drawing for each card that has something new, however many runs it shows.
async function update(key, fresh, newMarks) {
  const card = cards.get(key), drawn = Boolean(card.plot.data), found = runs.map((run) => run.curves[key]), data = card.plot.data ?? traces(card);
  const grown = found.map((curve, index) => (curve?.x.length && !fresh[index] && drawn ? index : -1)).filter((index) => index >= 0);
  const replaced = found.map((curve, index) => (curve && (fresh[index] || !drawn) ? index : -1)).filter((index) => index >= 0);
  for (const index of replaced) replace(card, data, index, found[index]);
  for (const index of grown) card.extents[index] = extent(found[index].y, card.extents[index]);
  found.forEach((curve) => { if (curve?.x.length) Object.assign(card, { last: curve.y.at(-1), mean: curve.smooth.at(-1) }); });
  if (!drawn) await draw(card, data);
  else if (grown.length || replaced.length || newMarks) {
    decorate(card, card.plot.layout, data, grown.map((index) => found[index].x.at(-1)));
    if (grown.length) await extend(card, found, grown);
    else await Plotly.redraw(card.plot);
  }
  label(card);
  await breathe();
}

function replace(card, data, index, curve) {
  const smoothX = curve.smooth_x.length ? curve.smooth_x : [...curve.x];
  Object.assign(data[2 * index], { x: curve.x, y: curve.y });
  Object.assign(data[2 * index + 1], { x: smoothX, y: curve.smooth });
  card.extents[index] = extent(curve.y);
  card.appended = 0;
  card.at = -1;
}

async function extend(card, found, grown) {
  const smoothX = (curve) => (curve.smooth_x.length ? curve.smooth_x : curve.x);
  const x = grown.flatMap((index) => [found[index].x, smoothX(found[index])]), y = grown.flatMap((index) => [found[index].y, found[index].smooth]);
  await Plotly.extendTraces(card.plot, { x, y }, grown.flatMap((index) => [2 * index, 2 * index + 1]));
  card.appended += x[0].length;
}

function extent(values, [low, high] = [Infinity, -Infinity]) {
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

// Lets the page answer between two drawings when they take long.
let breathed = performance.now();
async function breathe() {
  if (performance.now() - breathed < 24) return;
  await new Promise((done) => setTimeout(done));
  breathed = performance.now();
}

// Band and marks go into the layout before a drawing, so that each card is drawn once. The band ends where the axis will end: one
// that reached further would stretch the axis and flatten the curve.
function decorate(card, layout, data, coming = []) {
  const bounds = card.extents.filter(Boolean), low = Math.min(...bounds.map(([each]) => each)), high = Math.max(...bounds.map(([, each]) => each));
  const pad = high > low ? 0.05 * (high - low) : 0.5;
  const there = marksIn(data);
  layout.shapes = [...(low <= high ? bandShape(card, low - pad, high + pad) : []), ...there.map(markShape)];
  layout.annotations = signs(there);
  Object.assign(layout.xaxis, ticks(data, coming));
  const mode = data[0].x.length < 25 ? "lines+markers" : "lines";
  data.forEach((trace, index) => { if (index % 2 === 0) trace.mode = mode; });
}

// A run without points here leaves no marks either: they would stretch the axis to where nothing is drawn.
function marksIn(data) {
  const drawn = new Set(runs.filter((_, index) => data[2 * index].x.length).map((run) => run.name));
  return gathered().filter((mark) => drawn.has(mark.run));
}

// Steps are whole: between a few of them Plotly would put ticks at halves, and round them to the same number twice.
// `coming`: steps that are drawn with these. Told the ticks one by one it never draws more of them, however far the axis reaches meanwhile; a thousand take a minute.
function ticks(data, coming = []) {
  const steps = [...coming, ...data.flatMap((trace) => [trace.x[0], trace.x.at(-1)]), ...marksIn(data).map((mark) => mark.step)].filter((step) => step !== undefined);
  const [first, last] = (zoom ?? [Math.min(...steps), Math.max(...steps)]).map(Math.round);
  if (!(last - first < 6 && steps.length)) return { tickmode: "auto", tickvals: undefined };
  return { tickmode: "array", tickvals: Array.from({ length: last - first + 3 }, (_, index) => first - 1 + index) };
}

function bandShape({ metric }, bottom, top) {
  if (metric.low === null && metric.high === null) return [];
  const y0 = Math.max(metric.low ?? bottom, bottom), y1 = Math.min(metric.high ?? top, top);
  if (y1 <= y0) return [];
  const fillcolor = isDark() ? "rgba(45,212,191,0.10)" : "rgba(15,118,110,0.08)";
  return [{ type: "rect", layer: "below", xref: "paper", x0: 0, x1: 1, y0, y1, fillcolor, line: { width: 0 } }];
}

function gathered() {
  const open = new Map();
  return marks.flatMap((mark) => {
    const name = `${mark.run} ${mark.key}`, known = mark.kind === "warned" && open.get(name);
    if (known && mark.step - known.last <= NEAR) {
      Object.assign(known, { last: mark.step, words: mark.words, times: known.times + 1 });
      return [];
    }
    const made = { ...mark, last: mark.step, times: 1 };
    if (mark.kind === "warned") open.set(name, made);
    return [made];
  });
}

const inkOf = ({ kind }) => (kind === "warned" ? (isDark() ? "#fbbf24" : "#b45309") : css("--body-text-color-subdued"));

function markShape(mark) {
  const line = { width: 1, color: inkOf(mark), dash: mark.kind === "warned" ? "solid" : "dot" };
  return { type: "line", xref: "x", yref: "paper", x0: mark.step, x1: mark.step, y0: 0, y1: 1, line };
}

function signs(found) {
  const at = Map.groupBy(found, (mark) => mark.step);
  return [...at].map(([step, there]) => ({
    x: step, y: 1, yref: "paper", yanchor: "bottom", showarrow: false, text: [...new Set(there.map((mark) => SIGNS[mark.kind]))].join(""),
    font: { size: 10, color: inkOf(there[0]) }, hovertext: there.map((mark) => plain(words(mark)).slice(0, 160)).join("<br>"),
  }));
}

function words(mark) {
  const said = mark.kind === "changed" ? `${mark.by || "Somebody"} moved ${mark.words}` : mark.words;
  return runs.length > 1 ? `${runs.find((run) => run.name === mark.run)?.title ?? mark.run}: ${said}` : said;
}

function label(card) {
  const { metric, last, mean } = card, single = runs.length === 1, shown = metric.exact ? last : mean;
  const low = single && metric.low !== null && shown < metric.low, high = single && metric.high !== null && shown > metric.high;
  const newest = `${number(last, metric.unit)} at step ${runs[0]?.step}`, about = metric.exact ? newest : `${number(shown, metric.unit)} on average of the last steps, ${newest}`;
  write(card.value, single ? number(shown, metric.unit) : "");
  write(card.note, low ? "too low" : high ? "too high" : "");
  card.value.title = single ? about : "";
  card.node.classList.toggle("is-off", low || high);
  const said = `${metric.title}: ${single ? about : `${runs.length} runs`}. ${range(metric)} Arrow keys read the points.`;
  if (card.plot.getAttribute("aria-label") !== said) card.plot.setAttribute("aria-label", said);
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
  const rows = gathered().sort((a, b) => b.step - a.step).slice(0, 40).map((mark) => {
    const sign = make("span", "curves-sign", SIGNS[mark.kind]);
    sign.setAttribute("aria-hidden", "true");
    return fill(make("li", `is-${mark.kind.split(" ")[0]}`), sign, make("span", "curves-step", `step ${mark.step}`), make("span", "", words(mark) + (mark.times > 1 ? ` (${mark.times} times up to step ${mark.last})` : "")));
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
  for (const other of drawnCards()) {
    const { tickmode, tickvals } = ticks(other.plot.data), axis = { "xaxis.tickmode": tickmode, "xaxis.tickvals": tickvals ?? null };
    if (other !== card) Object.assign(axis, zoom ? { "xaxis.range": [...zoom] } : { "xaxis.autorange": true });
    Plotly.relayout(other.plot, axis);
  }
  if ([...held.values()].some((mine) => mine.thinned)) askAnew();
}

// The whole curves again, whatever is under way.
function askAnew() {
  answer += 1;
  for (const mine of held.values()) mine.generation = -1;
  round?.();
}

// Another theme: the same data in other colours.
function repaintAll() {
  showLegend();
  for (const card of drawnCards()) {
    const fresh = layout(card), data = card.plot.data;
    traces(card).forEach((trace, index) => { data[index].line.color = trace.line.color; });
    decorate(card, fresh, data);
    Plotly.react(card.plot, data, fresh);
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
  if (more.open) askAnew();
});
loadPlotly().then((loaded) => {
  Plotly = loaded;
  round = poll(look);
  onTheme(repaintAll);
}, (error) => fill(root, make("p", "lab-told is-bad", error.message)));
