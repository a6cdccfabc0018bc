"""Every technical word once: what it means in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

WORDS: Mapping[str, str] = MappingProxyType(
    {
        "SFT": (
            "Supervised fine-tuning: the model is shown questions with good answers and learns to answer in that form."
        ),
        "ranking": "Several answers to one prompt, put in order from best to worst by a person.",
        "pair": "Two answers of one ranking, the better and the worse. Four answers in strict order make six pairs.",
        "reward model": "A copy of the model that learned from rankings to give any answer a score.",
        "score": (
            "The reward model's number for an answer: 0 is average before PPO, 1 is one standard deviation better."
        ),
        "PPO": (
            "Proximal policy optimisation: answers are sampled and scored, and what scored well is made likelier, "
            "in small steps."
        ),
        "RLOO": (
            "REINFORCE, leave one out: several answers to each prompt, each judged against the mean of the others. It "
            "needs no value head."
        ),
        "GRPO": (
            "Group relative policy optimisation: several answers to each prompt, each judged by how far its score is "
            "above or below its group's."
        ),
        "DPO": (
            "Direct preference optimisation: the policy learns from ranked pairs at once, without a reward model and "
            "without writing answers."
        ),
        "policy": "The model that answers, and that PPO changes.",
        "reference": "The model as it was before PPO. It never changes, and distance is measured from it.",
        "KL": "A distance between two models, in nats: how differently they would choose their words. 0 means alike.",
        "nat": "The unit of KL and entropy. One nat an answer: the answer is e, about 2.7, times likelier than before.",
        "beta": "The price of a nat of KL. A higher price keeps the policy closer to the reference.",
        "target KL": "The distance that an adaptive beta steers to. 0 leaves beta as it is.",
        "learning rate": (
            "How far each step moves the weights. Too high and training falls apart; too low and nothing happens."
        ),
        "temperature": "How freely the model chooses its words: low is careful and repetitive, high is adventurous.",
        "step": "One round of PPO: a batch of answers is written and scored, and the model learns from it.",
        "checkpoint": "The state of a run at a step, kept on disk so that it can go on from there.",
        "adapter": "The small set of weights that is trained (LoRA). The base model itself never changes.",
        "calibration": (
            "Whether confidence can be believed: of the pairs it is 80 % sure about, it should get 80 % right."
        ),
        "held out": "Kept aside and never learned from, to see whether something was understood or learned by heart.",
        "interval": "Where the true number lies 95 times in a hundred. Few pairs make it wide.",
        "length correlation": (
            "Whether long answers score better: 0 is not at all, 1 is always. Above 0.5, length is taken for quality."
        ),
        "pinned prompt": "A prompt that is asked again at every step, so that its answer can be seen changing.",
    }
)
