// Under the board while a policy is in training: how it stands, when its reward model is trained anew, and its answers to rank.
const USUAL = 8, WIDTH = 220, HEIGHT = 44;
const card = make("section", "lab-card together"), title = make("h3", ""), lines = make("div", "together-lines"), model = make("p", ""), told = teller(), row = make("div", "lab-line host-only");
const every = make("input", ""), field = labelled("New rankings for a new reward model (0: never)", every), begin = button(`Train it anew every ${USUAL} rankings`, () => move(USUAL));
const speak = button("Rank what it says now", hearIt, "lab-quiet needs-model"), see = button("See the run", () => { choose("ppo", [run.name]); lab.tab("ppo"); }, "lab-quiet");
let run = null;

card.setAttribute("aria-label", "The policy in training");
card.hidden = true;
Object.assign(every, { type: "number", min: 0, max: 10000, step: 1 });
every.addEventListener("change", () => (every.validity.valid && every.value !== "" ? move(Number(every.value)) : told.tell("Give a whole number from 0 on.", true)));
every.addEventListener("keydown", (event) => event.key === "Enter" && every.blur());
fill(row, begin, field);
root.append(fill(card, title, lines, model, row, told, fill(make("div", "lab-line"), speak, see)));
poll(look, 900);

async function look() {
  const found = await post("together");
  run = found.run;
  card.hidden = !run;
  if (!run) return 1500;
  write(title, `${run.title} ${run.paused ? "is paused" : "is in training"}: step ${run.step} of ${run.total}`);
  showLines(run.lines);
  write(model, words(found));
  begin.hidden = found.refresh > 0;
  field.hidden = !found.refresh;
  if (document.activeElement !== every) every.value = found.refresh;
  return 700;
}

function words({ reward, since, anew, refresh }) {
  if (!reward) return "The reward model that it follows is gone.";
  const share = (value) => `${Math.round(100 * value)} %`;
  const right = reward.accuracy == null ? "" : `, right on ${share(reward.accuracy)} of the pairs that it never saw (${share(reward.accuracy_low)} to ${share(reward.accuracy_high)})`;
  const rankings = (count) => (count === 1 ? "1 ranking" : `${count} rankings`);
  const came = `${rankings(since)} came since`;
  const next = anew ? "A new one is being trained while the policy waits" : !refresh ? `${came}; it stays as it is` : since >= refresh ? `${came}; a new one is due` : `${came}; a new one after ${refresh - since} more`;
  return `It follows ${reward.title}${right}. ${next}.`;
}

// Each line's last points as a drawing with its ends in words.
function showLines(all) {
  const key = JSON.stringify(all);
  if (lines.dataset.key === key) return;
  lines.dataset.key = key;
  fill(lines, all.map(({ name, values }) => {
    const last = values.at(-1);
    return fill(make("figure", ""), fill(make("figcaption", ""), `${name} `, make("b", "", last === undefined ? "–" : short(last))), drawing(name, values));
  }));
}

function drawing(name, values) {
  const low = Math.min(0, ...values), high = Math.max(...values, low + 1e-9), apart = WIDTH / Math.max(1, values.length - 1);
  const points = values.map((value, n) => `${(n * apart).toFixed(1)},${(HEIGHT - 3 - ((value - low) / (high - low)) * (HEIGHT - 6)).toFixed(1)}`);
  const svg = svgNode("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", preserveAspectRatio: "none" });
  svg.setAttribute("aria-label", values.length ? `${name}, from ${short(values[0])} to ${short(values.at(-1))}` : `${name}, nothing yet`);
  svg.append(svgNode("polyline", { points: points.join(" ") }));
  return svg;
}

function svgNode(tag, attributes) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attributes).forEach(([name, value]) => node.setAttribute(name, value));
  return node;
}

const move = (value) => told.run(begin, "ppo-move", { run: run.name, key: "refresh", value });

// The board's list of who answers, set to the policy in training.
function hearIt() {
  const select = document.querySelector("#board .board-source select");
  if (![...select.options].some((each) => each.value === "policy")) return told.tell("Its answers can be chosen in a moment.");
  select.value = "policy";
  select.dispatchEvent(new Event("change"));
  told.tell("The next prompts are answered by the policy in training.");
}
