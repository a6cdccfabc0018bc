// What all live parts share. Text reaches the page through make() and textContent only, never as markup.
const { make, post, visible } = window.lab;
const root = element.querySelector(".live");

// Calls look() again and again while the part can be seen; look() returns how many milliseconds to wait.
function poll(look, hiddenWait = 700) {
  let fails = 0, timer = null, busy = false, again = false;
  async function round() {
    clearTimeout(timer);
    if (!element.isConnected) return;
    if (busy) return void (again = true);
    let wait = hiddenWait;
    if (!document.hidden && root.offsetParent) {
      busy = true;
      try {
        wait = await look();
        fails = 0;
        root.classList.remove("is-offline");
      } catch (error) {
        if (error.code === undefined) console.error(error);
        root.classList.add("is-offline");
        wait = Math.min(8000, 400 * 2 ** fails++);
      }
      busy = false;
    }
    if (again) { again = false; wait = 0; }
    timer = setTimeout(round, wait);
  }
  document.addEventListener("visibilitychange", () => !document.hidden && round());
  round();
  return round;
}

// Three significant digits with the unit, as in numbers.py.
function short(value) {
  const rounded = Number(value.toPrecision(3));
  if (rounded && (Math.abs(rounded) < 1e-4 || Math.abs(rounded) >= 1e6)) return rounded.toExponential().replace("e+", "e+");
  return rounded.toLocaleString("en", { maximumSignificantDigits: 3 });
}
function number(value, unit = "") {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (unit === "share") return `${short(value * 100)} %`;
  if (unit === "seconds") return `${short(value)} s`;
  if (unit === "bytes") {
    const scale = Math.min(4, Math.max(0, Math.floor(Math.log10(Math.abs(value) || 1) / 3)));
    return `${short(value / 1000 ** scale)} ${["B", "kB", "MB", "GB", "TB"][scale]}`;
  }
  const words = short(value);
  return `${words} ${words === "1" ? unit.replace("tokens", "token").replace("nats", "nat") : unit}`.trim();
}
// A count in a sentence: 1 token, 2 tokens.
const counted = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

const raterName = (name) => (name.startsWith("simulated:") ? `a simulated rater, ${name.slice(10)}` : name);

// Whose rankings are learned from: {name: how many} as choices of a select, which keeps its own.
function fillRaters(select, counts) {
  const names = Object.entries(counts), key = JSON.stringify(names);
  if (select.dataset.key === key) return;
  select.dataset.key = key;
  const kept = select.value;
  const choices = [["", "people, else the only rater"], ["person", "all people"], ["all", "everybody"], ...names.map(([each, count]) => [each, `${raterName(each)} (${count})`])];
  fill(select, choices.map(([value, words]) => new Option(words, value)));
  select.value = kept;
}

// Writes only what differs, so that nothing flickers and screen readers are not told the same twice.
function write(node, text) {
  const shown = visible(text);
  if (node.textContent !== shown) node.textContent = shown;
}
function fill(node, ...children) {
  const nodes = children.flat().filter(Boolean);
  node.replaceChildren(...nodes.map((each) => (typeof each === "string" ? visible(each) : each)));
  return node;
}

let ids = 0;
const newId = (word) => `${root.dataset.part}-${word}-${++ids}-${Math.random().toString(36).slice(2, 7)}`;

function button(text, does, classes = "lab-quiet") {
  const node = make("button", classes, text);
  node.type = "button";
  node.addEventListener("click", () => does(node));
  return node;
}

// An input under its name, with a sentence about it where there is one.
function labelled(words, input, info = "") {
  const box = make("div", "field"), name = make("label", "", words), note = make("small", "", info);
  input.classList.add("field-input");
  input.id = name.htmlFor = newId("input");
  if (!info) return fill(box, name, input);
  note.id = newId("info");
  input.setAttribute("aria-describedby", note.id);
  return fill(box, name, input, note);
}

// A question mark that tells what a word means: on hover, on focus, on tap; Escape closes it.
function help(title, ...sentences) {
  const holder = make("span", "lab-help"), mark = button("?", () => {}, "lab-help-mark"), box = make("span", "lab-help-box");
  box.id = newId("help");
  box.setAttribute("role", "tooltip");
  fill(box, ...sentences.filter(Boolean).map((each, i) => make("span", i ? "lab-help-more" : "", each)));
  mark.setAttribute("aria-label", `What is ${title}?`);
  mark.setAttribute("aria-describedby", box.id);
  mark.addEventListener("keydown", (event) => event.key === "Escape" && mark.blur());
  mark.addEventListener("pointerenter", place);
  mark.addEventListener("focus", place);
  function place() {
    const at = mark.getBoundingClientRect(), wide = Math.min(300, innerWidth - 24);
    box.style.width = `${wide}px`;
    box.style.left = `${Math.min(Math.max(12, at.left - 20), innerWidth - wide - 12)}px`;
    box.style.top = `${at.bottom + 6}px`;
  }
  holder.append(mark, box);
  return holder;
}

