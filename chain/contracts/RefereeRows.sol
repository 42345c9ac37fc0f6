// SPDX-License-Identifier: MIT
// Owns sums and lines by the kernel specification: lane sums (R1), int8 quantisation with and without noise (Q1 to Q4), and
// dot products of packed codes (M1). Where the numbers come from is RefereeWitness.sol.
pragma solidity 0.8.37;

import {SoftFloat} from "./SoftFloat.sol";

/// @title Sums and quantised lines
library RefereeRows {
    using SoftFloat for uint256;

    /// @dev A magnitude above this is no bf16 operand (rule B1); infinities and NaN are above it as well.
    uint256 private constant BF16_MOST = 0x5d800000;

    function allFinite(uint256[] memory values) internal pure returns (bool yes) {
        assembly ("memory-safe") {
            yes := 1
            let end := add(values, shl(5, mload(values)))
            for { let place := add(values, 32) } iszero(gt(place, end)) { place := add(place, 32) } {
                yes := and(yes, iszero(eq(and(mload(place), 0x7f800000), 0x7f800000)))
            }
        }
    }

    /// @notice Rule B1 in place; false when a number is out of its range, which is where an instruction fails.
    function roundAll(uint256[] memory values) internal pure returns (bool) {
        unchecked {
            for (uint256 i; i < values.length; ++i) {
                if (!inRange(values[i])) return false;
                values[i] = values[i].bf16();
            }
            return true;
        }
    }

    function inRange(uint256 value) internal pure returns (bool) {
        return value & 0x7fffffff <= BF16_MOST;
    }

    /// @notice Rule R3 over products, on from `start`; `b` must not be the shorter list.
    function dot(uint256 start, uint256[] memory a, uint256[] memory b) internal pure returns (uint256 sum) {
        unchecked {
            sum = start;
            uint256 end = a.length << 5;
            for (uint256 place = 32; place <= end; place += 32) {
                uint256 x;
                uint256 y;
                assembly ("memory-safe") {
                    x := mload(add(a, place))
                    y := mload(add(b, place))
                }
                sum = sum.add(x.mul(y));
            }
        }
    }

    /// @notice Rule R1: lane i mod 16 adds term i, ascending from +0, then lanes fold in halves.
    function laneSum(uint256[] memory terms) internal pure returns (uint256) {
        unchecked {
            uint256[] memory lanes = new uint256[](16);
            for (uint256 i; i < terms.length; ++i) lanes[i & 15] = lanes[i & 15].add(terms[i]);
            return fold(lanes);
        }
    }

    /// @notice The second half of rule R1, on sixteen lanes, which it overwrites.
    function fold(uint256[] memory lanes) internal pure returns (uint256) {
        unchecked {
            for (uint256 width = 8; width != 0; width >>= 1) {
                for (uint256 i; i < width; ++i) lanes[i] = lanes[i].add(lanes[i + width]);
            }
            return lanes[0];
        }
    }

    /// @notice Rule Q1: scale and reciprocal of a line whose greatest magnitude is `most`.
    function scales(uint256 most) internal pure returns (uint256 scale, uint256 reciprocal) {
        if (most < 0x0d800000) return (0, 0); // 2^-100
        return (most.div(0x42fe0000), uint256(0x42fe0000).div(most)); // 127
    }

    /// @notice Rule Q2: the code of a number as two's complement of 8 bits.
    function code(uint256 x, uint256 most) internal pure returns (uint256) {
        (, uint256 reciprocal) = scales(most);
        return reciprocal == 0 ? 0 : _clamp(x.mul(reciprocal).toNearest());
    }

    /// @notice Rule Q3: the same with noise.
    function noisyCode(uint256 x, uint256 most, uint256 noise) internal pure returns (uint256) {
        (, uint256 reciprocal) = scales(most);
        return reciprocal == 0 ? 0 : _clamp(x.mul(reciprocal).add(noise).toFloor());
    }

    /// @notice Exact sum of products of signed bytes, four in the low end of each word; `b` must not be the shorter one.
    function codeProduct(uint256[] memory a, uint256[] memory b) internal pure returns (int256 sum) {
        assembly ("memory-safe") {
            let end := shl(5, mload(a))
            for { let place := 32 } iszero(gt(place, end)) { place := add(place, 32) } {
                let x := mload(add(a, place))
                let y := mload(add(b, place))
                sum := add(sum, mul(signextend(0, x), signextend(0, y)))
                sum := add(sum, mul(signextend(0, shr(8, x)), signextend(0, shr(8, y))))
                sum := add(sum, mul(signextend(0, shr(16, x)), signextend(0, shr(16, y))))
                sum := add(sum, mul(signextend(0, shr(24, x)), signextend(0, shr(24, y))))
            }
        }
    }

    /// @notice Rule M1 of the exact sum and the greatest magnitudes of the two lines.
    function product(int256 sum, uint256 mostA, uint256 mostB) internal pure returns (uint256) {
        (uint256 a,) = scales(mostA);
        (uint256 b,) = scales(mostB);
        return SoftFloat.fromInt(sum).mul(a.mul(b));
    }

    /// @notice Rule Q4: the key of a gradient's noise.
    function noiseKey(uint256 seed0, uint256 seed1, uint256 tensorId, uint256 salt) internal pure returns (uint256 key) {
        unchecked {
            key = _mix((seed0 + 0x9e3779b9) & 0xffffffff);
            key = _mix(key ^ seed1);
            key = _mix(key ^ tensorId);
            key = _mix(key ^ salt);
        }
    }

    /// @notice Rule Q4: noise at (row, column) of a gradient with so many columns as binary32, 16 bits over 65,536.
    function noiseAt(uint256 key, uint256 columns, uint256 row, uint256 column) internal pure returns (uint256) {
        unchecked {
            uint256 counter = row * 16 * ((columns + 31) >> 5) + 16 * (column >> 5) + (column & 15);
            uint256 hash = _mix((counter & 0xffffffff) ^ key);
            uint256 bits = column & 16 == 0 ? hash & 0xffff : hash >> 16;
            return bits == 0 ? 0 : SoftFloat.fromInt(int256(bits)) - (16 << 23);
        }
    }

    function _clamp(int256 q) private pure returns (uint256) {
        return uint256(q > 127 ? int256(127) : q < -127 ? int256(-127) : q) & 0xff;
    }

    function _mix(uint256 w) private pure returns (uint256) {
        unchecked {
            w ^= w >> 16;
            w = (w * 0x7feb352d) & 0xffffffff;
            w ^= w >> 15;
            w = (w * 0x846ca68b) & 0xffffffff;
            return w ^ (w >> 16);
        }
    }
}
