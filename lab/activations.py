"""Bytes per token that one layer takes in the passes that learn and score, from the tensors that these hold.

    h hidden, f intermediate, H heads of D in K groups, S columns, w bytes of a number in a product; states in float32

    lean pass (lab/trunk.py)   keeps (8 + 2 w) h + 2 w (H + K) D + 3 w f, and of scores 4 H S, or 6 H S where w is 2
      on a GPU                 w H D + 4 H instead of scores, and once a pass the mask for a group's heads
      with norms by head       w (H + 2 K) D + 4 (H + K) more
    the library's pass         keeps what facts.py counts
      on a GPU                 2 F + 9 h + 4 (H - K) D with sdpa, F the numbers that float32 keeps, 8 h less for a base
                               in 4 bits; norms in float32, copies for adapters, and repeated keys and values

Without gradients a layer takes the more of what its attention and its other half hold at once; on the way back the more
of what the two need beside what was kept: the other half goes first, and what it kept is gone when scores come.
tests/test_forecast_phases.py holds these to the tensors of a CPU; docs/gpu.md has what a GPU measured.
"""

from __future__ import annotations

from dataclasses import dataclass

from lab.facts import Facts, Saved


@dataclass(frozen=True)
class Library:
    """A layer of the library's pass on a CPU over so many columns, its products in numbers of `width` bytes, what runs
    between layers in numbers of `flow` bytes."""

    facts: Facts
    columns: int
    width: int
    flow: int

    @property
    def scores(self) -> int:
        """Numbers per token."""
        return self.facts.heads * self.columns

    @property
    def once(self) -> int:
        """Of a pass that learns, whatever its layers are."""
        return 0

    @property
    def saved(self) -> Saved:
        """What was counted for products of this width."""
        return self.facts.saved32 if self.width == 4 else self.facts.saved16

    @property
    def kept(self) -> float:
        """For the backward pass."""
        return self.saved.token + self.saved.square * self.columns

    @property
    def at_work(self) -> float:
        """Without gradients: scores are kept for the caller, and an adapter adds its share in tensors of its own."""
        hidden = self.flow * self.facts.hidden
        attending = 4 * hidden + (8 if self.width == 4 else 10) * self.scores
        feeding = (2 if self.width == 4 else 3) * hidden + self.width * max(
            5 * self.facts.inner, 3.5 * self.facts.widest
        )
        return 4 * self.columns + max(attending, feeding + self.width * self.scores)

    @property
    def way_back(self) -> float:
        """Beside what was kept, of which about three quarters of what is flat are the other half's."""
        feeding, weighed = (4, 8) if self.width == 4 else (6, 6)
        hidden = self.flow * self.facts.hidden
        attending = weighed * self.scores - 2 * hidden - 0.75 * self.saved.token
        return 3 * hidden + max(feeding * self.facts.inner, attending)


@dataclass(frozen=True)
class OnGpu(Library):
    """A layer of the library's pass on a GPU, over a base of that precision."""

    precision: str

    @property
    def kept(self) -> float:
        """The same. An adapter copies its input on CUDA, but over layers in 4 bits it does not."""
        repeated = 2 * self.width * (self.facts.heads - self.facts.groups) * self.facts.size
        scores = repeated if self.facts.sdpa else self.saved.square * self.columns
        if self.width == 4:
            return self.saved.token + scores
        return self.facts.saved32.token / 2 + (1 if self.precision == "4-bit" else 9) * self.facts.hidden + scores

    @property
    def at_work(self) -> float:
        """The same: four tensors in float32 and five in bfloat16; in 8 bits six more."""
        return 16 * self.facts.hidden + (22 if self.precision == "8-bit" else 10) * self.facts.inner

    @property
    def way_back(self) -> float:
        """The same: three tensors in float32, four in bfloat16, and scores in ten bytes where there are some."""
        return 8 * self.facts.inner + 12 * self.facts.hidden + (0 if self.facts.sdpa else 10 * self.scores)


@dataclass(frozen=True)
class Lean(Library):
    """A layer of the lean pass."""

    @property
    def keys(self) -> int:
        """Of keys and values; before the norms of the keys' heads too, where there are some."""
        once = 2 * self.width * self.facts.groups * self.facts.size
        return 2 * once + 4 * self.facts.groups if self.facts.normed else once

    @property
    def feeding(self) -> int:
        """What the other half keeps."""
        return (4 + self.width) * self.facts.hidden + 3 * self.width * self.facts.inner

    @property
    def kept(self) -> float:
        """The same."""
        each = 3 * self.width * self.facts.size + 4 if self.facts.normed else 2 * self.width * self.facts.size
        return (4 + self.width) * self.facts.hidden + each * self.facts.heads + self.keys + self.weighed + self.feeding

    @property
    def weighed(self) -> int:
        """What attention keeps beside queries, keys, values and what it gives to its last product."""
        return (4 if self.width == 4 else 6) * self.scores

    def kept_by_last(self, speaking: float) -> float:
        """What the last layer keeps, per token of all, where a share of the tokens speaks and the others are read."""
        silent = (4 + self.width) * self.facts.hidden + self.keys
        return silent + speaking * (self.kept - silent)

    @property
    def at_work(self) -> float:
        """The same, beside the mask and the rotations."""
        facts, width = self.facts, self.width
        beside = (width + 1) * self.columns + 4 * width * facts.size
        heads = width * (2 * facts.heads + 2 * facts.groups) * facts.size
        attending = (4 + width) * facts.hidden + heads + (8 if width == 4 else 10) * self.scores
        return beside + max(attending, (4 + 2 * width) * facts.hidden + 3 * width * facts.inner)

    @property
    def way_back(self) -> float:
        """The same: attention at its products of values or at its softmax."""
        read = self.width * self.facts.heads * self.facts.size
        values, softmax = (4, 8) if self.width == 4 else (2, 6)
        weighed = max(values * self.scores + read, softmax * self.scores - read)
        return (4 + self.width) * self.facts.hidden + max(3 * self.width * self.facts.inner, weighed - self.feeding)


@dataclass(frozen=True)
class LeanOnGpu(Lean):
    """The same with a GPU's attention, which keeps no scores."""

    @property
    def once(self) -> int:
        """The mask, once for each head of a group, and the rotations."""
        return self.width * (self.facts.heads // self.facts.groups * self.columns + 4 * self.facts.size)

    @property
    def weighed(self) -> int:
        """What was read once more, in the order in which it was read, and a number for each head."""
        return self.width * self.facts.heads * self.facts.size + 4 * self.facts.heads

    @property
    def at_work(self) -> float:
        """The same; a norm's states are in float32 at first."""
        facts, width = self.facts, self.width
        read, heads = width * facts.heads * facts.size, width * (facts.heads + 2 * facts.groups) * facts.size
        attending = (4 + width) * facts.hidden + heads + max(heads, 2 * read)
        feeding = (4 + 2 * width) * facts.hidden + 3 * width * facts.inner
        return self.once + 2 * self.columns + max(attending, (8 + width) * facts.hidden, feeding)

    @property
    def way_back(self) -> float:
        """The same: what the other half's products were given is larger than all that attention turns back."""
        return (4 + self.width) * self.facts.hidden + max(3 * self.width * self.facts.inner, 8 * self.facts.hidden)
