// The lower half of the Compare page: answers side by side, comparisons by a judge, and exports.
const find = (selector) => element.querySelector(selector);
const said = find(".arena-said");
const judge = find(".arena-judge");
const format = find("[name=format]");
let pair = lab.duel || null;
let request = ""; // the comparison that was asked for last
let results = 0;

judge.count.value = props.count.default;
judge.count.min = props.count.low;
judge.count.max = props.count.high;

const percent = (share) => `${Math.round(100 * share)} %`;
const short = (value) => (typeof value === "number" ? String(Number(value.toPrecision(3))) : "–");

// ---- side by side -----------------------------------------------------------------------------------------------

find(".arena-ask").addEventListener("submit", async (event) => {
  event.preventDefault();
  const sides = [...element.querySelectorAll(".arena-sides > div")];
  const names = [pair.source, pair.against];
  find(".arena-problem").textContent = "";
  find(".arena-sides").hidden = false;
  sides.forEach((side, index) => {
    side.querySelector("h4").textContent = lab.met?.[index] ?? names[index];
    side.querySelector("p").textContent = "…";
    side.querySelector("small").textContent = "";
  });
  try {
    const asked = await lab.post("compare-side", { a: names[0], b: names[1], prompt: find(".arena-ask input").value });
    await grow(asked.request, sides);
  } catch (error) {
    find(".arena-sides").hidden = true; // nobody has said what is wrong, so it stands under no name
    find(".arena-problem").textContent = error.message;
  }
});

async function grow(name, sides) {
  for (let done = false; !done && element.isConnected; ) {
    const found = await lab.post("compare-side-look", { request: name });
    done = found.done;
    sides.forEach((side, index) => {
      side.querySelector("p").textContent = lab.visible(found.texts?.[index]) || (done ? "(empty answer)" : "…");
      const score = found.scores?.[index];
      side.querySelector("small").textContent = typeof score === "number" ? `Score ${short(score)}` : "";
    });
    await new Promise((resolve) => setTimeout(resolve, 120));
  }
}

// ---- by a judge -------------------------------------------------------------------------------------------------

judge.addEventListener("submit", async (event) => {
  event.preventDefault();
  const ask = judge.querySelector("button");
  ask.disabled = true; // until it stands in the table: a second click would be a slip
  said.textContent = "Asked for. It begins as soon as the model is free.";
  try {
    const wanted = { a: pair.source, b: pair.against, judge: judge.judge.value, count: judge.count.value === "" ? null : Number(judge.count.value) };
    request = (await lab.post("compare-judge", wanted)).request;
    await refresh();
  } catch (error) {
    said.textContent = error.message;
  } finally {
    ask.disabled = false;
  }
});

async function refresh() {
  try {
    const found = await lab.post("compare-results", { request });
    table([...found.waiting, ...found.results]);
  } catch (error) {
    said.textContent = error.message;
    request = "";
  }
}

function table(rows) {
  const told = JSON.stringify(rows);
  if (told === results) return;
  results = told;
  find("table").hidden = !rows.length;
  judge.parentNode.classList.toggle("host-only", !rows.length); // a guest may read what came of it
  find("tbody").replaceChildren(...rows.map(line));
  const running = rows.find((row) => row.status === "running");
  if (running) said.textContent = `${running.title ?? running.run} is going on.`;
  else if (rows.length) said.textContent = "";
}

// On a phone, where the head of the table has no room, each figure has its name beside it.
const HEADS = [...find("thead tr").cells].map((head) => head.textContent);
const FIGURES = 3;

function line(row) {
  const finished = typeof row.win_rate === "number";
  const cells = [
    row.title ?? row.run,
    row.a && `${row.a} against ${row.b}`,
    row.judge,
    finished ? percent(row.win_rate) : row.progress || row.status,
    finished ? `${percent(row.low)} to ${percent(row.high)}` : "–",
    short(row.count),
    finished ? `${short(row.kl_a)} against ${short(row.kl_b)}` : "–",
  ];
  const node = lab.make("tr");
  node.append(...cells.map((cell, index) => lab.make(index ? "td" : "th", "", String(cell ?? "–"))), lab.make("td"));
  node.className = finished ? "is-over" : "is-open";
  if (finished) HEADS.slice(FIGURES, -1).forEach((head, index) => (node.cells[FIGURES + index].dataset.head = head));
  if (row.status === "running" || row.request) node.lastChild.append(stopping(row));
  return node;
}

function stopping({ run, title, request: waits, a, b }) {
  const button = lab.make("button", "board-button host-only", "Stop");
  button.type = "button";
  button.setAttribute("aria-label", run ? `Stop ${title ?? run}` : `Take back ${a} against ${b}`);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      said.textContent = (await lab.post("compare-stop", waits ? { request: waits } : { run })).said;
    } catch (error) {
      said.textContent = error.message;
    }
  });
  return button;
}

// ---- exports ----------------------------------------------------------------------------------------------------

function options(select, values) {
  const known = JSON.stringify(values);
  if (select.dataset.known === known) return;
  select.dataset.known = known;
  const before = select.value;
  select.replaceChildren(...values.map((each) => new Option(each.label, each.value)));
  if (values.some((each) => each.value === before)) select.value = before;
}

function link() {
  find(".arena-export a").href = `${lab.root()}/lab/export/rankings?format=${encodeURIComponent(format.value)}`;
}

function adapter({ run, title, path }) {
  const node = lab.make("li");
  const load = lab.make("a", "board-button", "Download");
  load.href = `${lab.root()}/lab/export/adapter?run=${encodeURIComponent(run)}`;
  node.append(lab.make("b", "", title), ...(path ? [lab.make("code", "", path)] : []), load);
  return node;
}

function choices({ judges, formats, tuned }) {
  options(judge.judge, judges);
  options(format, formats);
  link();
  const list = find(".arena-adapters");
  const told = JSON.stringify(tuned);
  find(".arena-note").textContent = tuned.length
    ? "Adapters in PEFT's format, beside the base they were made for:"
    : "A tuned adapter appears here when PPO has finished a run.";
  if (list.dataset.told !== told) {
    list.dataset.told = told;
    list.replaceChildren(...tuned.map(adapter));
  }
}

format.addEventListener("change", link);
window.addEventListener("lab-duel", (event) => (pair = event.detail));
window.addEventListener("lab-choices", (event) => element.isConnected && choices(event.detail));
lab.post("compare-choices").then(choices, () => {});
const timer = setInterval(() => (element.isConnected ? element.offsetParent && !document.hidden && refresh() : clearInterval(timer)), 1500);
refresh();
