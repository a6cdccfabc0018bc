// A form made from the records of fields.py: those shown by default in the open, the rest folded; returns {node, values, changed, taken}: all that it holds;
// what somebody has set in it, be it to the usual value; and that a run takes this along, so that it is no longer news.
function form(records) {
  const inputs = new Map(), node = make("div", "form"), open = make("div", "form-grid"), folded = make("details", "form-more"), rest = make("div", "form-grid");
  folded.append(make("summary", "", "More settings"), rest);
  for (const record of records) (record.shown ? open : rest).append(field(record, inputs));
  fill(node, open, rest.children.length && folded);
  node.addEventListener("input", ({ target }) => { target.touched = target.byHand = true; keepWithin(records, inputs, target); });
  const values = (some = () => true) => Object.fromEntries([...inputs].filter(([, input]) => some(input)).map(([name, input]) => [name, read(input)]));
  // What it returns takes that back, where no run has come of it.
  const taken = () => {
    const those = [...inputs.values()].filter((input) => input.touched);
    for (const input of those) input.touched = false;
    return () => { for (const input of those) input.touched = true; };
  };
  return { node, values, changed: () => values((input) => input.touched), taken, inputs };
}

// A field that can be no larger than the one that somebody writes in follows it down, until it is set by hand: it may be folded away.
function keepWithin(records, inputs, changed) {
  for (const { name, within, default: usual } of records) {
    const input = inputs.get(name), most = changed.valueAsNumber;
    if (!within || inputs.get(within) !== changed || input.byHand || !(most > 0)) continue;
    input.value = Math.min(usual, most);
    input.touched = true;
  }
}

function field(record, inputs) {
  const input = control(record);
  input.kind = record.kind;
  inputs.set(record.name, input);
  return labelled(record.label, input, range(record));
}

function range({ help, low, high, kind, default: usual }) {
  const text = help.endsWith(".") ? help : `${help}.`;
  if (kind !== "whole" && kind !== "number") return text;
  const bounds = low !== null && high !== null ? `from ${exact(low)} to ${exact(high)}` : low !== null ? `at least ${exact(low)}` : high !== null ? `at most ${exact(high)}` : "";
  const chosen = usual === null ? "left empty, it is chosen for the size of the model" : usual === undefined ? "" : `usually ${exact(usual)}`;
  const facts = [chosen, bounds].filter(Boolean).join(usual === null ? "; else " : "; ");
  return [text, `${facts[0].toUpperCase()}${facts.slice(1)}.`].join(" ");
}

const exact = (value) => (value && Math.abs(value) < 1e-4 ? String(value) : value.toLocaleString("en", Number.isInteger(value) ? {} : { maximumSignificantDigits: 6 }));

function control(record) {
  if (record.kind === "choice") {
    const select = make("select", "");
    for (const { value, label } of record.choices) select.append(new Option(label, value, value === record.default, value === record.default));
    return select;
  }
  const input = make("input", "");
  if (record.kind === "switch") return Object.assign(input, { type: "checkbox", checked: record.default });
  if (record.kind === "text") return Object.assign(input, { type: "text", value: record.default, maxLength: 200 });
  return Object.assign(input, { type: "number", step: record.kind === "whole" ? 1 : "any", value: record.default, placeholder: record.default === null ? "chosen" : "", min: record.low ?? "", max: record.high ?? "", inputMode: "decimal" });
}

// Throws for what is half typed: the browser hands out "1e-" as if the field were empty.
function read(input) {
  if (input.validity.badInput) throw new Error(`${input.labels[0].textContent} is not a number.`);
  if (input.kind === "switch") return input.checked;
  if (input.kind === "choice" || input.kind === "text") return input.value;
  return input.value === "" ? null : Number(input.value);
}
