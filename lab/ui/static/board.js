// The board of one page: streams a prompt's answers in, takes an order by click, key or drag, saves it, shows the next.
const find = (selector) => element.querySelector(selector);
const LETTERS = "ABCDEFGH";
const duel = props.kind === "duel";
const actions = { tie: () => (duel ? decide(null) : tie()), undo, skip: () => save([]), submit: () => (saving ? send() : save(ranking.groups)) };
const cards = find(".board-cards");
const strip = find(".board-strip");
const note = find(".board-note input");
const own = find(".board-own input");
const settings = { kind: props.kind, source: "sft", against: "" };
props.knobs.forEach((knob) => (settings[knob.name] = knob.value));

let item = null; // what the server said about the prompt in hand
let ranking = makeRanking(0);
let answers = []; // the nodes of each card
let began = 0;
let saving = null; // the request that is being saved, kept for a retry with the same key
let sending = null; // the attempt at it that is under way
let saved = 0; // the number of the ranking that U takes back, the newest that this browser saved
let typed = ""; // the item of the newest prompt that was typed here
let asked = 0; // counts what was asked for, so that an answer that comes too late is not shown

const { say, reveal, showProgress, problem } = makeTelling(find, LETTERS);
const draft = makeDraft(`lab-draft-${props.kind}`);
const panels = makePanels(element, props, (name, value) => {
  settings[name] = value;
  load(false);
});

const body = (more = {}) => ({ tab: `${lab.tabId()}${props.kind}`, pool: settings, ...more });
const writing = () => !item || !item.comparison;

// ---- one prompt -------------------------------------------------------------------------------------------------

function show(view) {
  const fresh = !item || view.item !== item.item;
  item = view;
  if (view.progress) showProgress(view.progress);
  saved = view.newest ?? saved;
  find(".board-again").hidden = !view.instead;
  problem(view.error ? view.error.message : "", "Next prompt", () => load(true));
  if (fresh || view.error) build();
  if (view.error && view.item === typed) own.value ||= view.prompt; // to be shortened, not written again
  view.candidates.forEach(fill);
  paint();
  if (writing() && !view.error) setTimeout(look, element.offsetParent && !document.hidden ? 100 : 1000);
}

function build() {
  const focused = element.contains(document.activeElement) && !document.activeElement.matches("input, select");
  const before = duel ? null : draft.of(item.item);
  ranking = makeRanking(item.count);
  if (before && item.count) ranking.restore(before.groups);
  began = performance.now();
  find(".board-prompt").textContent = lab.visible(item.prompt);
  note.value = before?.note ?? "";
  panels.setTags(before?.tags ?? []);
  cards.style.setProperty("--card", item.tokens > 100 ? "360px" : item.count > 2 ? "264px" : "196px");
  answers = Array.from({ length: item.count }, (_, index) => card(index));
  cards.replaceChildren(...answers.map((each) => each.card));
  if (focused) find(".board-prompt").focus({ preventScroll: true });
  if (item.count) say(`New prompt: ${item.prompt.slice(0, 200)}`); // else an alert tells why it has no answers
}

// The text is a plain element beside the button, never inside it: a button's label would hide it from screen readers.
function card(index) {
  const box = lab.make("div", "board-card writing");
  const pick = lab.make("button", "board-pick");
  const text = lab.make("div", "board-text");
  pick.type = "button";
  text.id = `${props.kind}-answer-${index}`;
  box.dataset.answer = index;
  pick.dataset.handle = `Answer ${LETTERS[index]}`;
  pick.setAttribute("aria-describedby", text.id);
  if (!duel) {
    pick.title = "Drag it into the order below, or onto another answer for a tie";
    pick.append(lab.make("i", "board-grip"));
  }
  pick.append(lab.make("b", "", LETTERS[index]), lab.make("kbd", "", duel ? "←→"[index] : String(index + 1)), lab.make("span", "board-place"));
  box.append(pick, text);
  box.addEventListener("mousedown", (event) => event.shiftKey && event.preventDefault()); // it ties, and selects no text
  box.addEventListener("click", (event) => {
    if (duel) return choose(index);
    const chosen = getSelection();
    if (!chosen.isCollapsed && box.contains(chosen.anchorNode)) return;
    choose(index, event.shiftKey);
  });
  return { card: box, pick, text, place: pick.lastChild };
}

