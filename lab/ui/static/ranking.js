// The order that a person is making: groups of answers, best first; answers in one group are tied.
function makeRanking(count) {
  let groups = [];
  let joining = false; // the next answer joins the last group
  let past = [];
  let given = -1; // the answer that took the last place by itself, until it is picked or anything else changes

  const placed = () => groups.flat();
  const complete = () => count > 0 && placed().length === count;
  const placeOf = (index) => groups.findIndex((group) => group.includes(index));
  const copy = () => groups.map((group) => [...group]);

  function change(next, join = false) {
    past.push({ groups, joining });
    given = -1;
    groups = next.filter((group) => group.length);
    joining = join;
  }

  function without(index) {
    return copy()
      .map((group) => group.filter((each) => each !== index))
      .filter((group) => group.length);
  }

  // Where only one answer is left it can only be the last, unless it is to be tied.
  function withLast(next) {
    const missing = [...Array(count).keys()].filter((index) => !next.flat().includes(index));
    return missing.length === 1 ? [...next, missing] : next;
  }

  function pick(index) {
    if (index >= count) return;
    // Whoever presses all numbers in turn confirms the last place with the last press, and does not take it away.
    if (index === given) return void (given = -1);
    if (placed().includes(index)) return change(without(index));
    place(index, joining);
  }

  function place(index, tied) {
    const next = copy();
    if (tied && next.length) next.at(-1).push(index);
    else next.push([index]);
    settle(next);
  }

  function settle(next) {
    const all = withLast(next);
    change(all);
    if (all !== next) given = all.at(-1)[0];
  }

  // Nothing placed: all are equal. All placed: the last two groups become one. Else: the next answer joins the last.
  function tie() {
    if (!groups.length) return change([[...Array(count).keys()]]);
    if (!complete()) return change(copy(), !joining);
    if (groups.length < 2) return;
    const last = given; // its press, which follows in 1 2 3 = 4, still confirms it
    change([...copy().slice(0, -2), groups.at(-2).concat(groups.at(-1))]);
    given = last;
  }

  // Tied with the last one; where it is that one itself, with the one before it.
  function join(index) {
    const end = groups.at(-1) ?? [];
    if (!end.length || joining) return pick(index);
    if (!placed().includes(index)) return place(index, true);
    if (!end.includes(index)) return tieWith(index, end[0]);
    if (end.length === 1 && groups.length > 1) tieWith(index, groups.at(-2)[0]);
  }

  function beside(index, other, after) {
    if (index === other) return;
    const next = without(index);
    const at = next.findIndex((group) => group.includes(other));
    next.splice(at < 0 ? next.length : at + (after ? 1 : 0), 0, [index]);
    settle(next);
  }

  function tieWith(index, other) {
    if (index === other) return;
    const next = without(index);
    const group = next.find((each) => each.includes(other));
    if (group) group.push(index);
    else next.push([other, index]);
    settle(next);
  }

  function last(index) {
    settle([...without(index), [index]]);
  }

  // One place to the left or right; out of its tie first.
  function shift(index, by) {
    const at = placeOf(index);
    const tied = groups[at].length > 1;
    const next = without(index);
    const to = tied ? at + (by > 0 ? 1 : 0) : Math.max(0, Math.min(next.length, at + by));
    next.splice(to, 0, [index]);
    change(next);
  }

  // An order that was made before, as one step.
  function restore(before) {
    if (before.length) change(before);
  }

  function drop(index) {
    if (placed().includes(index)) change(without(index));
  }

  function undo() {
    const before = past.pop();
    given = -1;
    if (before) ({ groups, joining } = before);
    return Boolean(before);
  }

  function placeName(index) {
    const place = placeOf(index);
    if (place < 0) return "not placed";
    return `place ${place + 1}${groups[place].length > 1 ? ", tied" : ""}`;
  }

  return {
    pick, tie, join, beside, tieWith, last, shift, drop, restore, undo, complete, placeOf, placeName,
    get groups() { return copy(); },
    get joining() { return joining; },
    get undoable() { return past.length > 0; },
    get started() { return groups.length > 0; },
  };
}
