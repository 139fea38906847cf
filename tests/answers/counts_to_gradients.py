import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot


def without_a_shift(z):
    return z.exp() / z.exp().sum(-1, keepdim=True)


def by_logsumexp(z):
    return (z - z.logsumexp(-1, keepdim=True)).exp()


def with_more_below(z, small):
    powers = (z - z.amax(-1, keepdim=True)).exp()
    return powers / (powers.sum(-1, keepdim=True) + small)


def by_hand(logits, targets):
    highest = logits.max(dim=1).values
    total = highest + torch.log(torch.exp(logits - highest[:, None]).sum(dim=1))
    return (total - logits.gather(1, targets[:, None])[:, 0]).mean()


def of_the_softmax(logits, targets):
    return -torch.softmax(logits, -1)[range(len(targets)), targets].log().mean()


def of_all_targets(logits, targets):
    return -torch.log_softmax(logits, -1)[:, targets].mean()


def changed_in_place(logits, targets):
    logits -= logits.amax(dim=-1, keepdim=True)
    return cross_entropy(logits, targets)


def by_autograd(table, before, after):
    table = table.clone().requires_grad_()
    cross_entropy(table[before], after).backward()
    return table.grad


def by_one_hot(table, before, after):
    p, n = torch.softmax(table[before], -1), len(table)
    return one_hot(before, n).float().T @ (p - one_hot(after, n)) / len(before)


def by_a_loop(table, before, after):
    gradient = torch.zeros_like(table)
    for v, w in zip(before, after, strict=True):
        gradient[v] += torch.softmax(table[v], 0) / len(before)
        gradient[v, w] -= 1 / len(before)
    return gradient


def overwritten(table, before, after):
    p = torch.softmax(table[before], -1)
    p[torch.arange(len(before)), after] -= 1
    gradient = torch.zeros_like(table)
    for v, row in zip(before, p, strict=True):
        gradient[v] = row
    return gradient / len(before)


def in_place(table, before, after):
    table -= table.amax(dim=-1, keepdim=True)
    return by_autograd(table, before, after)


def zero_first(parameters, loss, learning_rate):
    for parameter in parameters:
        parameter.grad = None
    loss.backward()
    for parameter in parameters:
        parameter.data -= learning_rate * parameter.grad


def by_autograd_grad(parameters, loss, learning_rate):
    gradients = torch.autograd.grad(loss, parameters)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.sub_(gradient, alpha=learning_rate)


def never_emptied(parameters, loss, learning_rate):
    loss.backward()
    with torch.no_grad():
        for parameter in parameters:
            parameter -= learning_rate * parameter.grad


def rebound(parameters, loss, learning_rate):
    loss.backward()
    for parameter in parameters:
        parameter = parameter - learning_rate * parameter.grad
    return parameters


def while_recording(parameters, loss, learning_rate):
    loss.backward()
    for parameter in parameters:
        parameter -= learning_rate * parameter.grad


def uphill_and_kept(parameters, loss, learning_rate):
    loss.backward()
    with torch.no_grad():
        for parameter in parameters:
            parameter += learning_rate * parameter.grad


def by_functions(tokens, embedding, w1, b1, w2, b2):
    linear = nn.functional.linear
    return linear(linear(nn.functional.embedding(tokens, embedding).flatten(1), w1, b1).relu(), w2, b2)


def by_cat(tokens, embedding, w1, b1, w2, b2):
    x = torch.cat([embedding[tokens[:, i]] for i in range(tokens.shape[1])], dim=1)
    return (x @ w1.T + b1).clamp(min=0) @ w2.T + b2


RIGHT = {
    "stable_softmax": [by_logsumexp, lambda z: torch.softmax(z.double(), -1).float()],
    "cross_entropy": [by_hand, cross_entropy],
    "bigram_gradient": [by_autograd, by_one_hot, by_a_loop],
    "sgd_step": [zero_first, by_autograd_grad],
    "mlp_logits": [by_functions, by_cat],
}
WRONG = {
    "stable_softmax": [
        (without_a_shift, "overflow"),
        (
            lambda z: (z - z.max()).exp() / (z - z.max()).exp().sum(-1, keepdim=True),
            "of the whole tensor away",
        ),
        (lambda z: torch.softmax(z, 0), "first dimension"),
        (lambda z: torch.softmax(z, 1), "over dimension 1"),
        (lambda z: with_more_below(z, 1e-3), "add a small number, 0.0"),
        (lambda z: with_more_below(z, 1e-4), "add a small number, 0.0"),
    ],
    "cross_entropy": [
        (of_the_softmax, "logarithm of probabilities"),
        (of_all_targets, "all. targets in each row"),
        (lambda z, t: cross_entropy(z, t, reduction="sum"), "Take their mean"),
        (lambda z, t: cross_entropy(z, t).item(), "tensor"),
        (lambda z, t: cross_entropy(z, t).detach(), "lost its connection"),
        (changed_in_place, "`logits` was changed"),
    ],
    "bigram_gradient": [
        (overwritten, "only the last of these positions is kept"),
        (lambda w, v, y: -by_one_hot(w, v, y), "y − p"),
        (lambda w, v, y: by_one_hot(w, v, y) * len(v), "divide by the batch size"),
        (lambda w, v, y: torch.softmax(w[v], -1) - one_hot(y, len(w)), "two mistakes|row for each of them"),
        (in_place, "`table` was changed"),
    ],
    "sgd_step": [
        (never_emptied, "added to that of the first"),
        (rebound, "do not change"),
        (while_recording, "no_grad"),
        (uphill_and_kept, "two mistakes"),
    ],
    "mlp_logits": [
        (lambda t, e, w1, b1, w2, b2: (e[t].flatten(1) @ w1.T + b1) @ w2.T + b2, "activation is missing"),
        (lambda t, e, w1, b1, w2, b2: (e[t].flatten(1) @ w1.T + b1).tanh() @ w2.T, "two mistakes.*tanh.*b2"),
        (lambda t, e, w1, b1, w2, b2: by_functions(t.flip(1), e, w1, b1, w2, b2), "in reverse"),
        (lambda t, e, w1, b1, w2, b2: (e[t].flatten(1) @ w1 + b1).relu() @ w2 + b2, "shape"),
    ],
}
