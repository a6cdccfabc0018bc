// Reward against KL: where each run went, and which of its checkpoints can be made to answer. A click lets one duel.
const part = make("section", "lab-card frontier"), plot = make("div", "frontier-plot"), hint = make("p", "", "Up is a better score, right is farther from where the model began. Click a checkpoint to let it duel.");
const head = fill(make("div", "part-head"), make("h3", "", "What the score cost"), help("this plot", "Each run is a line from its first step on. A run that goes right without going up drifts for nothing; one whose score climbs while people stop preferring it has learned to cheat the reward model."));
plot.setAttribute("role", "img");
part.hidden = true;
fill(part, head, hint, plot);
fill(root, part);

let Plotly = null, known = "", runs = [];
loadPlotly().then((loaded) => { Plotly = loaded; draw(); }, (error) => fill(plot, make("p", "", error.message)));
onTheme(draw);
poll(look);

async function look() {
  const found = await post("compare-frontier");
  const key = JSON.stringify(found.runs);
  if (key !== known) {
    known = key;
    runs = found.runs.filter((run) => run.points.length);
    part.hidden = !runs.length;
    plot.setAttribute("aria-label", runs.map(said).join(" "));
    draw();
  }
  return 3000;
}

function said(run) {
  const last = run.points.at(-1);
  return `${run.title}: score ${number(last.score)} at ${number(last.kl)} nats after step ${last.step}.`;
}

function trace(run, index) {
  const ends = run.points.map((point) => (point.kept ? 9 : 3));
  return {
    x: run.points.map((point) => point.kl), y: run.points.map((point) => point.score), customdata: run.points.map((point) => point.step),
    mode: "lines+markers", name: plain(run.title), line: { color: colour(index), width: 1.6 }, marker: { size: ends, color: colour(index) },
    hovertemplate: `${plain(run.title).replaceAll("%", "&#37;")}, step %{customdata}<br>score %{y:.3~g}, %{x:.3~g} nats<extra></extra>`,
  };
}

function draw() {
  if (!Plotly || !runs.length || !root.offsetParent) return;
  const layout = baseLayout(280);
  Object.assign(layout, { hovermode: "closest", showlegend: runs.length > 1 });
  layout.xaxis.title = { text: "KL from SFT, nats a response" };
  layout.yaxis.title = { text: "score" };
  Plotly.react(plot, runs.map(trace), layout, { displayModeBar: false, responsive: true });
  plot.removeAllListeners?.("plotly_click");
  plot.on("plotly_click", ({ points: [point] }) => {
    const run = runs[point.curveNumber], clicked = run.points[point.pointIndex];
    if (clicked.kept) window.dispatchEvent(new CustomEvent("lab-meet", { detail: `${run.run}@${clicked.step}` }));
  });
}
