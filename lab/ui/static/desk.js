// The desk of a stage: which run is looked at, how it stands, what can be ordered, live knobs, and how a new one is started.
// `options`: stage (the page's own), start (words on the button), lead (what a run does, in a sentence), elsewhere {tab, words} for when it cannot
// start yet, more(found, tools) called after every look, inputs() sent along with a start.
function desk(options) {
  const { stage } = options, told = teller(), begun = teller();
  const picker = make("select", "field-input desk-picker"), state = chip("queued"), where = make("span", "desk-where"), bar = make("progress", "desk-bar");
  const orders = make("div", "lab-line desk-orders"), knobs = make("div", "desk-knobs"), failure = make("p", "desk-failure"), waysOut = make("div", "lab-line host-only");
  const top = make("div", "desk-top"), box = make("section", "desk lab-card"), begin = make("details", "desk-new");
  const startButton = button(options.start, start, "lab-main"), hindrance = make("p", "desk-hindrance"), away = button("", () => lab.tab(options.elsewhere.tab), "lab-main");
  const settings = make("details", "desk-settings"), forms = new Map(Object.entries(props.schema).map(([kind, records]) => [kind, form(records)])), lead = make("p", "desk-lead", options.lead), warnings = make("section", "desk-warnings");
  let run = null, request = null, asker = told, giving = false, chosen = "", seen = "", kind = stage;
  let giveBack = null; // what a run that was asked for took from the form, until it has begun

  picker.setAttribute("aria-label", "Which run to look at");
  picker.addEventListener("change", () => { chosen = picker.value; look(); });
  bar.setAttribute("aria-label", "Steps done");
  failure.setAttribute("role", "alert");
  settings.append(make("summary", "", "Settings"), forms.get(kind).node);
  fill(top, picker, state, where, bar);
  const none = make("p", "lab-guest", "The host has not started one yet."), others = make("p", "desk-elsewhere");
  const startRow = fill(make("div", "lab-line"), startButton, away);
  // A form that somebody has opened or writes in is not folded over their head by what the lab has heard.
  let theirs = false;
  for (const happening of ["click", "input"]) begin.addEventListener(happening, () => (theirs = true));
  fill(begin, make("summary", "", "Start a new run"), lead, hindrance, startRow, begun, options.extra, settings);
  fill(box, top, failure, waysOut, orders, knobs, told);
  warnings.setAttribute("aria-live", "polite");
  warnings.setAttribute("aria-label", "Warnings");
  const waiting = waitingLines();
  fill(root, waiting, box, none, begin, others, warnings);
  box.hidden = none.hidden = others.hidden = true;
  const round = poll(look);
  const tools = { told, box, begin, start, startRow, startButton, use, round: () => round(), follow, select: (name) => { chosen = name; look(); } };
  onChoice(stage, ([name]) => { if (name && name !== chosen) { chosen = name; round(); } });

  // Which of the page's stages a new run will be of, where it has several; each keeps what was set in its form.
  function use(next, words, meaning, elsewhere) {
    options.elsewhere = elsewhere;
    settings.replaceChild(forms.get(next).node, forms.get(kind).node);
    kind = next;
    write(startButton, words);
    write(lead, meaning);
    round();
  }

  async function look() {
    const wanted = chosen, found = await post(`${stage}-desk`, { run: wanted, request });
    if (wanted !== chosen) return 0;
    settle(found.asked);
    waiting.show(found.waiting);
    run = found.run;
    box.hidden = !run;
    none.hidden = Boolean(run);
    write(others, found.elsewhere);
    others.hidden = !found.elsewhere;
    showRuns(found.runs);
    showStart(found);
    if (run) showRun();
    showWaysOut(found.ways_out ?? []);
    showWarnings(found.warnings ?? []);
    options.more?.(found, tools);
    return run && run.status !== "done" ? 450 : 1200;
  }

  function settle(asked) {
    // A refusal must be read where the eyes are: beside the button that asked, the run's or the one that starts a new run.
    if (asked?.error) { giveBack?.(); asker.tell(asked.error, true); begin.open ||= asker === begun; request = null; }
    if (asked?.run) { chosen = asked.run; begun.tell(""); request = null; }
    if (asked?.error || asked?.run) giveBack = null;
  }

  function showRuns(runs) {
    const key = runs.map((each) => each.name + each.title).join("|");
    if (picker.dataset.key !== key) {
      picker.dataset.key = key;
      fill(picker, runs.map((each) => new Option(each.title, each.name)));
    }
    if (run && picker.value !== run.name && document.activeElement !== picker) picker.value = run.name;
    picker.hidden = !runs.length;
    if (run && seen !== run.name) {
      seen = run.name;
      choose(stage, [run.name]);
    }
  }

  function showStart(found) {
    const empty = !run, live = run && ["running", "paused", "queued"].includes(run.status);
    if (begin.dataset.empty !== String(empty)) {
      begin.dataset.empty = empty;
      begin.open = empty || (begin.open && theirs);
    }
    begin.classList.toggle("is-empty", empty);
    const why = found.hindrance[kind];
    write(hindrance, why);
    hindrance.hidden = !why;
    startButton.disabled = Boolean(why) || Boolean(request);
    startButton.hidden = Boolean(why && options.elsewhere && empty);
    away.hidden = !(why && options.elsewhere);
    if (options.elsewhere) write(away, options.elsewhere.words);
    begin.hidden = Boolean(live) && !options.whileLive;
  }

  // What an order said of the run ("it stops after this step") is no longer true once the run stands otherwise; a question stays.
  function forgetWords() {
    const standing = `${run.name} ${run.status}`;
    const asking = [...orders.querySelectorAll("[data-order]")].some((node) => node.asking?.());
    if (told.dataset.standing && told.dataset.standing !== standing && !asking && !told.classList.contains("is-bad")) told.tell("");
    told.dataset.standing = standing;
  }

  function showRun() {
    forgetWords();
    repaint(state, run.status);
    write(where, sentence());
    bar.max = run.total || 1;
    bar.value = run.step;
    bar.hidden = !["running", "paused"].includes(run.status);
    write(failure, run.failed ? run.failed.message : "");
    failure.hidden = !run.failed;
    showOrders();
    showKnobs();
  }

  function sentence() {
    const { status, step, total, progress, pace, left } = run;
    if (status === "queued") return "";
    const doing = progress && status === "running" ? `, ${progress.what}${progress.total > 1 ? ` ${progress.done} of ${progress.total}` : ""}` : "";
    const time = status === "running" && pace ? `, ${number(pace, "seconds")} a step${left > 5 ? `, about ${duration(left)} left` : ""}` : "";
    return `step ${step} of ${total || "?"}${doing}${time}${run.stopping ? ", stopping after this step" : ""}${run.held && !run.stepping ? ", as it was then, but its knobs are as set now. Move them, then Go on trains on from here" : run.stepping ? ", one step more" : run.pausing ? ", once this step is done" : ""}`;
  }

  // Only what can be ordered now; the buttons keep their place and focus while they stay, and go on asking what they have asked.
  function showOrders() {
    const { status, checkpoints } = run, live = status === "running" || status === "paused", back = checkpoints.filter((step) => step < run.step || status !== "done");
    const wanted = [
      live && (status === "paused" ? "go" : "pause"), live && "step", live && "stop", live && "kill",
      ["interrupted", "stopped", "failed"].includes(status) && "resume", back.length && stage === "ppo" && "back",
    ].filter(Boolean);
    const key = `${run.name} ${wanted.join()}`;
    if (orders.dataset.key !== key) {
      const focused = document.activeElement?.dataset?.order, same = orders.dataset.key?.startsWith(`${run.name} `);
      const there = new Map([...orders.querySelectorAll("[data-order]")].map((node) => [node.dataset.order, node]));
      for (const [order, node] of there) if (!same || !wanted.includes(order)) { node.calm?.(); there.delete(order); }
      orders.dataset.key = key;
      fill(orders, wanted.map((each) => there.get(each)?.closest(".desk-back") ?? there.get(each) ?? (each === "back" ? backOrder() : orderButton(each))));
      if (focused) (orders.querySelector(`[data-order="${focused}"]`) ?? orders.querySelector("button"))?.focus();
    }
    showSteps(orders.querySelector(".desk-back select"), back);
    // What a kill would lose is less once there is a newer checkpoint.
    const newest = String(checkpoints.at(-1));
    if (orders.dataset.newest !== newest) orders.querySelector("[data-order=kill]")?.renew();
    orders.dataset.newest = newest;
    lockOrders();
  }

  // The checkpoint that was chosen, or that it is being asked about, stays so, while it is there.
  function showSteps(select, steps) {
    if (!select || select.dataset.key === steps.join()) return;
    const kept = select.value, asked = select.previousSibling.asking();
    select.dataset.key = steps.join();
    fill(select, [...steps].reverse().map((step) => new Option(`step ${step}`, step)));
    if ((asked || select.dataset.chosen) && steps.includes(Number(kept))) select.value = kept;
    else if (asked) select.previousSibling.calm();
  }

  // Whoever has asked for it waits: what is asked twice, meanwhile, can only be a slip.
  function lockOrders() {
    for (const node of orders.querySelectorAll("[data-order=resume], [data-order=back]")) node.disabled = giving || Boolean(request);
  }

  function orderButton(order) {
    const words = { go: "Go on", pause: "Pause", step: "One step", stop: "Stop and keep", kill: "Kill", resume: "Resume" }[order];
    const about = {
      pause: "Pauses after the current step.", step: "Does one step, then pauses.", stop: "Ends after the current step and keeps what was learned.",
      kill: "Ends the model process at once; the last checkpoint stands, where there is one. Asks first.", resume: "Goes on from the last checkpoint, or begins again where there is none.",
    }[order];
    const does = () => give(node, { order });
    const node = order === "kill" ? twice(words, "Yes, kill it", lostByKill, told, does) : button(words, does, ["resume", "go"].includes(order) ? "lab-main" : "lab-quiet");
    node.dataset.order = order;
    if (about) node.title = about;
    return node;
  }

  function lostByKill() {
    const kept = run.checkpoints.at(-1), all = run.step === 1 ? "the one step so far is" : `all ${run.step} steps so far are`;
    if (!run.step) return "Kill ends the model process at once. No step is done yet, so Resume begins the run again.";
    const these = kept + 1 === run.step ? `Step ${run.step}` : `Steps ${kept + 1} to ${run.step}`;
    const lost = kept === undefined ? `There is no checkpoint yet: ${all} lost` : kept < run.step ? `${these} and the one under way are lost` : "The step under way is lost";
    return `Kill ends the model process at once. ${lost}; “Stop and keep” loses nothing.`;
  }

  function backOrder() {
    const holder = make("span", "lab-line desk-back"), select = make("select", "field-input");
    select.setAttribute("aria-label", "Checkpoint to go back to");
    const question = () => `Step ${select.value} it is: what the run learned after it is forgotten, with the checkpoints from there on. It then stands paused, so that its knobs can be moved.`;
    const node = twice("Roll back to", "Yes, roll back to", question, told, () => give(node, { order: "back", step: Number(select.value) }));
    select.addEventListener("change", () => { select.dataset.chosen = "yes"; node.calm(); });
    node.dataset.order = "back";
    node.title = "Forgets what came after that step, and pauses there. Asks first.";
    return fill(holder, node, select);
  }

  async function give(node, body) {
    giving = true;
    const found = await told.run(node, `${stage}-order`, { run: run.name, ...body });
    giving = false;
    follow(found);
  }

  // What an order has led to: another run to look at, or a request that the worker has not taken up yet.
  function follow(found, by = told) {
    asker = by;
    if (found?.run) chosen = found.run;
    else if (found?.request) request = found.request;
    lockOrders();
    round();
  }

  // --- warnings, and what one click does about each --------------------------------------------------------------------
  function showWarnings(found) {
    const key = JSON.stringify([run?.name, found]);
    if (warnings.dataset.key === key) return;
    warnings.dataset.key = key;
    fill(warnings, found.map(warningCard));
  }

  function warningCard(warning) {
    const node = make("article", warning.grave ? "desk-warning desk-warning-grave" : "desk-warning"), sign = make("span", "desk-warning-sign", "▲"), text = make("div", "desk-warning-text"), row = make("div", "lab-line host-only");
    sign.setAttribute("aria-hidden", "true");
    fill(row, offerButtons(warning.code, warning.offers));
    fill(text, make("b", "", `${warning.step ? `Step ${warning.step}` : "Before the first step"}: ${warning.message}`), make("span", "", warning.remedy), row.children.length && row);
    return fill(node, sign, text);
  }

  // What can be done about the error that the run broke off with.
  function showWaysOut(offers) {
    const key = JSON.stringify([run?.name, offers]);
    if (waysOut.dataset.key === key) return;
    waysOut.dataset.key = key;
    waysOut.hidden = !offers.length;
    fill(waysOut, offerButtons(run?.failed?.code, offers));
  }

  function offerButtons(code, offers) {
    return offers.map((offer) => {
      const node = button(offer.words, offer.tab ? () => lab.tab(offer.tab) : (pressed) => takeUp(pressed, code, offer));
      if (offer.about) node.title = offer.about;
      return node;
    });
  }

  // A new run begins as the old one, but for what somebody has set in the form: they see it there and expect it.
  async function takeUp(pressed, code, offer) {
    const body = { run: run.name, code, index: offer.index }, form = forms.get(run.stage);
    try {
      if (offer.anew) body.changed = form.changed();
    } catch (error) {
      return told.tell(error.message, true);
    }
    follow(await (offer.anew ? takeAlong(form, told, pressed, `${stage}-remedy`, body) : told.run(pressed, `${stage}-remedy`, body)));
  }

  // Ask for a run that begins with what stands in the form: from then on its knobs are moved elsewhere.
  async function takeAlong(form, teller, ...asking) {
    const back = form.taken(), found = await teller.run(...asking);
    if (!found) back();
    giveBack = found?.request && !found.run ? back : null;
    return found;
  }

  // --- live knobs ---------------------------------------------------------------------------------------------------
  function showKnobs() {
    const records = props.live[run.stage], live = ["running", "paused"].includes(run.status) && records.length;
    knobs.hidden = !live;
    if (!live) return;
    if (knobs.dataset.stage !== run.stage) {
      knobs.dataset.stage = run.stage;
      fill(knobs, records.map(knob));
    }
    for (const input of knobs.querySelectorAll("input")) {
      const value = String(run.live[input.name] ?? "");
      if (input.dataset.inForce !== value && document.activeElement !== input) input.value = input.dataset.inForce = value;
    }
  }

  function knob(record) {
    const input = control({ ...record, default: "" }), box = labelled(record.label, input), head = make("span", "desk-knob-name"), row = make("div", "knob-row");
    input.name = record.name;
    const send = (value) => value !== null && Number.isFinite(value) && told.run(input, `${stage}-move`, { run: run.name, key: record.name, value }).then((found) => {
      if (found) run.live[record.name] = value; // what the next press doubles, before the next look
      input.dataset.inForce = "?";
      round();
    });
    input.addEventListener("change", () => {
      if (input.validity.badInput) told.tell(`${record.label} is not a number.`, true);
      else if (input.value !== "") return send(Number(input.value));
      input.dataset.inForce = "?"; // an emptied field shows again what is in force
      showKnobs();
    });
    input.addEventListener("keydown", (event) => event.key === "Enter" && input.blur());
    const times = (factor, sign) => {
      // Twice nothing is nothing: from 0 it goes up to the usual value.
      const next = () => (Number(run.live[record.name]) ? Number(run.live[record.name]) * factor : factor > 1 ? record.default : 0);
      const node = button(sign, () => {
        const wanted = Math.max(next(), record.low ?? 0), value = record.kind === "whole" ? Math.round(wanted) : Number(wanted.toPrecision(6));
        if (value === Number(run.live[record.name])) told.tell(`${record.label} is ${exact(value)} already.`);
        else send(value);
      });
      node.setAttribute("aria-label", `${factor > 1 ? "Double" : "Halve"} ${record.label.toLowerCase()}`);
      return node;
    };
    fill(row, times(0.5, "÷2"), input, times(2, "×2"));
    return fill(box, fill(head, box.querySelector("label"), help(record.label, range({ ...record, default: record.default ?? undefined }))), row);
  }

  async function start() {
    const form = forms.get(kind);
    let config;
    try {
      config = form.values();
    } catch (error) {
      return begun.tell(error.message, true);
    }
    const found = await takeAlong(form, begun, startButton, `${stage}-start`, { stage: kind, config, ...(options.inputs?.() ?? {}) });
    if (!found) return;
    // The fold closes over its words; they go on in the card of the run, where there is one.
    if (found.run || run) { told.tell(found.said); begun.tell(""); }
    begin.open = !run;
    theirs = false;
    follow(found, begun);
  }
  return tools;
}
