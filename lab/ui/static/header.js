// The header: asks once a second how the work stands, shows it, and tells the other parts of the page.
const worker = element.querySelector(".lab-worker");
const says = worker.querySelector("span");
const again = worker.querySelector("button");
const fault = element.querySelector(".lab-fault");
const next = element.querySelector(".lab-next");
const line = next.querySelector("span");
const go = next.querySelector("button");
document.body.classList.toggle("is-looking", Boolean(element.querySelector(".lab-looking")));
let step = null;
let starting = false;

// The one button: starts what comes next, where that is one thing, and leads to its page.
go.addEventListener("click", async () => {
  const { tab, start, run: shown } = step;
  if (start) {
    starting = go.disabled = true;
    try {
      const { run } = await lab.post(`${start}-start`, {});
      if (run) showRun(start, run);
    } catch (error) {
      line.textContent = error.message;
      setTimeout(() => (starting = go.disabled = false), 6000);
      return;
    }
    setTimeout(() => (starting = go.disabled = false), 2000);
  }
  if (shown) showRun(tab, shown);
  lab.tab(tab);
});

// The page of a stage may still look at an earlier run.
function showRun(page, run) {
  (window.labChosen ??= {})[page] = [run];
  window.dispatchEvent(new CustomEvent("lab-run", { detail: { page, runs: [run] } }));
}

again.addEventListener("click", () => {
  again.hidden = true;
  lab.post("restart").catch(() => {});
});

// The name is a cookie, so that it outlives a restart of the app; the server checks it first and again at each save.
const name = element.querySelector(".lab-name input");
async function rename() {
  try {
    const found = await lab.post("name", { name: name.value });
    document.cookie = `${found.cookie}=${encodeURIComponent(found.name)}; path=/; max-age=31536000; samesite=lax`;
    name.setCustomValidity("");
  } catch (error) {
    name.setCustomValidity(error.message);
    name.reportValidity();
    // Left at that, it gives way to the name in force.
    setTimeout(() => name.setCustomValidity(""), 5000);
  }
}
name.addEventListener("change", rename);
element.querySelector(".lab-name").addEventListener("submit", (event) => {
  event.preventDefault();
  name.blur();
});

const write = (node, words) => node.textContent !== words && (node.textContent = words);

function show(state) {
  worker.dataset.state = state.worker;
  document.body.classList.toggle("is-guest", !state.host);
  write(says, state.sentence);
  again.hidden = state.worker !== "gone";
  write(fault, state.fault);
  fault.hidden = !state.fault;
  if (document.activeElement !== name && name.checkValidity()) name.value = state.rater ?? name.value;
  next.hidden = !state.next;
  const counted = document.querySelector(".lab-counted");
  if (counted) write(counted, ` The workspace has ${state.rankings} ${state.rankings === 1 ? "ranking" : "rankings"}.`);
  window.dispatchEvent(new CustomEvent("lab-state", { detail: state }));
  if (!state.next || starting) return;
  step = state.next;
  const here = document.querySelector(`#tab-${step.tab}-button`)?.getAttribute("aria-selected") === "true";
  write(line, step.sentence);
  write(go, step.button);
  go.hidden = here && !step.start && (!step.run || window.labChosen?.[step.tab]?.[0] === step.run);
}

// Two tabs that are a browser's first at once are given a cookie each, of which it keeps the later. To the server the
// session of one of them is another browser's from then on: it begins one of its own, before anybody misses it.
function renew() {
  if (Date.now() - Number(lab.session.get("lab-renewed")) < 60_000) return;
  lab.session.set("lab-renewed", Date.now());
  location.reload();
}

async function look() {
  if (!element.isConnected) return;
  let pause = document.hidden ? 5000 : 1000;
  try {
    show(await lab.post("state", { session_hash: window.__gradio_session_hash__ }));
  } catch (error) {
    if (error.code === "E_FORBIDDEN") renew();
    worker.dataset.state = "gone";
    write(says, error.message);
    pause = 2000;
  }
  setTimeout(look, pause);
}
look();
