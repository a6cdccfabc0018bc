// The Model page's left side: facts of the base from the header's news, and the form for another base.
const find = (selector) => element.querySelector(selector);
const form = find("form");
const said = find(".model-said");
let awaited = null; // the base that is being loaded, and since when
const PRECISION = {
  "auto": "as suits the device",
  "8-bit": "8-bit: half of bfloat16's memory, slow on a GPU",
  "4-bit": "4-bit: a quarter of it",
};

find("datalist").append(...props.known.map((name) => new Option(name)));
form.precision.append(...props.precisions.map((name) => new Option(PRECISION[name] || name, name)));
form.rank.value = props.rank.value;
form.rank.max = props.rank.high;

function tell(words, bad = false) {
  said.textContent = words;
  said.classList.toggle("is-bad", bad);
}

// A state that is told within a second may still be of the model before.
function arrive(state) {
  if (!awaited || Date.now() - awaited.since < 1500 || state.worker === "starting") return;
  const gone = state.worker === "gone";
  tell(gone ? state.sentence : `${awaited.base} is loaded.`, gone);
  awaited = null;
}

function facts(state) {
  arrive(state);
  const rows = [
    ["Model", state.base || "–"],
    ["Runs on", state.device || "–"],
    ["Weights", state.precision || "–"],
    ["Made to fit", state.fit ? "yes, knobs turn before each run" : "no"],
    ["Longest text", state.context ? `${state.context} tokens` : "–"],
    ["State", state.sentence],
  ];
  const told = rows.map((row) => row.join(": ")).join("\n");
  const list = find(".model-facts");
  if (list.dataset.told === told) return;
  list.dataset.told = told;
  list.replaceChildren(...rows.flatMap(([name, value]) => [lab.make("dt", "", name), lab.make("dd", "", value)]));
  if (!form.base.value && state.base) form.base.value = state.base;
}
window.addEventListener("lab-state", (event) => facts(event.detail));
lab.post("state").then(facts, () => {});

const wanted = () => ({
  base: form.base.value,
  precision: form.precision.value,
  rank: Number(form.rank.value),
  fit: form.fit.checked,
});

// One at a time: a second click would load the model a second time.
async function attempt(action, words, seconds, more = {}) {
  const buttons = form.querySelectorAll("button");
  buttons.forEach((each) => (each.disabled = true));
  awaited = null;
  tell(words);
  table({ rows: [], turns: [] }); // it may be of another model
  try {
    const found = await lab.post(action, { ...wanted(), ...more }, seconds);
    tell("");
    return found;
  } catch (error) {
    tell(error.message, true);
    return null;
  } finally {
    buttons.forEach((each) => (each.disabled = false));
  }
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const found = await attempt("model-load", "Loading. A model from the network may take minutes.", 30);
  if (!found) return;
  tell(`${found.base} is being loaded; the line at the top tells when it is ready.`);
  awaited = { base: found.base, since: Date.now() };
});

find("[data-do=foretell]").addEventListener("click", async () => {
  const found = await attempt("model-foretell", "Looking at the model.", 70);
  if (found) table(found);
});

// Turn the knobs: those of the base at once in this form, those of a run before each run starts.
find("[data-do=fit]").addEventListener("click", async () => {
  const found = await attempt("model-foretell", "Looking for what to turn.", 70, { fit: true });
  if (!found) return;
  form.fit.checked ||= found.fits;
  for (const { knob, value } of found.fits ? found.turns : []) {
    if (knob === "precision") form.precision.value = value;
    if (knob === "rank") form.rank.value = value;
  }
  table(found);
});

function size(bytes) {
  const steps = [[1e9, "GB"], [1e6, "MB"], [1e3, "kB"]];
  const [unit, name] = steps.find(([least]) => bytes >= least) || [1, "B"];
  return `${Number((bytes / unit).toPrecision(3))}\u00a0${name}`;
}

const PHASES = { always: "Always there", rollout: "During the rollout", score: "While it is scored", update: "During an update" };

function memory({ role, bytes, value, why }) {
  const line = lab.make("tr"), name = lab.make("th", "", String(role));
  if (why) name.append(lab.make("small", "", why));
  line.append(name, lab.make("td", "", typeof bytes === "number" ? size(bytes) : String(value ?? "")));
  return line;
}

// The rows that hold at one time, under their sum.
function during(phase, all) {
  const there = all.filter((row) => row.phase === phase);
  if (!there.length) return [];
  const sum = memory({ role: PHASES[phase], bytes: there.reduce((bytes, row) => bytes + row.bytes, 0) });
  sum.className = "model-phase";
  return [sum, ...there.map(memory)];
}

// The peak as a sum like theirs, and beside it what other cards say.
const inAll = (row) => Object.assign(memory(row), { className: typeof row.bytes === "number" ? "model-phase" : "model-card" });

// A row is {role, bytes, why, phase} or {role, value}; the sentence says whether it fits.
function table(found) {
  const rows = [...Object.keys(PHASES).flatMap((phase) => during(phase, found.rows)), ...found.rows.filter((row) => !row.phase).map(inAll)];
  find(".model-memory tbody").replaceChildren(...rows);
  find(".model-memory").hidden = !rows.length;
  const turns = found.turns.map(({ knob, value, cost }) => lab.make("li", "", `${knob} ${value}: ${cost}`));
  find(".model-turns ol").replaceChildren(...turns);
  find(".model-turns").hidden = !turns.length || !found.fits;
  if (found.sentence) tell(found.sentence);
}
