"""What frequent errors of Python mean, in words for learners."""

from __future__ import annotations

from collections.abc import Sequence

MEANINGS: Sequence[tuple[str, str]] = [
    (
        "Cannot cast ufunc|result type Float can't be cast",
        "An array of whole numbers is changed in place, and cannot hold fractions: make a new one, "
        "`x = x / n` in place of `x /= n`.",
    ),
    (
        r"queries over \d+ keys need a mask",
        "Several new tokens that come after others need a mask of all of them: each sees everything before it and "
        "itself, but nothing after it.",
    ),
    (
        "is not in list|substring not found",
        "`index` finds only what is there, and raises this error for everything else.",
    ),
    (
        "ZeroDivisionError",
        "Something is divided by zero.",
    ),
    (
        "'(set|frozenset)' and '(set|frozenset)'",
        "Sets cannot be divided or added up: `len(…)` gives how many elements one has.",
    ),
    (
        r"unsupported operand type\(s\) for (\S+): .*'NoneType'",
        "One of the two sides of `{0}` is `None`: where does it come from? Methods that change a thing in "
        "place return `None`.",
    ),
    (
        r"unsupported operand type\(s\) for (\S+?):? .*'list'",
        "A list does not calculate: `{0}` does not go through its items. Use a loop, or make an array of it.",
    ),
    (
        r"can't multiply sequence by non-int of type '(\w+)'",
        "A list, a tuple or a string cannot be multiplied by a `{0}`: make an array of it, or go through its items.",
    ),
    (
        r"unsupported operand type\(s\) for (\S+?):? ",
        "`{0}` has two sides that do not go together.",
    ),
    (
        "'NoneType' object",
        "Something is `None` here that should not be: methods that change a thing in place return `None`.",
    ),
    (
        r"UnboundLocalError: .*'(\w+)'",
        "`{0}` is read before it has a value in your function.",
    ),
    (
        r"NameError: name '(\w+)' is not defined",
        "`{0}` has no value here: is it misspelt, or defined in a cell that has not run?",
    ),
    (
        "[Tt]ruth value of an array|Boolean value of Tensor with more than one value",
        "A comparison of arrays gives an array of True and False, which `if`, `and` and `or` cannot decide "
        "on: use `&` and `|`, `.any()`, `.all()` or `where`.",
    ),
    (
        r"mat1 and mat2 shapes|matmul: Input operand|shapes \(.*\) and \(.*\) not aligned|"
        "must match the size of tensor|could not be broadcast together|"
        "Expected size for first two dimensions|shape mismatch",
        "Two shapes do not fit together: print both. Is `keepdim=True` (NumPy: `keepdims=True`) missing, "
        "or something to be transposed?",
    ),
    (
        "math domain error",
        "A logarithm or root is taken of a number for which there is none, such as 0 or a negative one.",
    ),
    (
        "only integer (tensors|scalar arrays)|slice indices must be integers|"
        "'float' object cannot be interpreted as an integer|indices must be integers|"
        "must be tuple of ints, but found element of type float|"
        r"received an invalid combination of arguments - got \(float",
        "A whole number is needed here, and this is a float: `//` divides to a whole number, `/` does not.",
    ),
    (
        "expected scalar type|same dtype|dtype .* but got|expected m1 and m2 to have the same dtype",
        "Two tensors of different dtypes meet here.",
    ),
    (
        r"Can't call numpy\(\) on Tensor that requires grad",
        "This tensor has a history of gradients: `.detach()` comes before `.numpy()`.",
    ),
    (
        "does not require grad and does not have a grad_fn",
        "What `backward` is called on does not depend on anything that has gradients: was it detached, or "
        "computed under `no_grad`?",
    ),
    (
        "a leaf Variable that requires grad|modified by an inplace operation",
        "A tensor that the gradient needs is changed in place: work on a new one, or under "
        "`torch.no_grad()`.",
    ),
    (
        "backward through the graph a second time",
        "`backward` is called twice on one graph, which is freed after the first time.",
    ),
    (
        "unexpected keyword argument 'axis'",
        "PyTorch calls this argument `dim`.",
    ),
    (
        "unexpected keyword argument '(dim|keepdim)'",
        "NumPy calls these arguments `axis` and `keepdims`.",
    ),
    (
        r"unexpected keyword argument '(\w+)'",
        "What is called here has no argument `{0}`.",
    ),
    (
        r"missing \d+ required positional argument",
        "An argument is missing in this call.",
    ),
    (
        r"takes (?:from \d+ to )?(\d+) positional arguments? but (\d+)",
        "This call has {1} arguments, but there may be only {0}.",
    ),
    (
        r"'([\w.]+)' object has no attribute '(\w+)'",
        "A `{0}` has no `{1}`.",
    ),
    (
        r"has no attribute '(\w+)'",
        "There is no `{0}` here: is it misspelt?",
    ),
    (
        "IndexError.*(out of range|out of bounds)",
        "An index lies beyond the end: the last one is the length minus 1.",
    ),
    (
        "KeyError",
        "This key is not in the dict: `.get(key, 0)` gives a value for keys that are missing.",
    ),
    (
        "RecursionError",
        "A function calls itself without an end.",
    ),
    (
        "inhomogeneous shape",
        "The rows have different lengths, so no array can be made of them.",
    ),
    (
        "object is not callable",
        "Something is called like a function that is none: has a name been given away, or is a `*` missing "
        "before a bracket?",
    ),
    (
        "object is not subscriptable",
        "Something is indexed with `[…]` that has no items.",
    ),
    (
        "object is not iterable",
        "A loop, or an unpacking, runs over something that has no items.",
    ),
    (
        "does not support item assignment",
        "Strings and tuples cannot be changed: make a list of it first.",
    ),
    (
        r"unhashable type: '(\w+)'",
        "A `{0}` can be neither a key of a dict nor an element of a set: a tuple can.",
    ),
    (
        "changed size during iteration",
        "A dict or set is changed while a loop runs over it: run over a copy, `list(…)`.",
    ),
    (
        "assignment destination is read-only",
        "An input must not be written to: work on a copy.",
    ),
    (
        "not enough values to unpack|too many values to unpack",
        "The number of names on the left does not fit the number of values on the right.",
    ),
    (
        "must be str, not|can only concatenate str|expected str instance",
        "A string is put together with something that is none: `str(…)` makes one of it.",
    ),
    (
        "invalid literal for int|could not convert string to float",
        "A text is taken for a number, and is none.",
    ),
    (
        "OverflowError|out of range.*overflow|math range error",
        "A number becomes too large: work with logarithms, or subtract the largest value first.",
    ),
    (
        "UnicodeDecodeError|UnicodeEncodeError",
        "The bytes of a character were taken apart: put bytes together first, then decode them all at once.",
    ),
    (
        "[Dd]imension out of range|AxisError",
        "There is no such axis: count the axes from 0, or from −1 at the end.",
    ),
    (
        r"StopIteration|arg is an empty sequence|iterable argument is empty|max\(\)|zero-size array|"
        "non-zero size|argmax of an empty",
        "Something is empty here, and has no largest or first item.",
    ),
    (
        "statistics|at least (one|two) data point",
        "There are too few values for this.",
    ),
]
"""Patterns of what Python says, and what each means; ``{0}`` is what the first group of the pattern matched."""