// What came of an order; of one that is only asked for (its answer says done: false), looks for the end for a minute.
async function ended(found, look) {
  const { request } = found;
  for (const end = Date.now() + 60_000; found.done === false; ) {
    if (Date.now() > end) throw new Error(`The model has not answered for a minute. ${found.worker ?? ""}`);
    await new Promise((resolve) => setTimeout(resolve, 150));
    found = await post(look, { request });
  }
  return found;
}

// Runs an order and shows what came of it beside the buttons; a refusal is shown in the server's own words.
function teller() {
  const line = make("div", "lab-told");
  line.setAttribute("role", "status");
  line.setAttribute("aria-live", "polite");
  line.tell = (text, bad = false) => { write(line, text); line.classList.toggle("is-bad", bad); };
  line.run = async (node, action, body, done = "") => {
    const focused = node.matches("button") && document.activeElement === node;
    node.disabled = true;
    line.tell("One moment.");
    try {
      const found = await ended(await post(action, body, 60), `${action}-look`);
      line.tell(found.said ?? done);
      return found;
    } catch (error) {
      line.tell(error.message, true);
      return null;
    } finally {
      node.disabled = false;
      // A button that is disabled loses the focus; whoever works by keys goes on from where they were.
      if (focused && document.activeElement === document.body) node.focus({ preventScroll: true });
    }
  };
  return line;
}

// A button whose first press only asks, in words beside it; the second, too late to be a double click, does it.
function twice(words, sure, question, told, does) {
  let timer = null, asked = "";
  const node = button(words, () => {
    if (node.ariaDisabled === "true") return;
    if (timer) { node.calm(); return does(); }
    asked = question();
    write(node, sure);
    told.tell(asked);
    node.ariaDisabled = "true";
    setTimeout(() => (node.ariaDisabled = null), 400);
    timer = setTimeout(node.calm, 15_000);
  });
  node.asking = () => Boolean(timer) && told.textContent === asked;
  // Asked on in the words that hold now; the time to answer is not longer for it.
  node.renew = () => node.asking() && told.tell((asked = question()));
  // Unasked again, as after a while without an answer.
  node.calm = () => {
    clearTimeout(timer);
    timer = null;
    write(node, words);
    if (told.textContent === asked) told.tell("");
  };
  return node;
}

// Runs that were asked for and have not begun; whoever may start runs can take them back. `show(lines)` is called after every look.
function waitingLines() {
  const box = make("section", "lab-waiting"), list = make("ul", ""), told = teller();
  let seen = "";
  box.setAttribute("aria-label", "Asked for and not begun");
  box.hidden = true;
  box.show = (lines) => {
    box.hidden = !lines.length;
    const key = JSON.stringify(lines);
    if (key === seen) return;
    seen = key;
    told.tell("");
    fill(list, lines.map(({ request, words }) => fill(make("li", "lab-line"), make("span", "", words), button("Take back", (node) => told.run(node, "take-back", { request }), "lab-quiet host-only"))));
  };
  return fill(box, list, told);
}

// Which run a page looks at: chosen by one part, heard by the others of the same page. A part that is mounted later, when its tab
// is opened for the first time, learns of the last choice.
function choose(page, runs) {
  (window.labChosen ??= {})[page] = runs;
  window.dispatchEvent(new CustomEvent("lab-run", { detail: { page, runs } }));
}
function onChoice(page, then) {
  window.addEventListener("lab-run", (event) => element.isConnected && event.detail.page === page && then(event.detail.runs));
  if (window.labChosen?.[page]) then(window.labChosen[page]);
}

// One answer token by token: asked for by a table or the timeline, shown by heat.js.
function showTokens(answer) {
  window.dispatchEvent(new CustomEvent("lab-tokens", { detail: answer }));
}

// Whether a table or the timeline holds answers with figures by token: without any there is nothing for heat.js to show.
function tellFigures(there) {
  (window.labFigures ??= {})[`${props.stage} ${root.dataset.part}`] = there;
  window.dispatchEvent(new CustomEvent("lab-figures"));
}

const STATES = {
  queued: "waiting for its turn", running: "running", paused: "paused", interrupted: "interrupted", done: "done", stopped: "stopped",
  failed: "failed", damaged: "damaged",
};
function chip(status) {
  const node = make("span", "lab-chip", STATES[status] ?? status);
  node.dataset.state = status;
  return node;
}
function repaint(node, status) {
  node.dataset.state = status;
  write(node, STATES[status] ?? status);
}
