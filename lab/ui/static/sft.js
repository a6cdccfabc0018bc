// The SFT page's desk: which examples are learned from, with a look at them before anything starts.
const data = make("section", "sft-data"), rows = make("table", "lab-rows"), lines = make("tbody", ""), about = make("p", "sft-about"), left = make("details", "desk-settings"), reasons = make("ul", "sft-reasons");
const chooser = make("input", ""), dataTold = teller(), clear = button("Use the built-in examples", () => use(null), "lab-link"), chooseFile = button("Use a file of my own", () => chooser.click());
let file = null;

Object.assign(chooser, { type: "file", accept: ".json,.jsonl,.ndjson,.csv,.tsv,.parquet,.pq,.gz,.zip,.db,.sqlite,.sqlite3", hidden: true });
chooser.setAttribute("aria-label", "File of examples");
chooser.addEventListener("change", () => chooser.files[0] && send(chooser.files[0]));
left.append(make("summary", "", ""), reasons);
fill(rows, fill(make("thead", ""), fill(make("tr", ""), make("th", "", "Prompt"), make("th", "", "Answer it learns"))), lines);
fill(data, fill(make("div", "lab-line"), about, chooseFile, clear, chooser), dataTold, fill(make("div", "lab-scroll"), rows), left);

const look = make("details", "desk-settings");
look.append(make("summary", "", "Examples it learns from"), data);
look.addEventListener("toggle", () => look.open && !lines.children.length && use(null), { once: false });

desk({
  stage: "sft", start: "Start SFT", extra: look,
  lead: "The model that ships here has been through this once, so you may go on to Rank. Train it anew to see how it is done: it takes about a minute with the built-in examples.",
  inputs: () => (file ? { file: file.path, name: file.name } : {}),
});

async function send(chosen) {
  dataTold.tell(`Reading ${chosen.name}.`);
  try {
    const sent = await upload(chosen);
    await use({ path: sent.path, name: chosen.name });
  } catch (error) {
    dataTold.tell(`${chosen.name} could not be sent: ${error.message}`, true);
  }
  chooser.value = "";
}

// A file that cannot be used leaves the choice as it was, with the reason.
async function use(next) {
  const found = await dataTold.run(chooseFile, "sft-data", next ? { file: next.path } : {});
  if (!found) return;
  file = next;
  clear.hidden = !file;
  const { accepted, rejected, rejected_count: count } = found;
  write(about, file ? `${file.name}: ${counted(accepted, "example")}, read as ${found.format}${count ? `; ${counted(count, "row")} left out` : ""}.` : "Built-in examples. The first five:");
  fill(lines, found.rows.map((row) => fill(make("tr", ""), make("td", "", row.prompt), make("td", "", row.response))));
  left.hidden = !count;
  write(left.firstChild, `Why ${counted(count, "row")} ${count === 1 ? "was" : "were"} left out`);
  fill(reasons, rejected.map((row) => make("li", "", `Row ${row.line}: ${row.reason}`)), count > rejected.length && make("li", "", `and ${count - rejected.length} more`));
}
