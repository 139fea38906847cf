"""Do the topics of a thousand papers come back if the chains run longer? Notebook 03 shows these figures.

    python benchmarks/long_chains.py [--seeds N] [--output FILE]

For each seed, four chains of the settings of ``GibbsLDA`` (ten topics, both priors 0.1) run for 2,000 sweeps over the
papers shipped with the package. After each of ``LENGTHS`` sweeps the second half of what has been run is averaged, and
the topics of the most central chain are matched with those of the three others, as ``GibbsLDA.stability_`` does.
``overlaps`` has for each topic the overlaps with its three matches, ``r_hat`` is of the log-likelihood. The file is
written anew after every length.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np

from minillm_lib import load_neurips
from minillm_lib.io.atomic_write import write_atomically
from minillm_lib.topics import GibbsSampler, Tokens, evaluation
from minillm_lib.topics.stability import match_chains

ROOT = Path(__file__).parent.parent
N_TOPICS, N_CHAINS, EVERY = 10, 4, 25
LENGTHS = (250, 500, 1000, 2000)


def chains_of(tokens: Tokens, seed: int) -> list[GibbsSampler]:
    """Start the chains of a seed."""
    alpha = np.full(N_TOPICS, 0.1)
    seeds = np.random.SeedSequence(seed).spawn(N_CHAINS)
    return [GibbsSampler(tokens, N_TOPICS, alpha=alpha, beta=0.1, seed=own) for own in seeds]


def main() -> None:
    """Run the chains, and write what was found."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "lda" / "long_chains.json")
    options = parser.parse_args()
    tokens = Tokens.from_matrix(load_neurips().counts.astype(float))
    rows = []
    for seed in options.seeds:
        chains = chains_of(tokens, seed)
        kept: list[list[np.ndarray]] = [[] for _ in chains]
        for sweep in range(1, LENGTHS[-1] + 1):
            for chain, samples in zip(chains, kept, strict=True):
                chain.sweep()
                if sweep % EVERY == 0:
                    samples.append(chain.topic_word().astype(np.float32))
            if sweep not in LENGTHS:
                continue
            means = [np.mean(samples[len(samples) // 2 :], axis=0) for samples in kept]
            matched = match_chains(means)
            overlaps = np.delete(matched.overlap, matched.central, axis=0).T
            traces = np.array([chain.log_likelihoods[sweep // 2 :] for chain in chains])
            row = {"seed": seed, "sweeps": sweep, "r_hat": round(float(evaluation.r_hat(list(traces))), 3)}
            rows.append(row | {"overlaps": overlaps.round(3).tolist()})
            print(seed, sweep, row["r_hat"], np.sort(overlaps.mean(axis=1)).round(2), flush=True)
            made = {"cores": os.cpu_count(), "rows": rows}
            write_atomically(options.output, (json.dumps(made) + "\n").encode())


if __name__ == "__main__":
    main()
