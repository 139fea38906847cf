import numpy as np
import torch


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


RIGHT = {
    "conversation_labels": [labels_by_pairs],
    "row_layout": [layout_in_loops],
    "fill_rows": [rows_with_arrays],
}
WRONG = {
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
