"""All exercises of the course by name: ``check.rms_norm``."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping, Sequence

from minillm_lib.checks.exercise import Exercise

COURSE: Mapping[str, Sequence[str]] = {
    "00_welcome": ("word_share",),
    "01_corpus": ("jaccard", "minhash_signature", "document_term_counts", "expected_vocabulary"),
    "02_lda_gibbs": ("log_sequence_probability", "topic_conditional", "gibbs_sweep", "resampling_matrix"),
    "03_lda_neurips": ("relevance", "completion_perplexity", "split_r_hat", "matched_overlap"),
    "04_tokenizer": (
        "merge_pair",
        "count_pairs",
        "learn_merges",
        "apply_merges",
        "decode_pieces",
        "count_changes",
        "likeliest_segmentation",
        "bytes_per_token",
    ),
    "05_language_models": (
        "perplexity",
        "bits_per_byte",
        "discounted_bigram",
        "continuation_probabilities",
    ),
    "06_counts_to_gradients": (
        "stable_softmax",
        "cross_entropy",
        "bigram_gradient",
        "sgd_step",
        "mlp_logits",
    ),
    "07_rmsnorm": (
        "rms_norm",
        "numerical_gradient",
        "rms_norm_input_gradient",
        "rms_norm_weight_gradient",
        "centre_outputs",
    ),
    "08_rope": ("pair_frequencies", "rotate_pairs", "interleaved_rows", "ntk_base", "yarn_frequencies"),
    "09_attention_gqa": (
        "causal_attention",
        "leaking_positions",
        "split_heads",
        "repeat_key_value_heads",
        "attention_layer",
        "add_block",
        "longest_context",
    ),
    "10_swiglu": ("gelu", "swiglu", "gated_width", "swiglu_backward"),
    "11_decoder": (
        "block_forward",
        "initial_deviation",
        "decoder_forward",
        "next_token_loss",
        "count_parameters",
    ),
    "12_training_loop": (
        "adamw_step",
        "newton_schulz",
        "cosine_factor",
        "accumulated_gradient",
        "training_step",
        "unscaled_gradients",
        "which_bug",
    ),
    "13_pretraining": (
        "run_length",
        "training_flops",
        "run_cost",
        "power_law_exponent",
        "fit_power_law",
        "compute_optimal",
    ),
    "14_sft": (
        "conversation_labels",
        "row_layout",
        "fill_rows",
        "answer_log_probability",
        "replay_loss",
        "LoRALinear",
    ),
    "15_inference": (
        "drawn",
        "tempered",
        "nucleus",
        "penalised",
        "cached_attention",
        "generate",
        "left_padded",
    ),
    "16_faster": ("least_pass_time", "quantised", "speculative_rule", "speculative_step"),
    "17_lda_vs_transformer": ("normalised_information", "linear_probe", "paired_effect", "topic_filter"),
    "18_your_own_model": ("held_out_split", "choose_size", "best_rate", "train_with_a_break", "own_model"),
}
"""The exercises of each notebook, in order. Those of ``07_rmsnorm`` are in ``minillm_lib.checks.exercises.rmsnorm``."""


class Checks:
    """All exercises as attributes; accessing one imports only the exercises of its notebook."""

    def __init__(self) -> None:
        self._registered: dict[str, Exercise] = {}

    def __getattr__(self, name: str) -> Exercise:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._registered:
            return self._registered[name].mark(where=f"check.{name}")
        for notebook, names in COURSE.items():
            if name in names:
                found = next(exercise for exercise in exercises_of(notebook) if exercise.name == name)
                return found.mark(where=f"check.{name}", in_course=True)
        raise AttributeError(f"there is no exercise {name!r}; the exercises are {', '.join(dir(self))}")

    def __dir__(self) -> list[str]:
        return [*(name for names in COURSE.values() for name in names), *self._registered]

    def register(self, *exercises: Exercise) -> None:
        """Add your own exercises, or replace existing ones of the same name.

        Raises
        ------
        ValueError
            If the name of an exercise is not a Python name, has a leading underscore or is ``register``; or if two
            of them have the same name. Then none is added.
        """
        names = [exercise.name for exercise in exercises]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ValueError(
                f"there are several exercises named {twice[0]!r} in one call of register, and only the last would "
                "remain: give each its own name"
            )
        for exercise in exercises:
            if (
                not exercise.name.isidentifier()
                or exercise.name.startswith("_")
                or exercise.name == "register"
            ):
                raise ValueError(
                    f"the exercise is named {exercise.name!r}; allowed are Python names without a leading underscore, "
                    "except 'register'"
                )
        self._registered.update(zip(names, exercises, strict=True))


check = Checks()


def exercises_of(notebook: str) -> list[Exercise]:
    """Return the exercises of a notebook of the course, such as ``"07_rmsnorm"``, in order.

    Raises
    ------
    ValueError
        If the course has no such notebook, or the notebook has no exercises.
    """
    if notebook not in COURSE:
        raise ValueError(
            f"notebook {notebook!r} has no exercises; the notebooks with exercises are {', '.join(COURSE)}"
        )
    module = importlib.import_module(f"minillm_lib.checks.exercises.{notebook.partition('_')[2]}")
    return list(module.EXERCISES)
