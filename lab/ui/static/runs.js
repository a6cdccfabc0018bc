// Every run in a table; chosen ones are compared below, in their settings and on the curves.
const STAGES = { sft: "SFT", reward: "Reward", ppo: "PPO", rloo: "RLOO", grpo: "GRPO", dpo: "DPO", compare: "Compare" };
const box = make("section", ""), scroll = make("div", "lab-scroll"), table = make("table", "lab-rows runs"), body = make("tbody", ""), told = teller(), undo = button("Undo", takeBack, "lab-link");
const empty = make("section", "lab-empty"), trash = make("details", "runs-trash"), gone = make("ul", "runs-gone"), difference = make("section", "part"), line = make("div", "lab-line");
const waiting = waitingLines();
const heads = ["Compare", "Run", "Stage", "State", "Steps", "Settings", "Came to", ""];
fill(table, fill(make("thead", ""), fill(make("tr", ""), heads.map((words) => Object.assign(make("th", "", words), { scope: "col" })))), body);
fill(empty, make("span", "", "No run yet. Rank a few answers: that is all the first reward model needs."), button("Rank answers", () => lab.tab("rank"), "lab-main"));
trash.append(make("summary", "", "Deleted runs"), gone);
fill(line, told, undo);
fill(scroll, table);
fill(box, scroll, line, trash);
fill(root, waiting, empty, box, difference);
empty.hidden = box.hidden = trash.hidden = difference.hidden = undo.hidden = true;

let chosen = [], deleted = "", seen = "";
// The way back stands beside the words of its deletion only.
const { tell } = told;
told.tell = (...words) => { undo.hidden = true; tell(...words); };
const rows = new Map(), round = poll(look);

async function look() {
  const found = await post("runs-list");
  waiting.show(found.waiting);
  empty.hidden = found.runs.length > 0 || found.deleted.length > 0;
  box.hidden = !empty.hidden;
  const names = new Set(found.runs.map((run) => run.name));
  for (const [name, row] of rows) if (!names.has(name)) { row.node.remove(); rows.delete(name); }
  if (chosen.some((name) => !names.has(name))) select(chosen.filter((name) => names.has(name)));
  found.runs.forEach((run, index) => {
    if (!rows.has(run.name)) rows.set(run.name, newRow(run));
    const row = rows.get(run.name);
    if (body.children[index] !== row.node) body.insertBefore(row.node, body.children[index] ?? null);
    row.show(run);
  });
  showTrash(found.deleted);
  return 1500;
}

// A row keeps its nodes, so that focus, a half-written title and the ticks stay where they are.
function newRow(first) {
  const node = make("tr", ""), tick = make("input", ""), open = button("", () => visit(run), "lab-link runs-title"), name = make("span", "runs-name"), base = make("span", "runs-base"), state = chip(first.status);
  const steps = make("td", "is-number"), settings = make("td", "runs-settings"), result = make("td", ""), orders = make("td", ""), title = make("td", "");
  let run = first;
  tick.type = "checkbox";
  tick.addEventListener("change", () => select(tick.checked ? [...chosen, run.name] : chosen.filter((each) => each !== run.name)));
  const resume = button("Resume", (pressed) => order(pressed, run)), rename = button("Rename", () => edit(run, title, shown, rename)), remove = button("Delete", (pressed) => erase(pressed, run));
  const shown = fill(make("div", ""), open, name, base);
  fill(orders, fill(make("div", "lab-line runs-orders"), resume, rename, remove));
  fill(title, shown);
  fill(node, fill(make("td", ""), tick), title, make("td", "", STAGES[run.stage] ?? run.stage), fill(make("td", ""), state), steps, settings, result, orders);
  function show(next) {
    run = next;
    write(open, run.title);
    open.disabled = !run.page || Boolean(run.foreign);
    write(base, run.foreign);
    base.hidden = !run.foreign;
    base.title = open.title = resume.title = run.foreign ? "Load its base on the Model page to use it again." : "";
    resume.disabled = Boolean(run.foreign);
    node.classList.toggle("is-foreign", Boolean(run.foreign));
    write(name, [run.title !== run.name && run.name, run.by && `by ${run.by}`, run.created && new Date(run.created * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })].filter(Boolean).join(" · "));
    tick.setAttribute("aria-label", `Compare ${run.title}`);
    tick.checked = chosen.includes(run.name);
    rename.setAttribute("aria-label", `Rename ${run.title}`);
    remove.setAttribute("aria-label", `Delete ${run.title}`);
    resume.setAttribute("aria-label", `Resume ${run.title}`);
    repaint(state, run.status);
    write(steps, String(run.step));
    write(settings, run.settings);
    write(result, run.result);
    if (document.activeElement === resume && run.status === "running") rename.focus({ preventScroll: true });
    resume.hidden = !run.page || !["interrupted", "stopped", "failed"].includes(run.status);
    remove.disabled = ["running", "paused"].includes(run.status);
    node.classList.toggle("is-chosen", tick.checked);
  }
  return { node, show };
}

