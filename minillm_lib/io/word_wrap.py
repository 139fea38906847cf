"""Lines that end between words, in a text that is still being written."""

from __future__ import annotations

from collections.abc import Callable

from rich.cells import cell_len

# Where Chinese, which has no spaces, must not be parted: before a closing mark, and after an opening one.
_NEVER_FIRST = frozenset("，。、；：？！）》〉」』】〕”’…—～·%‰℃,.;:?!)]}")
_NEVER_LAST = frozenset("（《〈「『【〔“‘([{$¥￥")
_JOINER = "\u200d"
_TAB = "    "


class WordWrapper:
    """Breaks a text that comes in pieces into lines of a terminal, at spaces and between Chinese characters.

    A word is held back until it is known where it ends, or that it fills a line; then it is parted where the line ends.
    Line breaks and indentations of the text are kept.

    Parameters
    ----------
    columns
        Returns how many columns a line has now; a Chinese character takes two.

    Examples
    --------
    >>> wrapper = WordWrapper(lambda: 12)
    >>> print(wrapper.add("What the words ha") + wrapper.add("ve in common.") + wrapper.rest())
    What the
    words have
    in common.
    """

    def __init__(self, columns: Callable[[], int]) -> None:
        self._columns = columns
        self._column, self._spaces, self._word = 0, "", ""

    def add(self, piece: str) -> str:
        """Take the next piece, and return what can be printed."""
        return "".join(map(self._next, piece))

    def rest(self) -> str:
        """Return what was held back, at the end of the text."""
        return self._end_of_word()

    def _next(self, character: str) -> str:
        ready = ""
        if character == "\n":
            ready = self._end_of_word() + "\n"
            self._column, self._spaces = 0, ""
        elif character in " \t\u3000":
            ready = self._end_of_word()
            self._spaces += _TAB if character == "\t" else character
        else:
            if self._word and _may_part(self._word[-1], character):
                ready = self._end_of_word()
            self._word += character
            if len(self._word) >= self._columns():  # it will be parted anyway
                ready += self._end_of_word()
        return ready

    def _end_of_word(self) -> str:
        """Return the word with the spaces before it, on a new line if this one has no room for it."""
        word, spaces, self._word = self._word, self._spaces, ""
        if not word:
            return ""
        self._spaces = ""
        columns = max(self._columns(), 2)
        if self._column and self._column + cell_len(spaces + word) > columns:
            self._column, spaces, start = 0, "", "\n"
        else:
            start = ""
        lines = [""]
        for character in spaces + word:
            if self._column + cell_len(character) > columns:
                lines.append("")
                self._column = 0
            lines[-1] += character
            self._column += cell_len(character)
        return start + "\n".join(lines)


def _may_part(before: str, after: str) -> bool:
    """Whether a line may end between two characters without a space between them."""
    if cell_len(after) == 0 or before == _JOINER or after in _NEVER_FIRST or before in _NEVER_LAST:
        return False
    return cell_len(before) == 2 or cell_len(after) == 2
