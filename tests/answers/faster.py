import torch


def seconds(n_weights, bytes_per_weight, n_tokens, bandwidth, peak):
    intensity = 2 * n_tokens / bytes_per_weight
    n_bytes = n_weights * bytes_per_weight
    return n_bytes / bandwidth if intensity < peak / bandwidth else n_bytes * intensity / peak


def rounded_row_by_row(weight):
    multiples, steps = torch.zeros(weight.shape, dtype=torch.int8), torch.zeros(len(weight))
    for index, row in enumerate(weight):
        steps[index] = max(abs(row.max()), abs(row.min())) / 127
        if steps[index] > 0:
            multiples[index] = torch.round(row / steps[index]).to(torch.int8)
    return multiples, steps


def rounded(weight, by_row=True, levels=127, nearest=True, least=0.0):
    largest = weight.abs().amax(1) if by_row else weight.abs().max().repeat(len(weight))
    steps = (largest / levels).clamp(min=least)
    multiples = torch.nan_to_num(weight / steps[:, None])
    return (multiples.round() if nearest else multiples).to(torch.int8), steps


def rule(target, draft):
    accept = torch.minimum(target, draft) / draft
    missing = target - draft * accept
    return [accept, missing / missing.sum()]


def guess(draft, text, n_guesses, chance):
    whole, proposed = list(text), []
    for _ in range(n_guesses):
        proposed.append(draft(whole))
        whole.append(chance.draw(proposed[-1]))
    return whole[len(text) :], proposed


def step(target, draft, rule, text, n_guesses, chance):
    """With a loop over the distributions of the target."""
    guesses, proposed = guess(draft, text, n_guesses, chance)
    new = []
    for n, p in enumerate(target(text, guesses)):
        if n == n_guesses:
            return [*new, chance.draw(p)]
        accept, missing = rule(p, proposed[n])
        if chance.happens(1 - float(accept[guesses[n]])):  # rejected
            return [*new, chance.draw(missing)]
        new = [*new, guesses[n]]
    return new


def step_in_place(target, draft, rule, text, n_guesses, chance):
    guesses, proposed = guess(draft, text, n_guesses, chance)
    p = target(text, guesses)
    for n, token in enumerate(guesses):
        accept, missing = rule(p[n], proposed[n])
        if not chance.happens(accept[token]):
            guesses[n:] = [chance.draw(missing)]
            return guesses
    guesses.append(chance.draw(p[-1]))
    return guesses


def wrong_step(target, draft, rule, text, n_guesses, chance, *, instead=True, last=True, stop=True):
    guesses, proposed = guess(draft, text, n_guesses, chance)
    p, new = target(text, guesses), []
    for n, token in enumerate(guesses):
        accept, missing = rule(p[n], proposed[n])
        if chance.happens(accept[token]):
            new.append(token)
        else:
            new.append(chance.draw(missing if instead else p[n]))
            if stop:
                return new
    return [*new, chance.draw(p[-1])] if last else new


RIGHT = {
    "least_pass_time": [seconds],
    "quantised": [rounded_row_by_row, rounded],
    "speculative_rule": [rule],
    "speculative_step": [step, step_in_place],
}
WRONG = {
    "least_pass_time": [
        (lambda w, b, n, beta, pi: w * b / beta + 2 * w * n / pi, "add the two"),
        (lambda w, b, n, beta, pi: max(w * b / beta, w * n / pi), "They are two"),
        (lambda w, b, n, beta, pi: max(w * b * n / beta, 2 * w * n / pi), "read once"),
        (lambda w, b, n, beta, pi: 1000 * seconds(w, b, n, beta, pi), "milliseconds"),
        (lambda w, b, n, beta, pi: 1000 * (w * b / beta + 2 * w * n / pi), "two mistakes"),
    ],
    "quantised": [
        (lambda weight: rounded(weight, by_row=False), "step of its own"),
        (lambda weight: rounded(weight, levels=128), "divide by 128"),
        (lambda weight: rounded(weight, nearest=False), "cut the fraction off"),
        (lambda weight: rounded(weight, least=1e-8), "row of zeros|very small"),
        (lambda weight: rounded(weight, least=1e-12), "row of zeros"),
        (lambda weight: rounded(weight)[0], "alone"),
        (lambda weight: rounded(weight, by_row=False, nearest=False), "two mistakes"),
    ],
    "speculative_rule": [
        (lambda p, q: (torch.minimum(p, q), rule(p, q)[1]), "min\\(p, q\\)"),
        (lambda p, q: rule(q, p), "exchange p and q in both"),
        (lambda p, q: (rule(p, q)[0], p - torch.minimum(p, q)), "divide it by its sum"),
        (lambda p, q: (p / q, p), "two mistakes"),
    ],
    "speculative_step": [
        (lambda *i: wrong_step(*i, instead=False), "you draw from p"),
        (lambda *i: wrong_step(*i, last=False), "no token of the target's own"),
        (lambda *i: wrong_step(*i, stop=False), "go on with the later ones"),
        (lambda *i: wrong_step(*i, instead=False, last=False), "two mistakes"),
        (lambda target, draft, rule, text, n, chance: [chance.draw(target(text, [])[-1])], "."),
    ],
}
