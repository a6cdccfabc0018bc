// The PPO page's desk: by which method, what a run follows and answers to, and a word of doubt about the reward model.
const method = make("select"), whose = make("select"), start = make("select"), prompts = make("select"), own = make("textarea"), pinned = make("textarea"), follows = make("select");
const doubt = make("p", "desk-hindrance"), REWARD = { tab: "reward", words: "Go to the Reward page" }, RANK = { tab: "rank", words: "Rank answers" };
let anyway = false;
for (const [value, words] of [["built-in", "the built-in ones"], ["ranked", "those that were ranked"], ["own", "my own, one a line"]]) prompts.append(new Option(words, value));
own.placeholder = "One prompt a line";
pinned.placeholder = "Up to five, one a line; empty: the lab chooses three";

const ownField = labelled("Own prompts", own);
ownField.hidden = true;
prompts.addEventListener("change", () => { ownField.hidden = prompts.value !== "own"; });
const extra = make("details", "desk-settings"), grid = make("div", "form-grid");
extra.append(make("summary", "", "Prompts and reward model"), grid);
const followsField = labelled("Reward model", follows, "What the run tries to please."), promptsField = labelled("Prompts to practise on", prompts);
const AGAIN = "Asked again and again, so that you see their answers change.", TWICE = "Asked before and after, so that you see how their answers have changed.";
const pinnedField = labelled("Prompts to watch", pinned, AGAIN);
const whoseField = labelled("Whose rankings", whose, "Simulated raters are never mixed with people unless you choose everybody.");
whoseField.hidden = true;
const startField = labelled("Starts from", start, "What the run begins as, and what its KL is counted from.");
startField.hidden = true;
fill(grid, whoseField, followsField, startField, promptsField, ownField, pinnedField);

const tools = desk({
  stage: "ppo", start: "Start PPO", extra, lead: props.methods[0].meaning,
  elsewhere: REWARD,
  inputs: () => ({ prompts: prompts.value, own: own.value, pinned: pinned.value, reward: follows.value, reference: start.value, raters: whose.value, anyway }),
  more: show,
});
const rankMore = button("Rank more", () => lab.tab("rank"), "lab-main"), startAnyway = button("Start PPO anyway", startInDoubt);
doubt.hidden = rankMore.hidden = startAnyway.hidden = true;
for (const { name, title } of props.methods) method.append(new Option(title, name));
tools.startRow.before(fill(make("div", "ppo-method"), labelled("Method", method)), doubt);
method.addEventListener("change", () => {
  const { name, title, meaning } = props.methods.find((each) => each.name === method.value), ranked = name === "dpo";
  whoseField.hidden = !ranked;
  followsField.hidden = promptsField.hidden = ranked;
  startField.hidden = ranked || start.options.length < 2;
  ownField.hidden = ranked || prompts.value !== "own";
  write(extra.firstChild, ranked ? "Rankings and prompts" : "Prompts and reward model");
  write(pinnedField.lastChild, ranked ? TWICE : AGAIN);
  write(startAnyway, `Start ${title} anyway`);
  tools.use(name, `Start ${title}`, meaning, ranked ? RANK : REWARD);
});
tools.startRow.append(rankMore, startAnyway);
follows.addEventListener("change", tools.round);

function show(found) {
  fillRaters(whose, found.raters);
  const key = found.rewards.map((each) => each.name + each.title).join();
  if (follows.dataset.key !== key) {
    follows.dataset.key = key;
    const kept = follows.value;
    fill(follows, new Option("the newest", ""), found.rewards.map((each) => new Option(each.title, each.name)));
    follows.value = kept;
  }
  const reward = found.rewards.find((each) => each.name === follows.value) ?? found.rewards[0];
  showStarts(found.starts, reward);
  showDoubt(method.value === "dpo" ? null : reward);
}

// There is something to choose as soon as there is an SFT of one's own.
function showStarts(starts, reward) {
  const usual = reward?.start ? `the reward model's: ${reward.start}` : "the reward model's";
  const key = usual + starts.map((each) => each.value + each.label).join();
  if (start.dataset.key !== key) {
    start.dataset.key = key;
    const kept = start.value;
    fill(start, new Option(usual, ""), starts.map((each) => new Option(each.label, each.value)));
    start.value = starts.some((each) => each.value === kept) ? kept : "";
  }
  startField.hidden = method.value === "dpo" || !starts.length;
}

// A reward model that may be guessing is followed only by a click that says so.
function showDoubt(reward) {
  write(doubt, reward?.doubt ?? "");
  doubt.hidden = rankMore.hidden = startAnyway.hidden = !reward?.doubt;
  if (reward?.doubt) tools.startButton.hidden = true;
  startAnyway.disabled = tools.startButton.disabled;
}

async function startInDoubt() {
  anyway = true;
  try {
    await tools.start();
  } finally {
    anyway = false;
  }
}
