"""The warnings of a PPO run: each at its threshold, once, in words, and after a resumption as without one."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from lab.diagnose import Diagnosis, Setup, alarms
from lab.errors import FlatReward
from lab.events import Step, Warned, from_json, to_json

HEALTHY = {
    "policy/ratio_first": 0.0,
    "policy/ratio_mean": 1.0,
    "policy/clip_fraction": 0.05,
    "policy/grad_norm": 0.2,
    "policy/entropy": 1.0,
    "kl/update": 0.005,
    "kl/reference": 8.0,
    "kl/k1": 8.0,
    "reward/score": 0.0,
    "reward/std": 1.0,
    "reward/length_correlation": 0.0,
    "response/length": 100.0,
    "response/ended": 1.0,
    "response/distinct": 1.0,
    "response/phrase": 0.05,
    "loss/value": 0.2,
    "value/explained_variance": 0.4,
    "value/clip_fraction": 0.01,
}
SETUP = Setup(batch=64, highest=2.5)
# At a KL of 8 and 64 responses, a standard error of k1 is sqrt(2 * 8 / 64) = 0.5.
CASES = [
    ("W_RATIO", {"policy/ratio_first": 0.019}, None),
    ("W_RATIO", {"policy/ratio_first": 0.021}, False),
    ("W_RATIO", {"policy/ratio_first": 0.051}, True),
    ("W_RATIO_MEAN", {"policy/ratio_mean": 1.24}, None),
    ("W_RATIO_MEAN", {"policy/ratio_mean": 1.26}, False),
    ("W_RATIO_MEAN", {"policy/ratio_mean": 0.79}, False),
    ("W_RATIO_MEAN", {"policy/ratio_mean": 10.1}, True),
    ("W_UPDATE_KL", {"kl/update": 0.019}, None),
    ("W_UPDATE_KL", {"kl/update": 0.021}, False),
    ("W_UPDATE_KL", {"kl/update": 0.051}, True),
    ("W_CLIP", {"policy/clip_fraction": 0.29}, None),
    ("W_CLIP", {"policy/clip_fraction": 0.31}, False),
    ("W_CLIP", {"policy/clip_fraction": 0.51}, True),
    ("W_GRADIENT", {"policy/grad_norm": 0.99}, None),
    ("W_GRADIENT", {"policy/grad_norm": 1.01}, False),
    ("W_KL_HIGH", {"kl/reference": 14.9}, None),
    ("W_KL_HIGH", {"kl/reference": 14.9, "response/length": 45.0}, None),
    ("W_KL_HIGH", {"kl/reference": 15.1}, False),
    ("W_KL_HIGH", {"kl/reference": 30.1, "response/length": 149.0}, True),
    ("W_KL_HIGH", {"kl/reference": 15.6, "response/length": 51.0}, True),
    ("W_KL_NEGATIVE", {"kl/k1": -0.99, "kl/reference": 8.0}, None),
    ("W_KL_NEGATIVE", {"kl/k1": -1.01, "kl/reference": 8.0}, False),
    ("W_KL_NEGATIVE", {"kl/k1": -2.51, "kl/reference": 8.0}, True),
    ("W_ENTROPY_LOW", {"policy/entropy": 0.51}, None),
    ("W_ENTROPY_LOW", {"policy/entropy": 0.49}, False),
    ("W_ENTROPY_LOW", {"policy/entropy": 0.29}, True),
    ("W_ENTROPY_HIGH", {"policy/entropy": 1.49}, None),
    ("W_ENTROPY_HIGH", {"policy/entropy": 1.51}, True),
    ("W_COLLAPSE", {"response/distinct": 0.71}, None),
    ("W_COLLAPSE", {"response/distinct": 0.69}, False),
    ("W_COLLAPSE", {"response/distinct": 0.49}, True),
    ("W_COLLAPSE", {"response/phrase": 0.2}, None),
    ("W_COLLAPSE", {"response/phrase": 0.21}, False),
    ("W_LENGTH", {"response/length": 149.0}, None),
    ("W_LENGTH", {"response/length": 151.0}, False),
    ("W_LENGTH", {"response/length": 49.0}, False),
    ("W_LENGTH", {"reward/length_correlation": 0.49}, None),
    ("W_LENGTH", {"reward/length_correlation": 0.51}, False),
    ("W_ENDED", {"response/ended": 0.91}, None),
    ("W_ENDED", {"response/ended": 0.89}, False),
    ("W_ENDED", {"response/ended": 0.69}, True),
    ("W_VALUE", {"value/explained_variance": -0.4}, None),
    ("W_VALUE", {"value/explained_variance": -0.6}, False),
    ("W_VALUE", {"value/explained_variance": -1.1}, True),
    ("W_VALUE_LOSS", {"loss/value": 0.99}, None),
    ("W_VALUE_LOSS", {"loss/value": 1.01}, False),
    ("W_VALUE_LOSS", {"loss/value": 4.01}, True),
    ("W_VALUE_CLIP", {"value/clip_fraction": 0.49}, None),
    ("W_VALUE_CLIP", {"value/clip_fraction": 0.51}, True),
    ("W_SCORE_HIGH", {"reward/score": 2.4}, None),
    ("W_SCORE_HIGH", {"reward/score": 2.6}, False),
    ("W_SCORE_CAP", {"reward/score": 4.4}, None),
    ("W_SCORE_CAP", {"reward/score": 4.6}, True),
    ("W_FLAT", {"reward/std": 1.1e-3}, None),
    ("W_FLAT", {"reward/std": 0.9e-3}, False),
    ("W_FLAT", {"reward/std": 0.9e-6}, True),
]


def after(steps: int, setup: Setup = SETUP, **more: float) -> Diagnosis:
    """A diagnosis that has seen so many healthy steps."""
    found = Diagnosis(setup)
    for step in range(1, steps + 1):
        assert found.warnings(step, HEALTHY | more) == []
    return found


def judged(diagnosis: Diagnosis, changed: dict[str, float], step: int = 13) -> list[Warned]:
    """What is said when the smoothed metrics come to stand at these values in one step: half old, half new."""
    doubled = {key: 2 * value - HEALTHY[key] for key, value in changed.items()}
    newest = {"policy/ratio_first", "reward/std"}
    return diagnosis.warnings(step, HEALTHY | doubled | {key: changed[key] for key in newest & set(changed)})


@pytest.mark.parametrize(("code", "changed", "grave"), CASES)
def test_an_alarm_goes_on_beyond_its_threshold_and_is_grave_beyond_the_second(code, changed, grave):
    found = [warned.grave for warned in judged(after(12), changed) if warned.code == code]
    assert found == ([] if grave is None else [grave])


def test_every_alarm_has_a_case_that_turns_it_on_and_one_that_does_not():
    on = {code for code, _, grave in CASES if grave is not None} | {"W_STUCK", "W_SCALE"}
    off = {code for code, _, grave in CASES if grave is None} | {"W_STUCK", "W_SCALE"}
    assert on == off == {alarm.code for alarm in alarms()}


def test_every_warning_is_in_whole_sentences_with_a_remedy():
    for _, changed, _ in CASES:
        for warned in judged(after(12), changed):
            assert warned.message.endswith(".") and warned.remedy.endswith(".")
            assert len(warned.message) > 40 and len(warned.remedy) > 15


def test_an_average_over_three_steps_is_not_judged_before_there_are_three():
    diagnosis = Diagnosis(SETUP)
    assert diagnosis.warnings(1, HEALTHY | {"kl/update": 0.06}) == []
    assert diagnosis.warnings(2, HEALTHY | {"kl/update": 0.06}) == []
    assert [each.code for each in diagnosis.warnings(3, HEALTHY | {"kl/update": 0.06})] == ["W_UPDATE_KL"]
    assert [each.code for each in Diagnosis(SETUP).warnings(1, HEALTHY | {"policy/ratio_first": 0.1})] == ["W_RATIO"]


@pytest.mark.parametrize(("value", "graveness"), [(0.9e-3, []), (1.1e-3, [False]), (0.051, [True])])
def test_where_products_are_in_float32_a_small_difference_at_the_first_update_is_an_error_already(value, graveness):
    found = Diagnosis(replace(SETUP, exact=True)).warnings(1, HEALTHY | {"policy/ratio_first": value})
    assert [each.grave for each in found] == graveness


def test_a_warning_tells_the_steps_own_figures_and_where_these_are_healthy_again_says_that_it_is_a_mean():
    diagnosis = after(12)
    [found] = diagnosis.warnings(13, HEALTHY | {"kl/update": 0.04})
    assert "0.040 nats a token" in found.message and "mean" not in found.message
    diagnosis = after(12)
    assert diagnosis.warnings(13, HEALTHY | {"kl/update": 0.019}) == []
    diagnosis.smooth[-1] = diagnosis.smooth[-1] | {"kl/update": 0.03}
    [found] = diagnosis.warnings(14, HEALTHY | {"kl/update": 0.018})
    assert "0.024 nats a token" in found.message and found.message.endswith("This is a mean of the last steps.")


@pytest.mark.parametrize(("batch", "most"), [(64, 0.375), (400, 0.3)])
def test_a_score_that_does_not_begin_at_0_is_told_at_the_first_step_and_not_later(batch, most):
    for sign in (1, -1):
        near, far = (HEALTHY | {"reward/score": sign * (most + more)} for more in (-0.01, 0.01))
        assert Diagnosis(replace(SETUP, batch=batch)).warnings(1, near) == []
        diagnosis = Diagnosis(replace(SETUP, batch=batch))
        [found] = diagnosis.warnings(1, far)
        assert found.code == "W_SCALE" and not found.grave
        assert diagnosis.warnings(2, far) == []
        assert Diagnosis(replace(SETUP, batch=batch)).warnings(1, far | {"response/ended": 0.8}) == []


def test_one_loud_step_is_no_alarm_where_the_average_stays_below():
    assert after(12).warnings(13, HEALTHY | {"response/distinct": 0.5}) == []


def test_a_kl_that_doubles_in_three_steps_is_grave_only_where_it_is_already_far():
    near, far = (Diagnosis(SETUP) for _ in range(2))
    for step, nats in enumerate((0.1, 0.2, 0.5, 1.2, 3.0, 6.0), 1):
        assert near.warnings(step, HEALTHY | {"kl/reference": nats, "kl/k1": nats}) == []
    said = []
    for step, nats in enumerate((4.0, 4.0, 4.0, 6.0, 10.0, 17.0), 1):
        said += far.warnings(step, HEALTHY | {"kl/reference": nats, "kl/k1": nats})
    # Smoothed: 4, 4, 4, 5, 7.5, 12.25, which is over 2 * 4.
    assert [(each.step, each.code, each.grave) for each in said] == [(6, "W_KL_HIGH", True)]


def test_a_target_of_the_kl_moves_its_threshold():
    wanted = Setup(batch=64, target_kl=5.0)
    assert [each.code for each in judged(after(12, wanted), {"kl/reference": 10.1})] == ["W_KL_HIGH"]
    assert judged(after(12, wanted), {"kl/reference": 9.9}) == []


def test_a_policy_that_was_sure_from_the_start_has_not_collapsed():
    sure = HEALTHY | {"policy/entropy": 0.09}
    diagnosis = Diagnosis(SETUP)
    assert not any(diagnosis.warnings(step, sure) for step in range(1, 20))
    fallen = after(12, **{"policy/entropy": 0.3})
    said = fallen.warnings(13, HEALTHY | {"policy/entropy": -0.11})
    assert [(each.code, each.grave) for each in said] == [("W_ENTROPY_LOW", True)]


def test_a_run_that_gets_nowhere_is_held_too_tight_after_thirty_steps():
    held = {"kl/reference": 0.2, "kl/k1": 0.2}
    diagnosis = after(29, **held)
    assert [each.code for each in diagnosis.warnings(30, HEALTHY | held)] == ["W_STUCK"]
    learned = after(29, **held)
    assert learned.warnings(30, HEALTHY | held | {"reward/score": 0.3}) == []


def test_without_a_known_highest_score_no_score_is_beyond_it():
    assert judged(after(12, Setup(highest=math.inf)), {"reward/score": 4.0}) == []


def test_an_alarm_speaks_once_and_again_when_it_turns_grave_or_comes_back_after_a_while():
    diagnosis, said = after(12), []
    for step, share in enumerate(
        [0.6] * 5 + [1.0] * 5 + [0.6] * 5 + [0.3] * 5 + [0.6] * 3 + [1.0] * 25 + [0.6] * 3, 13
    ):
        said += [each.grave for each in diagnosis.warnings(step, HEALTHY | {"response/distinct": share})]
    assert said == [False, True, False]


def test_a_metric_that_a_run_does_not_have_turns_nothing_on():
    diagnosis = Diagnosis(SETUP)
    assert not any(diagnosis.warnings(step, {"reward/score": None, "reward/std": 1.0}) for step in range(1, 30))


def test_three_rollouts_that_score_alike_in_a_row_are_flat():
    diagnosis = after(5)
    for step, spread in enumerate((0.0, 0.0, 1.0, 0.0, 0.0), 6):
        diagnosis.warnings(step, HEALTHY | {"reward/std": spread})
        diagnosis.check_not_flat(step)
    diagnosis.warnings(11, HEALTHY | {"reward/std": 0.0})
    with pytest.raises(FlatReward, match="Up to step 11"):
        diagnosis.check_not_flat(11)
    for step in range(12, 15):
        diagnosis.warnings(step, HEALTHY | {"reward/std": 0.0, "response/ended": 0.0})
    diagnosis.check_not_flat(14)


def test_a_resumed_run_is_warned_as_one_that_never_stopped():
    def metrics(step: int) -> dict[str, float]:
        return HEALTHY | {"response/length": 100.0 + 3 * step, "policy/entropy": 1.0 - 0.02 * step}

    whole = Diagnosis(SETUP)
    said = {step: whole.warnings(step, metrics(step)) for step in range(1, 41)}
    resumed = Diagnosis(SETUP)
    resumed.replay(Step(step, metrics(step)) for step in range(1, 21))
    assert all(resumed.warnings(step, metrics(step)) == said[step] for step in range(21, 41))
    assert {each.code for step in range(21, 41) for each in said[step]} == {"W_ENTROPY_LOW"}
    assert any(each.code == "W_LENGTH" for step in range(1, 21) for each in said[step])
    anew = Diagnosis(SETUP)
    assert not any(anew.warnings(step, metrics(step)) for step in range(21, 36))


def test_a_warning_of_before_there_were_grave_ones_is_read_as_not_grave():
    line = to_json(Warned(3, "W_CLIP", "Much.", "Less.", True), 1.0)
    assert from_json(line)[0].grave
    assert not from_json(line.replace(',"grave":true', ""))[0].grave
