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
from minillm_lib.topics.counts_input import intact
from minillm_lib.topics.gibbs_sampler import check_prior
from minillm_lib.topics.stability import ChainMatches
from minillm_lib.topics.term_tables import taken_over

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
    except (ValueError, IndexError, OverflowError) as error:
        raise ArrayFileError(f"{path} is no model that was saved: {error}") from None


def _restored(kind: type[Any], facts: dict[str, Any], arrays: dict[str, npt.NDArray[Any]]) -> Any:
    model = kind(**facts["parameters"])
    model._validate_params()
    topic_word = arrays["topic_word"]
    n_topics, n_terms = topic_word.shape
    n_chains, n_sweeps = arrays["chain_log_likelihoods"].shape
    shapes = {
        **dict.fromkeys(("topic_word", "components"), (n_topics, n_terms)),
        "alpha": (n_topics,),
        "chain_alphas": (n_chains, n_topics),
        "chain_log_likelihoods": (n_chains, n_sweeps),
    }
    for name, shape in shapes.items():
        if not np.isfinite(taken_over(name, arrays[name], shape, np.float64)).all():
            raise ValueError(f"{name} has numbers that are infinite or no numbers")
    _check_facts(facts, arrays, n_topics, n_terms, n_chains)
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
        matches, overlap = (arrays[name] for name in _MATCHES[:2])
        taken_over("matches", matches, (n_chains, n_topics), np.int64)
        taken_over("overlap", overlap, (n_chains, n_topics), np.float64)
        model._matched = ChainMatches(facts["central"], *(arrays[name] for name in _MATCHES))
    return model


def _check_facts(
    facts: dict[str, Any], arrays: dict[str, npt.NDArray[Any]], n_topics: int, n_terms: int, n_chains: int
) -> None:
    """Check what the arrays' shapes do not tell: a file with a right hash may still be made by hand."""
    names, z, seed = facts["names"], arrays["z"], facts["seed"]
    is_sound = {
        "topic_word": n_topics >= 1 and np.allclose(arrays["topic_word"].sum(axis=1), 1),
        "term_frequency": arrays["term_frequency"].shape == (n_terms,),
        "z": z.ndim == 1 and z.dtype.kind in "iu" and (not z.size or 0 <= z.min() <= z.max() < n_topics),
        "n_features": facts["n_features"] == n_terms,
        "names": names is None or (len(names) == n_terms and all(isinstance(name, str) for name in names)),
        "central": type(facts["central"]) is int and 0 <= facts["central"] < n_chains,
        "chain_betas": len(facts["chain_betas"]) == n_chains,
        "seed": type(seed) is int and 0 <= seed < 2**64,
    }
    for name, is_right in is_sound.items():
        if not is_right:
            raise ValueError(f"its {name} is not that of a model")
    check_prior("alpha", arrays["alpha"])
    check_prior("beta", facts["beta"])


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
    return intact(sparse.csr_matrix(parts, shape=(len(parts[2]) - 1, width)), name)
