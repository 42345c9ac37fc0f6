// SPDX-License-Identifier: MIT
// Owns IEEE 754 binary32 in integer arithmetic: one rounding to nearest even per operation, subnormals kept (rule F0), and
// the elementary functions of docs/protocol/kernel-spec.md. What the numbers mean in an instruction is Referee.sol.
pragma solidity 0.8.37;

/// @title Soft-float binary32
/// @notice A number is its 32 bits in the low end of a word; upper bits must be zero. Infinities and NaN behave as IEEE 754
/// says; every NaN that comes out is 0x7fc00000.
library SoftFloat {
    uint256 internal constant SIGN = 0x80000000;
    uint256 internal constant INFINITE = 0x7f800000;
    uint256 internal constant NOT_A_NUMBER = 0x7fc00000;
    uint256 internal constant ONE = 0x3f800000;
    /// @dev Exponents are carried as power of two + 1,000, so that they stay positive; this one is the subnormals' 2^-149.
    uint256 private constant LEAST = 1000 - 149;

    /// @notice True unless the number is an infinity or a NaN.
    function finite(uint256 a) internal pure returns (bool) {
        return a & INFINITE != INFINITE;
    }

    function negate(uint256 a) internal pure returns (uint256) {
        return a ^ SIGN;
    }

    function add(uint256 a, uint256 b) internal pure returns (uint256) {
        unchecked {
            // The larger magnitude first: bit patterns order like magnitudes.
            if (a & 0x7fffffff < b & 0x7fffffff) (a, b) = (b, a);
            uint256 exponent = (a >> 23) & 0xff;
            if (exponent == 0xff) return _addSpecial(a, b);
            uint256 other = (b >> 23) & 0xff;
            uint256 large = a & 0x7fffff;
            uint256 small = b & 0x7fffff;
            if (exponent == 0) exponent = 1;
            else large |= 0x800000;
            if (other == 0) other = 1;
            else small |= 0x800000;
            uint256 distance = exponent - other;
            if (distance > 60) {
                // Below every rounding bit: only that it is not zero counts.
                distance = 60;
                if (small != 0) small = 1;
            }
            large <<= distance;
            uint256 sum = (a ^ b) & SIGN == 0 ? large + small : large - small;
            if (sum == 0) return a & b & SIGN;
            return (a & SIGN) | _round(sum, exponent - distance + LEAST - 1);
        }
    }

    function sub(uint256 a, uint256 b) internal pure returns (uint256) {
        return add(a, b ^ SIGN);
    }

    function mul(uint256 a, uint256 b) internal pure returns (uint256) {
        unchecked {
            uint256 exponent = (a >> 23) & 0xff;
            uint256 other = (b >> 23) & 0xff;
            uint256 sign = (a ^ b) & SIGN;
            // Two normal numbers whose product is one: its significand has 47 or 48 bits, so no search for the first.
            if (exponent - 1 < 254 && other - 1 < 254 && exponent + other - 128 < 253) {
                a = ((a & 0x7fffff) | 0x800000) * ((b & 0x7fffff) | 0x800000);
                uint256 long = a >> 47;
                uint256 z = a >> (23 + long);
                uint256 rest = a - (z << (23 + long));
                uint256 half = 0x400000 << long;
                if (rest > half || (rest == half && z & 1 == 1)) ++z;
                return sign | (z + ((exponent + other + long - 128) << 23));
            }
            if (exponent == 0xff || other == 0xff) return _mulSpecial(a, b);
            a &= 0x7fffff;
            b &= 0x7fffff;
            if (exponent == 0) exponent = 1;
            else a |= 0x800000;
            if (other == 0) other = 1;
            else b |= 0x800000;
            a *= b;
            if (a == 0) return sign;
            // Two significands count in 2^-149 each: the product's unit is 2^-298.
            return sign | _round(a, exponent + other + (1000 - 300));
        }
    }

    function div(uint256 a, uint256 b) internal pure returns (uint256) {
        unchecked {
            uint256 exponent = (a >> 23) & 0xff;
            uint256 other = (b >> 23) & 0xff;
            uint256 sign = (a ^ b) & SIGN;
            if (exponent == 0xff || other == 0xff || b & 0x7fffffff == 0) return _divSpecial(a, b);
            a &= 0x7fffff;
            b &= 0x7fffff;
            if (exponent == 0) exponent = 1;
            else a |= 0x800000;
            if (other == 0) other = 1;
            else b |= 0x800000;
            if (a == 0) return sign;
            // 64 more bits hold more than 24 of the quotient for every pair; the last one remembers the remainder.
            a <<= 64;
            uint256 quotient = a / b;
            if (quotient * b != a) quotient |= 1;
            return sign | _round(quotient, 1000 - 64 + exponent - other);
        }
    }

    function sqrt(uint256 a) internal pure returns (uint256) {
        unchecked {
            if (a & 0x7fffffff == 0) return a;
            if (a & SIGN != 0 || a > INFINITE) return NOT_A_NUMBER;
            if (a == INFINITE) return a;
            uint256 exponent = a >> 23;
            a &= 0x7fffff;
            if (exponent == 0) exponent = 1;
            else a |= 0x800000;
            // Unit 2^(exponent - 150): shifted so that the unit becomes an even power of two.
            uint256 shift = 64 + (exponent & 1);
            a <<= shift;
            uint256 root = 1 << ((_bits(a) + 1) >> 1);
            for (uint256 next = (root + a / root) >> 1; next < root; next = (root + a / root) >> 1) root = next;
            if (root * root != a) root |= 1;
            // (exponent - 150 - shift) / 2, with the offset; the numerator is even and never below zero here.
            return _round(root, (exponent + 2000 - 150 - shift) >> 1);
        }
    }

    /// @notice -1, 0 or 1 as a is below, equal to or above b; both must be finite. Zeros are equal.
    function compare(uint256 a, uint256 b) internal pure returns (int256) {
        int256 x = _order(a);
        int256 y = _order(b);
        return x < y ? -1 : x == y ? int256(0) : int256(1);
    }

    /// @notice The nearest binary32 of a whole number.
    function fromInt(int256 value) internal pure returns (uint256) {
        if (value == 0) return 0;
        return value < 0 ? SIGN | _round(uint256(-value), 1000) : _round(uint256(value), 1000);
    }

    /// @notice Nearest whole number, ties to even. Finite numbers only; magnitudes from 2^31 on give 2^31 with the sign.
    function toNearest(uint256 a) internal pure returns (int256) {
        unchecked {
            (uint256 whole, uint256 rest, uint256 half) = _split(a);
            if (rest > half || (rest == half && half != 0 && whole & 1 == 1)) ++whole;
            return a & SIGN == 0 ? int256(whole) : -int256(whole);
        }
    }

    /// @notice Greatest whole number not above. Same limits as toNearest.
    function toFloor(uint256 a) internal pure returns (int256) {
        unchecked {
            (uint256 whole, uint256 rest,) = _split(a);
            if (a & SIGN == 0) return int256(whole);
            return rest == 0 ? -int256(whole) : -int256(whole) - 1;
        }
    }

    /// @notice Rule B1 for |a| up to 2^60: to 8 significant bits, nearest even; below 2^-60 a zero of the same sign.
    function bf16(uint256 a) internal pure returns (uint256) {
        unchecked {
            if (a & 0x7fffffff < 0x21800000) return a & SIGN;
            uint256 low = a & 0xffff;
            a -= low;
            if (low > 0x8000 || (low == 0x8000 && a & 0x10000 != 0)) a += 0x10000;
            return a;
        }
    }

    /// @notice Rule E1, for a finite number.
    function exp(uint256 x) internal pure returns (uint256) {
        unchecked {
            if (compare(x, 0xc2ae0000) < 0) x = 0xc2ae0000; // -87
            if (compare(x, 0x42b00000) > 0) x = 0x42b00000; // 88
            uint256 shifted = add(mul(x, 0x3fb8aa3b), 0x4b400000);
            uint256 n = sub(shifted, 0x4b400000);
            uint256 r = sub(sub(x, mul(n, 0x3f318000)), mul(n, 0xb95e8083));
            uint256 p = 0x39506967;
            p = add(mul(p, r), 0x3ab743ce);
            p = add(mul(p, r), 0x3c088908);
            p = add(mul(p, r), 0x3d2aa9c1);
            p = add(mul(p, r), 0x3e2aaaaa);
            p = add(mul(p, r), 0x3f000000);
            p = add(add(mul(p, mul(r, r)), r), ONE);
            // `shifted` is 1.5 * 2^23 + n, so its significand less that of 1.5 * 2^23 is n; here with the exponent's bias.
            uint256 power = (shifted & 0x7fffff) + 127 - 0x400000;
            return mul(p, power << 23);
        }
    }

    /// @notice Rule E2, for a positive normal number.
    function log(uint256 x) internal pure returns (uint256) {
        unchecked {
            int256 exponent = int256(x >> 23) - 126;
            uint256 m = (x & 0x7fffff) | 0x3f000000;
            if (m < 0x3f3504f3) {
                --exponent;
                m = add(m, m);
            }
            m = sub(m, ONE);
            uint256 z = mul(m, m);
            uint256 p = 0x3d9021bb;
            p = add(mul(p, m), 0xbdebd1b8);
            p = add(mul(p, m), 0x3def251a);
            p = add(mul(p, m), 0xbdfe5d4f);
            p = add(mul(p, m), 0x3e11e9bf);
            p = add(mul(p, m), 0xbe2aae50);
            p = add(mul(p, m), 0x3e4cceac);
            p = add(mul(p, m), 0xbe7ffffc);
            p = add(mul(p, m), 0x3eaaaaaa);
            uint256 power = fromInt(exponent);
            uint256 y = add(mul(mul(m, z), p), mul(power, 0xb95e8083));
            y = sub(y, mul(0x3f000000, z));
            return add(add(m, y), mul(power, 0x3f318000));
        }
    }

    /// @notice Rule E3, for a finite number.
    function sigmoid(uint256 x) internal pure returns (uint256) {
        return div(ONE, add(ONE, exp(x ^ SIGN)));
    }

    /// @dev The binary32 nearest to m * 2^(exponent - 1000), m above 0 and below 2^128, without sign.
    function _round(uint256 m, uint256 exponent) private pure returns (uint256 z) {
        unchecked {
            uint256 unit = exponent + _bits(m) - 24;
            if (unit < LEAST) unit = LEAST;
            if (unit <= exponent) {
                z = m << (exponent - unit);
            } else {
                uint256 shift = unit - exponent;
                z = m >> shift;
                uint256 rest = m - (z << shift);
                uint256 half = (1 << shift) >> 1;
                if (rest > half || (rest == half && z & 1 == 1)) ++z;
            }
            // A significand of 24 bits carries its top bit into the exponent; one that rounded up to 25 does the same twice.
            z += (unit - LEAST) << 23;
            if (z > INFINITE) z = INFINITE;
        }
    }

    /// @dev Bits of m, which is above 0 and below 2^128.
    function _bits(uint256 m) private pure returns (uint256 n) {
        assembly ("memory-safe") {
            n := shl(6, lt(0xffffffffffffffff, m))
            n := or(n, shl(5, lt(0xffffffff, shr(n, m))))
            n := or(n, shl(4, lt(0xffff, shr(n, m))))
            n := or(n, shl(3, lt(0xff, shr(n, m))))
            n := or(n, shl(2, lt(0xf, shr(n, m))))
            n := or(n, shl(1, lt(3, shr(n, m))))
            n := add(add(n, lt(1, shr(n, m))), 1)
        }
    }

    /// @dev Whole part, rest and half a unit of |a|; the last two in the same, smaller unit.
    function _split(uint256 a) private pure returns (uint256 whole, uint256 rest, uint256 half) {
        unchecked {
            uint256 exponent = (a >> 23) & 0xff;
            if (exponent >= 158) return (1 << 31, 0, 0);
            uint256 m = a & 0x7fffff;
            if (exponent == 0) exponent = 1;
            else m |= 0x800000;
            if (exponent >= 150) return (m << (exponent - 150), 0, 0);
            uint256 shift = 150 - exponent;
            whole = m >> shift;
            rest = m - (whole << shift);
            half = 1 << (shift - 1);
        }
    }

    function _order(uint256 a) private pure returns (int256) {
        unchecked {
            return a & SIGN == 0 ? int256(a) : -int256(a & 0x7fffffff);
        }
    }

    /// @dev `a` has the larger magnitude and is an infinity or a NaN.
    function _addSpecial(uint256 a, uint256 b) private pure returns (uint256) {
        if (a & 0x7fffffff > INFINITE) return NOT_A_NUMBER;
        return b == a ^ SIGN ? NOT_A_NUMBER : a;
    }

    /// @dev At least one is an infinity or a NaN.
    function _mulSpecial(uint256 a, uint256 b) private pure returns (uint256) {
        uint256 sign = (a ^ b) & SIGN;
        a &= 0x7fffffff;
        b &= 0x7fffffff;
        if (a > INFINITE || b > INFINITE || a == 0 || b == 0) return NOT_A_NUMBER;
        return sign | INFINITE;
    }

    /// @dev At least one is an infinity or a NaN, or b is a zero.
    function _divSpecial(uint256 a, uint256 b) private pure returns (uint256) {
        uint256 sign = (a ^ b) & SIGN;
        a &= 0x7fffffff;
        b &= 0x7fffffff;
        if (a > INFINITE || b > INFINITE || (a == b)) return NOT_A_NUMBER;
        return a == INFINITE || b == 0 ? sign | INFINITE : sign;
    }
}
