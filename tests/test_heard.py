"""What our own loop says on the way to an answer stands for the lower layers when the answer is read."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from folders import configs, deeper, put, tokenizer

from lab import on_policy, ppo, trunk
from lab.cast import Cast
from lab.config import Ppo
from lab.facts import facts_from
from lab.generate import sample_within, stream
from lab.loading import load
from lab.memory import Knobs, foretell
from lab.peak import foretold
from lab.rollout import measure, stem_of
from lab.text import Asked, batch_of

CAST, TOKENS, DEPTH = Cast(), 12, 2
CONFIG = Ppo(batch=8, minibatch=4, microbatch=2, tokens=TOKENS, learning_rate=1e-2)
PROMPTS = [[65, 66, 67], [70], [80, 81, 82, 83, 84], [65, 66, 67]]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    top, found = tmp_path_factory.mktemp("heard"), {}
    for name in ("llama", "qwen2", "qwen3", "gpt2"):
        config = deeper(configs(len(tokenizer()))[name], 2 * DEPTH)
        config.initializer_range = 0.1
        found[name] = str(put(top / name, config))
    return found


def stirred(folder):
    """Roles of which the adapters say something, and whose answers end at different lengths."""
    roles = load(folder, device="cpu")
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in roles.weights("sft").values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    roles.text = replace(roles.text, eos_ids=tuple(range(0, len(tokenizer()), 6)))
    roles.add("reward", like="sft")
    roles.head("reward")
    return roles


@pytest.fixture(params=["copied", "borrowed", "in float16"])
def weights(request, monkeypatch):
    """In which of its ways the loop reads the base."""
    if request.param != "copied":
        monkeypatch.setattr("lab.folding.suits.__defaults__", (10, False))
        monkeypatch.setattr("lab.folding.packs", lambda *_: request.param == "in float16")


@pytest.mark.parametrize("together", [4, 3, 1])
@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3"])
def test_what_was_said_on_the_way_is_what_reading_the_answers_says(folders, in_float32, weights, name, together):
    roles = stirred(folders[name])
    stem = roles.stem(0.5, "sft")
    answers, _ = sample_within(roles, "sft", PROMPTS, together, tokens=TOKENS, seed=5, stem=stem)
    batch = batch_of(PROMPTS, answers, 0)
    read = replace(batch, stem=roles.stem(0.5, "sft"))
    with torch.no_grad():
        roles.hidden("sft", read)
    seen = batch.attention.bool()
    gap = (stem.states[:, : seen.shape[1]] - read.stem.states)[seen].abs().max()
    assert len({len(answer) for answer in answers}) > 1
    assert gap < 1e-5 * read.stem.states[seen].abs().max()
    assert stem.states.isfinite().all()


def test_answers_are_the_same_whether_somebody_listens_or_not(folders):
    roles = stirred(folders["llama"])
    heard, unheard = (
        sample_within(roles, "sft", PROMPTS, 4, tokens=TOKENS, seed=5, stem=stem)[0]
        for stem in (roles.stem(0.5, "sft"), None)
    )
    assert heard == unheard


def test_a_step_works_out_no_lower_layer_of_what_it_has_said_itself(folders, monkeypatch):
    roles, computed = stirred(folders["llama"]), []
    number = {id(layer): place for place, layer in enumerate(roles._stack[1])}
    own = trunk._attention
    state = ppo.begin(roles, CAST, CONFIG)
    roles.stem(0.5, "policy")  # which tries once whether a stem serves
    monkeypatch.setattr(
        trunk, "_attention", lambda layer, *more: computed.append(number[id(layer)]) or own(layer, *more)
    )
    next(steps(state))
    assert set(computed) == set(range(DEPTH, 2 * DEPTH))


def steps(state):
    asked = [Asked("", tuple(ids)) for ids in PROMPTS]
    events = ppo.ppo(state, CAST, asked, ppo.still(CONFIG))
    return (event.metrics for event in events if type(event).__name__ == "Step")


def test_the_first_ratio_and_the_first_kl_are_still_exactly_those_of_one_policy(folders):
    first = next(steps(ppo.begin(stirred(folders["llama"]), CAST, CONFIG)))
    assert first["policy/ratio_first"] == 0 and first["kl/reference"] == 0


def test_a_rollout_reads_as_it_does_when_every_layer_is_worked_out(folders, in_float32):
    roles = stirred(folders["qwen3"])
    state = ppo.begin(roles, CAST, CONFIG)
    for _ in zip(range(2), steps(state), strict=False):
        pass  # so that policy and reference differ
    stem = stem_of(roles, CAST, CONFIG)
    asked, answers = on_policy.roll_out(state, CAST, [Asked("", tuple(ids)) for ids in PROMPTS], CONFIG, stem)
    ids = [each.ids for each in asked]
    ours, theirs = (measure(roles, CAST, 0.1, ids, answers, CONFIG, each) for each in (stem, None))
    for name in ("logp", "reference_logp", "kl_exact", "entropy", "raw", "values"):
        assert torch.allclose(getattr(ours, name), getattr(theirs, name), atol=2e-5), name
    assert theirs.kl_exact.sum() > 0.01 and stem.states is not None and ours.batch.stem is None


def test_a_speaker_that_cannot_be_listened_to_leaves_the_stem_empty(folders):
    roles = stirred(folders["gpt2"])
    stem = roles.stem(0.5, "sft")
    answers, _ = sample_within(roles, "sft", PROMPTS, 2, tokens=TOKENS, stem=stem)
    assert stem.states is None and len(answers) == 4
    state = ppo.begin(roles, CAST, CONFIG)
    assert next(steps(state))["policy/ratio_first"] == 0


def test_an_answer_that_nobody_waits_for_to_the_end_leaves_no_error(folders):
    roles = stirred(folders["llama"])
    speaking = stream(roles, "sft", PROMPTS, tokens=TOKENS, stem=roles.stem(0.5, "sft"))
    next(speaking)
    speaking.close()


def test_the_states_stand_in_the_table_while_answers_are_said_and_read(folders):
    roles = stirred(folders["llama"])
    knobs = Knobs(batch=4, minibatch=4, microbatch=2, prompt=5, tokens=TOKENS)
    rows = foretell(facts_from(roles.model.config), "ppo", knobs)
    stem = roles.stem(0.5, "sft")
    sample_within(roles, "sft", PROMPTS, 4, tokens=TOKENS, stem=stem)
    held = {row.phase: row.bytes for row in rows if row.role == "sampled states"}
    assert held == {"rollout": stem.states.nbytes, "score": stem.states.nbytes}
    without = [row for row in rows if row.role != "sampled states"]
    assert foretold(rows, knobs) == foretold(without, knobs)  # no rehearsal says answers to their end
