// An order, a note and tags in the making: kept by this browser tab over a reload, and forgotten with the next prompt.
function makeDraft(name) {
  return {
    keep: (item, groups, note, tags) => lab.session.set(name, JSON.stringify({ item, groups, note, tags })),
    of(item) {
      const found = JSON.parse(lab.session.get(name));
      return found?.item === item ? found : null;
    },
  };
}