function visit(run) {
  lab.tab(run.page);
  choose(run.page, [run.name]);
}

async function order(pressed, run) {
  if (await told.run(pressed, `${run.page}-order`, { run: run.name, order: "resume" })) round();
}

function edit(run, cell, shown, opener) {
  const input = make("input", "field-input");
  let over = false;
  Object.assign(input, { type: "text", value: run.title, maxLength: 120 });
  input.setAttribute("aria-label", `New title of ${run.title}`);
  const end = async (save) => {
    if (over) return;
    over = true;
    if (save && input.value !== run.title) await told.run(input, "runs-rename", { run: run.name, title: input.value });
    const focused = cell.contains(document.activeElement) || document.activeElement === document.body;
    fill(cell, shown);
    if (focused) opener.focus({ preventScroll: true });
    round();
  };
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") end(true);
    if (event.key === "Escape") end(false);
  });
  input.addEventListener("blur", () => end(true));
  fill(cell, input);
  input.focus();
  input.select();
}

async function erase(pressed, run) {
  if (!(await told.run(pressed, "runs-delete", { run: run.name }))) return;
  deleted = run.name;
  undo.hidden = false;
  undo.focus();
  await round();
}

async function takeBack() {
  undo.hidden = Boolean(await told.run(undo, "runs-restore", { run: deleted }));
  round();
}

function showTrash(found) {
  trash.hidden = !found.length;
  const key = JSON.stringify(found);
  if (gone.dataset.key === key) return;
  gone.dataset.key = key;
  fill(gone, found.map((run) => {
    const back = button("Bring back", async () => { await told.run(back, "runs-restore", { run: run.name }); round(); });
    back.setAttribute("aria-label", `Bring back ${run.title}`);
    return fill(make("li", "lab-line"), make("span", "", run.title), back);
  }));
}

// --- the chosen ones --------------------------------------------------------------------------------------------------
async function select(names) {
  chosen = names.slice(-props.most);
  choose("runs", chosen.length ? chosen : ["none"]);
  round();
  const key = chosen.join();
  seen = key;
  difference.hidden = chosen.length < 2;
  if (difference.hidden) return;
  const found = await post("runs-compare", { runs: chosen });
  if (seen !== key) return;
  const grid = make("table", "lab-rows"), cells = found.rows.map((row) => fill(make("tr", ""), Object.assign(make("th", "", row.label), { scope: "row" }), row.values.map((value) => make("td", "", value))));
  fill(grid, fill(make("thead", ""), fill(make("tr", ""), make("td", ""), found.runs.map((run) => make("th", "", run.title)))), fill(make("tbody", ""), cells));
  fill(difference, fill(make("div", "part-head"), make("h3", "", "What they did differently")), cells.length ? fill(make("div", "lab-scroll"), grid) : make("p", "", "The settings that they share are the same."), found.alone ? make("p", "runs-alone", `${counted(found.alone, "setting")} ${found.alone === 1 ? "belongs" : "belong"} to one of them only, since they are of different stages.`) : null);
}
