"""A Fourier transform of many real frames at once whose float64 bytes do not depend on the processor.

Why: library transforms and sines pick instructions by processor and differ in the last bit. Here every step is
one plain IEEE addition or multiplication, in a fixed order, with twiddle factors from integer arithmetic. Two real
frames travel as one complex one, and LANES such pairs lie side by side in one vector: it is also faster than a
library transform of one frame after another.
"""

# numba rewrites what it decorates: its calls have other arguments than mypy sees.
# mypy: disable-error-code="call-arg,var-annotated,no-untyped-call,no-untyped-def"

import functools
import operator
from typing import Any, NamedTuple

import numba
import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic, models, overload, register_model

LANES = 8  # complex lanes; a block holds twice as many real frames
BLOCK = 2 * LANES
_BITS = 120  # of the fixed-point arithmetic
_PI = 3_141_592_653_589_793_238_462_643_383_279_502_884_197_169_399  # times 10**45


class Plan(NamedTuple):
    """Radices and twiddle factors of one length."""

    radices: np.ndarray  # int64, their product is the length
    cos: np.ndarray  # (n,) float64, cos(2 pi t / n)
    sin: np.ndarray  # (n,) float64, sin(2 pi t / n)


@functools.lru_cache(maxsize=8)
def plan_of(n: int) -> Plan:
    """Plan a transform of n samples, n >= 1: fours first, then any smaller primes, slow only for large ones."""
    radices, rest = [], n
    for radix in (4, 2, *range(3, n + 1, 2)):
        while rest % radix == 0 and rest > 1:
            radices.append(radix)
            rest //= radix
        if rest == 1:
            break
    return Plan(np.array(radices or [1], np.int64), *unit_circle(n))


def unit_circle(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and sine of n equal steps around the circle, rounded correctly on every machine.

    Returns:
        Two (n,) float64 arrays.
    """
    one = 1 << _BITS
    step_cos, step_sin = _cos_sin((2 * _PI << _BITS) // (10**45 * n))
    values, cos, sin = [], one, 0
    for _ in range(n):
        values.append((cos / one, sin / one))
        cos, sin = (cos * step_cos - sin * step_sin) >> _BITS, (cos * step_sin + sin * step_cos) >> _BITS
    table = np.array(values)
    return np.ascontiguousarray(table[:, 0]), np.ascontiguousarray(table[:, 1])


def _cos_sin(angle: int) -> tuple[int, int]:
    """Taylor series in fixed point."""
    sums = [0, 0, 0, 0]
    term, order = 1 << _BITS, 0
    while term:
        sums[order % 4] += term
        order += 1
        term = (term * angle >> _BITS) // order
    return sums[0] - sums[2], sums[1] - sums[3]


# --- LANES doubles as one value ----------------------------------------------------------------------------------
# Why: numba's own loops over neighbouring lanes are not vectorised, since its arrays might overlap.


class _VectorType(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float64x{LANES}")


_vector = _VectorType()
_llvm_vector = ir.VectorType(ir.DoubleType(), LANES)


@register_model(_VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _llvm_vector)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _llvm_vector.as_pointer())


@intrinsic
def _load(_context: Any, array: Any, index: Any) -> Any:
    """LANES neighbours of a contiguous float64 array, from an index that must be in range."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *args), align=8)

    return _vector(array, index), generate


@intrinsic
def _load_apart(_context: Any, array: Any, index: Any, step: Any) -> Any:
    """LANES values that lie `step` apart, all of which must be in range."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        array, index, step = args
        data = context.make_array(signature.args[0])(context, builder, array).data
        lanes = ir.Constant(_llvm_vector, ir.Undefined)
        for lane in range(LANES):
            lanes = builder.insert_element(lanes, builder.load(builder.gep(data, [index])), ir.IntType(32)(lane))
            index = builder.add(index, step)
        return lanes

    return _vector(array, index, step), generate


@intrinsic
def _store(_context: Any, array: Any, index: Any, value: Any) -> Any:
    """The opposite of _load."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(context, builder, signature.args[0], *args[:2]), align=8)
        return context.get_dummy_value()

    return types.void(array, index, value), generate


@intrinsic
def _spread(_context: Any, scalar: Any) -> Any:
    """One double in every lane."""

    def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        single = builder.insert_element(ir.Constant(_llvm_vector, ir.Undefined), args[0], ir.IntType(32)(0))
        return builder.shuffle_vector(single, single, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))

    return _vector(scalar), generate


