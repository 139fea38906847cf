"""Several Markov chains over the same tokens, and the averages over their samples."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from minillm_lib.topics.counts_input import intact
from minillm_lib.topics.gibbs_sampler import FloatArray, GibbsSampler, theta
from minillm_lib.topics.stability import UNSTABLE, ChainMatches
from minillm_lib.topics.term_tables import taken_over

_EVERY = 10  # sweeps from one update of the priors to the next


@dataclass(frozen=True)
class ChainTrace:
    """What a saved model keeps of a chain.

    Attributes
    ----------
    log_likelihoods
        Joint log-likelihood in nats per token after each sweep, ``(n_sweeps,)``.
    alpha, beta
        Prior weights in the last state; ``alpha`` is ``(n_topics,)``.
    """

    log_likelihoods: FloatArray
    alpha: FloatArray
    beta: float

    def __getattr__(self, name: str) -> Any:
        if name in Chain.__dataclass_fields__ or name == "doc_topic":
            raise AttributeError(
                f"a saved model keeps the topics that it shows, and not {name!r} of each chain; only a model that was "
                "fitted in this process has them"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


@dataclass(frozen=True)
class Chain(ChainTrace):
    """The result of one Markov chain: averages over its samples, and its log-likelihood after each sweep.

    Attributes
    ----------
    topic_word
        Mean of phi, ``(n_topics, n_terms)``.
    doc_topic_matrix
        Mean count of each topic in each document: a sparse matrix, ``(n_documents, n_topics)``.
    topic_word_counts
        Mean count of each term in each topic, ``(n_topics, n_terms)``; without the prior counts of seed terms.
    assignments
        Topic of each token in the last state, ``(n_tokens,)``.
    """

    topic_word: FloatArray
    doc_topic_matrix: sparse.csr_matrix
    topic_word_counts: FloatArray
    assignments: npt.NDArray[np.int32]

    @cached_property
    def doc_topic(self) -> FloatArray:
        """Theta, ``(n_documents, n_topics)``, from the mean counts; computed when it is first needed."""
        return theta(self.doc_topic_matrix, self.alpha)


def consensus(chains: Sequence[Chain], matched: ChainMatches) -> Chain:
    """Return the central chain, with each topic averaged over the chains that find it.

    These are the chains whose matched topic overlaps with that of the central chain by at least
    :data:`~minillm_lib.topics.stability.UNSTABLE`: other topics are other themes, which a mean would mix up. The
    priors, assignments and log-likelihoods are those of the central chain.
    """
    central = chains[matched.central]
    finds = matched.overlap >= UNSTABLE
    finds[matched.central] = True
    shares = finds / finds.sum(axis=0)
    parts = list(zip(chains, matched.matches, shares, strict=True))
    return replace(
        central,
        topic_word=sum(chain.topic_word[order] * share[:, None] for chain, order, share in parts),
        topic_word_counts=sum(
            chain.topic_word_counts[order] * share[:, None] for chain, order, share in parts
        ),
        doc_topic_matrix=sum(
            (chain.doc_topic_matrix[:, order] @ sparse.diags_array(share) for chain, order, share in parts),
            start=sparse.csr_matrix(central.doc_topic_matrix.shape),
        ),
    )


class Chains:
    """Chains that are sampled side by side.

    Parameters
    ----------
    samplers
        The chains' states.
    burn_in
        Number of sweeps before the first sample.
    thin
        Number of sweeps from one sample to the next.
    learn_alpha, learn_beta
        Whether to update these priors at every tenth sweep.

    Attributes
    ----------
    n_done
        Number of sweeps so far.
    """

    def __init__(
        self,
        samplers: Sequence[GibbsSampler],
        *,
        burn_in: int,
        thin: int,
        learn_alpha: bool = False,
        learn_beta: bool = False,
    ) -> None:
        self.samplers = list(samplers)
        self.n_done = 0
        self._burn_in, self._thin = burn_in, thin
        self._learn_alpha, self._learn_beta = learn_alpha, learn_beta
        self._averages = [_Average(sampler) for sampler in self.samplers]

    def sweep(self, executor: Executor | None = None) -> None:
        """Take one sweep of each chain: the chains in parallel, or the blocks of a single one."""
        if executor is not None and len(self.samplers) > 1:
            list(executor.map(GibbsSampler.sweep, self.samplers))
        else:
            for sampler in self.samplers:
                sampler.sweep(executor)
        self.n_done += 1
        for sampler, average in zip(self.samplers, self._averages, strict=True):
            if self.n_done % _EVERY == 0 and self._learn_alpha:
                sampler.update_alpha()
            if self.n_done % _EVERY == 0 and self._learn_beta:
                sampler.update_beta()
            if self.n_done > self._burn_in and (self.n_done - self._burn_in) % self._thin == 0:
                average.add(sampler)

    def finish(self) -> list[Chain]:
        """Return the averages of all chains; of the last states, where there is no sample yet.

        The sums become the averages, so that there is no time at which memory holds both for all chains: this can be
        done once.
        """
        averages, self._averages = self._averages[::-1], []
        return [averages.pop().chain(sampler) for sampler in self.samplers]

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return all that is needed to go on from here, for :meth:`restore`."""
        arrays = {"n_done": np.array(self.n_done)}
        for number, (sampler, average) in enumerate(zip(self.samplers, self._averages, strict=True)):
            parts = {**sampler.state(), **average.state()}
            arrays |= {f"{number}/{name}": array for name, array in parts.items()}
        return arrays

    def restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Go on from the :meth:`state` of chains that were made with the same arguments.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is no such state.
        """
        self.n_done = int(arrays["n_done"])
        for number, (sampler, average) in enumerate(zip(self.samplers, self._averages, strict=True)):
            own = {
                name.removeprefix(f"{number}/"): array
                for name, array in arrays.items()
                if name.startswith(f"{number}/")
            }
            sampler.restore(own)
            if len(sampler.log_likelihoods) != self.n_done:
                raise ValueError(f"{len(sampler.log_likelihoods)} log-likelihoods of {self.n_done} sweeps")
            average.restore(own)


class _Average:
    """Running sums over the samples of one chain."""

    def __init__(self, sampler: GibbsSampler) -> None:
        self._shape = (sampler.n_terms, sampler.n_topics)
        self._n_documents = sampler.n_documents
        self.n_samples = 0

    def add(self, sampler: GibbsSampler) -> None:
        if not self.n_samples:
            self._counts, self._topic_word = np.zeros(self._shape), np.zeros(self._shape)
            self._prior, self._doc_topic = np.zeros(sampler.n_topics), sampler.doc_topic_matrix
        else:
            self._doc_topic = self._doc_topic + sampler.doc_topic_matrix
        sampler.add_to(self._counts, self._topic_word)
        self._prior += sampler.beta / sampler.topic_masses
        self.n_samples += 1

    def chain(self, sampler: GibbsSampler) -> Chain:
        if not self.n_samples:
            last = _Average(sampler)
            last.add(sampler)
            return last.chain(sampler)
        topic_word = np.ascontiguousarray(self._topic_word.T)
        del self._topic_word
        topic_word += self._prior[:, None]
        topic_word /= self.n_samples
        counts = np.ascontiguousarray(self._counts.T)
        del self._counts
        seeds = sampler.seed_terms
        counts[seeds.row, seeds.col] -= self.n_samples * seeds.data
        counts /= self.n_samples
        return Chain(
            log_likelihoods=np.array(sampler.log_likelihoods),
            alpha=sampler.alpha,
            beta=sampler.beta,
            topic_word=topic_word,
            doc_topic_matrix=self._doc_topic / self.n_samples,
            topic_word_counts=counts,
            assignments=sampler.assignments,
        )

    def state(self) -> dict[str, npt.NDArray[Any]]:
        if not self.n_samples:
            return {"n_samples": np.array(0)}
        return {
            "n_samples": np.array(self.n_samples),
            "sum_of_counts": self._counts,
            "sum_of_topic_word": self._topic_word,
            "sum_of_prior": self._prior,
            "doc_topic_data": self._doc_topic.data,
            "doc_topic_indices": self._doc_topic.indices,
            "doc_topic_indptr": self._doc_topic.indptr,
        }

    def restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self.n_samples = int(arrays["n_samples"])
        if self.n_samples < 1:
            self.n_samples = 0
            return
        sums = {"counts": self._shape, "topic_word": self._shape, "prior": self._shape[1:]}
        self._counts, self._topic_word, self._prior = (
            taken_over(f"sum_of_{name}", arrays[f"sum_of_{name}"], shape, np.float64)
            for name, shape in sums.items()
        )
        parts = [arrays[f"doc_topic_{name}"] for name in ("data", "indices", "indptr")]
        doc_topic = sparse.csr_matrix(tuple(parts), shape=(self._n_documents, self._shape[1]))
        self._doc_topic = intact(doc_topic, "doc_topic")
