// SPDX-License-Identifier: MIT
// Owns sums and lines by the kernel specification: lane sums (R1), int8 quantisation with and without noise (Q1 to Q4), and
// the product of two quantised lines (M1). Where the numbers come from is RefereeWitness.sol.
pragma solidity 0.8.37;

import {SoftFloat} from "./SoftFloat.sol";

/// @title Sums and quantised lines
library RefereeRows {
    using SoftFloat for uint256;

    function allFinite(uint256[] memory values) internal pure returns (bool yes) {
        assembly ("memory-safe") {
            yes := 1
            let end := add(values, shl(5, mload(values)))
            for { let place := add(values, 32) } iszero(gt(place, end)) { place := add(place, 32) } {
                yes := and(yes, iszero(eq(and(mload(place), 0x7f800000), 0x7f800000)))
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

    /// @notice Rules Q1 and Q2, in place: values become whole numbers in [-127, 127] as two's complement.
    function quantize(uint256[] memory line) internal pure returns (uint256 scale) {
        unchecked {
            uint256 reciprocal;
            (scale, reciprocal) = _scales(line);
            for (uint256 i; i < line.length; ++i) {
                line[i] = scale == 0 ? 0 : _clamp(line[i].mul(reciprocal).toNearest());
            }
        }
    }

    /// @notice Rules Q1, Q3 and Q4, in place. Element i of the line is the gradient's (row, column) plus i times the steps.
    /// @param grid row, column, row step, column step and columns of the gradient.
    function quantizeNoisy(uint256[] memory line, uint256 key, uint256[5] memory grid)
        internal
        pure
        returns (uint256 scale)
    {
        unchecked {
            uint256 reciprocal;
            (scale, reciprocal) = _scales(line);
            for (uint256 i; i < line.length; ++i) {
                uint256 noise = _noise(key, grid[4], grid[0] + i * grid[2], grid[1] + i * grid[3]);
                line[i] = scale == 0 ? 0 : _clamp(line[i].mul(reciprocal).add(noise).toFloor());
            }
        }
    }

    /// @notice Rule M1 of two quantised lines; `b` must not be the shorter one.
    function product(uint256[] memory a, uint256[] memory b, uint256 scaleA, uint256 scaleB)
        internal
        pure
        returns (uint256)
    {
        unchecked {
            int256 sum;
            assembly ("memory-safe") {
                let end := shl(5, mload(a))
                for { let place := 32 } iszero(gt(place, end)) { place := add(place, 32) } {
                    sum := add(sum, mul(mload(add(a, place)), mload(add(b, place))))
                }
            }
            return SoftFloat.fromInt(sum).mul(scaleA.mul(scaleB));
        }
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

    function _scales(uint256[] memory line) private pure returns (uint256 scale, uint256 reciprocal) {
        unchecked {
            uint256 most;
            assembly ("memory-safe") {
                let end := add(line, shl(5, mload(line)))
                for { let place := add(line, 32) } iszero(gt(place, end)) { place := add(place, 32) } {
                    let magnitude := and(mload(place), 0x7fffffff)
                    if gt(magnitude, most) { most := magnitude }
                }
            }
            if (most < 0x0d800000) return (0, 0); // 2^-100
            return (most.div(0x42fe0000), uint256(0x42fe0000).div(most)); // 127
        }
    }

    function _clamp(int256 q) private pure returns (uint256) {
        return uint256(q > 127 ? int256(127) : q < -127 ? int256(-127) : q);
    }

    /// @dev Noise as binary32: 16 bits over 65,536.
    function _noise(uint256 key, uint256 columns, uint256 row, uint256 column) private pure returns (uint256) {
        unchecked {
            uint256 counter = row * 16 * ((columns + 31) >> 5) + 16 * (column >> 5) + (column & 15);
            uint256 hash = _mix((counter & 0xffffffff) ^ key);
            uint256 bits = column & 16 == 0 ? hash & 0xffff : hash >> 16;
            return bits == 0 ? 0 : SoftFloat.fromInt(int256(bits)) - (16 << 23);
        }
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
