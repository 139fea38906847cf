import torch
from torch.nn import functional


def block_in_three_lines(x, first_norm, attention, second_norm, feed_forward):
    after_attention = attention(first_norm(x)) + x
    after_feed_forward = feed_forward(second_norm(after_attention))
    return torch.add(after_attention, after_feed_forward)


def block_in_place(x, first_norm, attention, second_norm, feed_forward):
    x += attention(first_norm(x))
    x += feed_forward(second_norm(x))
    return x


def forward_of_many(model, ids):
    x = functional.embedding(ids, model.embed_tokens.weight)
    for number in range(len(model.layers)):
        x = model.layers[number](x)
    return functional.linear(model.norm(x), model.embed_tokens.weight)


def forward(model, ids, layers=None, norm=True, head=True):
    x = model.embed_tokens(ids)
    for block in model.layers if layers is None else layers(list(model.layers)):
        x = block(x)
    x = model.norm(x) if norm else x
    return x @ model.embed_tokens.weight.T if head else x


def forward_without_using_what_blocks_return(model, ids):
    x = model.embed_tokens(ids)
    for block in model.layers:
        block(x)
    return model.norm(x) @ model.embed_tokens.weight.T


def deviation_by_the_last_part(name, n_layers, deviation):
    part = name.split(".")[-2]
    return deviation * (2 * n_layers) ** -0.5 if part in {"o_proj", "down_proj"} else deviation


def deviation(name, n_layers, sigma, writes=("o_proj", "down_proj"), additions=2, power=0.5):
    return sigma / (additions * n_layers) ** power if any(each in name for each in writes) else sigma


def loss_text_by_text(logits, tokens, is_token):
    losses = []
    for row, text, real in zip(logits, tokens, is_token, strict=True):
        for place in range(len(text) - 1):
            if real[place + 1]:
                losses.append(functional.cross_entropy(row[place], text[place + 1]))
    return torch.stack(losses).mean()


def loss_with_ignored_targets(logits, tokens, is_token):
    targets = tokens[:, 1:].clone()
    targets[~is_token[:, 1:]] = -100
    return functional.cross_entropy(logits[:, :-1].transpose(1, 2), targets)


def loss_as_a_number(logits, tokens, is_token):
    return loss_with_ignored_targets(logits.double(), tokens, is_token).item()


def loss(logits, tokens, is_token, mask=None, divide=None, base=1.0):
    picked = functional.log_softmax(logits[:, :-1], -1).gather(-1, tokens[:, 1:, None])[..., 0] / base
    mask = is_token[:, 1:] if mask is None else mask
    return -(picked * mask).sum() / (mask.sum() if divide is None else divide)


def count_part_by_part(v, d, n, heads, groups, width, m, tied):
    block = [d * heads * width, d * groups * width, d * groups * width, heads * width * d]
    block += [d * m, d * m, m * d, d, d]
    return sum(block) * n + d + (v * d if tied else v * d + d * v)


def count(v, d, n, heads, groups, width, m, tied, head=True, final=1, kv=None):
    attention = 2 * d * heads * width + 2 * d * (kv or groups) * width
    tables = v * d if tied or not head else 2 * v * d
    return tables + n * (attention + 3 * d * m + 2 * d) + final * d


RIGHT = {
    "block_forward": [block_in_three_lines],
    "initial_deviation": [deviation_by_the_last_part, deviation],
    "decoder_forward": [forward_of_many, forward],
    "next_token_loss": [loss_text_by_text, loss_with_ignored_targets],
    "count_parameters": [count_part_by_part],
}
WRONG = {
    "block_forward": [
        (block_in_place, "changed in place"),
        (lambda x, n1, a, n2, f: x + a(n1(x)) + f(n2(x)), "parallel block"),
        (lambda x, n1, a, n2, f: x + a(n1(x)) + f(n2(x + a(n1(x)))) + x, "once more"),
        (lambda x, n1, a, n2, f: x + f(n2(x + a(n1(x)))), "attention's output is lost"),
        (lambda x, n1, a, n2, f: x + f(n1(x)) + a(n2(x + f(n1(x)))), "changed places"),
        (lambda x, n1, a, n2, f: x + a(x) + f(n1(x + a(x))), "two mistakes"),
    ],
    "initial_deviation": [
        (lambda name, n, sigma: deviation(name, n, sigma, additions=1), "Each block adds twice"),
        (lambda name, n, sigma: deviation(name, n, sigma, power=1), "variances"),
        (lambda name, n, sigma: deviation(name, n, sigma, writes=("o_proj",)), "feed-forward layer adds"),
        (lambda name, n, sigma: deviation(name, n, sigma, writes=("layers",)), "all matrices of the blocks"),
        (
            lambda name, n, sigma: deviation(name, n, sigma, writes=("down_proj",), additions=1),
            "two mistakes",
        ),
        (lambda name, n, sigma: None, "return"),
    ],
    "decoder_forward": [
        (lambda model, ids: forward(model, ids, norm=False), "after the last block is missing"),
        (lambda model, ids: forward(model, ids, head=False), "output head is missing"),
        (lambda model, ids: forward(model, ids, layers=lambda all_: all_[:-1]), "last block is left out"),
        (lambda model, ids: forward(model, ids).softmax(-1), "probabilities"),
        (lambda model, ids: forward(model, ids)[:, -1], "last position"),
        (lambda model, ids: forward(model, ids, norm=False).softmax(-1), "two mistakes"),
        (forward_without_using_what_blocks_return, "blocks are missing"),
    ],
    "next_token_loss": [
        (loss_as_a_number, "torch tensor should be. Its values are right"),
        (lambda logits, tokens, real: loss(logits, tokens, real, base=0.6931472), "bits"),
        (lambda logits, tokens, real: -loss(logits, tokens, real), "sign is wrong"),
        (lambda logits, tokens, real: loss(logits, tokens, real, mask=tokens[:, 1:] != 0), "id 0"),
        (lambda logits, tokens, real: loss(logits, tokens, real, divide=real.sum()), "number of all tokens"),
        (lambda logits, tokens, real: loss(logits, tokens, real, mask=real[:, :-1]), "mask is not shifted"),
        (lambda logits, tokens, real: loss(logits, tokens, real).exp(), "perplexity"),
        (lambda logits, tokens, real: -loss(logits, tokens, real, mask=real[:, :-1]), "two mistakes"),
    ],
    "count_parameters": [
        (lambda *shape: count(*shape, head=False), "never count the output head"),
        (lambda *shape: float(count(*shape)), "is a float"),
        (lambda *shape: count(*shape[:-1], not shape[-1]), "wrong way round"),
        (lambda *shape: count(*shape, final=0), "after the last block"),
        (lambda *shape: count(*shape, final=0, kv=shape[3]), "two mistakes"),
        (lambda *shape: count(shape[0], shape[1], shape[2] - 1, *shape[3:]), "one block too few"),
    ],
}
