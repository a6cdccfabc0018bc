// Reward against KL: where each run went; a checkpoint that is clicked can be talked to, put into a duel, or judged by another model.
const part = make("section", "lab-card frontier"), plot = make("div", "frontier-plot"), hint = make("p", "", "Up is a better score, right is farther from where the model began. A small dot is what the answers of one step measured, a large one a checkpoint; the line is their mean over the last steps, so dots lie beside it. "), how = make("span", "needs-model", "Click a checkpoint, or choose one below.");
const head = fill(make("div", "part-head"), make("h3", "", "What the score cost"), help("this plot", "A run that goes right without going up drifts for nothing; one whose score climbs while people stop preferring it has learned to cheat the reward model.", "A dashed line is a second reward model's opinion of the same run. Where the two part, the score no longer means quality. Its word counts most when it learned from the other half of the rankings."));
const pick = make("select", ""), second = make("select", ""), told = teller();
const talk = button("Chat with it", () => openChat()), meet = button("Let it duel", () => window.dispatchEvent(new CustomEvent("lab-meet", { detail: { policy: pick.value, words: checkpoint() } }))), judge = button("Ask it", ask);
const chat = make("section", "frontier-chat needs-model"), turns = make("div", "frontier-turns"), writing = make("form", "frontier-ask"), words = make("input", ""), send = make("button", "lab-main", "Send");
const row = make("div", "frontier-row needs-model");
plot.setAttribute("role", "img");
part.hidden = chat.hidden = true;
words.maxLength = 20_000;
words.placeholder = "Write to it";
words.setAttribute("aria-label", "Write to the checkpoint");
turns.setAttribute("role", "log");
turns.setAttribute("aria-live", "polite");
fill(writing, words, send);
const chatTitle = make("h4", "");
fill(chat, chatTitle, turns, writing);
fill(row, fill(make("div", "lab-line"), labelled("Checkpoint", pick), talk, meet), fill(make("div", "lab-line host-only"), labelled("Second reward model", second), judge));
hint.append(how);
fill(part, head, hint, plot, row, told, chat);
fill(root, part);

let Plotly = null, known = "", runs = [], rewards = [], messages = [], asked = 0, speaks = "";
const opinions = {}; // points by run and reward model
loadPlotly().then((loaded) => { Plotly = loaded; draw(); }, (error) => fill(plot, make("p", "", error.message)));
onTheme(draw);
pick.addEventListener("change", offer);
poll(look);

async function look() {
  const found = await post("compare-frontier");
  const key = JSON.stringify(found);
  if (key !== known) {
    known = key;
    runs = found.runs.filter((run) => run.points.length);
    rewards = found.rewards;
    part.hidden = !runs.length;
    plot.setAttribute("aria-label", runs.map(said).join(" "));
    choices();
    draw();
  }
  return 3000;
}

function said(run) {
  const last = run.points.at(-1);
  return `${run.title}: score ${number(last.score)} at ${number(last.kl)} nats after step ${last.step}.`;
}

// --- choices --------------------------------------------------------------------------------------------------------
function renew(select, options, wanted) {
  const before = select.value || wanted;
  fill(select, options.map(([value, words]) => new Option(words, value)));
  if (options.some(([value]) => value === before)) select.value = before;
}

function choices() {
  const kept = runs.toReversed().flatMap((run) => run.points.filter((point) => point.kept).toReversed().map((point) => [`${run.run}@${point.step}`, `${run.title}, step ${point.step}`]));
  renew(pick, kept);
  talk.disabled = meet.disabled = pick.disabled = !kept.length;
  offer();
}

const checkpoint = () => `${runOf().title} at step ${pick.value.split("@")[1]}`;
const runOf = () => runs.find((run) => run.run === pick.value.split("@")[0]) ?? runs.at(-1);

function offer() {
  const other = rewards.filter((each) => each.value !== runOf()?.reward).map((each) => [each.value, each.label]);
  renew(second, other.length ? other : [["", "none yet: train one on the other half"]]);
  second.disabled = judge.disabled = !other.length;
  judge.title = other.length ? "It scores some of the run's answers" : "Train another reward model: one on each half of the rankings makes an independent judge";
}

// --- a second opinion -----------------------------------------------------------------------------------------------
async function ask() {
  const run = runOf().run, reward = second.selectedOptions[0].textContent;
  const found = await told.run(judge, "compare-second", { run, reward: second.value }, "");
  if (!found) return;
  opinions[run] = { reward, points: found.points };
  const first = found.points[0], last = found.points.at(-1), rose = last.own - first.own, agrees = last.second - first.second;
  told.tell(`From step ${first.step} to ${last.step} the model that PPO followed moved these answers by ${number(rose)}, ${reward} by ${number(agrees)}.${rose > 0.2 && agrees < rose / 2 ? " The gain is mostly in the eye of the model that was followed." : ""} ${found.kinship}`);
  draw();
}

