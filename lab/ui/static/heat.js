// One answer token by token: the colour says how much of a measure each token has, the line below says it in numbers.
const part = make("section", "part"), head = make("div", "part-head"), about = make("p", "heat-about"), prompt = make("div", "pinned-prompt");
const box = make("div", "pinned"), choice = make("div", "heat-choice"), text = make("div", "heat-text"), line = make("p", "heat-line"), scale = make("div", "heat-scale");
const table = make("table", "lab-rows"), body = make("tbody", ""), numbers = make("details", "desk-settings"), hint = make("p", "pinned-about");
const FIRST = "Choose Tokens beside an answer, in the table or the timeline above, to see what each token cost and earned.";
const OLD = "This answer has no figures by token: the run was made before they were kept, or has gone back since.";

text.tabIndex = 0;
text.setAttribute("role", "group");
text.setAttribute("aria-label", "The answer's tokens. Left and right arrow keys move from one to the next.");
choice.setAttribute("role", "group");
choice.setAttribute("aria-label", "What the colours show");
line.setAttribute("role", "status");
line.setAttribute("aria-live", "polite");
fill(head, make("h3", "", "Token by token"), help("this picture", "What PPO sees of one answer. The score of the whole answer is earned at its last token; every token pays for its KL; the advantage is what makes a token likelier or less likely from now on.", "Solid underlines mark positive figures and dotted ones negative figures."));
const headRow = make("tr", "");
fill(table, fill(make("thead", ""), headRow), body);
numbers.append(make("summary", "", "As numbers"), fill(make("div", "lab-scroll"), table));
const buttons = props.metrics.map((metric) => {
  const node = button(metric.label, () => paint(metric.name));
  node.dataset.metric = metric.name;
  node.title = metric.help;
  return node;
});
fill(choice, buttons);
fill(box, about, prompt, choice, hint, text, scale, line, numbers);
fill(part, head, box);
fill(root, part);

let found = null, nodes = [], metric = props.metrics[0].name, at = -1, asked = 0;
show(null, FIRST);
window.addEventListener("lab-tokens", (event) => element.isConnected && open(event.detail));
window.addEventListener("lab-figures", appear);
onChoice(props.stage, () => show(null, FIRST));
appear();

function appear() {
  part.hidden = !["timeline", "samples"].some((each) => window.labFigures?.[`${props.stage} ${each}`]);
}

async function open(answer) {
  const mine = ++asked;
  let tokens = {};
  try {
    ({ tokens } = await post("tokens", { ...answer, stage: props.stage }));
  } catch (error) {
    return show(null, error.message);
  }
  if (mine !== asked) return;
  write(about, `${answer.run}, step ${answer.step}`);
  write(prompt, answer.prompt);
  show(tokens.text ? tokens : null, OLD);
  part.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  if (tokens.text) text.focus({ preventScroll: true });
}

function show(tokens, otherwise) {
  found = tokens;
  about.hidden = prompt.hidden = choice.hidden = text.hidden = scale.hidden = line.hidden = numbers.hidden = !found;
  hint.className = found ? "heat-meaning" : "pinned-about";
  if (!found) return write(hint, otherwise);
  nodes = found.text.map((piece, index) => token(piece, index));
  fill(text, nodes);
  // A method without a value head has no value of a token: what this answer knows is shown.
  const known = props.metrics.filter(({ name }) => found[name]);
  buttons.forEach((node) => { node.hidden = !found[node.dataset.metric]; });
  fill(headRow, ["Token", ...known.map(({ label }) => label)].map((words, i) => make("th", i ? "is-number" : "", words)));
  fill(body, found.text.map((piece, index) => fill(make("tr", ""), make("td", "heat-token", piece || "end"), known.map(({ name }) => make("td", "is-number", number(found[name][index]))))));
  at = -1;
  paint(found[metric] ? metric : known[0].name);
}

function token(piece, index) {
  const node = make("span", piece ? "heat-piece" : "heat-piece is-end", piece || "end");
  node.addEventListener("pointerenter", () => tell(index));
  node.addEventListener("click", () => tell(index));
  return node;
}

// Colours go from the largest figure of this answer in either direction, so that answers of any scale can be read.
function paint(name) {
  metric = name;
  const { label, help: meaning } = props.metrics.find((each) => each.name === name), values = found[name], most = Math.max(...values.map(Math.abs)) || 1;
  buttons.forEach((node) => node.setAttribute("aria-pressed", String(node.dataset.metric === name)));
  write(hint, meaning);
  nodes.forEach((node, index) => {
    const part = values[index] / most;
    node.style.setProperty("--heat", `${Math.round(Math.abs(part) * 70)}%`);
    node.dataset.sign = Math.abs(part) < 0.02 ? "none" : part > 0 ? "plus" : "minus";
  });
  const ends = [["minus", Math.min(...values)], ["plus", Math.max(...values)]].filter(([sign, value]) => (sign === "plus") === value > 0 && Math.abs(value) >= 0.02 * most);
  fill(scale, ends.map(([sign, value]) => fill(make("span", "heat-end"), swatch(sign, value / most), `${sign === "plus" ? "most" : "least"}: ${number(value)}`)));
  if (at >= 0) tell(at);
  else write(line, total(label, values));
}

// What a token costs or earns adds up; what is expected of it does not.
function total(label, values) {
  const sum = values.reduce((found, each) => found + each, 0), adds = metric === "kl" || metric === "reward";
  return `${label} of ${counted(values.length, "token")}, ${adds ? `together ${number(sum)}` : `on average ${number(sum / values.length)}`}.`;
}

function swatch(sign, part) {
  const node = make("i", "heat-piece");
  node.dataset.sign = sign;
  node.style.setProperty("--heat", `${Math.round(Math.abs(part) * 70)}%`);
  return node;
}

function tell(index) {
  nodes[at]?.classList.remove("is-here");
  at = index;
  nodes[at].classList.add("is-here");
  const figures = props.metrics.filter(({ name }) => found[name]).map(({ name, label }) => `${label} ${number(found[name][at])}`).join(", ");
  write(line, `Token ${at + 1} of ${nodes.length}, ${found.text[at].trim() ? `“${found.text[at].trim()}”` : "the end"}: ${figures}.`);
}

text.addEventListener("keydown", (event) => {
  const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!by) return;
  event.preventDefault();
  tell(Math.max(0, Math.min(nodes.length - 1, at < 0 ? (by > 0 ? 0 : nodes.length - 1) : at + by)));
});
