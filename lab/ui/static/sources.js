// Who a board's answers come from: a list of all that can speak. Returns what fills it with those that can now.
function makeSources(select, settings, changed) {
  select.addEventListener("change", () => {
    settings.source = select.value;
    changed();
  });

  return async () => {
    const { sources } = await lab.post("board-sources").catch(() => ({ sources: [] }));
    const known = [...select.options].map((each) => each.value + each.textContent).join();
    if (!sources.length || known === sources.map((each) => each.value + each.label).join()) return;
    select.replaceChildren(...sources.map((each) => new Option(each.label, each.value)));
    if (!sources.some((each) => each.value === settings.source)) {
      settings.source = "sft"; // a run that is gone, or of another base
      changed();
    }
    select.value = settings.source;
  };
}
