"""BPE-dropout (Provilkov, Emelianenko & Voita 2020, arXiv:1910.13267): a text in other pieces each time it is read.

A BPE tokenizer always divides a word in the same way, so a model learns little about the pieces of words it knows, and
nothing about words with a typing error or another ending. If some merges are left out at random while it is trained,
it sees the same words in smaller pieces, too.
"""

from __future__ import annotations

import random
import re

from minillm_lib.tokenizer.interface import Tokenizer
from minillm_lib.tokenizer.sentence_piece import RESERVED, SPACE, SentencePieceTokenizer, bytes_as_ids
from minillm_lib.tokenizer.texts import utf8


class MergeDropout(SentencePieceTokenizer):
    """A tokenizer that leaves out merges in what users say, and encodes everything else as it always is.

    Parameters
    ----------
    tokenizer
        A BPE tokenizer of this package.
    share
        The probability with which a merge that is possible is left out of a step, in [0, 1). With 0, the ids are those
        of ``tokenizer``.
    seed
        Seed for all choices; the ids of a text also depend on what was encoded before it.

    Raises
    ------
    ValueError
        If the tokenizer is of another kind, or ``share`` is not in [0, 1).

    Examples
    --------
    >>> from minillm_lib.tokenizer import Tokenizer
    >>> tokenizer = Tokenizer.train(["how many topics are there"] * 9, vocab_size=310)
    >>> noisy = MergeDropout(tokenizer, 0.3)
    >>> messages = [{"role": "user", "content": "how many topics"}]
    >>> len(noisy.apply_chat_template(messages)) > len(tokenizer.apply_chat_template(messages))
    True
    >>> noisy.decode(noisy.apply_chat_template(messages))
    'how many topics'
    """

    def __init__(self, tokenizer: Tokenizer, share: float, seed: int = 0) -> None:
        if not isinstance(tokenizer, SentencePieceTokenizer) or tokenizer.model_type != "bpe":
            raise ValueError(
                f"merges can be left out only by a SentencePiece BPE tokenizer; this is {tokenizer!r}"
            )
        if not 0 <= share < 1:
            raise ValueError(f"the share of merges to leave out is {share}; allowed is 0 to below 1")
        super().__init__(tokenizer.files()[tokenizer.file_name])
        self.share, self._rng = share, random.Random(seed)
        self._ids = {piece: at for at, piece in enumerate(self.vocabulary) if at >= len(RESERVED)}

    def _encode_turn(self, role: str, text: str) -> list[int]:
        return self._encode_noisily(text) if role == "user" and self.share else self.encode(text)

    def _encode_noisily(self, text: str) -> list[int]:
        return self._joined(map(self._encode_part, utf8(text).split(SPACE.encode())), False, False)

    def _encode_part(self, part: bytes) -> list[int]:
        written = part.decode().replace(" ", SPACE)
        words = (
            re.findall(f"{SPACE}+[^{SPACE}]*|[^{SPACE}]+", written) if self.encodes_words_apart else [written]
        )
        return [token_id for word in words for token_id in self._merged(list(word))]

    def _merged(self, symbols: list[str]) -> list[int]:
        """Join neighbours, always those that were learned first of those that are not left out of the step."""
        known, draw, share = self._ids, self._rng.random, self.share
        while len(symbols) > 1:
            possible = [
                (known[pair], at)
                for at, pair in enumerate(map(str.__add__, symbols, symbols[1:]))
                if pair in known and draw() >= share
            ]
            if not possible:
                break
            _, at = min(possible)
            symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
        ids: list[int] = []
        for symbol in symbols:
            ids += [known[symbol]] if symbol in known else bytes_as_ids(symbol)
        return ids