def _define(symbol: Any, instruction: str) -> None:
    """Give vectors an operator: one IEEE instruction, never fused with another."""

    @intrinsic
    def calculate(_context: Any, left: Any, right: Any) -> Any:
        def generate(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return getattr(builder, instruction)(*args)

        return _vector(left, right), generate

    @overload(symbol)
    def choose(left, right):  # no annotations: numba compares the signatures
        if left is _vector and right is _vector:
            return lambda left, right: calculate(left, right)
        return None


for _symbol, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _define(_symbol, _instruction)


# --- kernels -----------------------------------------------------------------------------------------------------


@numba.njit(cache=True, error_model="numpy")
def _radix4(xr, xi, yr, yi, m, stride, step, cos, sin):
    """One Stockham pass of radix 4: m butterflies of `stride` neighbouring values."""
    n = cos.size
    for p in range(m):
        c1, s1 = _spread(cos[p * step]), _spread(-sin[p * step])
        c2, s2 = _spread(cos[2 * p * step % n]), _spread(-sin[2 * p * step % n])
        c3, s3 = _spread(cos[3 * p * step % n]), _spread(-sin[3 * p * step % n])
        for q in range(0, stride, LANES):
            a, jump = stride * p + q, stride * m
            b, c, d = a + jump, a + 2 * jump, a + 3 * jump
            ar, ai, br, bi = _load(xr, a), _load(xi, a), _load(xr, b), _load(xi, b)
            cr, ci, dr, di = _load(xr, c), _load(xi, c), _load(xr, d), _load(xi, d)
            sr, si, tr, ti = ar + cr, ai + ci, ar - cr, ai - ci
            ur, ui, vr, vi = br + dr, bi + di, di - bi, br - dr
            o = stride * 4 * p + q
            _store(yr, o, sr + ur)
            _store(yi, o, si + ui)
            er, ei = tr - vr, ti - vi
            _store(yr, o + stride, er * c1 - ei * s1)
            _store(yi, o + stride, er * s1 + ei * c1)
            er, ei = sr - ur, si - ui
            _store(yr, o + 2 * stride, er * c2 - ei * s2)
            _store(yi, o + 2 * stride, er * s2 + ei * c2)
            er, ei = tr + vr, ti + vi
            _store(yr, o + 3 * stride, er * c3 - ei * s3)
            _store(yi, o + 3 * stride, er * s3 + ei * c3)


@numba.njit(cache=True, error_model="numpy")
def _radix_any(xr, xi, yr, yi, m, stride, step, cos, sin, radix):
    """One Stockham pass of any radix."""
    n = cos.size
    for p in range(m):
        for k in range(radix):
            for q in range(0, stride, LANES):
                sum_r, sum_i = _spread(0.0), _spread(0.0)
                for j in range(radix):
                    t = (j * k % radix * (n // radix) + p * k * step) % n
                    c, s = _spread(cos[t]), _spread(-sin[t])
                    a = stride * (p + j * m) + q
                    ar, ai = _load(xr, a), _load(xi, a)
                    sum_r, sum_i = sum_r + (ar * c - ai * s), sum_i + (ar * s + ai * c)
                o = stride * (radix * p + k) + q
                _store(yr, o, sum_r)
                _store(yi, o, sum_i)


@numba.njit(cache=True, error_model="numpy")
def transform(xr, xi, yr, yi, radices, cos, sin):
    """Transform LANES complex signals, lane index fastest; y is scratch, and x is overwritten.

    Args:
        xr, xi, yr, yi: (n * LANES,) float64.

    Returns:
        The pair of arrays that holds the result.
    """
    n = cos.size
    length, stride = n, LANES
    for radix in radices:
        m = length // radix
        step = n // length
        if radix == 4:
            _radix4(xr, xi, yr, yi, m, stride, step, cos, sin)
        else:
            _radix_any(xr, xi, yr, yi, m, stride, step, cos, sin, radix)
        xr, xi, yr, yi = yr, yi, xr, xi
        length, stride = m, stride * radix
    return xr, xi


@numba.njit(cache=True, error_model="numpy")
def mel_power(padded, hop, window, radices, cos, sin, first_bin, starts, weights, out):
    """Mel power of every frame.

    Args:
        padded: (n_samples,) float64, contiguous; frame f starts at f * hop. Holds whole blocks of frames:
            at least (n_frames + BLOCK) * hop + n samples.
        first_bin: (n_mels,) int64, the first bin of each band.
        starts: (n_mels + 1,) int64, where each band's weights start.
        weights: (n_weights,) float64.
        out: (n_mels, n_frames) float64, filled.
    """
    n = cos.size
    if padded.size < (out.shape[1] + BLOCK) * hop + n or window.size != n:
        raise ValueError("too few samples for whole blocks of frames")
    xr, xi = np.empty(n * LANES), np.empty(n * LANES)
    yr, yi = np.empty(n * LANES), np.empty(n * LANES)
    power, band = np.empty((n // 2 + 1) * BLOCK), np.empty(BLOCK)
    for frame in range(0, out.shape[1], BLOCK):
        _gather(padded, frame * hop, hop, window, xr, xi)
        zr, zi = transform(xr, xi, yr, yi, radices, cos, sin)
        _power(zr, zi, n, power)
        width = min(BLOCK, out.shape[1] - frame)
        for mel in range(first_bin.size):
            low, high = _spread(0.0), _spread(0.0)
            for j in range(starts[mel + 1] - starts[mel]):
                weight, k = _spread(weights[starts[mel] + j]), (first_bin[mel] + j) * BLOCK
                low, high = low + weight * _load(power, k), high + weight * _load(power, k + LANES)
            _store(band, 0, low)
            _store(band, LANES, high)
            for lane in range(width):
                out[mel, frame + lane] = band[lane]


@numba.njit(cache=True, error_model="numpy")
def _gather(padded, start, hop, window, xr, xi):
    """Windowed frames into lanes: the first LANES frames as real parts, the next as imaginary parts."""
    for t in range(window.size):
        weight = _spread(window[t])
        _store(xr, t * LANES, _load_apart(padded, start + t, hop) * weight)
        _store(xi, t * LANES, _load_apart(padded, start + t + LANES * hop, hop) * weight)


@numba.njit(cache=True, error_model="numpy")
def _power(zr, zi, n, power):
    """Power of both real frames in each complex lane, (n_bins * BLOCK,)."""
    quarter = _spread(0.25)
    for k in range(n // 2 + 1):
        a, b = k * LANES, (n - k) % n * LANES
        ar, ai, br, bi = _load(zr, a), _load(zi, a), _load(zr, b), _load(zi, b)
        sr, si, tr, ti = ar + br, ai - bi, ai + bi, br - ar
        _store(power, k * BLOCK, quarter * (sr * sr + si * si))
        _store(power, k * BLOCK + LANES, quarter * (tr * tr + ti * ti))
