// The pair that meets in a duel, and how the duels stand. Tells the board and the rest of the page through `lab-duel`.
const find = (selector) => element.querySelector(selector);
const [first, second] = element.querySelectorAll("select");
let known = "", told = "";

const percent = (share) => `${Math.round(100 * share)} %`;
const named = (select) => select.selectedOptions[0]?.textContent || select.value;

async function fill() {
  const found = await lab.post("compare-choices").catch(() => null);
  if (!found) return;
  window.dispatchEvent(new CustomEvent("lab-choices", { detail: found }));
  const now = found.policies.map((each) => each.value).join(), labels = JSON.stringify(found.policies);
  if (labels === told) return;
  told = labels;
  if (now === known) return tell(found.policies);
  known = now;
  for (const [select, usual] of [[first, found.pair[0]], [second, found.pair[1]]]) {
    select.replaceChildren(...found.policies.map((each) => new Option(each.label, each.value)));
    select.value = usual;
  }
  change();
}

// The same policies, of which one may be called otherwise by now.
function tell(policies) {
  const labels = new Map(policies.map((each) => [each.value, each.label]));
  for (const option of [...first.options, ...second.options]) {
    const words = labels.get(option.value) ?? option.textContent;
    if (option.textContent !== words) option.textContent = words;
  }
  lab.met = [named(first), named(second)];
  count();
}

function change() {
  const same = first.value === second.value;
  find(".duel-problem").hidden = !same;
  find(".duel-problem").textContent = same ? "Choose two different policies." : "";
  if (same) return;
  lab.duel = { source: first.value, against: second.value };
  lab.met = [named(first), named(second)];
  window.dispatchEvent(new CustomEvent("lab-duel", { detail: lab.duel }));
  count();
}

async function count() {
  if (!lab.duel || !element.isConnected) return;
  const found = await lab.post("compare-tally", { a: first.value, b: second.value }).catch(() => null);
  if (!found) return;
  const { wins, losses, ties, rate, low, high } = found;
  find(".duel-tally span").textContent = found.count
    ? `${named(first)} wins ${percent(rate)} of ${found.count} ${found.count === 1 ? "duel" : "duels"} (95 % interval ${percent(low)} to ${percent(high)}): ${wins} won, ${losses} lost, ${ties} tied.`
    : "No duel yet. About 20 tell a clear difference, 100 a small one.";
  find(".duel-scale").hidden = !found.count;
  find(".duel-range").style.left = `${100 * low}%`;
  find(".duel-range").style.width = `${100 * (high - low)}%`;
  find(".duel-dot").style.left = `${100 * (rate ?? 0.5)}%`;
}

first.addEventListener("change", change);
second.addEventListener("change", change);
// What the Rank page saves is no duel; what is taken back may be one.
document.addEventListener("board-saved", ({ detail }) => detail === "duel" && count());
document.addEventListener("board-taken-back", count);
// A checkpoint that was clicked in the plot below takes the first place.
window.addEventListener("lab-meet", ({ detail }) => {
  if (!element.isConnected) return;
  if (![...first.options].some((each) => each.value === detail.policy)) first.append(new Option(detail.words, detail.policy));
  first.value = detail.policy;
  change();
  element.scrollIntoView({ block: "start" });
});
// New runs appear in the lists without a reload.
const timer = setInterval(() => (element.isConnected ? element.offsetParent && !document.hidden && fill() : clearInterval(timer)), 4000);
fill();
