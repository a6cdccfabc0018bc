"""What each verb of the command line does: opens a workspace, drives a stage or asks a question, prints the result."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

from lab import config as knobs
from lab.bars import watch
from lab.errors import BadInput, BadNumber, NewerWorkspace, NotFound
from lab.given import lines_of, pairs_of, row_ids, texts_of
from lab.locks import taken
from lab.runner import Job, drive
from lab.studio import Studio
from lab.workspace import SHIPPED, Workspace

Options = argparse.Namespace
STDOUT = Path("-")
Result = dict[str, Any]


def sft(options: Options) -> Result:
    if not options.data:
        return _run(options, "sft", {"pairs": []})
    pairs, left_out = pairs_of(options.data)
    print(f"{len(pairs)} pairs read from {options.data}, {len(left_out)} rows left out")
    _print_left_out(left_out)
    return _run(options, "sft", {"pairs": pairs}) | {"left_out": len(left_out)}


def reward(options: Options) -> Result:
    _must_exist(options)
    result = _run(options, "reward", {"raters": options.raters})
    if "pairs/accuracy" in result:
        low, high = result["pairs/accuracy_low"], result["pairs/accuracy_high"]
        verdict = "not shown to be better than chance" if low <= 0.5 else "better than chance"
        print(
            f"right on {result['pairs/accuracy']:.1%} of {result['pairs']} held-out pairs (95 % between {low:.1%} and "
            f"{high:.1%}): {verdict}"
        )
    return result


def ppo(options: Options) -> Result:
    inputs: Result = {"reward": options.reward, "reference": options.reference, "anyway": options.anyway}
    if options.prompts:
        inputs["prompts"] = lines_of(options.prompts)
    _must_exist(options)
    return _run(options, "ppo", inputs)


def group(options: Options) -> Result:
    _must_exist(options)
    inputs = {"reward": options.reward, "reference": options.reference, "anyway": options.anyway}
    return _run(options, options.stage, inputs)


def dpo(options: Options) -> Result:
    _must_exist(options)
    return _run(options, "dpo", {"raters": options.raters})


def compare(options: Options) -> Result:
    _must_exist(options, options.a, options.b)
    inputs = {"a": options.a, "b": options.b, "judge": options.judge}
    result = _run(options, "compare", inputs)
    print(
        f"{result['a']} is preferred to {result['b']} in {result['win_rate']:.1%} of {result['count']} prompts "
        f"(95 % between {result['low']:.1%} and {result['high']:.1%}) by {result['judge']}; "
        f"KL to SFT {result['kl_a']:.2f} and {result['kl_b']:.2f} nats a response"
    )
    return result


def resume(options: Options) -> Result:
    _must_exist(options)
    with _studio(options) as studio:
        return _finished(options, studio.resume(options.run, options.step))


def loop(options: Options) -> Result:
    from lab.loop import Plan, run_loop

    config = knobs.Ppo(**_given(options, knobs.Ppo))
    _within("count", options.count, 1, 100_000)
    _within("candidates", options.candidates, 2, 8)
    chosen = tuple(each.name for each in fields(knobs.Ppo) if getattr(options, each.name) is None)
    plan = Plan(config, options.rater, options.count, options.candidates, options.sft_steps, options.larger, chosen)
    with tempfile.TemporaryDirectory() as nowhere:
        here = Options(**vars(options) | {"workspace": options.workspace or Path(nowhere)})
        with _studio(here) as studio:
            result = run_loop(studio, plan, watch)
    _print_loop(result)
    return result


def _print_loop(result: Result) -> None:
    print(f"{'policy':<14} {'win rate vs SFT':>20} {'KL, nats':>9} {'score':>7}")
    for name, row in result["policies"].items():
        interval = f"{row['win_rate']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        kl, score = ("-" if row[each] is None else f"{row[each]:.2f}" for each in ("kl", "score"))
        print(f"{name:<14} {interval:>20} {kl:>9} {score:>7}")
    print(
        f"reward model: {result['pair_accuracy']:.2f} of unseen pairs as the simulated rater's noise-free utility "
        f"orders them; {result['seconds']:.0f} s, {result['peak_bytes'] / 1e9:.2f} GB at most"
    )


def sample(options: Options) -> Result:
    from lab.generate import sample

    _within("n", options.n, 1, 64)
    _within("tokens", options.tokens, 1, 512)
    _within("temperature", options.temperature, 0, 5)
    _must_exist(options, options.policy)
    with _reading_studio(options) as studio:
        [role], text = studio.policies.roles_of([options.policy]), studio.roles.text
        ids = text.prompt_ids(options.prompt, room=options.tokens)
        drawn = sample(
            studio.roles,
            role,
            [ids] * options.n,
            tokens=options.tokens,
            temperature=options.temperature,
            seed=options.seed,
        )
        answers = [text.decode(each) for each in drawn]
    print("\n".join(f"{number}. {answer}" for number, answer in enumerate(answers, 1)))
    return {"prompt": options.prompt, "policy": options.policy, "answers": answers}


def rank(options: Options) -> Result:
    from lab.loop import rank_prompts
    from lab.rater import Rater, rater

    _within("count", options.count, 1, 100_000)
    _within("candidates", options.candidates, 2, 8)
    _within("sharpness", options.sharpness, 0, 1000)
    _within("careless", options.careless, 0, 1)
    _must_exist(options, options.policy)
    judge = Rater(rater(options.rater).name, options.sharpness, options.careless)
    with _studio(options) as studio:
        events = rank_prompts(studio, judge, options.policy, options.count, options.candidates, options.seed)
        watch(events)
        with studio.workspace.store(read_only=True) as store:
            counts = store.counts()
    print(f"{options.count} prompts ranked by {options.rater}; {counts['rankings']} rankings in all")
    return {"ranked": options.count, "rankings": counts["rankings"], "pairs": counts["pairs"]}


def import_file(options: Options) -> Result:
    from lab.exchange import import_file

    with Workspace(options.workspace).store() as store:
        found = import_file(store, options.file, options.format, rater=options.rater)
        recovered = store.recovered
    if recovered:
        print(recovered)
    print(f"{found.format}: {found.accepted} rankings imported, {len(found.rejected)} rows left out{found.beside}")
    _print_left_out(found.rejected)
    counts = {"accepted": found.accepted, "already": found.already, "rejected": len(found.rejected)}
    return {"format": found.format, **counts, "margins": found.margins}


def export_file(options: Options) -> Result:
    from lab.exchange import exported

    _must_exist(options)
    if options.out == STDOUT and options.json:
        raise BadInput("--out - and --json would both write to stdout. Leave one of them out.")
    told = sys.stderr if options.out == STDOUT else sys.stdout
    workspace = _looked_at(options)
    with workspace.store(read_only=True) as store, _place_of(options) as path:
        written = exported(store, path, options.format, options.raters)
    left_out, where = len(written.left_out), "stdout" if options.out == STDOUT else options.out
    print(
        f"{written.rows} rows written to {where}" + (f", {left_out} rankings left out" if left_out else ""), file=told
    )
    for reason, count in Counter(each.reason for each in written.left_out).most_common(20):
        print(f"  {count}: {reason}", file=told)
    return {"format": options.format, "rows": written.rows, "left_out": left_out, "out": str(options.out)}


@contextmanager
def _place_of(options: Options) -> Iterator[Path]:
    """Where an export is written: where --out says; for stdout beside, and from there once it is whole."""
    from lab.formats.table import format_named

    if options.out != STDOUT:
        yield options.out
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"export{format_named(options.format).endings[0]}"
        yield path
        sys.stdout.buffer.write(path.read_bytes())


def merge(options: Options) -> Result:
    from lab.merged import save_merged

    _must_exist(options, options.role)
    with _reading_studio(options) as studio:
        role = studio.policies.role(options.role)
        known = studio.policies.facts.get(role, {})
        scale = {key: known[key] for key in ("gain", "bias") if key in known}
        facts = save_merged(studio.roles, role, options.out, {"normalised": scale} if scale else {})
    print(f"{facts['kind']} written to {options.out}")
    return facts | {"out": str(options.out)}


def score(options: Options) -> Result:
    from lab.reward import raw_scores

    rows = texts_of(options.file)
    _must_exist(options)
    with _reading_studio(options) as studio:
        cast, text = studio.policies.cast(options.reward), studio.roles.text
        asked = [row_ids(text, options.file, row) for row in rows]
        prompts, responses = zip(*asked, strict=True)
        raw = raw_scores(studio.roles, cast.reward, prompts, responses).tolist()
    scores = [cast.scale.of(each) for each in raw]
    for row, each in zip(rows, scores, strict=True):
        print(f"{each:+.2f}  {row.fields['response'][:100]}")
    return {"reward": cast.reward, "scores": scores}


def formats(options: Options) -> Result:
    from lab.excerpt import excerpts, held, lines
    from lab.formats import preview

    found = preview(options.file, options.format)
    rows, what = excerpts(found.records), held(found.accepted - found.alone, found.alone)
    print(f"{found.format}: {what} read, {len(found.rejected)} rows left out")
    _print_left_out([(row.line, row.reason) for row in found.rejected])
    print(f"The first {len(rows)}:" if len(rows) > 1 else "The first:", *lines(rows), sep="\n")
    counts = {"accepted": found.accepted, "alone": found.alone, "rejected": len(found.rejected)}
    return {"format": found.format, **counts, "rows": rows}


def work(options: Options) -> Result:
    import logging
    import sys

    from lab.worker import work

    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    work(Workspace(options.folder), options.base, threads=options.threads, parent=options.parent)
    return {}


def models(options: Options) -> Result:
    from lab.doctor import known_bases

    if options.name:
        return _memory_of(options)
    found = known_bases()
    for row in found:
        print(f"{row['name']:<28} {row['parameters'] / 1e6:>8.1f} M  {row['fits']}")
    return {"bases": found}


def _memory_of(options: Options) -> Result:
    """PPO's memory by role, from the model's config alone."""
    from lab.fit import foretell_request

    _within("rank", options.rank, 1, 512)
    asked = {"base": options.name, "precision": options.precision, "rank": options.rank, "fit": options.fit}
    found = foretell_request(asked)
    for row in found["rows"]:
        said = f"{row['bytes'] / 2**20:>10,.0f} MiB" if "bytes" in row else f"  {row['value']}"
        when = "" if row.get("phase", "always") == "always" else f", during {row['phase']}"
        print(f"{row['role']:<22}{said}  {row.get('why', '')}{when}".rstrip())
    print(found["sentence"])
    return found


def doctor(options: Options) -> Result:
    from lab.doctor import examine

    found = examine(options.workspace)
    for row in found:
        print(f"{'ok ' if row['ok'] else '!! '} {row['what']:<22} {row['found']}")
        if row["do"]:
            print(f"     {row['do']}")
    return {"checks": found, "ok": all(row["ok"] for row in found)}


def quality(options: Options) -> Result:
    from lab.quality import measure, table

    _within("count", options.count, 1, 100_000)
    _within("threads", options.threads, 0, 1024)
    found = measure(options.base or "tiny", options.count, options.seed, options.threads)
    print(table(found))
    return found


def bench(options: Options) -> Result:
    from lab.bench import run

    return run(options)


# Shared by the verbs


def _print_left_out(rows: list[tuple[int, str]]) -> None:
    """The first rows that were left out, and why."""
    for line, reason in rows[:20]:
        print(f"  row {line}: {reason}")


def _within(name: str, value: float, low: float, high: float) -> None:
    """BadNumber for a flag outside its range, or for one that is not a number."""
    if not low <= value <= high:
        raise BadNumber(f"--{name} is {value}, outside {low:g} to {high:g}. Choose a value in that range.")


def _must_exist(options: Options, *policies: str) -> None:
    """NotFound, before anything is made, where there is no workspace: it has no rankings and no runs.

    policies: all that is asked of it; those that come with a base are in a new workspace too.
    """
    comes = policies and {*policies} <= {"base", "sft", SHIPPED}
    if not comes and not options.workspace.is_dir():
        raise NotFound(f"There is no workspace {options.workspace}. Name one that is there with -w.")


def _looked_at(options: Options) -> Workspace:
    """The workspace for a verb that only reads; where nobody may write, that is told beside the result."""
    workspace = Workspace(options.workspace, looking=True)
    if workspace.barred:
        print(workspace.barred.why, file=sys.stderr)
    return workspace


@contextmanager
def _studio(options: Options) -> Iterator[Studio]:
    """The workspace with its base loaded, owned for as long as the verb runs."""
    from lab.worker import open_studio

    _within("threads", options.threads, 0, 1024)
    workspace = Workspace(options.workspace)
    lock = taken(workspace.lock(), f"The workspace {options.workspace}")
    try:
        yield open_studio(workspace, options.base, options.threads, options.precision)
    finally:
        lock.release()


@contextmanager
def _reading_studio(options: Options) -> Iterator[Studio]:
    """The same for a verb that changes nothing; where nobody may write, nobody has to be kept out.

    Raises NewerWorkspace: what a newer lab has trained may not be what it looks like here.
    """
    from lab.worker import open_studio

    workspace = Workspace(options.workspace, looking=True)
    if not workspace.barred:
        with _studio(options) as studio:
            yield studio
        return
    if workspace.barred.kind is NewerWorkspace:
        raise workspace.barred.error()
    _within("threads", options.threads, 0, 1024)
    yield open_studio(workspace, options.base, options.threads, options.precision)


def _run(options: Options, stage: str, inputs: Result) -> Result:
    given = _given(options, knobs.STAGES[stage])
    with _studio(options) as studio:
        return _finished(options, studio.start(stage, given, inputs, "command line", getattr(options, "fit", False)))


def _finished(options: Options, job: Job) -> Result:
    """The run's result; its name goes into the options, for whoever has to say what Ctrl-C has left."""
    options.run = job.run.name
    result = watch(drive(job))
    print(f"run {job.run.name}")
    return result | {"run": job.run.name}


def _given(options: Options, config: type) -> dict[str, Any]:
    """The knobs of a config among the flags, but those that are chosen for the base where nobody sets them."""
    found = {each.name: getattr(options, each.name, None) for each in fields(config)}
    return {name: value for name, value in found.items() if value is not None}
