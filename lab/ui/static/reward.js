// The Reward page's desk: one button, the verdict in words, and the next step.
const raters = make("select"), verdict = make("section", "verdict"), extra = make("details", "desk-settings"), holder = make("div", "form-grid");
holder.append(labelled("Whose rankings", raters, "Simulated raters are never mixed with people unless you choose everybody."));
const bring = make("div", "bring host-only"), chooser = make("input", ""), about = make("p", ""), sight = make("div", "lab-scroll"), why = make("ul", "sft-reasons"), brought = teller(), earlier = make("h4", "", "Brought in so far"), imports = make("ul", "bring-list");
const chooseFile = button("Add rankings of a file", () => chooser.click()), addThem = button("Add them", () => add(), "lab-main");
let file = null;
Object.assign(chooser, { type: "file", accept: ".json,.jsonl,.ndjson,.csv,.tsv,.parquet,.pq,.gz,.zip,.db,.sqlite,.sqlite3", hidden: true });
chooser.setAttribute("aria-label", "File of rankings");
chooser.addEventListener("change", () => chooser.files[0] && send(chooser.files[0]));
fill(bring, fill(make("div", "lab-line"), chooseFile, addThem, chooser), brought, about, sight, why, earlier, imports);
earlier.hidden = true;
extra.append(make("summary", "", "Rankings to learn from"), holder, bring);
extra.addEventListener("toggle", () => extra.open && list());
offer(null);

const tools = desk({
  stage: "reward", start: "Train the reward model", extra,
  lead: "It learns from your rankings in about a minute, then is tested on prompts that were kept aside.",
  elsewhere: { tab: "rank", words: "Rank answers" },
  inputs: () => ({ raters: raters.value }),
  more: show,
});
const lacking = make("p", "desk-hindrance");
tools.startRow.before(lacking);
raters.addEventListener("change", tools.round);
verdict.setAttribute("aria-live", "polite");
root.insertBefore(verdict, root.children[1]);

// What a file would bring is said before any of it is stored.
async function send(chosen) {
  offer(null);
  brought.tell(`Reading ${chosen.name}.`);
  try {
    file = (await upload(chosen)).path;
    const found = await brought.run(chooseFile, "bring-look", { file });
    if (found) offer(found, chosen.name);
  } catch (error) {
    brought.tell(`${chosen.name} could not be sent: ${error.message}`, true);
  }
  chooser.value = "";
}

function offer(found, name) {
  addThem.hidden = about.hidden = sight.hidden = why.hidden = !found;
  if (!found) return;
  write(about, `${name}: ${found.count} ${found.count === 1 ? "ranking" : "rankings"}, read as ${found.format}${found.left ? `; of no use: ${found.left}` : ""}.`);
  fill(sight, excerpts(found.rows));
  fill(why, found.reasons.map((reason) => make("li", "", reason)), found.left > found.reasons.length && make("li", "", `and ${found.left - found.reasons.length} more`));
}

// The first rows, so that a file that is read the wrong way round is seen before it is added.
function excerpts(rows) {
  const table = make("table", "lab-rows"), heads = ["The first rows: prompt", "Answers, best first"];
  const order = ({ answers }) => answers.map(({ place, text }) => fill(make("div", ""), make("b", "", `${place}: `), make("span", "", text)));
  const cells = rows.map((row) => fill(make("tr", ""), make("td", "", row.prompt), fill(make("td", ""), order(row))));
  return fill(table, fill(make("thead", ""), fill(make("tr", ""), heads.map((words) => Object.assign(make("th", "", words), { scope: "col" })))), fill(make("tbody", ""), cells));
}

async function add() {
  const found = await brought.run(addThem, "bring-add", { file });
  if (!found) return;
  offer(null);
  showImports(found.imports);
}

// Every import that stands, also one made from a shell or long ago, with the way to take it back.
async function list() {
  if (document.body.classList.contains("is-guest")) return;
  try {
    showImports((await post("bring-list")).imports);
  } catch (error) {
    brought.tell(error.message, true);
  }
}

function showImports(found) {
  earlier.hidden = !found.length;
  fill(imports, found.map((each) => {
    const count = each.standing === each.brought ? each.brought : `${each.standing} of ${each.brought}`;
    const when = new Date(each.at * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
    const take = button("Take back this import", async (pressed) => {
      const left = await brought.run(pressed, "bring-back", { id: each.id });
      if (left) showImports(left.imports);
      else pressed.disabled = true; // it is no longer there, and stays to be read about until the list is opened again
    });
    take.setAttribute("aria-label", `Take back this import, ${each.name}`);
    return fill(make("li", "lab-line"), make("span", "", `${each.name}: ${count} ${each.brought === 1 ? "ranking" : "rankings"}, ${when}`), take);
  }));
}

function show(found) {
  fillRaters(raters, found.raters);
  // What everybody's rankings lack is said already.
  const why = found.hindrance.reward ? "" : found.lacking[raters.value];
  write(lacking, why);
  lacking.hidden = !why;
  if (why) tools.startButton.disabled = true;
  const now = JSON.stringify([found.run?.name, found.run?.status, found.verdict]);
  if (verdict.dataset.key === now) return;
  verdict.dataset.key = now;
  verdict.hidden = !found.verdict;
  if (verdict.hidden) return;
  const { accuracy, advice, good } = found.verdict, row = make("div", "lab-line");
  const go = button("Run PPO with it", () => lab.tab("ppo"), good ? "lab-main" : "lab-quiet"), rank = button("Rank more", () => lab.tab("rank"), good ? "lab-quiet" : "lab-main");
  go.classList.add("host-only");
  fill(row, good ? [go, rank] : [rank, go]);
  fill(verdict, make("h3", "", accuracy), advice && make("p", "", advice), row);
}
