"""Vectors of 8 or 16 numbers in numba functions, for inner loops that the compiler does not vectorise by itself.

A vector is a value of LLVM's vector type. LLVM compiles it to whatever registers the processor has: one AVX-512
register, two of AVX2, four of SSE or NEON. The order of the operations is fixed by the code and not by the registers,
so results do not depend on the processor.

The functions can only be called from compiled code. ``lanes`` must be a constant there. Arithmetic (``+ - * /``) works
between two vectors of the same type.

Examples
--------
::

    @numba.njit
    def first_lane_above(array, threshold):
        running = running_sum(load(array, 0, 8))
        return lane_of(first_above(running, threshold))
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model


class Vector(types.Type):
    """The numba type of a vector: ``lanes`` numbers of type ``dtype``, or as many truth values (a mask)."""

    def __init__(self, dtype: types.Type, lanes: int) -> None:
        self.dtype = dtype
        self.lanes = lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")


_ELEMENTS = {types.float32: ir.FloatType(), types.int32: ir.IntType(32), types.boolean: ir.IntType(1)}
_I32 = ir.IntType(32)


def _ir_type(vector: Vector) -> ir.VectorType:
    return ir.VectorType(_ELEMENTS[vector.dtype], vector.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, _ir_type(vector))


def _lanes(vector: Vector) -> ir.Constant:
    """Return the numbers of the lanes, 0, 1, 2, …, as a constant vector."""
    return ir.Constant(ir.VectorType(_I32, vector.lanes), list(range(vector.lanes)))


def _spread(builder: ir.IRBuilder, value: ir.Value, vector: ir.VectorType) -> ir.Value:
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(_I32, 0))
    zeros = ir.Constant(ir.VectorType(_I32, vector.count), [0] * vector.count)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


def _address(context: Any, builder: ir.IRBuilder, array: Any, value: ir.Value, index: ir.Value) -> ir.Value:
    return builder.gep(context.make_array(array)(context, builder, value).data, [index])


@intrinsic(prefer_literal=True)
def load(typing: Any, array: Any, index: Any, lanes: Any) -> Any:
    """Return ``array[index:index + lanes]`` of a contiguous float32 or int32 array; bounds are not checked."""
    vector = Vector(array.dtype, lanes.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        address = _address(context, builder, signature.args[0], args[0], args[1])
        value = builder.load(builder.bitcast(address, _ir_type(vector).as_pointer()))
        value.align = 4
        return value

    return vector(array, types.intp, lanes), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a vector to ``array[index:index + lanes]``; bounds are not checked."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        address = _address(context, builder, signature.args[0], args[0], args[1])
        builder.store(args[2], builder.bitcast(address, _ir_type(value).as_pointer())).align = 4
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def prefetch(typing: Any, array: Any, index: Any) -> Any:
    """Ask the processor to bring ``array[index]`` into its cache, while the program goes on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        address = _address(context, builder, signature.args[0], args[0], args[1])
        pointer = builder.bitcast(address, ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        builder.call(function, [pointer, *(ir.Constant(_I32, number) for number in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


@intrinsic
def gather(typing: Any, array: Any, indices: Any) -> Any:
    """Return ``array[indices]`` for a contiguous float32 or int32 array and a vector of int32 indices."""
    vector = Vector(array.dtype, indices.lanes)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        result = ir.Constant(_ir_type(vector), ir.Undefined)
        for lane in range(vector.lanes):
            place = ir.Constant(_I32, lane)
            index = builder.sext(builder.extract_element(args[1], place), ir.IntType(64))
            address = _address(context, builder, signature.args[0], args[0], index)
            result = builder.insert_element(result, builder.load(address), place)
        return result

    return vector(array, indices), generate


@intrinsic(prefer_literal=True)
def spread(typing: Any, number: Any, lanes: Any) -> Any:
    """Return a vector with ``number`` in all lanes: float32, int32, or a mask if it is a truth value."""
    kinds = {types.Float: types.float32, types.Boolean: types.boolean, types.BooleanLiteral: types.boolean}
    dtype = next((kinds[kind] for kind in kinds if isinstance(number, kind)), types.int32)
    vector = Vector(dtype, lanes.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        return _spread(builder, args[0], _ir_type(vector))

    return vector(dtype, lanes), generate


@intrinsic(prefer_literal=True)
def one_hot(typing: Any, lane: Any, lanes: Any) -> Any:
    """Return int32 numbers that are 1 in one lane and 0 in the others."""
    vector = Vector(types.int32, lanes.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        here = builder.icmp_signed("==", _lanes(vector), _spread(builder, args[0], _ir_type(vector)))
        return builder.zext(here, _ir_type(vector))

    return vector(types.int32, lanes), generate


def _binary(of_floats: str, of_integers: str | None) -> Any:
    @intrinsic
    def operation(typing: Any, a: Any, b: Any) -> Any:
        name = of_floats if a.dtype == types.float32 else of_integers
        if a != b or name is None:
            return None

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
            return getattr(builder, name)(*args)

        return a(a, b), generate

    return operation


def _define(symbol: Callable[[Any, Any], Any], operation: Any) -> None:
    def implementation(a, b):  # numba compares the signature with the lambda's
        if isinstance(a, Vector) and isinstance(b, Vector):
            return lambda a, b: operation(a, b)
        return None

    overload(symbol, inline="always")(implementation)


_define(operator.add, _binary("fadd", "add"))
_define(operator.sub, _binary("fsub", "sub"))
_define(operator.mul, _binary("fmul", "mul"))
_define(operator.truediv, _binary("fdiv", None))


@intrinsic
def to_floats(typing: Any, integers: Any) -> Any:
    """Convert int32 numbers to float32."""
    vector = Vector(types.float32, integers.lanes)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        return builder.sitofp(args[0], _ir_type(vector))

    return vector(integers), generate


@intrinsic
def equal(typing: Any, a: Any, b: Any) -> Any:
    """Return the mask of the lanes in which two vectors of int32 are equal."""
    mask = Vector(types.boolean, a.lanes)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        return builder.icmp_signed("==", *args)

    return mask(a, b), generate


@intrinsic
def select(typing: Any, mask: Any, a: Any, b: Any) -> Any:
    """Return ``a`` in the lanes of a mask, and ``b`` in the others."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        return builder.select(*args)

    return a(mask, a, b), generate


@intrinsic
def lane_of(typing: Any, mask: Any) -> Any:
    """Return the number of the first lane in a mask, or the number of lanes if there is none."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        bits = ir.IntType(mask.lanes)
        kind = ir.FunctionType(bits, [bits, ir.IntType(1)])
        function = builder.module.declare_intrinsic("llvm.cttz", [bits], kind)
        lane = builder.call(function, [builder.bitcast(args[0], bits), ir.Constant(ir.IntType(1), 0)])
        return builder.zext(lane, _I32) if mask.lanes < 32 else builder.trunc(lane, _I32)

    return types.int32(mask), generate


@intrinsic
def first_above(typing: Any, numbers: Any, threshold: Any) -> Any:
    """Return the mask of the first lane that is greater than ``threshold``; it is empty if there is none.

    It is counted and not searched for, so that the processor has no branch to mispredict.
    """
    mask = Vector(types.boolean, numbers.lanes)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        bits = ir.IntType(numbers.lanes)
        not_above = builder.fcmp_ordered("<=", args[0], _spread(builder, args[1], _ir_type(numbers)))
        below = builder.bitcast(not_above, bits)
        lowest_zero = builder.and_(builder.not_(below), builder.add(below, ir.Constant(bits, 1)))
        return builder.bitcast(lowest_zero, _ir_type(mask))

    return mask(numbers, types.float32), generate


@intrinsic
def running_sum(typing: Any, numbers: Any) -> Any:
    """Return the sums of lanes ``0 … i``, in as many additions as the number of lanes has binary digits.

    The first two steps stay within groups of four lanes, where the processor moves numbers fastest. The others carry
    the groups' totals on (a scan in the manner of Hillis & Steele 1986).
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        lanes = numbers.lanes
        zeros = ir.Constant(_ir_type(numbers), [0.0] * lanes)
        sums = args[0]

        def add_from(source: Callable[[int], int | None]) -> ir.Value:
            sources = [
                lanes if (of := source(lane)) is None else of for lane in range(lanes)
            ]  # lanes: a zero
            moved = builder.shuffle_vector(sums, zeros, ir.Constant(ir.VectorType(_I32, lanes), sources))
            return builder.fadd(sums, moved)

        for step in (1, 2):
            sums = add_from(lambda lane, step=step: lane - step if lane % 4 >= step else None)  # type: ignore[misc]
        step = 4
        while step < lanes:
            sums = add_from(lambda lane, step=step: lane // 4 * 4 - step + 3 if lane >= step else None)  # type: ignore[misc]
            step *= 2
        return sums

    return numbers(numbers), generate


@intrinsic
def lane(typing: Any, vector: Any, number: Any) -> Any:
    """Return the number in one lane, which need not be a constant."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> ir.Value:
        return builder.extract_element(args[0], args[1])

    return vector.dtype(vector, types.int32), generate
