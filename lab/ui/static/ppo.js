// The PPO page's desk: what a run follows and answers to, and warnings with what one click does about them.
const prompts = make("select"), own = make("textarea"), pinned = make("textarea"), follows = make("select");
const warnings = make("section", "warnings"), after = make("p", "lab-line ppo-after");
for (const [value, words] of [["built-in", "the built-in ones"], ["ranked", "those that were ranked"], ["own", "my own, one a line"]]) prompts.append(new Option(words, value));
own.placeholder = "One prompt a line";
pinned.placeholder = "Up to five, one a line; empty: the lab chooses three";

const ownField = labelled("Own prompts", own);
ownField.hidden = true;
prompts.addEventListener("change", () => { ownField.hidden = prompts.value !== "own"; });
const extra = make("details", "desk-settings"), grid = make("div", "form-grid");
extra.append(make("summary", "", "Prompts and reward model"), grid);
fill(grid, labelled("Reward model", follows, "What the run tries to please."), labelled("Prompts to practise on", prompts), ownField, labelled("Prompts to watch", pinned, "Asked again and again, so that you see their answers change."));

const tools = desk({
  stage: "ppo", start: "Start PPO", extra,
  lead: "PPO practises on a few hundred prompts and gets better at what the reward model likes. With the model that ships here it takes a few minutes, and you can watch, steer or stop it at any time.",
  elsewhere: { tab: "reward", words: "Go to the Reward page" },
  inputs: () => ({ prompts: prompts.value, own: own.value, pinned: pinned.value, reward: follows.value }),
  more: show,
});
warnings.setAttribute("aria-live", "polite");
warnings.setAttribute("aria-label", "Warnings");
root.append(after, warnings);

function show(found, { told }) {
  const key = found.rewards.map((each) => each.name + each.title).join();
  if (follows.dataset.key !== key) {
    follows.dataset.key = key;
    const kept = follows.value;
    fill(follows, new Option("the newest", ""), found.rewards.map((each) => new Option(each.title, each.name)));
    follows.value = kept;
  }
  showAfter(found.run);
  const cards = JSON.stringify([found.run?.name, found.warnings]);
  if (warnings.dataset.key === cards) return;
  warnings.dataset.key = cards;
  fill(warnings, found.warnings.map((warning) => card(warning, found.run, told)));
}

// When it is over: the one next step.
function showAfter(run) {
  const over = run && ["done", "stopped"].includes(run.status);
  after.hidden = !over;
  if (!over || after.dataset.run === run.name) return;
  after.dataset.run = run.name;
  fill(after, make("span", "", "Is it really better? Judge its answers against the old ones without knowing which is which."), button("Compare", () => lab.tab("compare"), "lab-main"));
}

function card(warning, run, told) {
  const node = make("article", warning.grave ? "warning warning-grave" : "warning"), sign = make("span", "warning-sign", "▲"), text = make("div", "warning-text"), row = make("div", "lab-line host-only");
  sign.setAttribute("aria-hidden", "true");
  for (const offer of warning.offers) {
    const does = offer.tab ? () => lab.tab(offer.tab) : async (pressed) => {
      tools.follow(await told.run(pressed, "ppo-remedy", { run: run.name, code: warning.code, index: offer.index }));
    };
    row.append(button(offer.words, does));
  }
  fill(text, make("b", "", `${warning.step ? `Step ${warning.step}` : "Before the first step"}: ${warning.message}`), make("span", "", warning.remedy), row.children.length && row);
  return fill(node, sign, text);
}
