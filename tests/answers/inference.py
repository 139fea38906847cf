import torch

from minillm_lib.model import rotate


def tempered_by_hand(logits, temperature):
    shifted = (logits - logits.max(dim=-1, keepdim=True).values) / temperature
    return shifted.exp() / shifted.exp().sum(dim=-1, keepdim=True)


def tempered_unshifted(logits, temperature):
    raised = torch.exp(logits / temperature)
    return raised / raised.sum(dim=-1, keepdim=True)


def tempered_by_powers(logits, temperature):
    powers = logits.softmax(-1) ** (1 / temperature)
    return powers / powers.sum(-1, keepdim=True)


def tempered_in_place(logits, temperature):
    logits /= temperature
    return logits.softmax(-1)


def nucleus_row_by_row(probabilities, p):
    out = torch.zeros_like(probabilities)
    for row, kept in zip(probabilities, out, strict=True):
        total = 0.0
        for token in row.argsort(descending=True):
            kept[token] = row[token]
            total += row[token]
            if total >= p:
                break
        kept /= kept.sum()
    return out


def nucleus(probabilities, p, keep=lambda ordered, total, p: total - ordered < p, back="scatter", scale=True):
    ordered, order = probabilities.sort(-1, descending=True)
    ordered = ordered * keep(ordered, ordered.cumsum(-1), p)
    if back == "scatter":
        out = torch.zeros_like(ordered).scatter(-1, order, ordered)
    else:
        out = ordered.gather(-1, order)
    return out / out.sum(-1, keepdim=True) if scale else out


def penalised_in_a_loop(logits, seen, penalty):
    out = logits.clone()
    for place in seen.nonzero().tolist():
        score = out[tuple(place)]
        out[tuple(place)] = score * penalty if score < 0 else score / penalty
    return out


def penalised_in_place(logits, seen, penalty):
    logits[seen] = torch.where(logits[seen] > 0, logits[seen] / penalty, logits[seen] * penalty)
    return logits


def attention(query, key, value, past, rotary, *, start=None, scale=True, mask=True, keep=True):
    """By products of matrices, as the text says: queries, keys and values have one shape."""
    n_past = 0 if past is None else past[0].size(-2)
    n_new = query.size(-2)
    first = n_past if start is None else start
    cos_sin = rotary(torch.arange(first, first + n_new).unsqueeze(0))
    query, key = rotate(query, *cos_sin), rotate(key, *cos_sin)
    new = key, value
    if past is not None:
        key, value = torch.cat((past[0], key), -2), torch.cat((past[1], value), -2)
    scores = query @ key.transpose(-1, -2) / (query.size(-1) ** 0.5 if scale else 1)
    if mask:
        hidden = torch.arange(n_past + n_new) > torch.arange(n_past, n_past + n_new)[:, None]
        scores = scores.masked_fill(hidden, float("-inf"))
    return scores.softmax(-1) @ value, [key, value] if keep else new


def attention_of_the_first_text(query, key, value, past, rotary):
    output, kept = attention(query[:1], key[:1], value[:1], past and tuple(each[:1] for each in past), rotary)
    return output.expand_as(query), kept


def rule(target, draft):
    accept = torch.minimum(target, draft) / draft
    missing = target - draft * accept
    return [accept, missing / missing.sum()]


RIGHT = {
    "tempered": [tempered_by_hand, lambda logits, t: (logits.double() / t).log_softmax(-1).exp()],
    "nucleus": [nucleus_row_by_row],
    "penalised": [penalised_in_a_loop],
    "cached_attention": [attention],
    "speculative_rule": [rule],
}
WRONG = {
    "tempered": [
        (tempered_in_place, "changed in place"),
        (tempered_unshifted, "infinite"),
        (tempered_by_powers, "near 0"),
        (lambda logits, t: (logits * t).softmax(-1), "must flatten"),
        (lambda logits, t: logits.softmax(-1), "no effect"),
        (lambda logits, t: (logits * t).softmax(0), "two mistakes"),
    ],
    "nucleus": [
        (
            lambda q, p: nucleus(q, p, keep=lambda ordered, total, p: total - ordered <= p),
            "token too many where",
        ),
        (lambda q, p: nucleus(q, p, keep=lambda ordered, total, p: total <= p), "exceeds p"),
        (lambda q, p: nucleus(q, p, back="gather"), "gather"),
        (lambda q, p: nucleus(q, p, scale=False), "adds up to 1"),
        (lambda q, p: nucleus(q, p, keep=lambda ordered, total, p: total < p, scale=False), "two mistakes"),
    ],
    "penalised": [
        (penalised_in_place, "changed in place"),
        (lambda x, seen, t: torch.where(seen, x / t, x), "negative logits"),
        (lambda x, seen, t: torch.where(seen & (x > 0), x / t, x), "leave negative logits"),
        (lambda x, seen, t: torch.where(~seen, x / t, x), "two mistakes"),
    ],
    "cached_attention": [
        (attention_of_the_first_text, "."),
        (lambda *i: attention(*i, start=0), "begin at 0"),
        (lambda *i: attention(*i, keep=False), "instead"),
        (lambda *i: attention(*i, scale=False), "root of head_dim"),
        (lambda *i: attention(*i, mask=False), "no mask"),
        (lambda *i: attention(*i, mask=False, scale=False), "two mistakes"),
    ],
    "speculative_rule": [
        (lambda p, q: (torch.minimum(p, q), rule(p, q)[1]), "min\\(p, q\\)"),
        (lambda p, q: rule(q, p), "exchange p and q in both"),
        (lambda p, q: (rule(p, q)[0], p - torch.minimum(p, q)), "divide it by its sum"),
        (lambda p, q: (p / q, p), "two mistakes"),
    ],
}
