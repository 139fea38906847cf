"""A fitted topic model in one file."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.base import BaseEstimator

from minillm_lib.io.array_file import ArrayFileError, read_arrays, write_arrays
from minillm_lib.topics.chains import ChainTrace
from minillm_lib.topics.stability import ChainMatches

_KIND, _VERSION = "lda-model", 1
_NOT_KEPT = ("callback", "checkpoint", "seed_terms", "random_state")
_MATCHES = ("matches", "overlap", "agreement")


def save_model(model: BaseEstimator, path: str | os.PathLike[str]) -> None:
    """Write a fitted model; see :meth:`~minillm_lib.topics.gibbs_lda.GibbsLDA.save`."""
    parameters = {name: _plain(value) for name, value in model.get_params().items() if name not in _NOT_KEPT}
    given = model.random_state
    names = getattr(model, "feature_names_in_", None)
    facts = {
        "parameters": parameters
        | {"random_state": int(given) if isinstance(given, int | np.integer) else model._seed},
        "seed": model._seed,
        "n_features": int(model.n_features_in_),
        "names": None if names is None else [str(name) for name in names],
        "names_terms": model._names_terms,
        "central": int(model.best_chain_),
        "n_tokens": float(model.n_tokens_),
        "beta": float(model.beta_),
        "chain_betas": [float(chain.beta) for chain in model.chains_],
    }
    arrays = {
        "topic_word": model.topic_word_,
        "components": model.components_,
        "alpha": model.alpha_,
        "term_frequency": model._term_frequency,
        "z": model.z_.astype(np.min_scalar_type(len(model.topic_word_) - 1)),
        "chain_log_likelihoods": np.array([chain.log_likelihoods for chain in model.chains_]),
        "chain_alphas": np.array([chain.alpha for chain in model.chains_]),
        **_parts_of("doc_topic", model._doc_topic_matrix),
    }
    if model._seed_terms is not None:
        arrays |= _parts_of("seed_terms", model._seed_terms)
    if model._matched is not None:
        arrays |= {name: getattr(model._matched, name) for name in _MATCHES}
    write_arrays(path, _KIND, _VERSION, facts, arrays, compress=True)


def load_model(kind: type[Any], path: str | os.PathLike[str]) -> Any:
    """Read a model; see :meth:`~minillm_lib.topics.gibbs_lda.GibbsLDA.load`."""
    facts, arrays = read_arrays(path, _KIND, _VERSION)
    try:
        return _restored(kind, facts, arrays)
    except (KeyError, TypeError) as error:
        raise ArrayFileError(f"{path} lacks a part of a model: {error}") from None


def _restored(kind: type[Any], facts: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Any:
    model = kind(**facts["parameters"])
    topic_word = arrays["topic_word"]
    n_topics, n_terms = topic_word.shape
    model.topic_word_, model.components_ = topic_word, arrays["components"]
    model.alpha_, model.beta_ = arrays["alpha"], facts["beta"]
    model.n_features_in_, model._names_terms = facts["n_features"], facts["names_terms"]
    if facts["names"] is not None:
        model.feature_names_in_ = np.array(facts["names"], dtype=object)
    model._seed, model.best_chain_, model.n_tokens_ = facts["seed"], facts["central"], facts["n_tokens"]
    model._term_frequency = arrays["term_frequency"]
    model.z_ = arrays["z"].astype(np.int32)
    model._seed_terms = None
    if "seed_terms_data" in arrays:
        model._seed_terms = model.seed_terms = _matrix("seed_terms", arrays, n_terms)
    model._doc_topic_matrix, model._doc_topic = _matrix("doc_topic", arrays, n_topics), None
    of_chains = (arrays["chain_log_likelihoods"], arrays["chain_alphas"], facts["chain_betas"])
    model.chains_ = [ChainTrace(*each) for each in zip(*of_chains, strict=True)]
    model.log_likelihoods_ = model.chains_[model.best_chain_].log_likelihoods
    model._matched = None
    if len(model.chains_) > 1:
        model._matched = ChainMatches(facts["central"], *(arrays[name] for name in _MATCHES))
    return model


def _plain(value: Any) -> Any:
    """Return a parameter as JSON has it: numbers of numpy and arrays become plain ones."""
    if isinstance(value, np.generic):
        return value.item()
    return np.asarray(value).tolist() if np.ndim(value) else value


def _parts_of(name: str, matrix: sparse.csr_matrix) -> dict[str, npt.NDArray[Any]]:
    parts = {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}
    return {f"{name}_{part}": array for part, array in parts.items()}


def _matrix(name: str, arrays: dict[str, npt.NDArray[Any]], width: int) -> sparse.csr_matrix:
    parts = tuple(arrays[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    return sparse.csr_matrix(parts, shape=(len(parts[2]) - 1, width))
