// The parts of a board beside its answers: settings and keys, which unfold, and tags. `change(name, value)` hears of a setting.
function makePanels(area, { kind, knobs, tags }, change) {
  const duel = kind === "duel";
  const panel = (name) => area.querySelector(`[data-panel=${name}]`);
  const KEYS = duel
    ? [["← →", "the better answer, saved at once"], ["=", "a tie, saved at once"], ["S", "skip"], ["U", "take back"]]
    : [
        ["1 to 8", "the best answer first, then the next; again: take it out"],
        ["=", "the next answer ties with the last; when all are placed, the last two tie"],
        ["Enter", "submit"], ["U", "undo, also after submit"], ["S", "skip this prompt"], ["N", "write a note"],
        ["drag", "an answer by its head, or a letter of the order, to its place; onto another one for a tie"], ["Shift click", "tie with the last one"],
      ];

  function knobField(knob) {
    const label = lab.make("label", "board-knob"), note = lab.make("small", "", knob.help);
    const whole = Number.isInteger(knob.value) && knob.high > 2;
    let used = knob.value;
    const input = lab.make(knob.choices.length ? "select" : "input");
    if (knob.choices.length) input.append(...knob.choices.map((choice) => new Option(choice, choice)));
    else Object.assign(input, { type: "number", min: knob.low, max: knob.high, step: whole ? 1 : 0.05 });
    input.value = knob.value;
    note.setAttribute("aria-live", "polite");
    // What cannot be is not sent: nothing could be saved with it, and the order in hand stays.
    input.addEventListener("change", () => {
      const value = knob.choices.length ? input.value : Number(input.value);
      const fits = knob.choices.length || (input.value !== "" && value >= knob.low && value <= knob.high && (!whole || Number.isInteger(value)));
      note.textContent = fits ? knob.help : `${knob.label} must be a ${whole ? "whole " : ""}number from ${knob.low} to ${knob.high}; it stays ${used}.`;
      input.setAttribute("aria-invalid", String(!fits));
      if (!fits || value === used) return;
      used = value;
      change(knob.name, value);
    });
    label.append(lab.make("b", "", knob.label), input, note);
    return label;
  }

  function keyRow([key, meaning]) {
    const row = lab.make("div");
    row.append(lab.make("kbd", "", key), lab.make("span", "", meaning));
    return row;
  }

  function tagButton(name) {
    const tag = lab.make("button", "board-tag", name);
    tag.type = "button";
    tag.setAttribute("aria-pressed", "false");
    tag.addEventListener("click", () => tag.setAttribute("aria-pressed", String(tag.getAttribute("aria-pressed") !== "true")));
    return tag;
  }

  function toggle(name) {
    panel(name).hidden = !panel(name).hidden;
    area.querySelector(`[data-open=${name}]`).setAttribute("aria-expanded", String(!panel(name).hidden));
  }

  const buttons = tags.map(tagButton);
  area.querySelector(".board-tags").append(...buttons);
  panel("settings").append(...knobs.filter((knob) => !duel || knob.name !== "count").map(knobField));
  panel("help").append(...KEYS.map(keyRow));
  // After a button was pressed by a pointer Enter submits, and does not press that button again.
  area.addEventListener("click", (event) => event.detail && event.target.closest("[data-do], .board-tag")?.blur());
  area.querySelectorAll("[data-open]").forEach((button) => button.addEventListener("click", () => toggle(button.dataset.open)));

  return {
    toggle,
    chosenTags: () => buttons.filter((tag) => tag.getAttribute("aria-pressed") === "true").map((tag) => tag.textContent),
    setTags: (names) => buttons.forEach((tag) => tag.setAttribute("aria-pressed", String(names.includes(tag.textContent)))),
  };
}
