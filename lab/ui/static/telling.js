// What a board tells: to a screen reader, after a save, about how far one has come, and what went wrong.
function makeTelling(find, letters) {
  function say(words) {
    const live = find("[data-live]");
    live.textContent = "";
    setTimeout(() => (live.textContent = words), 30);
  }

  function orderInWords(groups) {
    return groups.map((group) => group.map((index) => letters[index]).join(" = ")).join(" > ");
  }

  function reveal(found) {
    const line = find(".board-reveal");
    const add = (words, strong = false) => line.append(lab.make(strong ? "b" : "span", "", words));
    line.replaceChildren();
    line.hidden = false;
    if (!found.order.length) return add("Skipped.");
    add(`Saved: ${orderInWords(found.order)}. `, true);
    const writers = [...new Set(found.policies)];
    add(writers.length === 1 ? `All by ${writers[0]}. ` : `Written by ${found.policies.map((name, n) => `${letters[n]}: ${name}`).join("; ")}. `);
    const [same, twice] = found.again;
    if (twice) add(`You have ranked these answers before: ${same} of ${twice} pairs as then. `, true);
    if (!found.guess.length) return;
    add(`The reward model guessed ${found.guess.map((index) => letters[index]).join(" > ")}${found.pairs ? `: ${found.agreed} of ${found.pairs} pairs like you` : ""}. `);
    if (found.total) add(`So far ${Math.round((100 * found.total_agreed) / found.total)} % of ${found.total} pairs.`, true);
  }

  function showProgress({ mine, all, enough, same, again, left_out: left }) {
    const others = all > mine ? `, ${all} with others` : "";
    const goal = mine < enough ? ` of about ${enough}` : "";
    const self = again ? `, ${Math.round((100 * same) / again)} % of ${again} pairs as the first time` : "";
    find(".board-progress span").textContent = `${mine}${goal} rankings${others}${self}`;
    find(".board-progress progress").max = enough;
    find(".board-progress progress").value = Math.min(mine, enough);
    const which = left === 1 ? "1 prompt of a file was left out: it is" : `${left} prompts of a file were left out: they are`;
    const words = left ? `${which} too long for this model. Shorten what is too long, or load a model that reads more.` : "";
    if (find(".board-left").textContent !== words) find(".board-left").textContent = words;
  }

  function problem(words, label = "", act = null) {
    const box = find(".board-problem");
    const button = box.querySelector("button");
    box.hidden = !words;
    box.querySelector("span").textContent = words;
    button.hidden = !act;
    button.textContent = label;
    button.onclick = act;
  }

  return { say, reveal, showProgress, problem };
}
