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


def drawn_one_by_one(probabilities, u):
    tokens = []
    for row, number in zip(probabilities.double(), u, strict=True):
        token, total = 0, row[0] / row.sum()
        while number >= total:
            token += 1
            total += row[token] / row.sum()
        tokens.append(token)
    return torch.tensor(tokens)


def drawn_by_search(probabilities, u, right=True, scale=True, dtype=torch.float64):
    ends = probabilities.to(dtype).cumsum(-1)
    ends = ends / ends[:, -1:] if scale else ends
    return torch.searchsorted(ends, u[:, None].to(dtype), right=right).squeeze(-1)


def written(
    step, choose, prompt, max_new_tokens, end_id, *, whole=False, past=True, check_end=True, seen=True
):
    """With the first pass before the loop, as many write it."""
    text = list(prompt)
    logits, kept = step(text, None)
    while True:
        token = choose(logits, text if seen else text[len(prompt) :])
        if check_end and token == end_id:
            return text[len(prompt) :], "stop"
        text = [*text, token]
        if len(text) - len(prompt) == max_new_tokens:
            return text[len(prompt) :], "length"
        logits, kept = step(text if whole else text[-1:], kept if past else None)


def written_in_place(step, choose, prompt, max_new_tokens, end_id):
    n_prompt, unread, past = len(prompt), list(prompt), None
    while len(prompt) < n_prompt + max_new_tokens:
        logits, past = step(unread, past)
        unread = [choose(logits, prompt)]
        if unread[0] == end_id:
            return prompt[n_prompt:], "stop"
        prompt += unread
    return prompt[n_prompt:], "length"


def padded_one_by_one(prompts, pad_id):
    longest = max(len(prompt) for prompt in prompts)
    ids, mask, positions = [], [], []
    for prompt in prompts:
        free = longest - len(prompt)
        ids.append([pad_id] * free + prompt)
        mask.append([False] * free + [True] * len(prompt))
        positions.append([0] * free + list(range(len(prompt))))
    return torch.tensor(ids), torch.tensor(mask), torch.tensor(positions)


def padded_in_place(prompts, pad_id):
    longest = max(map(len, prompts))
    for prompt in prompts:
        prompt[:0] = [pad_id] * (longest - len(prompt))
    ids = torch.tensor(prompts)
    return ids, ids != pad_id, torch.arange(longest).expand(ids.shape)


RIGHT = {
    "drawn": [drawn_one_by_one, drawn_by_search],
    "generate": [written],
    "left_padded": [padded_one_by_one],
    "tempered": [tempered_by_hand, lambda logits, t: (logits.double() / t).log_softmax(-1).exp()],
    "nucleus": [nucleus_row_by_row],
    "penalised": [penalised_in_a_loop],
    "cached_attention": [attention],
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
    "drawn": [
        (lambda p, u: drawn_by_search(p, u, right=False), "beyond"),
        (lambda p, u: drawn_by_search(p, u, scale=False), "a little below 1"),
        (lambda p, u: drawn_by_search(p, u, dtype=torch.float32), "large vocabulary|single precision"),
        (
            lambda p, u: (p.cumsum(-1) / p.sum(-1, True) <= u[:, None]).sum(-1),
            "large vocabulary|single precision",
        ),
        (lambda p, u: torch.multinomial(p, 1)[:, 0], "."),
        (lambda p, u: p.argmax(-1), "likeliest"),
        (lambda p, u: drawn_by_search(p, u)[:, None], "dimension too many"),
    ],
    "generate": [
        (lambda *i: written(*i, whole=True), "reads all of it twice"),
        (lambda *i: written(*i, whole=True, past=False), "everything anew"),
        (lambda *i: written(*i, past=False), "past is lost"),
        (lambda *i: written(*i, check_end=False), "do not stop"),
        (lambda *i: written(*i, seen=False), "prompt too|one token"),
        (lambda *i: written(*i)[0], "two things"),
        (written_in_place, "changed in place"),
    ],
    "left_padded": [
        (padded_in_place, "."),
        (lambda prompts, pad: padded_one_by_one(prompts, pad)[:2], "positions are missing"),
        (
            lambda prompts, pad: (
                *padded_one_by_one(prompts, pad)[:2],
                torch.arange(max(map(len, prompts))).repeat(len(prompts), 1),
            ),
            "count slots",
        ),
    ],
}
