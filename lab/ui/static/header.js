// The header: asks once a second how the work stands, and shows it.
const worker = element.querySelector(".lab-worker");
const says = worker.querySelector("span");
const again = worker.querySelector("button");
const next = element.querySelector(".lab-next");
const go = next.querySelector("button");
let target = "rank";

go.addEventListener("click", () => lab.tab(target));
again.addEventListener("click", async () => {
  again.hidden = true;
  await lab.post("restart").then(show, () => {});
});

function show(state) {
  worker.dataset.state = state.worker;
  if (says.textContent !== state.sentence) says.textContent = state.sentence;
  again.hidden = state.worker !== "gone";
  next.hidden = !state.next;
  if (!state.next) return;
  target = state.next.tab;
  const here = document.querySelector(`#tab-${target}-button`)?.getAttribute("aria-selected") === "true";
  next.querySelector("span").textContent = state.next.sentence;
  go.textContent = state.next.button;
  go.hidden = here;
  window.dispatchEvent(new CustomEvent("lab-state", { detail: state }));
}

async function look() {
  if (!element.isConnected) return;
  let pause = document.hidden ? 5000 : 1000;
  try {
    show(await lab.post("state"));
  } catch (error) {
    worker.dataset.state = "gone";
    says.textContent = error.message;
    pause = 2000;
  }
  setTimeout(look, pause);
}
look();
