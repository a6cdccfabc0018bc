// Behind the verdict: is its confidence to be believed, would more rankings help, where does it disagree, and what would it score.
const part = make("section", "part"), plots = make("div", "verdict-plots"), facts = make("ul", "verdict-facts"), list = make("div", "disagreements"), told = teller();
const disagreeHead = make("div", "part-head"), disagree = make("section", "part"), tryOut = make("section", "part needs-model");
fill(disagreeHead, make("h3", "", "Rankings it disagrees with"), help("a disagreement", "Test rankings that it would have ordered the other way, the surest first. Look at them again: a slip of the mouse is best taken back, and a hard case is best left in."));
fill(disagree, disagreeHead, list, told);
fill(part, plots, facts);
fill(root, part, disagree, tryOut);
part.hidden = disagree.hidden = tryOut.hidden = true;

let chosen = "", known = "", Plotly = null, found = null;
loadPlotly().then((loaded) => { Plotly = loaded; if (found) draw(); }, (error) => fill(plots, make("p", "lab-told is-bad", error.message)));
onTheme(() => found && draw());
const round = poll(look);
onChoice("reward", ([name]) => { chosen = name; known = ""; round(); });

async function look() {
  if (!chosen) return 600;
  found = await post("reward-facts", { run: chosen });
  const key = chosen + JSON.stringify(found);
  tryOut.hidden = part.hidden = !found.verdict;
  disagree.hidden = !found.disagreements.length;
  if (key !== known) {
    known = key;
    const { margin, length, more, calibration } = found.verdict ?? {};
    const byRater = Object.entries(found.raters).map(([name, value]) => `${name}: right on ${number(value.accuracy ?? value, "share")}`);
    fill(facts, [more, calibration, margin, length, byRater.length > 1 && `By rater: ${byRater.join(", ")}.`].filter(Boolean).map((text) => make("li", "", text)));
    const { seq } = document.activeElement?.dataset ?? {};
    fill(list, found.disagreements.map(disagreement));
    if (seq) list.querySelector(`[data-seq="${seq}"]`)?.focus({ preventScroll: true });
    if (Plotly) draw();
  }
  return 3000;
}

// --- plots ----------------------------------------------------------------------------------------------------------
function card(title, meaning, about) {
  const node = make("section", "curve"), head = make("header", "curve-head"), plot = make("div", "curve-plot verdict-plot");
  plot.setAttribute("role", "img");
  plot.setAttribute("aria-label", about);
  fill(node, fill(head, make("h3", "curve-title", title), help(title, meaning)), plot);
  return { node, plot };
}

function draw() {
  const made = [];
  for (const old of plots.querySelectorAll(".curve-plot")) Plotly.purge(old);
  if (found.learning_curve.length > 1) made.push(learning(found.learning_curve));
  if (found.calibration.length) made.push(calibration(found.calibration));
  fill(plots, made.map(({ node }) => node));
  for (const { plot, data, layout } of made) Plotly.newPlot(plot, data, layout, { displayModeBar: false, responsive: true });
}

function learning(rows) {
  const said = rows.map((row) => `${row.rankings} rankings: ${number(row.accuracy, "share")}`).join(", "), most = rows.at(-1).rankings;
  const made = card("Is more ranking worth it?", "How often a quick stand-in is right on unseen pairs when it learns from only a part of your rankings. While the curve climbs, more rankings help. The bars are 95 % intervals, the dotted line is guessing, and the diamond is the reward model itself.", `Accuracy of a quick stand-in against the number of rankings. ${said}.`);
  made.node.append(make("p", "verdict-note", "A quick stand-in, not the reward model: a linear head on the frozen SFT model's states. ◇ is the reward model."));
  const y = rows.map((row) => row.accuracy), up = rows.map((row) => (row.high ?? row.accuracy) - row.accuracy), down = rows.map((row) => row.accuracy - (row.low ?? row.accuracy));
  const layout = baseLayout(230);
  Object.assign(layout.yaxis, { tickformat: ".0%", range: [Math.min(0.4, ...rows.map((row) => row.low ?? 1)) - 0.02, 1.02] });
  layout.xaxis.title = { text: "rankings" };
  layout.shapes = [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 0.5, y1: 0.5, line: { dash: "dot", width: 1, color: css("--body-text-color-subdued") } }];
  const data = [{ x: rows.map((row) => row.rankings), y, mode: "lines+markers", line: { color: colour(0), width: 2.2 }, marker: { size: 7 }, hovertemplate: "%{x} rankings: right on %{y:.0%}<extra></extra>",
    error_y: { type: "data", symmetric: false, array: up, arrayminus: down, color: colour(0), thickness: 1.2, width: 4 } }];
  if (found.accuracy !== null) data.push({ x: [most], y: [found.accuracy], mode: "markers", marker: { symbol: "diamond-open", size: 13, color: colour(1), line: { width: 2.2 } }, hovertemplate: "the reward model: %{y:.0%}<extra></extra>" });
  return { ...made, data, layout };
}

