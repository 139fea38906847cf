"""Search for English and Chinese words alike, without a server and without a dictionary in the browser."""

from __future__ import annotations

import re

from sphinx.search.en import SearchEnglish

_HAN = r"\u3400-\u4dbf\u4e00-\u9fff"
_PIECES = re.compile(rf"[{_HAN}]+|[^\W{_HAN}]+")


def search_words(text: str) -> list[str]:
    """Split a text into words; a run of Chinese characters into its pairs of neighbours, and its characters.

    The browser splits what is searched for in the same way, except that it takes single characters only where one
    stands alone (``splitQuery`` in :attr:`SearchBilingual.js_splitter_code`). So a Chinese expression is found as the
    pairs that it consists of, whatever a dictionary would make of it.
    """
    words: list[str] = []
    for piece in _PIECES.findall(text):
        if re.match(rf"[{_HAN}]", piece):
            words += [piece[i : i + 2] for i in range(len(piece) - 1)]
            words += piece
        else:
            words.append(piece)
    return words


class SearchBilingual(SearchEnglish):
    """English words by their stems, Chinese ones by pairs of characters."""

    lang = "en"
    js_splitter_code = r"""
var splitQuery = function (query) {
  const words = [];
  for (const piece of query.match(
    /[\u3400-\u4dbf\u4e00-\u9fff]+|(?:(?![\u3400-\u4dbf\u4e00-\u9fff])[\p{Letter}\p{Number}_])+/gu
  ) || []) {
    if (!/^[\u3400-\u4dbf\u4e00-\u9fff]/.test(piece) || piece.length === 1) words.push(piece);
    else for (let i = 0; i + 1 < piece.length; i++) words.push(piece.slice(i, i + 2));
  }
  return words;
};
"""

    def split(self, input: str) -> list[str]:
        """Return the words of a text."""
        return search_words(input)