// --- a chat with a checkpoint ---------------------------------------------------------------------------------------
function openChat() {
  if (speaks !== pick.value) {
    speaks = pick.value;
    messages = [];
    asked++;
    fill(turns);
    write(chatTitle, checkpoint());
  }
  chat.hidden = false;
  words.focus();
}

function turn(role, text) {
  const node = make("p", `frontier-turn is-${role}`, text);
  turns.append(node);
  turns.scrollTop = turns.scrollHeight;
  return node;
}

writing.addEventListener("submit", async (event) => {
  event.preventDefault();
  const content = words.value.trim(), mine = ++asked;
  if (!content) return;
  words.value = "";
  messages.push({ role: "user", content });
  turn("user", content);
  const node = turn("assistant", "…");
  try {
    const { request } = await post("compare-chat", { policy: speaks, messages });
    for (let done = false; !done && mine === asked && element.isConnected; ) {
      const found = await post("compare-chat-look", { request });
      done = found.done;
      write(node, found.text || (done ? "(empty answer)" : "…"));
      if (done) messages.push({ role: "assistant", content: found.text || " " });
      else await new Promise((resolve) => setTimeout(resolve, 120));
    }
  } catch (error) {
    write(node, error.message);
    messages.pop();
    if (!words.value) words.value = content; // to be sent once more
  }
});

// --- the plot -------------------------------------------------------------------------------------------------------
const NARROW = 600, LINE = 20;  // pixels
const label = (text) => plain(text).replaceAll("%", "&#37;");

// It stands for its run in the legend: dots there would be as large as the run has checkpoints.
function trend(run, index) {
  return {
    x: run.points.map((point) => point.trend[0]), y: run.points.map((point) => point.trend[1]), mode: "lines",
    name: plain(run.title), line: { color: colour(index), width: 1.6 }, hoverinfo: "skip", legendgroup: run.run,
  };
}

function dots(run, index) {
  return {
    x: run.points.map((point) => point.kl), y: run.points.map((point) => point.score), customdata: run.points.map((point) => point.step),
    mode: "markers", showlegend: false, marker: { size: run.points.map((point) => (point.kept ? 10 : 4)), color: colour(index), opacity: run.points.map((point) => (point.kept ? 1 : 0.5)) },
    legendgroup: run.run, hovertemplate: `${label(run.title)}, step %{customdata}<br>score %{y:,.3~r}, %{x:,.3~r} nats<extra></extra>`,
  };
}

function opinion(run, index) {
  const { reward, points } = opinions[run.run];
  return {
    x: points.map((point) => point.kl), y: points.map((point) => point.second), customdata: points.map((point) => [point.step, point.count]),
    mode: "lines+markers", name: `${plain(run.title)} by ${plain(reward)}`, line: { color: colour(index), width: 1.6, dash: "dash" }, marker: { size: 7, symbol: "diamond-open", color: colour(index) },
    hovertemplate: `${label(reward)} to step %{customdata[0]}<br>score %{y:,.3~r}, %{x:,.3~r} nats, mean of %{customdata[1]}<extra></extra>`,
  };
}

function draw() {
  if (!Plotly || !runs.length || !root.offsetParent) return;
  const judged = runs.filter((run) => opinions[run.run]), named = runs.length + judged.length;
  const height = 280 + (root.clientWidth < NARROW ? LINE * named : 0);  // where the legend has a line for each
  plot.style.height = `${height}px`;
  const layout = baseLayout(height);
  Object.assign(layout, { hovermode: "closest", showlegend: named > 1 });
  layout.legend = { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 };
  layout.xaxis.title = { text: "KL from SFT, nats a response" };
  layout.yaxis.title = { text: "score" };
  Plotly.react(plot, [...runs.map(trend), ...runs.map(dots), ...judged.map((run) => opinion(run, runs.indexOf(run)))], layout, { displayModeBar: false, responsive: true });
  plot.removeAllListeners?.("plotly_click");
  plot.on("plotly_click", ({ points: [point] }) => {
    const run = runs[point.curveNumber - runs.length], clicked = run?.points[point.pointIndex];
    if (!clicked?.kept) return;
    pick.value = `${run.run}@${clicked.step}`;
    offer();
    openChat();
  });
}