// Only what is new is appended, so that a selection and the scroll position survive.
function fill(candidate, index) {
  const { card, text } = answers[index];
  const now = text.textContent;
  const told = lab.visible(candidate.text) || (candidate.finished ? "(empty answer)" : "");
  if (told.startsWith(now)) {
    if (told.length > now.length) text.append(told.slice(now.length));
  } else {
    // It said what another one says and is drawn anew: whoever had placed it has not read this one yet.
    text.textContent = told;
    if (!card.classList.contains("writing")) ranking.drop(index);
  }
  text.classList.toggle("empty", candidate.finished && !candidate.text);
  card.classList.toggle("writing", !candidate.finished);
}

async function look() {
  const name = item.item;
  try {
    const view = await lab.post("board-look", { item: name });
    if (item.item === name) show({ ...view, progress: null });
  } catch (error) {
    if (item.item === name) lost(error);
  }
}

function lost(error) {
  if (error.code === "E_NOT_FOUND") return load(false);
  problem(error.message, "", null);
  setTimeout(look, 1500);
}

// Other answers in place of these; null where a later wish has overtaken this one. An order that could not be saved is
// tried once more before, since nothing of it would be left on the page; while it cannot be saved, it stays.
async function turn(action, more) {
  if (saving && !(await send())) return null;
  const mine = ++asked;
  try {
    const view = await lab.post(action, body(more));
    return mine === asked ? view : null;
  } catch (error) {
    if (mine === asked) throw error;
    return null;
  }
}

async function load(another) {
  try {
    const view = await turn("board-next", { another });
    if (view) show(view);
  } catch (error) {
    problem(error.message, "Try again", () => load(another));
  }
}

// ---- ordering ---------------------------------------------------------------------------------------------------

function keepDraft() {
  if (item?.count) draft.keep(item.item, ranking.groups, note.value, panels.chosenTags());
}

function paint() {
  keepDraft();
  cards.setAttribute("aria-busy", String(writing()));
  const end = ranking.complete();
  answers.forEach(({ card, pick, place }, index) => {
    const at = ranking.placeOf(index);
    card.classList.toggle("placed", at >= 0);
    place.textContent = at < 0 ? "" : String(at + 1);
    pick.setAttribute("aria-label", `Answer ${LETTERS[index]}, ${ranking.placeName(index)}`);
    pick.setAttribute("aria-pressed", String(at >= 0));
  });
  paintStrip();
  const wait = end && writing();
  const button = find("[data-do=submit]");
  button.disabled = saving ? Boolean(sending) : !end || writing();
  button.firstChild.textContent = sending ? "Saving " : saving ? "Try again " : wait ? "Still writing " : "Submit ";
  find("[data-do=undo]").disabled = !ranking.undoable && !saved;
  find("[data-do=tie]").setAttribute("aria-pressed", String(ranking.joining));
}

function paintStrip() {
  const nodes = [];
  ranking.groups.forEach((group, place) => {
    if (place) nodes.push(lab.make("li", "board-sign", ">"));
    const slot = lab.make("li", group.length > 1 ? "board-slot tied" : "board-slot");
    group.forEach((index, position) => {
      if (position) slot.append(lab.make("span", "board-sign", "="));
      slot.append(chip(index));
    });
    nodes.push(slot);
  });
  if (ranking.joining) nodes.push(lab.make("li", "board-sign", "="));
  const keys = matchMedia("(min-width: 641px)").matches; // a phone has none
  const hint = duel ? `Click the better answer${keys ? ", or press ← or →; = for a tie" : ""}` : `Click the best answer first${keys ? ", or press its number" : ""}`;
  if (!ranking.started && item.count) nodes.push(lab.make("li", "board-hint", hint));
  strip.replaceChildren(...nodes);
}

