import numpy as np


def split_by_walking(places, near_copies, share):
    relatives = {number: {number} for number in range(len(places))}
    for one, other in near_copies:
        together = relatives[one] | relatives[other]
        for number in together:
            relatives[number] = together
    return [places[min(relatives[number])] < share for number in range(len(places))]


def split_as_an_array(places, near_copies, share):
    first = np.arange(len(places))
    for _ in range(len(places)):
        for one, other in near_copies:
            first[[one, other]] = min(first[one], first[other])
    return (np.asarray(places, dtype=float)[first] < share).tolist()


def split_alone(places, near_copies, share):
    return [place < share for place in places]


def size_from_above(n_tokens, sizes, flops, most_epochs, least):
    for number in range(len(sizes) - 1, -1, -1):
        n_parameters, per_token = sizes[number]
        read = int(min(n_tokens * most_epochs, flops / per_token))
        if read >= least * n_parameters or number == 0:
            return number, read
    return None


def size(n_tokens, sizes, flops, most_epochs, least, text=1, cost=1):
    best = (0, 0)
    for number, (n_parameters, per_token) in enumerate(sizes):
        read = int(min(text * most_epochs * n_tokens, flops / (per_token if cost else n_parameters)))
        if number == 0 or read >= least * n_parameters:
            best = (number, read)
    return best


def rate_by_pairs(rates, losses, tolerance):
    means = {rate: sum(own) / len(own) for rate, own in zip(rates, losses, strict=True)}
    finite = {rate: mean for rate, mean in means.items() if np.isfinite(mean)}
    return min(rate for rate, mean in finite.items() if mean <= min(finite.values()) + tolerance)


def rate_in_arrays(rates, losses, tolerance):
    means = np.nan_to_num(np.asarray(losses).mean(axis=1), nan=np.inf)
    return np.asarray(rates)[means <= means.min() + tolerance].min()


def rate_by_median(rates, losses, tolerance):
    medians = np.nan_to_num(np.median(losses, axis=1), nan=np.inf)
    return min(np.array(rates)[medians <= medians.min() + tolerance])


def rate_strictly(rates, losses, tolerance):
    means = np.nan_to_num(np.mean(losses, axis=1), nan=np.inf)
    return min(np.array(rates)[means < means.min() + tolerance])


RIGHT = {
    "held_out_split": [split_by_walking, split_as_an_array],
    "choose_size": [size_from_above, lambda *inputs: size(*inputs)],
    "best_rate": [rate_by_pairs, rate_in_arrays],
}
WRONG = {
    "held_out_split": [
        (split_alone, "both sides"),
        (
            lambda places, pairs, share: [not one for one in split_by_walking(places, pairs, share)],
            "exchanged",
        ),
    ],
    "choose_size": [
        (lambda *inputs: size(*inputs, text=10**9), "budget only"),
        (lambda *inputs: size(*inputs, cost=0), "operations per token"),
    ],
    "best_rate": [
        (
            lambda rates, losses, tolerance: rates[int(np.argmin(np.nanmin(losses, axis=1)))],
            "(best seed|two mistakes)",
        ),
        (rate_by_median, "median"),
        (rate_strictly, "exactly `tolerance` above"),
        (lambda rates, losses, tolerance: rate_by_pairs(rates, losses, 0), "lowest mean itself"),
    ],
}
