import numpy as np
import torch
from torch.nn.functional import cross_entropy


def labels_by_pairs(turns, role_ids, end_id):
    pairs = []
    for role, content in turns:
        pairs.append((role_ids[role], -100))
        pairs.extend((token, token if role == "assistant" else -100) for token in [*content, end_id])
    return tuple(token for token, _ in pairs[:-1]), tuple(label for _, label in pairs[1:])


def labels(turns, role_ids, end_id, trained=("assistant",), ends=True, pad=-100):
    ids, own = [], []
    for role, content in turns:
        ids += [role_ids[role], *content, end_id]
        keep = role in trained
        own += [pad, *(content if keep else [pad] * len(content)), end_id if keep and ends else pad]
    return ids, own


def layout_in_loops(lengths, row_length):
    segments = [number for number, length in enumerate(lengths, 1) for _ in range(length)]
    positions = [place for length in lengths for place in range(length)]
    left = row_length - len(segments)
    segments, positions = segments + [0] * left, positions + [0] * left
    mask = [[one == other and j <= i for j, other in enumerate(segments)] for i, one in enumerate(segments)]
    return torch.tensor(positions), torch.tensor(segments, dtype=torch.int32), torch.tensor(mask)


def seen_by_padding_too(lengths, row_length):
    positions, segments, mask = layout_in_loops(lengths, row_length)
    return positions, segments, mask & (segments > 0)[:, None]


def rows_with_arrays(lengths, row_length):
    lengths = np.array(lengths)
    used, row_of = np.zeros(len(lengths), int), np.zeros(len(lengths), int)
    for index in np.argsort(-lengths, kind="stable"):
        row_of[index] = np.argmax(used + lengths[index] <= row_length)
        used[row_of[index]] += lengths[index]
    return tuple(row_of)


def rows(lengths, row_length, order=None, choose=min):
    used, row_of = [0] * len(lengths), [0] * len(lengths)
    for index in order or sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        free = [row for row in range(len(used)) if used[row] + lengths[index] <= row_length]
        row_of[index] = choose(free, key=lambda row: (used[row], -row)) if choose is not min else free[0]
        used[row_of[index]] += lengths[index]
    return row_of


def rows_sorted_in_place(lengths, row_length):
    lengths.sort(reverse=True)
    return rows(lengths, row_length)


def backwards(lengths):
    return sorted(range(len(lengths)), key=lambda index: lengths[index])[::-1]


def replay_by_gathering(answer_logits, answer_labels, text_logits, text_labels):
    losses = []
    for logits, labels in ((answer_logits, answer_labels), (text_logits, text_labels)):
        counts = labels != -100
        losses.append(-logits.log_softmax(-1)[counts].gather(1, labels[counts][:, None])[:, 0])
    return torch.cat(losses).mean()


def replay(answer_logits, answer_labels, text_logits, text_labels, mean=True):
    logits = torch.cat([answer_logits.flatten(0, 1), text_logits.flatten(0, 1)])
    labels = torch.cat([answer_labels.flatten(), text_labels.flatten()])
    return cross_entropy(logits, labels, reduction="mean" if mean else "sum")


def replay_of_means(*inputs):
    means = [cross_entropy(inputs[i].transpose(1, 2), inputs[i + 1]) for i in (0, 2)]
    return (means[0] + means[1]) / 2


def replay_of_weighted_means(*inputs):
    counts = [(inputs[i] != -100).sum() for i in (1, 3)]
    means = [cross_entropy(inputs[i].transpose(1, 2), inputs[i + 1]) for i in (0, 2)]
    return sum(n * mean for n, mean in zip(counts, means, strict=True)) / sum(counts)


def replay_without_empty_batches(*inputs):
    total, n = 0.0, 0
    for logits, labels in (inputs[:2], inputs[2:]):
        if (labels != -100).any():
            total = total + cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
            n += int((labels != -100).sum())
    return total / n


def likelihood_by_loss(logits, ids, n_prompt):
    return -cross_entropy(logits[:-1][n_prompt - 1 :], ids[n_prompt:], reduction="sum")


def likelihood_in_a_loop(logits, ids, n_prompt):
    log_p = logits - logits.logsumexp(-1, keepdim=True)
    return sum(log_p[t - 1, ids[t]].item() for t in range(n_prompt, len(ids)))


