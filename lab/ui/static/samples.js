// The newest samples in a table; a column's name sorts by it, once more turns the order round.
const COLUMNS = [["step", "Step", true], ["score", "Score", true], ["kl", "KL, nats", true], ["length", "Tokens", true], ["prompt", "Prompt"], ["response", "Answer"]];
const part = make("section", "part"), scroll = make("div", "samples-scroll"), table = make("table", "lab-rows"), body = make("tbody", ""), line = make("tr", "");
scroll.tabIndex = 0;
scroll.setAttribute("role", "region");
scroll.setAttribute("aria-label", "Newest samples");
const heads = COLUMNS.map(([key, words, numeric]) => {
  const cell = make("th", numeric ? "is-number" : ""), node = button(words, () => sortBy(key), "");
  cell.scope = "col";
  cell.append(node);
  return cell;
});
fill(line, heads, make("td", ""));
fill(table, fill(make("thead", ""), line), body);
fill(scroll, table);
const about = help("an answer's step", "Some of the answers that each step learned from. It measures its score and KL on them and then learns from them.", "Pinned prompts are answered after a step, when it has learned.");
fill(part, fill(make("div", "part-head"), make("h3", "", "Newest answers"), about), scroll);
fill(root, part);
part.hidden = true;

let chosen = "", run = "", rows = [], have = [], order = { key: "step", up: false };
const round = poll(look);
onChoice(props.stage, ([name]) => { chosen = name; have = []; round(); });

async function look() {
  const found = await post("samples", { run: chosen, stage: props.stage, have });
  if (found.rows) {
    ({ run, rows, have } = found);
    show();
  }
  part.hidden = !rows.length;
  tellFigures(rows.some((row) => row.kl !== null));
  return 900;
}

function sortBy(key) {
  order = { key, up: order.key === key ? !order.up : false };
  show();
}

function show() {
  const { key, up } = order, sign = up ? 1 : -1;
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : (a ?? -Infinity) - (b ?? -Infinity));
  const sorted = rows.map((row, index) => [row, index]).sort(([a, i], [b, j]) => sign * compare(a[key], b[key]) || i - j);
  heads.forEach((cell, index) => {
    const mine = COLUMNS[index][0] === key;
    cell.setAttribute("aria-sort", mine ? (up ? "ascending" : "descending") : "none");
    write(cell.firstChild, COLUMNS[index][1] + (mine ? (up ? " ↑" : " ↓") : ""));
  });
  fill(body, sorted.map(([row]) => fill(make("tr", ""), COLUMNS.map(([name, , numeric]) => cell(name, row[name], numeric)), tokens(row))));
}

// Opens the answer token by token, in the part below.
function tokens(row) {
  const { step, prompt, response } = row, node = button("Tokens", () => showTokens({ run, step, prompt, response }), "lab-link");
  node.setAttribute("aria-label", `Show the answer of step ${step} token by token`);
  return fill(make("td", ""), row.kl === null ? null : node);
}

function cell(name, value, numeric) {
  if (!numeric) return make("td", `samples-${name === "prompt" ? "prompt" : "text"}`, value);
  return make("td", "is-number", name === "step" || name === "length" ? String(value) : number(value));
}
