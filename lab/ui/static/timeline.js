// Pinned prompts: their first answer beside the answer at the step of the slider; words that differ are marked.
const part = make("section", "part"), head = make("div", "part-head"), rows = make("div", "timeline-rows");
const slider = make("input", ""), holder = make("label", "timeline-slider"), output = make("output", ""), title = make("h3", "", "How the answers change");
const note = make("p", "lab-unseen");
Object.assign(slider, { type: "range", min: 0, max: 0, step: 1, value: 0 });
slider.setAttribute("aria-label", "Step whose answers are shown");
note.setAttribute("aria-live", "polite");
fill(holder, make("span", "lab-unseen", "Step"), slider, output);
fill(head, title, help("pinned prompt", "These prompts are asked more than once, always with the same luck, so that only learning changes the answers. Marked words differ from the first answer."), holder);
fill(part, head, rows, note);
fill(root, part);
part.hidden = true;

let chosen = "", run = "", steps = [], step = null, asked = 0;
const round = poll(look);
onChoice(props.stage, ([name]) => { chosen = name; step = null; round(); });
slider.addEventListener("input", () => {
  const index = Number(slider.value);
  step = index >= steps.length - 1 ? null : steps[index];
  look();
});

async function look() {
  const mine = ++asked, found = await post("timeline", { run: chosen, stage: props.stage, step });
  if (mine !== asked) return 300;
  steps = found.steps;
  run = found.run;
  part.hidden = !found.rows.length;
  tellFigures(found.rows.some(({ first, now }) => first.kl !== null || now.kl !== null));
  if (part.hidden) return 1500;
  slider.max = steps.length - 1;
  slider.value = steps.indexOf(found.step);
  slider.disabled = steps.length < 2;
  const words = `step ${found.step}`;
  write(output, words);
  slider.setAttribute("aria-valuetext", words);
  const key = JSON.stringify(found.rows);
  if (rows.dataset.key !== key) {
    rows.dataset.key = key;
    fill(rows, found.rows.map((each) => row(each, `Before ${found.stage.toUpperCase()}`)));
  }
  return found.status === "running" ? 700 : 2000;
}

function row({ prompt, first, now }, before) {
  const sides = make("div", "pinned-sides"), same = first.step === now.step;
  const open = (said) => said.kl !== null && button("Tokens", () => showTokens({ run, step: said.step, prompt }), "lab-link");
  fill(sides, side(before, first, open(first)), same ? make("div", "pinned-side pinned-about", "The answers of later steps will stand here.") : side(`At step ${now.step}`, now, open(now)));
  return fill(make("article", "pinned"), make("div", "pinned-prompt", prompt), sides);
}

function side(words, { pieces, score, kl, length }, link) {
  const node = make("div", "pinned-side"), facts = [score !== null && `score ${number(score)}`, kl !== null && kl > 0 && number(kl, "nats"), counted(length, "token")];
  node.append(make("span", "pinned-about", [words, ...facts.filter(Boolean)].join(" · ")));
  for (const [kind, text] of pieces) node.append(kind === "same" ? visible(text) : make(kind, "", text));
  if (link) node.append(" ", link);
  return node;
}