def lora(frozen=True, zero=True, scale=lambda alpha, rank: alpha / rank):
    class LoRALinear(torch.nn.Module):
        def __init__(self, linear, rank, alpha):
            super().__init__()
            self.old = linear.requires_grad_(not frozen)
            d_out, d_in = linear.weight.shape
            self.down = torch.nn.Parameter(torch.rand(rank, d_in) - 0.5)
            self.up = torch.nn.Parameter(torch.zeros(d_out, rank) if zero else torch.ones(d_out, rank))
            self.scale = scale(alpha, rank)

        def merged(self):
            return self.old.weight + self.scale * self.up @ self.down

        def forward(self, x):
            return x @ self.merged().T

    return LoRALinear


class MergedInPlace(lora()):
    def merged(self):
        with torch.no_grad():
            self.old.weight += self.scale * self.up @ self.down
        return self.old.weight

    def forward(self, x):
        return self.old(x) + self.scale * (x @ self.down.T @ self.up.T)


class WithoutGradients(lora()):
    def forward(self, x):
        with torch.no_grad():
            return super().forward(x)


RIGHT = {
    "replay_loss": [replay_by_gathering, replay, replay_without_empty_batches],
    "answer_log_probability": [likelihood_by_loss, likelihood_in_a_loop],
    "LoRALinear": [lora()],
    "conversation_labels": [labels_by_pairs],
    "row_layout": [layout_in_loops],
    "fill_rows": [rows_with_arrays],
}
WRONG = {
    "replay_loss": [
        (replay_of_means, "average the two means"),
        (replay_of_weighted_means, "0 divided by 0"),
        (lambda *i: replay(*i, mean=False), "return the sum"),
        (lambda x, a, y, b: replay(x, a, x, a), "alone"),
    ],
    "answer_log_probability": [
        (lambda x, ids, n: likelihood_by_loss(x, ids, n + 1), "first token of the answer"),
        (lambda x, ids, n: x.softmax(-1).log()[range(n - 1, len(ids) - 1), ids[n:]].sum(), "minus infinity"),
        (lambda x, ids, n: -likelihood_by_loss(x, ids, n), "minus"),
        (lambda x, ids, n: x.log_softmax(-1)[range(n, len(ids)), ids[n:]].sum(), "own position"),
        (lambda x, ids, n: -likelihood_by_loss(x, ids, n + 1), "two mistakes"),
    ],
    "LoRALinear": [
        (lora(frozen=False), "old weight is trained"),
        (lora(zero=False), "."),
        (MergedInPlace, "a second time|after merging"),
        (WithoutGradients, "gradients of down and up"),
        (lora(scale=lambda alpha, rank: alpha), "multiply by alpha"),
        (lora(scale=lambda alpha, rank: rank / alpha), "upside down"),
    ],
    "conversation_labels": [
        (lambda *i: (labels(*i)[0][1:], labels(*i)[1][:-1]), "wrong way"),
        (lambda *i: (labels(*i)[0][:-1], labels(*i, ends=False)[1][1:]), "never stops"),
        (lambda *i: (labels(*i)[0][:-1], labels(*i, trained=("system", "assistant"))[1][1:]), "system's"),
        (lambda *i: (labels(*i)[0][:-1], labels(*i, trained=("user",))[1][1:]), "user's turns"),
        (lambda *i: (labels(*i)[0][:-1], labels(*i, pad=0)[1][1:]), "label 0"),
        (lambda *i: (labels(*i)[0], [*labels(*i, ends=False)[1][1:], -100]), "two mistakes"),
    ],
    "row_layout": [
        (seen_by_padding_too, "padding sees nothing"),
        (lambda *i: (*layout_in_loops(*i)[:2], ~layout_in_loops(*i)[2]), "inverted"),
        (lambda *i: (*layout_in_loops(*i)[:2], layout_in_loops(*i)[2].int()), "dtype bool"),
        (lambda *i: (*layout_in_loops(*i)[:2], layout_in_loops(*i)[2].tril(-1)), "diagonal"),
        (lambda n, r: layout_in_loops(n, sum(n)), "padding is missing"),
        (
            lambda *i: (layout_in_loops(*i)[0] + 1, layout_in_loops(*i)[1], layout_in_loops(*i)[2].T),
            "two mistakes",
        ),
    ],
    "fill_rows": [
        (rows_sorted_in_place, "order in which"),
        (lambda n, r: rows(n, r, choose=max), "best-fit"),
        (lambda n, r: rows(n, r, order=backwards(n)), "turns those around"),
        (lambda n, r: [row + 1 for row in rows(n, r)], "count from 1"),
        (lambda n, r: rows(n, r - 1), "fits exactly"),
        (lambda n, r: [row + 1 for row in rows(n, r, order=list(range(len(n))))], "two mistakes"),
    ],
}