function calibration(rows) {
  const said = rows.map((row) => `${number(row.confidence, "share")} sure, right on ${number(row.accuracy, "share")} of ${row.count}`).join("; ");
  const made = card("Can its confidence be believed?", "How sure it says it is, against how often it is right. On the dotted line, of the pairs it calls 80 % sure it gets 80 % right. Larger dots hold more pairs.", `Calibration. ${said}.`);
  const most = Math.max(...rows.map((row) => row.count)), layout = baseLayout(230);
  Object.assign(layout.xaxis, { tickformat: ".0%", range: [0.48, 1.02], title: { text: "how sure it is" } });
  Object.assign(layout.yaxis, { tickformat: ".0%", range: [-0.03, 1.05], title: { text: "how often it is right" } });
  Object.assign(layout, { hovermode: "closest" });
  layout.shapes = [{ type: "line", x0: 0.5, x1: 1, y0: 0.5, y1: 1, line: { dash: "dot", width: 1.2, color: css("--body-text-color-subdued") } }];
  const data = [{ x: rows.map((row) => row.confidence), y: rows.map((row) => row.accuracy), customdata: rows.map((row) => row.count), mode: "lines+markers", line: { color: colour(0), width: 1.6 },
    marker: { size: rows.map((row) => 7 + 12 * Math.sqrt(row.count / most)) }, hovertemplate: "%{x:.0%} sure, right on %{y:.0%} of %{customdata} pairs<extra></extra>" }];
  return { ...made, data, layout };
}

// --- disagreements --------------------------------------------------------------------------------------------------
function disagreement(row) {
  const node = make("article", "pinned"), sides = make("div", "pinned-sides"), line = make("div", "lab-line"), about = `The reward model scores the second ${number(row.margin)} higher.`;
  const side = (words, text) => fill(make("div", "pinned-side"), make("span", "pinned-about", words), text);
  fill(sides, side(`${raterName(row.who)} preferred the first`, row.better), side("The reward model prefers the second", row.worse));
  const again = button("Rank it again", () => {
    lab.tab("rank");
    window.dispatchEvent(new CustomEvent("lab-rerank", { detail: { seq: row.seq, comparison: row.comparison } }));
  });
  const out = button(row.excluded ? "Take in again" : "Leave out", async () => {
    if (await told.run(out, "reward-exclude", { seq: row.seq, excluded: !row.excluded })) round();
  });
  out.classList.add("host-only");
  again.classList.add("needs-model");
  out.dataset.seq = row.seq;
  fill(line, again, out, make("span", "pinned-about", row.excluded ? "Left out of the next training." : about));
  node.classList.toggle("is-excluded", row.excluded);
  return fill(node, make("div", "pinned-prompt", row.prompt), sides, line);
}

// --- score any text -------------------------------------------------------------------------------------------------
const prompt = make("textarea"), response = make("textarea"), scored = make("tbody", ""), table = make("table", "lab-rows"), scoreTold = teller();
const scoreButton = button("Score it", async () => {
  const given = { prompt: prompt.value, response: response.value, run: chosen }, answer = await scoreTold.run(scoreButton, "reward-score", given);
  if (!answer) return;
  const { score, percentile } = answer;
  scoreTold.tell(`Score ${number(score)}${percentile === null || percentile === undefined ? "" : `: better than ${Math.round(percentile)} % of the model's own answers before PPO`}.`);
  table.hidden = false;
  scored.prepend(fill(make("tr", ""), make("td", "is-number", number(score)), make("td", "", given.response)));
}, "lab-main");
table.hidden = true;
fill(table, fill(make("thead", ""), fill(make("tr", ""), make("th", "is-number", "Score"), make("th", "", "Answer"))), scored);
fill(tryOut, fill(make("div", "part-head"), make("h3", "", "Score any text")), fill(make("div", "verdict-texts"), labelled("Prompt", prompt), labelled("Answer", response)), fill(make("div", "lab-line verdict-try"), scoreButton, scoreTold), table);