function chip(index) {
  const node = lab.make("button", "board-chip", LETTERS[index]);
  node.type = "button";
  node.dataset.answer = index;
  node.dataset.handle = `Answer ${LETTERS[index]}`;
  node.setAttribute("aria-label", `Answer ${LETTERS[index]}, ${ranking.placeName(index)}. Arrow keys move it, equals ties it with the one before.`);
  return node;
}

function choose(index, joined = false) {
  if (saving || !item || index >= item.count) return;
  if (duel) return decide(index);
  if (joined) ranking.join(index);
  else ranking.pick(index);
  paint();
  say(`Answer ${LETTERS[index]}: ${ranking.placeName(index)}.${ranking.complete() ? " All placed, Enter submits." : ""}`);
}

function tie() {
  if (saving || !item?.count) return;
  ranking.tie();
  paint();
  say(ranking.joining ? "The next answer ties with the last one" : ranking.complete() ? "Tied. Enter submits." : "No tie");
}

function shift(index, by) {
  if (by) ranking.shift(index, by);
  else {
    const at = ranking.placeOf(index);
    if (at > 0) ranking.tieWith(index, ranking.groups[at - 1][0]);
  }
  paint();
  strip.querySelector(`[data-answer="${index}"]`)?.focus();
  say(`Answer ${LETTERS[index]}: ${ranking.placeName(index)}`);
}

makeDragging(element, strip, (answer, { kind, other }) => {
  if (kind === "tie") ranking.tieWith(answer, other);
  else if (kind === "last") ranking.last(answer);
  else ranking.beside(answer, other, kind === "after");
  paint();
  say(`Answer ${LETTERS[answer]}: ${ranking.placeName(answer)}`);
});

// ---- saving -----------------------------------------------------------------------------------------------------

async function save(order) {
  if (saving) return;
  if (order.length === 0 && (writing() || item.instead)) return load(true); // of what is ranked already, that stays
  if (writing() || (order.length && !ranking.complete())) return;
  saving = body({
    key: lab.key(),
    comparison: item.comparison,
    instead: item.instead,
    order,
    seconds: (performance.now() - began) / 1000,
    note: note.value,
    tags: panels.chosenTags(),
  });
  asked++;
  await send();
}

// Whether it is saved now. One attempt at a time.
function send() {
  sending ??= attempt().finally(() => {
    sending = null;
    paint();
  });
  paint();
  return sending;
}

// The key stays the same for a retry, so that a ranking whose answer was lost is stored once.
async function attempt() {
  problem("");
  try {
    const answer = await lab.post("board-submit", saving);
    saving = null;
    asked++;
    reveal(answer.reveal);
    show({ ...answer.next, newest: answer.next.newest || answer.seq }); // without a cookie of its own it is told why not
    element.dispatchEvent(new CustomEvent("board-saved", { bubbles: true, detail: props.kind }));
    return true;
  } catch (error) {
    refused(error);
    return false;
  }
}

function refused(error) {
  find(".board-reveal").hidden = true; // it tells of the ranking before, which was saved
  const again = ["E_OFFLINE", "E_HTTP", "E_BUSY", "E_DISK_FULL", "E_INTERNAL"].includes(error.code);
  if (again) return problem(`Not saved. ${error.message}`, "Try again", send);
  saving = null;
  paint();
  problem(error.message, "Next prompt", () => load(true));
}

async function undo() {
  if (saving) return;
  if (ranking.undo()) {
    paint();
    return say("Undone");
  }
  if (saved) await bringBack("board-undo", saved);
}

// The answers of a saved ranking, to be ordered anew: after an undo, or because the Reward page doubts them.
async function bringBack(action, seq) {
  try {
    const view = await turn(action, { key: lab.key(), seq });
    if (!view) return;
    const { before } = view;
    if (before) draft.keep(view.item, before.groups, before.note, before.tags);
    find(".board-reveal").hidden = true;
    show(view);
    const now = ranking.started ? "change its order" : "order these answers again";
    say(before ? `The ranking is taken back; ${now}` : `Order these answers again${view.instead ? "; the earlier ranking counts until then" : ""}`);
    if (before) element.dispatchEvent(new CustomEvent("board-taken-back", { bubbles: true }));
  } catch (error) {
    problem(error.message);
  }
}

// ---- sources and own prompts ------------------------------------------------------------------------------------

const fillSources = makeSources(find(".board-source select"), settings, () => load(false));

own.form.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const view = await turn("board-own", { prompt: own.value });
    if (!view) return;
    typed = view.item;
    own.value = "";
    own.blur();
    show(view);
  } catch (error) {
    problem(error.message);
  }
});

// ---- keys -------------------------------------------------------------------------------------------------------

// A duel is decided by one press: there is nothing else to say. Undo takes it back.
function decide(index) {
  if (saving || writing()) return say("Still writing");
  ranking = makeRanking(2);
  if (index === null) ranking.tie();
  else ranking.pick(index);
  paint();
  save(ranking.groups);
}

function duelKey(key) {
  const index = { ArrowLeft: 0, ArrowRight: 1, 1: 0, 2: 1, "=": null }[key];
  if (index === undefined) return false;
  decide(index);
  return true;
}

function handle(event) {
  const { key, target } = event;
  const chipHere = target.closest(".board-chip");
  if (duel && duelKey(key)) return true;
  if (/^[1-8]$/.test(key)) return choose(Number(key) - 1), true;
  if (chipHere && key === "ArrowLeft") return shift(Number(chipHere.dataset.answer), -1), true;
  if (chipHere && key === "ArrowRight") return shift(Number(chipHere.dataset.answer), 1), true;
  if (chipHere && key === "=") return shift(Number(chipHere.dataset.answer), 0), true;
  const simple = { "=": "tie", u: "undo", Backspace: "undo", s: "skip" }[key.length === 1 ? key.toLowerCase() : key];
  if (simple) return actions[simple](), true;
  if (key === "n") return note.focus(), true;
  if (key === "?") return panels.toggle("help"), true;
  // Enter on a button presses it, except on an answer when all of them are placed: then it submits.
  const free = !target.closest("button, a, summary") || target.closest(".board-card, .board-chip, [role=tab]");
  if (key === "Enter" && free && ranking.complete()) return actions.submit(), true;
  return false;
}

function onKey(event) {
  if (!element.isConnected) return document.removeEventListener("keydown", onKey);
  if (!element.offsetParent || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const { target } = event;
  if (target === note && (event.key === "Enter" || event.key === "Escape")) return note.blur();
  if (target.closest?.("input, textarea, select, [contenteditable=true], [role=slider], [role=combobox]")) return;
  if (event.repeat && !event.key.startsWith("Arrow")) return;
  if (handle(event)) event.preventDefault();
}

[[note, "input"], [find(".board-tags"), "click"]].forEach(([node, kind]) => node.addEventListener(kind, keepDraft));
document.addEventListener("keydown", onKey);
element.querySelectorAll("[data-do]").forEach((button) => button.addEventListener("click", () => actions[button.dataset.do]()));
if (duel) {
  own.form.hidden = find(".board-source").hidden = find(".board-progress").hidden = true;
  find(".board-extra").hidden = find("[data-do=submit]").hidden = true;
  const meet = (two) => {
    Object.assign(settings, two);
    load(false);
  };
  window.addEventListener("lab-duel", (event) => element.isConnected && meet(event.detail));
  if (lab.duel) meet(lab.duel);
} else {
  fillSources();
  window.addEventListener("lab-state", () => element.isConnected && fillSources());
  window.addEventListener("lab-rerank", (event) => element.isConnected && bringBack("board-again", event.detail.seq));
  load(false);
}
